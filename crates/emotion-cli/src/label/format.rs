//! Formats of files that are read and written.

use anyhow::{Result, bail};
use arrow::csv::WriterBuilder as CsvWriterBuilder;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use arrow::json::WriterBuilder as JsonWriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::record_batch::RecordBatch;
use clap::ValueEnum;
use parquet::arrow::ArrowWriter;
use parquet::basic::{BrotliLevel, Compression, GzipLevel, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

/// Formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InputFormat {
    Parquet,
    Csv,
    Json,
    Arrow,
    Avro,
}

impl InputFormat {
    pub const ENDINGS: &str = ".parquet, .csv, .json, .jsonl, .ndjson, .arrow or .avro";

    pub fn of(name: &str) -> Option<Self> {
        let (_, ending) = name.rsplit_once('.')?;
        Some(match ending.to_ascii_lowercase().as_str() {
            "parquet" => Self::Parquet,
            "csv" => Self::Csv,
            "json" | "jsonl" | "ndjson" => Self::Json,
            "arrow" => Self::Arrow,
            "avro" => Self::Avro,
            _ => return None,
        })
    }

    /// The format to write if none is asked for.
    pub fn output(self) -> OutputFormat {
        match self {
            Self::Parquet | Self::Avro => OutputFormat::Parquet,
            Self::Csv => OutputFormat::Csv,
            Self::Json => OutputFormat::Json,
            Self::Arrow => OutputFormat::Arrow,
        }
    }
}

/// Formats that are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OutputFormat {
    Parquet,
    /// Comma-separated values with a line of names; the scores are a column each
    Csv,
    /// A JSON object a line
    Json,
    /// Arrow IPC file, also called Feather
    Arrow,
}

impl OutputFormat {
    pub fn of(name: &str) -> Option<Self> {
        match InputFormat::of(name)? {
            InputFormat::Avro => None,
            other => Some(other.output()),
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Parquet => "parquet",
            Self::Csv => "csv",
            Self::Json => "json",
            Self::Arrow => "arrow",
        }
    }

    /// The name of the file that is made of another.
    pub fn rename(self, name: &str) -> String {
        match name.rsplit_once('.') {
            Some((stem, _))
                if InputFormat::of(name).is_some_and(|of| of == InputFormat::Avro || of.output() != self) =>
            {
                format!("{stem}.{}", self.name())
            }
            _ => name.into(),
        }
    }

    /// The types that columns of an input in `from` are written in.
    ///
    /// An Arrow file has one dictionary for all its batches, where those of a Parquet file each have their own.
    pub fn schema(self, schema: &Schema, from: InputFormat) -> Schema {
        if self != Self::Arrow || from == InputFormat::Arrow {
            return schema.clone();
        }
        let fields = schema.fields().iter().map(|field| match field.data_type() {
            DataType::Dictionary(_, values) => field.as_ref().clone().with_data_type(values.as_ref().clone()),
            _ => field.as_ref().clone(),
        });
        Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone())
    }

    /// Refuses columns that the format has no way to hold.
    pub fn check(self, schema: &Schema, file: &str) -> Result<()> {
        let nested = schema.fields().iter().find(|field| field.data_type().is_nested());
        match nested {
            Some(field) if self == Self::Csv => bail!(
                "CSV cannot hold the column '{}' of '{file}', which is {}: choose --format parquet or json",
                field.name(),
                field.data_type()
            ),
            _ => Ok(()),
        }
    }
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

    fn compression(self) -> Compression {
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

/// How files are written.
#[derive(Debug, Clone)]
pub struct WriteOptions {
    pub codec: Codec,
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
            .set_compression(self.codec.compression())
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
        format: OutputFormat,
        schema: &SchemaRef,
        options: &WriteOptions,
        metadata: Vec<(String, String)>,
    ) -> Result<Self> {
        Ok(match format {
            OutputFormat::Parquet => {
                let metadata = metadata.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
                let writer = ArrowWriter::try_new(Vec::new(), schema.clone(), Some(options.properties(metadata)))?;
                Self::Parquet { writer: Box::new(writer), keep_row_groups: options.row_group_rows.is_none() }
            }
            OutputFormat::Arrow => {
                let mut writer = FileWriter::try_new(Vec::new(), schema)?;
                for (key, value) in metadata {
                    writer.write_metadata(key, value);
                }
                Self::Arrow(Box::new(writer))
            }
            OutputFormat::Csv => Self::Csv { delimiter: options.delimiter, has_header: false },
            OutputFormat::Json => Self::Json,
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
