//! Files in an object store or on this machine, read in ranges or from start to end.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::task::spawn_blocking;

use crate::step::Need;

/// Bytes of a local file that are read at once.
const CHUNK: u64 = 1 << 20;

/// A file.
#[derive(Debug, Clone)]
pub struct Object {
    store: Arc<dyn ObjectStore>,
    meta: ObjectMeta,
}

/// A file that is read in ranges, or from its start to its end.
pub struct ObjectReader {
    object: Object,
    chunks: Option<Chunks>,
}

enum Chunks {
    File(Option<File>),
    Stream(BoxStream<'static, object_store::Result<Bytes>>),
}

impl Object {
    /// A file by its place in a store.
    #[must_use]
    pub fn new(store: &Arc<dyn ObjectStore>, meta: &ObjectMeta) -> Self {
        Self { store: Arc::clone(store), meta: meta.clone() }
    }

    /// Bytes of the file.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.meta.size
    }

    /// Begins at the start of the file.
    #[must_use]
    pub fn open(&self) -> ObjectReader {
        ObjectReader { object: self.clone(), chunks: None }
    }
}

impl ObjectReader {
    /// Fetches the bytes that a reader or copier needs.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub async fn fetch(&mut self, need: &Need) -> object_store::Result<Vec<Bytes>> {
        match need {
            Need::Ranges(ranges) => self.object.store.get_ranges(&self.object.meta.location, ranges).await,
            Need::Chunk => Ok(self.chunk().await?.into_iter().collect()),
        }
    }

    /// The bytes that follow those of the last call; `None` at the end.
    ///
    /// # Errors
    ///
    /// The file cannot be read.
    pub async fn chunk(&mut self) -> object_store::Result<Option<Bytes>> {
        let chunks = match &mut self.chunks {
            Some(chunks) => chunks,
            none => none.insert(match self.object.store.get(&self.object.meta.location).await?.payload {
                GetResultPayload::File(file, _) => Chunks::File(Some(file)),
                GetResultPayload::Stream(stream) => Chunks::Stream(stream),
            }),
        };
        match chunks {
            Chunks::Stream(stream) => stream.next().await.transpose(),
            Chunks::File(file) => {
                let mut open = file.take().ok_or_else(|| failed("an earlier read of the file failed"))?;
                let read = spawn_blocking(move || {
                    let mut chunk = Vec::new();
                    let read = (&mut open).take(CHUNK).read_to_end(&mut chunk);
                    read.map(|_| (open, chunk))
                });
                let (open, chunk) = read.await?.map_err(failed)?;
                *file = Some(open);
                Ok(Some(Bytes::from(chunk)).filter(|chunk| !chunk.is_empty()))
            }
        }
    }
}

fn failed(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> object_store::Error {
    object_store::Error::Generic { store: "LocalFileSystem", source: error.into() }
}
