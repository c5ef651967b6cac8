//! Compression of a text file as a whole.

use std::io::{self, Write};

use flate2::write::GzEncoder;
use zstd::stream::write::Encoder as ZstdEncoder;

use crate::format::Compression;

/// The level of zstd that its own program uses.
const ZSTD_LEVEL: i32 = 3;

pub enum Compressor {
    None,
    Gzip(GzEncoder<Vec<u8>>),
    Zstd(ZstdEncoder<'static, Vec<u8>>),
}

impl Compressor {
    pub fn new(compression: Option<Compression>) -> io::Result<Self> {
        Ok(match compression {
            None => Self::None,
            Some(Compression::Gzip) => Self::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::default())),
            Some(_) => Self::Zstd(ZstdEncoder::new(Vec::new(), ZSTD_LEVEL)?),
        })
    }

    /// Compresses bytes; returns what is complete of them.
    pub fn write(&mut self, bytes: Vec<u8>) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(bytes),
            Self::Gzip(encoder) => {
                encoder.write_all(&bytes)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
            Self::Zstd(encoder) => {
                encoder.write_all(&bytes)?;
                Ok(std::mem::take(encoder.get_mut()))
            }
        }
    }

    pub fn finish(self) -> io::Result<Vec<u8>> {
        match self {
            Self::None => Ok(Vec::new()),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd(encoder) => encoder.finish(),
        }
    }
}
