//! Records of a CSV file.

use std::borrow::Cow;

use crate::csv::scanner::{Dialect, Found, ScanError, Scanner, value};
use crate::error::{Fault, FileError, Place, Position};
use crate::options::Options;
use crate::records::{Buffer, Kind, Record, RecordReader, Row, Scan};
use crate::text_encoding::TextEncoding;

/// Reads the records of a CSV file.
pub(crate) struct CsvReader {
    options: Options,
    want_text: bool,
    dialect: Dialect,
    scanner: Scanner,
    buffer: Buffer,
    is_at_start: bool,
    header: Option<Header>,
    /// The offset in the file and the line of the next record.
    offset: u64,
    line: u64,
}

struct Header {
    columns: usize,
    text: usize,
}

impl CsvReader {
    pub fn new(options: &Options, want_text: bool) -> Result<Self, FileError> {
        let dialect = dialect(options)?;
        Ok(Self {
            options: options.clone(),
            want_text,
            dialect,
            scanner: Scanner::new(dialect),
            buffer: Buffer::default(),
            is_at_start: true,
            header: None,
            offset: 0,
            line: 1,
        })
    }

    /// The length of the byte order mark; `None` if more bytes are needed to tell.
    fn mark(&mut self) -> Option<usize> {
        const LONGEST: usize = 3;
        let bytes = self.buffer.rest();
        if bytes.len() < LONGEST && !self.buffer.is_last() {
            return None;
        }
        self.is_at_start = false;
        let Some((encoding, length)) = TextEncoding::of_mark(bytes) else { return Some(0) };
        self.dialect.encoding = encoding;
        self.scanner = Scanner::new(self.dialect);
        Some(length)
    }

    fn place(&self, line: u64) -> Place {
        self.options.place().at(Position::Line(line))
    }

    fn read_header(&self, found: &Found) -> Result<Header, FileError> {
        let mut names = Vec::with_capacity(found.fields.len());
        for index in 0..found.fields.len() {
            names.push(self.field(found, index)?.unwrap_or_default().into_owned());
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        self.options.check_names(names.iter().copied())?;
        let mut found = names.iter().enumerate().filter(|(_, name)| **name == self.options.text);
        let Some((text, _)) = found.next() else { return Err(self.no_text_column(&names)) };
        if found.next().is_some() {
            let what = format!("two columns are called '{}'", self.options.text);
            let fault = Fault::new(what, self.place(self.line), "rename one of them in the header");
            return Err(FileError::Column(fault));
        }
        Ok(Header { columns: names.len(), text })
    }

    /// The error for a header without the text column, which may be there between other delimiters.
    fn no_text_column(&self, names: &[&str]) -> FileError {
        const DELIMITERS: [(char, &str); 4] = [(',', ","), (';', ";"), ('\t', "\\t"), ('|', "|")];
        let error = self.options.no_text_column(names);
        let [header] = names else { return error };
        let is_text = |name: &str| name.trim_matches(['"', ' ']) == self.options.text;
        let Some((_, shown)) = DELIMITERS.iter().find(|(delimiter, _)| header.split(*delimiter).any(is_text)) else {
            return error;
        };
        let what =
            format!("there is no column '{}' between delimiters '{}'", self.options.text, self.shown_delimiter());
        FileError::Column(Fault::new(what, self.options.place(), format!("use --delimiter '{shown}'")))
    }

    fn shown_delimiter(&self) -> String {
        char::from(self.options.delimiter).escape_default().to_string()
    }

    /// The value of a field of the record at the start of the buffer.
    fn field(&self, found: &Found, index: usize) -> Result<Option<Cow<'_, str>>, FileError> {
        let Some(range) = found.fields.get(index) else { return Ok(None) };
        let field = &self.buffer.rest()[range.clone()];
        let Some(value) = value(self.dialect, field) else { return Ok(None) };
        match self.dialect.encoding.decode(&value) {
            Ok(text) => Ok(Some(Cow::Owned(text.into_owned()))),
            Err(_) => Err(self.not_encoded(range.start, field)),
        }
    }

    fn not_encoded(&self, start: usize, field: &[u8]) -> FileError {
        let encoding = self.dialect.encoding;
        let invalid = encoding.decode(field).err().unwrap_or_default();
        let position = Position::Byte { line: self.line, offset: self.offset + (start + invalid) as u64 };
        let advice = match encoding {
            TextEncoding::Utf8 => "say how the file is encoded, for example --encoding windows-1252",
            _ => "say how the file is encoded with another --encoding",
        };
        FileError::Text(Fault::new(
            format!("the text is not valid {}", encoding.name()),
            self.options.text_place().at(position),
            advice,
        ))
    }

