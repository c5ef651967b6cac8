//! The types of a CSV file's columns, from all of its rows.
//!
//! `DataFusion` infers them from the first rows, and fails where a chunk of the file ends within a text of several
//! lines (apache/arrow-rs-object-store#650).

use std::io::{self, Read};
use std::sync::Arc;

use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::{Buf, Bytes};
use datafusion::common::exec_err;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::datasource::file_format::file_compression_type::FileCompressionType;
use datafusion::error::{DataFusionError, Result};
use tokio::sync::mpsc::{Receiver, channel};
use tokio::task::spawn_blocking;

use crate::csv_numbers::changed;
use crate::format::Compression;
use crate::object::Object;

/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 4;

/// How the fields of a CSV file are told apart.
#[derive(Debug, Clone, Copy)]
pub struct Dialect {
    /// The character between fields.
    pub delimiter: u8,
    /// The character before a quote within a quoted field, where quotes are not doubled.
    pub escape: Option<u8>,
    /// How the file is compressed as a whole.
    pub compression: Option<Compression>,
}

/// What the rows of a CSV file are like.
#[derive(Debug)]
pub struct CsvShape {
    /// The names and types of the columns.
    pub schema: SchemaRef,
    /// Whether a record may have several lines, so that the file cannot be split at its line ends.
    has_newlines: bool,
    dialect: Dialect,
}

impl Dialect {
    fn compression(self) -> FileCompressionType {
        match self.compression {
            Some(Compression::Gzip) => FileCompressionType::GZIP,
            Some(_) => FileCompressionType::ZSTD,
            None => FileCompressionType::UNCOMPRESSED,
        }
    }
}

impl CsvShape {
    /// Reads the whole file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not CSV.
    pub async fn infer(object: &Object, dialect: Dialect) -> Result<Self> {
        read(object, move |chunks| infer(chunks, dialect)).await
    }

    /// Makes columns of numbers text that have a value which their type would change, such as `02134`. Reads the whole
    /// file again if there are numbers.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not CSV.
    pub async fn with_values_kept(mut self, object: &Object) -> Result<Self> {
        let fields = self.schema.fields();
        let types = fields.iter().map(|field| field.data_type().clone()).enumerate();
        let numbers: Vec<_> = types.filter(|(_, data_type)| data_type.is_numeric()).collect();
        if numbers.is_empty() {
            return Ok(self);
        }
        let dialect = self.dialect;
        let changed = move |chunks| {
            let reader = dialect.compression().convert_read(chunks)?;
            changed(reader, dialect.delimiter, dialect.escape, numbers)
                .map_err(|error| DataFusionError::External(Box::new(error)))
        };
        let changed = read(object, changed).await?;
        let kept = fields.iter().enumerate().map(|(index, field)| {
            if changed.contains(&index) {
                return Arc::new(field.as_ref().clone().with_data_type(DataType::Utf8));
            }
            Arc::clone(field)
        });
        self.schema = Arc::new(Schema::new(kept.collect::<Vec<_>>()));
        Ok(self)
    }

    /// What the rows of this file and another are like.
    ///
    /// # Errors
    ///
    /// The files have different columns.
    pub fn merge(self, other: &Self) -> Result<Self> {
        let (ours, theirs) = (self.schema.fields(), other.schema.fields());
        if ours.len() != theirs.len() || ours.iter().zip(theirs).any(|(one, other)| one.name() != other.name()) {
            return exec_err!("the files have different columns");
        }
        let fields = ours.iter().zip(theirs).map(|(one, other)| {
            let data_type = match (one.data_type(), other.data_type()) {
                (one, other) if one == other => one.clone(),
                (DataType::Null, known) | (known, DataType::Null) => known.clone(),
                (one, other) if one.is_numeric() && other.is_numeric() => DataType::Float64,
                _ => DataType::Utf8,
            };
            Field::new(one.name(), data_type, true)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        Ok(Self { schema, has_newlines: self.has_newlines || other.has_newlines, ..self })
    }

    /// The format by which `DataFusion` reads the file.
    #[must_use]
    pub fn format(&self) -> CsvFormat {
        CsvFormat::default()
            .with_has_header(true)
            .with_delimiter(self.dialect.delimiter)
            .with_escape(self.dialect.escape)
            .with_newlines_in_values(self.has_newlines)
            .with_file_compression_type(self.dialect.compression())
    }
}

/// Passes the bytes of a file to `work`, which runs on another thread.
async fn read<T: Send + 'static>(
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

fn infer(chunks: Chunks, dialect: Dialect) -> Result<CsvShape> {
    let mut lines = Lines { reader: dialect.compression().convert_read(chunks)?, count: 0 };
    let mut format = Format::default().with_header(true).with_delimiter(dialect.delimiter);
    if let Some(escape) = dialect.escape {
        format = format.with_escape(escape);
    }
    let (schema, records) = format.infer_schema(&mut lines, None)?;
    // The header and the last record are a line each, the last without a line end.
    let has_newlines = lines.count > records + 1;
    Ok(CsvShape { schema: Arc::new(schema), has_newlines, dialect })
}

/// Reads chunks as they come.
struct Chunks {
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

/// Counts line ends.
struct Lines<R> {
    reader: R,
    count: usize,
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        self.count += buffer[..length].split(|byte| *byte == b'\n').count() - 1;
        Ok(length)
    }
}
