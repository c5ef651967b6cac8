//! Text formats of one record per row: what CSV and JSON lines have in common.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{LargeStringBuilder, RecordBatch};
use arrow::datatypes::SchemaRef;
use bytes::Bytes;

use crate::error::{Fault, FileError, Place};
use crate::options::Options;
use crate::step::{Copier, CopyStep, Need, TextBatch, TextReader, TextStep, chunk};
use crate::text_encoding::TextEncoding;

/// Bytes of texts or records that are collected for one batch.
const BATCH_BYTES: usize = 16 << 20;

/// Bytes of a record at most: a line without an end, or a quote that is not closed, does not fill the memory.
const LONGEST_RECORD: usize = 128 << 20;

/// A piece of the input: a record with its line end, or bytes between records.
pub(crate) struct Record<'a> {
    pub bytes: &'a [u8],
    pub kind: Kind<'a>,
}

pub(crate) enum Kind<'a> {
    /// Bytes that are not a row: a byte order mark, blank lines.
    Other,
    /// The names of the columns, and the offset in `bytes` of the names to add.
    Header {
        insert_at: usize,
    },
    Row(Row<'a>),
}

pub(crate) struct Row<'a> {
    /// The offset in `bytes` of the fields to add.
    pub insert_at: usize,
    /// The number of fields or members before it.
    pub fields: usize,
    /// The text, if the reader was asked to decode it.
    pub text: Option<Cow<'a, str>>,
}

pub(crate) enum Scan<'a> {
    Record(Record<'a>),
    /// The next chunk of the input is needed.
    More,
    End,
}

/// Splits a stream of bytes into records.
pub(crate) trait RecordReader: Send {
    /// Takes the next chunk, or the end of the input.
    fn supply(&mut self, chunk: Option<&[u8]>);

    fn next(&mut self) -> Result<Scan<'_>, FileError>;

    /// The number of columns of the header, 0 if there is none.
    fn columns(&self) -> usize {
        0
    }

    /// The encoding of the file, as far as it is known.
    fn encoding(&self) -> TextEncoding {
        TextEncoding::Utf8
    }
}

/// Writes the fields to add.
pub(crate) trait RowEncoder: Send {
    /// Takes the encoding of the file, before anything is written.
    fn begin(&mut self, _encoding: TextEncoding) {}

    /// Appends the names of the columns.
    fn names(&self, added: &SchemaRef, out: &mut Vec<u8>) -> Result<(), FileError>;

    /// Prepares the columns of the rows to come.
    fn load(&mut self, added: &RecordBatch) -> Result<(), FileError>;

    /// Appends the fields of a row that has `fields` of the `columns` already.
    fn row(&self, row: usize, fields: usize, columns: usize, out: &mut Vec<u8>) -> Result<(), FileError>;
}

/// Bytes that have arrived and are not consumed.
#[derive(Default)]
pub(crate) struct Buffer {
    bytes: Vec<u8>,
    start: usize,
    is_last: bool,
}

impl Buffer {
    /// Takes the next chunk, or the end of the input.
    pub fn supply(&mut self, chunk: Option<&[u8]>) {
        match chunk {
            Some(chunk) => self.push(chunk),
            None => self.is_last = true,
        }
    }

    /// Whether nothing follows.
    pub fn is_last(&self) -> bool {
        self.is_last
    }

    /// Asks for the next chunk of a record, unless the record is too long already; it begins at `place`.
    pub fn more(&self, place: impl FnOnce() -> Place) -> Result<Scan<'static>, FileError> {
        if self.rest().len() <= LONGEST_RECORD {
            return Ok(Scan::More);
        }
        let what = format!("a record is longer than {} MiB", LONGEST_RECORD >> 20);
        let advice = "end each record with a line break, and close its quotes";
        Err(FileError::Damaged(Fault::new(what, place(), advice)))
    }

    fn push(&mut self, chunk: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(chunk);
    }

    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.start..]
    }

    /// Consumes the next `length` bytes, which stay readable until the next push.
    pub fn consume(&mut self, length: usize) -> &[u8] {
        let start = self.start;
        self.start += length;
        &self.bytes[start..self.start]
    }
}

/// Reads the texts of records.
pub(crate) struct RecordTexts<R> {
    reader: R,
    batch_rows: usize,
    is_prompt: bool,
    skip: u64,
    next_row: u64,
    texts: LargeStringBuilder,
    rows: usize,
    /// What ended the reading, until the rows before it are taken.
    failed: Option<FileError>,
}

impl<R: RecordReader> RecordTexts<R> {
    pub fn new(reader: R, options: &Options) -> Self {
        Self {
            reader,
            batch_rows: options.batch_rows,
            is_prompt: options.is_prompt,
            skip: options.start.1,
            next_row: 0,
            texts: LargeStringBuilder::new(),
            rows: 0,
            failed: None,
        }
    }

    fn finish_batch(&mut self) -> TextStep {
        let first_row = self.next_row - self.rows as u64;
        self.rows = 0;
        TextStep::Texts(TextBatch { row_group: 0, first_row, texts: Arc::new(self.texts.finish()) })
    }
}