    fn too_many(&self, found: &Found, columns: usize) -> FileError {
        let what = format!("the record has {} fields, the header has {columns}", found.fields.len());
        let advice = if found.has_backslash_quote {
            ESCAPE
        } else {
            "quote the fields that contain the delimiter, or name another --delimiter"
        };
        FileError::Damaged(Fault::new(what, self.place(self.line), advice))
    }

    fn unscannable(&self, error: &ScanError) -> FileError {
        let (what, line, advice) = match *error {
            ScanError::OpenQuote { line, has_backslash_quote: false } => {
                ("a quote is not closed before the end of the file", line, OPEN_QUOTE)
            }
            ScanError::OpenQuote { line, .. } => ("a quote is not closed before the end of the file", line, ESCAPE),
            ScanError::BackslashQuote { line } => ("text follows the closing quote of a field", line, ESCAPE),
            ScanError::TextAfterLines { line } => {
                ("text follows the closing quote of a field of several lines", line, UNQUOTED)
            }
            ScanError::HalfUnit => ("the last character is incomplete", 0, "check the --encoding"),
        };
        FileError::Damaged(Fault::new(what, self.place(self.line + line), advice))
    }
}

const OPEN_QUOTE: &str = "write the file again: its end is missing, or a text begins with a quote that is not doubled";
const UNQUOTED: &str = "write the file again with its texts in quotes, and with quotes within them doubled: a text \
                        begins with a quote";
const ESCAPE: &str = r"quotes are escaped by a backslash in this file: add --escape '\'";

fn dialect(options: &Options) -> Result<Dialect, FileError> {
    let separators: Vec<u8> = options.escape.into_iter().chain([options.delimiter]).collect();
    if !separators.iter().all(u8::is_ascii) || separators.iter().any(|byte| matches!(byte, b'"' | b'\n' | b'\r')) {
        let what = "the delimiter or escape character is not an ASCII character that can separate fields";
        return Err(FileError::Unsupported(Fault::new(what, options.place(), "choose another character")));
    }
    let encoding = TextEncoding::new(options.encoding, &separators, options.place())?;
    Ok(Dialect { delimiter: options.delimiter, escape: options.escape, encoding })
}

impl RecordReader for CsvReader {
    fn supply(&mut self, chunk: Option<&[u8]>) {
        self.buffer.supply(chunk);
    }

    fn next(&mut self) -> Result<Scan<'_>, FileError> {
        if self.is_at_start {
            let Some(length) = self.mark() else { return Ok(Scan::More) };
            self.offset += length as u64;
            return Ok(Scan::Record(Record { bytes: self.buffer.consume(length), kind: Kind::Other }));
        }
        let found = match self.scanner.scan(self.buffer.rest(), self.buffer.is_last()) {
            Ok(Some(found)) => found,
            Ok(None) if !self.buffer.is_last() => return self.buffer.more(|| self.place(self.line)),
            Ok(None) if self.header.is_some() => return Ok(Scan::End),
            Ok(None) => {
                let fault = Fault::new("the file is empty", self.options.place(), "write a line of column names first");
                return Err(FileError::Damaged(fault));
            }
            Err(error) => return Err(self.unscannable(&error)),
        };
        let mut kind = Kind::Other;
        match &self.header {
            _ if found.content == 0 && self.header.as_ref().is_none_or(|header| header.columns > 1) => {}
            None => {
                self.header = Some(self.read_header(&found)?);
                kind = Kind::Header { insert_at: found.content };
            }
            Some(header) if found.fields.len() > header.columns => return Err(self.too_many(&found, header.columns)),
            Some(header) => {
                let text = if self.want_text { self.field(&found, header.text)? } else { None };
                let text = text.map(|text| Cow::Owned(text.into_owned()));
                kind = Kind::Row(Row { insert_at: found.content, fields: found.fields.len(), text });
            }
        }
        self.offset += found.end as u64;
        self.line += found.line_ends;
        Ok(Scan::Record(Record { bytes: self.buffer.consume(found.end), kind }))
    }

    fn columns(&self) -> usize {
        self.header.as_ref().map_or(0, |header| header.columns)
    }

    fn encoding(&self) -> TextEncoding {
        self.dialect.encoding
    }
}
