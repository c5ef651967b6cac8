//! Encoders of files of another format than their input.

use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::FileWriter;
use arrow::json::WriterBuilder as JsonWriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::csv::rows;
use crate::format::Format;
use crate::job::error::{LabelError, Result};

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
            other @ Format::Avro => return Err(LabelError::Refused(format!("{} is not written", other.name()))),
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
                let mut lines = String::new();
                if !std::mem::replace(has_header, true) {
                    rows::append_header(&batch.schema(), *delimiter, &mut lines);
                }
                rows::append_rows(batch, *delimiter, &mut lines)?;
                lines.into_bytes()
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
