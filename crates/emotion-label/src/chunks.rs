//! The bytes of an object, for readers that block.

use std::io::{self, Read};

use bytes::{Buf, Bytes};
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::{DataFusionError, Result};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::spawn_blocking;

use crate::format::Compression;
use crate::object::Object;

/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 4;

/// `DataFusion`'s name of a compression.
pub(crate) fn file_compression(compression: Option<Compression>) -> FileCompressionType {
    match compression {
        Some(Compression::Gzip) => FileCompressionType::GZIP,
        Some(_) => FileCompressionType::ZSTD,
        None => FileCompressionType::UNCOMPRESSED,
    }
}

/// Passes the bytes of a file to `work`, which runs on another thread.
pub(crate) async fn read<T: Send + 'static>(
    object: &Object,
    work: impl FnOnce(Chunks) -> Result<T> + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = channel(CHUNKS_AHEAD);
    let work = spawn_blocking(move || work(Chunks { receiver, current: Bytes::new() }));
    let mut object = object.open();
    while let Some(chunk) = object.chunk().await? {
        if sender.send(chunk).await.is_err() {
            break;
        }
    }
    drop(sender);
    work.await.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))?
}

/// Reads chunks as they come.
pub(crate) struct Chunks {
    receiver: Receiver<Bytes>,
    current: Bytes,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(chunk) => self.current = chunk,
                None => return Ok(0),
            }
        }
        let length = buffer.len().min(self.current.len());
        self.current.copy_to_slice(&mut buffer[..length]);
        Ok(length)
    }
}
