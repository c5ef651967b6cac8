//! Names of formats and codecs on the command line.

use clap::ValueEnum;
use emotion_label::format::Format;
use emotion_label::job::Codec;

/// Formats that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Parquet,
    /// Comma-separated values with a header line; one column per score
    Csv,
    /// The same, separated by tabs
    Tsv,
    /// One JSON object per line
    Json,
    /// Arrow IPC file, also called Feather
    Arrow,
}

impl From<OutputFormat> for Format {
    fn from(format: OutputFormat) -> Self {
        match format {
            OutputFormat::Parquet => Self::Parquet,
            OutputFormat::Csv => Self::Csv,
            OutputFormat::Tsv => Self::Tsv,
            OutputFormat::Json => Self::Json,
            OutputFormat::Arrow => Self::Arrow,
        }
    }
}

/// Codecs that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Compression {
    Zstd,
    Snappy,
    Gzip,
    Brotli,
    Lz4,
    None,
}

impl From<Compression> for Codec {
    fn from(compression: Compression) -> Self {
        match compression {
            Compression::Zstd => Self::Zstd,
            Compression::Snappy => Self::Snappy,
            Compression::Gzip => Self::Gzip,
            Compression::Brotli => Self::Brotli,
            Compression::Lz4 => Self::Lz4,
            Compression::None => Self::None,
        }
    }
}
