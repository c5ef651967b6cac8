//! Objects of a JSON file.

use std::borrow::Cow;

use serde_json::value::RawValue;

use crate::error::{Fault, FileError, Place, Position};
use crate::json::members::{Members, text};
use crate::json::scanner::{Found, Scanner, is_space};
use crate::options::{Options, name_taken};
use crate::records::{Buffer, Kind, Record, RecordReader, Row, Scan};
use crate::text_encoding::TextEncoding;

/// Names of members that are kept for a message.
const NAMES: usize = 100;

/// Reads the objects of a JSON file.
pub(crate) struct JsonReader {
    options: Options,
    want_text: bool,
    added: Vec<String>,
    scanner: Scanner,
    buffer: Buffer,
    is_at_start: bool,
    /// The offset in the file and the line of the next object.
    offset: u64,
    line: u64,
    rows: u64,
    has_text: bool,
    /// Names that were seen as long as the text was not.
    names: Vec<String>,
}

impl JsonReader {
    pub fn new(options: &Options, want_text: bool) -> Self {
        Self {
            options: options.clone(),
            want_text,
            added: options.added.fields().iter().map(|field| field.name().to_lowercase()).collect(),
            scanner: Scanner::default(),
            buffer: Buffer::default(),
            is_at_start: true,
            offset: 0,
            line: 1,
            rows: 0,
            has_text: false,
            names: Vec::new(),
        }
    }

    /// The length of the byte order mark and of the white space that is there; `None` if more bytes are needed.
    fn blank(&mut self) -> Result<Option<usize>, FileError> {
        const LONGEST_MARK: usize = 3;
        let bytes = self.buffer.rest();
        let mut mark = 0;
        if self.is_at_start {
            if bytes.len() < LONGEST_MARK && !self.buffer.is_last() {
                return Ok(None);
            }
            self.is_at_start = false;
            match TextEncoding::of_mark(bytes) {
                Some((TextEncoding::Utf8, length)) => mark = length,
                Some((encoding, _)) => {
                    let what = format!("the file is encoded in {}", encoding.name());
                    let fault = Fault::new(what, self.options.place(), "convert it to UTF-8 first");
                    return Err(FileError::Unsupported(fault));
                }
                None => {}
            }
        }
        Ok(Some(mark + bytes[mark..].iter().take_while(|byte| is_space(**byte)).count()))
    }

    fn consume(&mut self, length: usize) -> &[u8] {
        let bytes = self.buffer.consume(length);
        self.offset += length as u64;
        self.line += bytes.split(|byte| *byte == b'\n').count() as u64 - 1;
        bytes
    }

    fn place(&self) -> Place {
        self.options.place().at(Position::Line(self.line))
    }

    fn no_object(&self, byte: u8) -> FileError {
        if byte == b'[' && self.rows == 0 {
            let advice = "write an object per line: jq -c '.[]' FILE > FILE.jsonl";
            return FileError::Unsupported(Fault::new("the file is an array of objects", self.place(), advice));
        }
        let advice = "write an object per line, and nothing else";
        FileError::Damaged(Fault::new("an object is expected", self.place(), advice))
    }

    fn text(&mut self, found: &Found) -> Result<Option<String>, FileError> {
        let object = std::str::from_utf8(&self.buffer.rest()[..found.end]).map_err(|error| {
            let offset = self.offset + error.valid_up_to() as u64;
            let place = self.options.place().at(Position::Byte { line: self.line, offset });
            FileError::Text(Fault::new("the object is not valid UTF-8", place, "convert the file to UTF-8"))
        })?;
        let members = Members::read(object).map_err(|error| {
            // Lines within the object count from 1.
            let place = self.options.place().at(Position::Line(self.line + error.line().max(1) as u64 - 1));
            let what = format!("the object is not valid JSON at column {}", error.column());
            FileError::Damaged(Fault::new(what, place, "mend the line or remove it"))
        })?;
        if let Some((name, _)) = members.0.iter().find(|(name, _)| self.added.contains(&name.to_lowercase())) {
            return Err(name_taken(self.place(), name));
        }
        let Some(value) = members.find(&self.options.text) else {
            if !self.has_text && self.names.len() < NAMES {
                let new = members.0.iter().filter(|(name, _)| !self.names.iter().any(|other| other == name));
                let new: Vec<_> = new.take(NAMES).map(|(name, _)| name.clone().into_owned()).collect();
                self.names.extend(new);
            }
            return Ok(None);
        };
        let text = self.string(value)?;
        self.has_text = true;
        Ok(text)
    }

    fn string(&self, value: &RawValue) -> Result<Option<String>, FileError> {
        let (held, advice) = match value.get().as_bytes().first() {
            Some(b'n') => return Ok(None),
            Some(b'"') => return Ok(text(value.get()).map(Cow::into_owned)),
            Some(b'[') => ("a list", "take the items of the list apart first, with unnest in SQL"),
            Some(b'{') => ("an object", "name a member of it: --text NAME.MEMBER"),
            Some(b't' | b'f') => ("a boolean", "write it as a string, or name another member with --text"),
            _ => ("a number", "write it as a string, or name another member with --text"),
        };
        let place = self.place().column(&self.options.text);
        Err(FileError::Text(Fault::new(format!("the value is {held}, not a text"), place, advice)))
    }

    fn end(&self) -> Result<Scan<'_>, FileError> {
        if self.want_text && self.rows > 0 && !self.has_text {
            let names: Vec<_> = self.names.iter().map(String::as_str).collect();
            if !names.contains(&self.options.text.as_str()) {
                return Err(self.options.no_text_column(&names));
            }
        }
        Ok(Scan::End)
    }
}

impl RecordReader for JsonReader {
    fn supply(&mut self, chunk: Option<&[u8]>) {
        self.buffer.supply(chunk);
    }

    fn next(&mut self) -> Result<Scan<'_>, FileError> {
        let Some(blank) = self.blank()? else { return Ok(Scan::More) };
        if blank > 0 {
            return Ok(Scan::Record(Record { bytes: self.consume(blank), kind: Kind::Other }));
        }
        let bytes = self.buffer.rest();
        match bytes.first() {
            Some(b'{') => {}
            Some(byte) => return Err(self.no_object(*byte)),
            None if self.buffer.is_last() => return self.end(),
            None => return Ok(Scan::More),
        }
        let Some(found) = self.scanner.scan(bytes) else {
            if !self.buffer.is_last() {
                return self.buffer.more(|| self.place());
            }
            let fault = Fault::new("the last object is not complete", self.place(), "write the file again");
            return Err(FileError::Damaged(fault));
        };
        let text = if self.want_text { self.text(&found)?.map(Cow::Owned) } else { None };
        self.rows += 1;
        let row = Row { insert_at: found.insert_at, fields: usize::from(!found.is_empty), text };
        Ok(Scan::Record(Record { bytes: self.consume(found.end), kind: Kind::Row(row) }))
    }
}
