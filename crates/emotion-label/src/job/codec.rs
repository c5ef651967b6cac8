//! Compression of Parquet pages.

use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};

/// How Parquet pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Codec {
    /// Zstandard, at its default level.
    Zstd,
    /// Snappy.
    Snappy,
    /// Gzip, at its default level.
    Gzip,
    /// Brotli, at its default level.
    Brotli,
    /// LZ4 blocks without frames.
    Lz4,
    /// No compression.
    None,
}

impl Codec {
    /// The name of the codec, in lowercase.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Snappy => "snappy",
            Self::Gzip => "gzip",
            Self::Brotli => "brotli",
            Self::Lz4 => "lz4",
            Self::None => "none",
        }
    }

    pub(crate) fn compression(self) -> Compression {
        match self {
            Self::Zstd => Compression::ZSTD(ZstdLevel::default()),
            Self::Snappy => Compression::SNAPPY,
            Self::Gzip => Compression::GZIP(GzipLevel::default()),
            Self::Brotli => Compression::BROTLI(BrotliLevel::default()),
            Self::Lz4 => Compression::LZ4_RAW,
            Self::None => Compression::UNCOMPRESSED,
        }
    }
}
