//! The types of a CSV file's columns, from all of its rows.
//!
//! `DataFusion` infers them from the first rows, and fails where a chunk of the file ends within a text of several
//! lines (apache/arrow-rs-object-store#650).

use std::io::{self, Read};
use std::sync::Arc;

use arrow::csv::reader::Format;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use datafusion::common::exec_err;
use datafusion::datasource::file_format::csv::CsvFormat;
use datafusion::error::{DataFusionError, Result};

use crate::chunks::{Chunks, file_compression, read};
use crate::csv_values::{failing, is_kept, is_readable};
use crate::format::Compression;
use crate::object::Object;

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
    /// The line of the first escape character within quotes that `DataFusion` removes and this crate keeps: one before
    /// another character than a quote, itself or a line end.
    pub odd_escape: Option<usize>,
    dialect: Dialect,
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

    /// Makes columns text that have a value which their type would change, such as `02134`, a time with an offset, or
    /// `0000-00-00`. Reads the whole file again if there are such types.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not CSV.
    pub async fn with_values_kept(self, object: &Object) -> Result<Self> {
        let typed = |data_type: &DataType| !matches!(data_type, DataType::Null | DataType::Boolean | DataType::Utf8);
        self.text_unless(object, typed, is_kept).await
    }

    /// Makes columns text that have a value which cannot be read as their type, such as the date `0000-00-00`. Reads the
    /// whole file again if there are dates or times.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or is not CSV.
    pub async fn with_values_readable(self, object: &Object) -> Result<Self> {
        self.text_unless(object, DataType::is_temporal, is_readable).await
    }

    async fn text_unless(
        mut self,
        object: &Object,
        checked: impl Fn(&DataType) -> bool,
        holds: fn(&str, &DataType) -> bool,
    ) -> Result<Self> {
        let fields = self.schema.fields();
        let types = fields.iter().map(|field| field.data_type().clone()).enumerate();
        let columns: Vec<_> = types.filter(|(_, data_type)| checked(data_type)).collect();
        if columns.is_empty() {
            return Ok(self);
        }
        let dialect = self.dialect;
        let failing = move |chunks| {
            let reader = file_compression(dialect.compression).convert_read(chunks)?;
            failing(reader, dialect.delimiter, dialect.escape, columns, holds)
                .map_err(|error| DataFusionError::External(Box::new(error)))
        };
        let failing = read(object, failing).await?;
        let kept = fields.iter().enumerate().map(|(index, field)| {
            if failing.contains(&index) {
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
            .with_truncated_rows(true)
            .with_file_compression_type(file_compression(self.dialect.compression))
    }
}

fn infer(chunks: Chunks, dialect: Dialect) -> Result<CsvShape> {
    let reader = file_compression(dialect.compression).convert_read(chunks)?;
    let mut lines = Lines::new(reader, dialect);
    let mut format = Format::default().with_header(true).with_delimiter(dialect.delimiter).with_truncated_rows(true);
    if let Some(escape) = dialect.escape {
        format = format.with_escape(escape);
    }
    let (schema, records) = format.infer_schema(&mut lines, None)?;
    if let Some(what) = lines.fault() {
        return Err(ArrowError::CsvError(what).into());
    }
    // The header is a line, too.
    let has_newlines = lines.count() > records + 1;
    Ok(CsvShape { schema: Arc::new(schema), has_newlines, odd_escape: lines.odd_escape, dialect })
}

/// Counts lines, the last of which may have no line end, and finds what a reader would change.
struct Lines<R> {
    reader: R,
    line_ends: usize,
    is_in_line: bool,
    dialect: Dialect,
    state: State,
    /// The line in which the current quoted field begins.
    quote_line: usize,
    /// The line of the first field of several lines that ends before text.
    joined_rows: Option<usize>,
    /// The line of the first escape character that stands before another character than a quote, itself or a line end.
    odd_escape: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After the escape character within quotes.
    Escaped,
    /// After a quote within quotes.
    QuoteInQuoted,
    /// After blanks behind a closing quote.
    Blanks,
}

impl<R> Lines<R> {
    fn new(reader: R, dialect: Dialect) -> Self {
        let state = State::FieldStart;
        Self {
            reader,
            line_ends: 0,
            is_in_line: false,
            dialect,
            state,
            quote_line: 0,
            joined_rows: None,
            odd_escape: None,
        }
    }

    fn count(&self) -> usize {
        self.line_ends + usize::from(self.is_in_line)
    }

    /// What is wrong with the quotes of the whole file.
    fn fault(&self) -> Option<String> {
        if let Some(line) = self.joined_rows {
            return Some(format!(
                "the field of several lines that begins in line {line} ends before other text: a text begins with a \
                 quote; write the file again with its texts in quotes, and with quotes within them doubled"
            ));
        }
        let line = self.quote_line;
        matches!(self.state, State::Quoted | State::Escaped).then(|| {
            format!(
                "the quote in line {line} is not closed before the end of the file: write the file again; its end is \
                 missing, or a text begins with a quote that is not doubled"
            )
        })
    }

    fn take(&mut self, byte: u8) {
        let is_escape = Some(byte) == self.dialect.escape;
        if self.state == State::FieldStart && byte == b'"' {
            self.quote_line = self.line_ends + 1;
        }
        self.state = match (self.state, byte) {
            (State::Quoted, b'"') => State::QuoteInQuoted,
            (State::Quoted, _) if is_escape => State::Escaped,
            (State::Quoted, _) | (State::FieldStart | State::QuoteInQuoted, b'"') => State::Quoted,
            (State::Escaped, _) => {
                if !is_escape && !matches!(byte, b'"' | b'\n' | b'\r') {
                    self.odd_escape.get_or_insert(self.line_ends + 1);
                }
                State::Quoted
            }
            (_, b'\n' | b'\r') => State::FieldStart,
            // The byte order mark, which is not a part of the first field.
            (State::FieldStart, 0xef | 0xbb | 0xbf) if self.line_ends == 0 => State::FieldStart,
            _ if byte == self.dialect.delimiter => State::FieldStart,
            (State::QuoteInQuoted | State::Blanks, b' ' | b'\t') => State::Blanks,
            (State::QuoteInQuoted | State::Blanks, _) => {
                if self.quote_line <= self.line_ends {
                    self.joined_rows.get_or_insert(self.quote_line);
                }
                State::Unquoted
            }
            _ => State::Unquoted,
        };
    }
}

impl<R: Read> Read for Lines<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = self.reader.read(buffer)?;
        let read = &buffer[..length];
        for byte in read {
            self.take(*byte);
            self.line_ends += usize::from(*byte == b'\n');
        }
        if let Some(last) = read.last() {
            self.is_in_line = *last != b'\n';
        }
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn dialect(escape: Option<u8>) -> Dialect {
        Dialect { delimiter: b',', escape, compression: None }
    }

    #[test]
    fn lines_are_counted_with_a_last_one_that_has_no_end() {
        for (text, lines) in [("", 0), ("a", 1), ("a\n", 1), ("a\nb", 2), ("a\n\nb\n", 3)] {
            let mut counted = Lines::new(Cursor::new(text), dialect(None));
            io::copy(&mut counted, &mut io::sink()).unwrap();
            assert_eq!(counted.count(), lines, "{text:?}");
        }
    }

    #[test]
    fn quotes_that_join_rows_are_found() {
        for (text, fault) in [
            ("a\n\"b\nc\" ,\"\"\"d\"\n", None),
            ("\u{feff}\"a\nb\"\n5\"\n", None),
            ("\u{feff}\"a\nb\n", Some("line 1 is not closed")),
            ("a\n\"b\"c\n5\" d\n\"b\" 5\" d\n", None),
            ("a\n\n\"b\nc\n", Some("line 3 is not closed")),
            ("a\n\"b\nc \"d\"\n", Some("begins in line 2")),
        ] {
            let mut lines = Lines::new(Cursor::new(text), dialect(None));
            io::copy(&mut lines, &mut io::sink()).unwrap();
            assert_eq!(lines.fault().is_some(), fault.is_some(), "{text}");
            assert!(fault.is_none_or(|fault| lines.fault().unwrap().contains(fault)), "{text}");
        }
    }

    #[test]
    fn escape_characters_that_a_reader_removes_are_found() {
        for (text, line) in [
            ("a\n\"say \\\"hi\\\", C:\\\\\"\n\\N,C:\\new\n", None),
            ("a\n\"b\"\"\\\n\",\"C:\\new\"\n", Some(3)),
            ("a\n5\" pipe\n\"C:\\new\"\n", Some(3)),
            ("a\n5\" pipe\nC:\\new,\\N\n", None),
        ] {
            let mut lines = Lines::new(Cursor::new(text), dialect(Some(b'\\')));
            io::copy(&mut lines, &mut io::sink()).unwrap();
            assert_eq!(lines.odd_escape, line, "{text}");
        }
    }
}