impl<R: RecordReader> TextReader for RecordTexts<R> {
    fn step(&mut self) -> Result<TextStep, FileError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        while self.rows < self.batch_rows && self.texts.values_slice().len() < BATCH_BYTES {
            let scan = match self.reader.next() {
                Ok(scan) => scan,
                Err(error) if self.is_prompt && self.rows > 0 => {
                    self.failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            match scan {
                Scan::Record(Record { kind: Kind::Row(row), .. }) => {
                    if self.next_row >= self.skip {
                        self.texts.append_option(row.text);
                        self.rows += 1;
                    }
                    self.next_row += 1;
                }
                Scan::Record(_) => {}
                Scan::More if self.is_prompt && self.rows > 0 => break,
                Scan::More => return Ok(TextStep::Need(Need::Chunk)),
                Scan::End if self.rows == 0 => return Ok(TextStep::End),
                Scan::End => break,
            }
        }
        Ok(self.finish_batch())
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        self.reader.supply(chunk(bytes)?.as_deref());
        Ok(())
    }
}

/// Copies records and adds fields.
pub(crate) struct RecordCopier<R, E> {
    reader: R,
    encoder: E,
    added: SchemaRef,
    batch_rows: usize,
    is_prompt: bool,
    pending: Pending,
    state: State,
    /// What ended the reading, until the rows before it are copied.
    failed: Option<FileError>,
}

/// Records whose fields to add are not known yet.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    records: Vec<PendingRecord>,
    rows: usize,
}

struct PendingRecord {
    end: usize,
    insert_at: usize,
    /// The number of fields of a row.
    fields: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Reading,
    Waiting,
    Added,
    AtEnd,
}

impl<R: RecordReader, E: RowEncoder> RecordCopier<R, E> {
    pub fn new(reader: R, encoder: E, options: &Options) -> Self {
        Self {
            reader,
            encoder,
            added: options.added.clone(),
            batch_rows: options.batch_rows,
            is_prompt: options.is_prompt,
            pending: Pending::default(),
            state: State::Reading,
            failed: None,
        }
    }

    fn read(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let pending = &mut self.pending;
        while pending.rows < self.batch_rows && pending.bytes.len() < BATCH_BYTES {
            let record = match self.reader.next() {
                Ok(Scan::Record(record)) => record,
                Ok(Scan::More) if self.is_prompt && pending.rows > 0 => break,
                Ok(Scan::More) => return Ok(CopyStep::Need(Need::Chunk)),
                Ok(Scan::End) => {
                    self.state = State::AtEnd;
                    break;
                }
                Err(error) if self.is_prompt && pending.rows > 0 => {
                    self.failed = Some(error);
                    break;
                }
                Err(error) => return Err(error),
            };
            match record.kind {
                Kind::Header { insert_at } => {
                    out.extend_from_slice(&pending.bytes);
                    pending.clear();
                    out.extend_from_slice(record.bytes);
                    let after = out.split_off(out.len() - (record.bytes.len() - insert_at));
                    self.encoder.begin(self.reader.encoding());
                    self.encoder.names(&self.added, out)?;
                    out.extend_from_slice(&after);
                }
                Kind::Row(row) => pending.push(record.bytes, row.insert_at, Some(row.fields)),
                Kind::Other => pending.push(record.bytes, 0, None),
            }
        }
        if pending.rows == 0 {
            out.extend_from_slice(&pending.bytes);
            pending.clear();
            return Ok(if self.state == State::AtEnd { CopyStep::End } else { CopyStep::Output });
        }
        self.state = State::Waiting;
        Ok(self.wanted())
    }

    fn wanted(&self) -> CopyStep {
        CopyStep::Rows { row_group: 0, rows: self.pending.rows }
    }

    fn write(&mut self, out: &mut Vec<u8>) -> Result<(), FileError> {
        let (mut start, mut row) = (0, 0);
        for record in &self.pending.records {
            let bytes = &self.pending.bytes[start..record.end];
            start = record.end;
            out.extend_from_slice(&bytes[..record.insert_at]);
            if let Some(fields) = record.fields {
                self.encoder.row(row, fields, self.reader.columns(), out)?;
                row += 1;
            }
            out.extend_from_slice(&bytes[record.insert_at..]);
        }
        self.pending.clear();
        Ok(())
    }
}

impl Pending {
    fn push(&mut self, bytes: &[u8], insert_at: usize, fields: Option<usize>) {
        self.bytes.extend_from_slice(bytes);
        self.records.push(PendingRecord { end: self.bytes.len(), insert_at, fields });
        self.rows += usize::from(fields.is_some());
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.records.clear();
        self.rows = 0;
    }
}

impl<R: RecordReader, E: RowEncoder> Copier for RecordCopier<R, E> {
    fn step(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        match self.state {
            State::Reading => self.read(out),
            State::Waiting => Ok(self.wanted()),
            State::Added => {
                self.write(out)?;
                self.state = State::Reading;
                Ok(CopyStep::Output)
            }
            State::AtEnd => Ok(CopyStep::End),
        }
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        self.reader.supply(chunk(bytes)?.as_deref());
        Ok(())
    }

    fn add(&mut self, added: &RecordBatch) -> Result<(), FileError> {
        if self.state != State::Waiting || added.num_rows() != self.pending.rows {
            return Err(FileError::Protocol("the added columns are not of the rows that were asked for"));
        }
        if added.schema_ref().fields() != self.added.fields() {
            return Err(FileError::Protocol("the added columns are not those that were announced"));
        }
        self.encoder.load(added)?;
        self.state = State::Added;
        Ok(())
    }
}
