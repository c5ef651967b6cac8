//! A file in an object store, or on this machine, that is read in pieces.

use std::fs::File;
use std::io::Read;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use emotion_label::step::Need;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::{GetResultPayload, ObjectMeta, ObjectStore, ObjectStoreExt};
use tokio::task::spawn_blocking;

/// Bytes of a local file that are read at once.
const CHUNK: u64 = 1 << 20;

/// A file.
#[derive(Clone)]
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
    pub fn new(store: &Arc<dyn ObjectStore>, meta: &ObjectMeta) -> Self {
        Self { store: Arc::clone(store), meta: meta.clone() }
    }

    pub fn size(&self) -> u64 {
        self.meta.size
    }

    /// Begins at the start of the file.
    pub fn open(&self) -> ObjectReader {
        ObjectReader { object: self.clone(), chunks: None }
    }
}

impl ObjectReader {
    /// Fetches the bytes that a reader or copier needs.
    pub async fn fetch(&mut self, need: &Need) -> Result<Vec<Bytes>> {
        match need {
            Need::Ranges(ranges) => Ok(self.object.store.get_ranges(&self.object.meta.location, ranges).await?),
            Need::Chunk => Ok(self.chunk().await?.into_iter().collect()),
        }
    }

    /// The bytes that follow those of the last call; `None` at the end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        let chunks = match &mut self.chunks {
            Some(chunks) => chunks,
            none => none.insert(match self.object.store.get(&self.object.meta.location).await?.payload {
                GetResultPayload::File(file, _) => Chunks::File(Some(file)),
                GetResultPayload::Stream(stream) => Chunks::Stream(stream),
            }),
        };
        match chunks {
            Chunks::Stream(stream) => Ok(stream.next().await.transpose()?),
            Chunks::File(file) => {
                let mut open = file.take().context("a read of the file was cut off")?;
                let read = spawn_blocking(move || {
                    let mut chunk = Vec::new();
                    let read = (&mut open).take(CHUNK).read_to_end(&mut chunk);
                    read.map(|_| (open, chunk))
                });
                let (open, chunk) = read.await??;
                *file = Some(open);
                Ok(Some(Bytes::from(chunk)).filter(|chunk| !chunk.is_empty()))
            }
        }
    }
}
