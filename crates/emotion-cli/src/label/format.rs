//! Formats of files that are written, and the encoders for files of another format than the input.

use anyhow::{Result, bail};
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use arrow::json::WriterBuilder as JsonWriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::record_batch::RecordBatch;
use clap::ValueEnum;
use emotion_label::format::{FileType, Format};
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

/// Formats that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Parquet,
    /// Comma-separated values with a line of names; the scores are a column each
    Csv,
    /// The same, separated by tabs
    Tsv,
    /// A JSON object a line
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

/// The file that is made of another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its path within the output.
    pub name: String,
    pub file: FileType,
}

impl Target {
    /// The file in `format` that is made of the file of this name and type.
    pub fn of(name: &str, input: FileType, format: Format) -> Self {
        if input.format == format {
            return Self { name: name.into(), file: input };
        }
        let stem = match FileType::of(name) {
            Some(FileType { compression, .. }) => {
                let endings = 1 + usize::from(compression.is_some());
                name.rsplitn(endings + 1, '.').last().unwrap_or(name)
            }
            None => name,
        };
        let name = format!("{stem}.{}", format.name().to_lowercase());
        Self { name, file: FileType { format, compression: None } }
    }
}

/// Whether a format has a field per value, without structs.
pub fn is_separated(format: Format) -> bool {
    matches!(format, Format::Csv | Format::Tsv)
}

/// How Parquet's pages are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Codec {
    Zstd,
    Snappy,
    Gzip,
    Brotli,
    Lz4,
    None,
}

impl Codec {
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

    pub fn compression(self) -> Compression {
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

/// How files are encoded.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    pub compression: Compression,
    /// Rows of a Parquet row group; by default those of the input, as far as they are not too large.
    pub row_group_rows: Option<usize>,
    pub delimiter: u8,
}

impl WriteOptions {
    const MOST_ROWS: usize = 1 << 20;
    /// A row group is held in memory until it is written.
    const MOST_BYTES: usize = 128 << 20;

    fn properties(&self, metadata: Vec<KeyValue>) -> WriterProperties {
        WriterProperties::builder()
            .set_compression(self.compression)
            .set_max_row_group_row_count(Some(self.row_group_rows.unwrap_or(Self::MOST_ROWS)))
            .set_max_row_group_bytes(self.row_group_rows.is_none().then_some(Self::MOST_BYTES))
            .set_key_value_metadata(Some(metadata))
            .build()
    }
}

/// Turns record batches into the bytes of a file, which it hands out as they come.
pub enum Encoder {
    Parquet { writer: Box<ArrowWriter<Vec<u8>>>, keep_row_groups: bool },
    Arrow(Box<FileWriter<Vec<u8>>>),
    Csv { delimiter: u8, has_header: bool },
    Json,
}

impl Encoder {
    /// `metadata` goes into a Parquet file's footer, and into an Arrow file's.
    pub fn new(
        format: Format,
        schema: &SchemaRef,
        options: &WriteOptions,
        metadata: Vec<(String, String)>,
    ) -> Result<Self> {
        Ok(match format {
            Format::Parquet => {
                let metadata = metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
                let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(options.properties(metadata)))?;
                Self::Parquet { writer: Box::new(writer), keep_row_groups: options.row_group_rows.is_none() }
            }
            Format::Arrow => {
                let mut writer = FileWriter::try_new(Vec::new(), schema)?;
                for (key, value) in metadata {
                    writer.write_metadata(key, value);
                }
                Self::Arrow(Box::new(writer))
            }
            Format::Csv | Format::Tsv => Self::Csv { delimiter: options.delimiter, has_header: false },
            Format::Json => Self::Json,
            other => bail!("{} is not written", other.name()),
        })
    }

    pub fn encode(&mut self, batch: &RecordBatch) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Parquet { writer, .. } => {
                writer.write(batch)?;
                std::mem::take(writer.inner_mut())
            }
            Self::Arrow(writer) => {
                writer.write(batch)?;
                std::mem::take(writer.get_mut())
            }
            Self::Csv { delimiter, has_header } => {
                let builder = CsvWriterBuilder::new().with_delimiter(*delimiter).with_header(!*has_header);
                *has_header = true;
                let mut writer = builder.build(Vec::new());
                writer.write(batch)?;
                writer.into_inner()
            }
            Self::Json => {
                let builder = JsonWriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(Vec::new());
                writer.write(batch)?;
                writer.finish()?;
                writer.into_inner()
            }
        })
    }

    /// The input's row group is at its end.
    pub fn end_row_group(&mut self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Parquet { writer, keep_row_groups: true } => {
                writer.flush()?;
                std::mem::take(writer.inner_mut())
            }
            _ => Vec::new(),
        })
    }

    pub fn finish(self) -> Result<Vec<u8>> {
        Ok(match self {
            Self::Parquet { mut writer, .. } => {
                writer.finish()?;
                std::mem::take(writer.inner_mut())
            }
            Self::Arrow(mut writer) => {
                writer.finish()?;
                std::mem::take(writer.get_mut())
            }
            Self::Csv { .. } | Self::Json => Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_format() {
        let target = |name: &str, format| {
            let target = Target::of(name, FileType::of(name).unwrap(), format);
            (target.name, target.file.compression.is_some())
        };
        assert_eq!(target("a.b/c.jsonl", Format::Json), ("a.b/c.jsonl".into(), false));
        assert_eq!(target("a.csv.gz", Format::Csv), ("a.csv.gz".into(), true));
        assert_eq!(target("a.csv.gz", Format::Parquet), ("a.parquet".into(), false));
        assert_eq!(target("a.b.avro", Format::Parquet), ("a.b.parquet".into(), false));
        let notes = FileType { format: Format::Csv, compression: None };
        assert_eq!(Target::of("notes.txt", notes, Format::Arrow).name, "notes.txt.arrow");
    }
}
