//! Finds the end of a record and its fields, in a buffer that grows.

use std::ops::Range;

use crate::text_encoding::TextEncoding;

pub(crate) const QUOTE: u8 = b'"';

/// The characters that separate records and fields.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    pub delimiter: u8,
    pub escape: Option<u8>,
    pub encoding: TextEncoding,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After the escape character within quotes.
    Escaped,
    /// After a quote within quotes: the end of the field, or the first of two quotes that stand for one.
    QuoteInQuoted,
    /// After blanks behind the closing quote of a field of several lines.
    Blanks,
    /// After a carriage return that ended the record: a line feed belongs to it.
    CarriageReturn,
}

/// A record that was found at the start of the buffer.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The end of the last field.
    pub content: usize,
    /// The end of the record, after its line end.
    pub end: usize,
    pub fields: Vec<Range<usize>>,
    /// Line ends in the record, its own included.
    pub line_ends: u64,
    /// Whether a quote within a quoted field follows a backslash that was not an escape character.
    pub has_backslash_quote: bool,
}

/// Why no record was found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    /// The input ends within quotes.
    OpenQuote { line: u64, has_backslash_quote: bool },
    /// A quoted field ends with `\"`, and text follows: the backslash is an escape character.
    BackslashQuote { line: u64 },
    /// A quoted field of several lines ends, and text follows: a text begins with a quote that is a part of it.
    TextAfterLines { line: u64 },
    /// UTF-16 of an odd number of bytes.
    HalfUnit,
}

/// The state of the scan of one record; it goes on where the buffer ended.
#[derive(Debug)]
pub(crate) struct Scanner {
    dialect: Dialect,
    state: State,
    at: usize,
    field_start: usize,
    fields: Vec<Range<usize>>,
    content: usize,
    line_ends: u64,
    quote_line: u64,
    after_backslash: bool,
    has_backslash_quote: bool,
}

impl Scanner {
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            state: State::FieldStart,
            at: 0,
            field_start: 0,
            fields: Vec::new(),
            content: 0,
            line_ends: 0,
            quote_line: 0,
            after_backslash: false,
            has_backslash_quote: false,
        }
    }

    /// Finds the record that starts at the start of `bytes`, which only ever grow; `None` if more are needed, or
    /// if none is left.
    pub fn scan(&mut self, bytes: &[u8], is_last: bool) -> Result<Option<Found>, ScanError> {
        let width = self.dialect.encoding.width();
        while let Some(character) = self.dialect.encoding.ascii(&bytes[self.at..]) {
            if self.state == State::CarriageReturn {
                self.at += if character == b'\n' { width } else { 0 };
                return Ok(Some(self.found()));
            }
            let start = self.at;
            self.at += width;
            if self.take(character, start)? {
                return Ok(Some(self.found()));
            }
        }
        if !is_last {
            return Ok(None);
        }
        if self.at < bytes.len() {
            return Err(ScanError::HalfUnit);
        }
        self.finish()
    }

    /// Takes a character; returns whether the record ends with it.
    fn take(&mut self, character: u8, start: usize) -> Result<bool, ScanError> {
        self.state = match self.state {
            State::FieldStart if character == QUOTE => {
                self.quote_line = self.line_ends;
                State::Quoted
            }
            State::FieldStart | State::Unquoted => return Ok(self.separate(character, start)),
            State::Quoted if character == QUOTE => {
                self.has_backslash_quote |= self.after_backslash;
                State::QuoteInQuoted
            }
            State::Quoted if Some(character) == self.dialect.escape => State::Escaped,
            State::Quoted | State::Escaped => self.quoted(character),
            State::QuoteInQuoted if character == QUOTE => self.quoted(character),
            State::QuoteInQuoted => {
                let ends = self.separate(character, start);
                if self.state == State::Unquoted {
                    let line = self.quote_line;
                    if self.after_backslash {
                        return Err(ScanError::BackslashQuote { line });
                    }
                    if self.line_ends > line {
                        return self.after_lines(character).map(|()| false);
                    }
                }
                self.after_backslash = false;
                return Ok(ends);
            }
            State::Blanks => {
                let ends = self.separate(character, start);
                if self.state == State::Unquoted {
                    return self.after_lines(character).map(|()| false);
                }
                return Ok(ends);
            }
            State::CarriageReturn => unreachable!("it ends the record"),
        };
        Ok(false)
    }

    /// Takes a character behind the closing quote of a field of several lines.
    fn after_lines(&mut self, character: u8) -> Result<(), ScanError> {
        if character != b' ' && character != b'\t' {
            return Err(ScanError::TextAfterLines { line: self.quote_line });
        }
        self.after_backslash = false;
        self.state = State::Blanks;
        Ok(())
    }

    fn quoted(&mut self, character: u8) -> State {
        self.line_ends += u64::from(character == b'\n');
        self.after_backslash = character == b'\\';
        State::Quoted
    }

    /// Takes a character outside quotes; returns whether the record ends with it.
    fn separate(&mut self, character: u8, start: usize) -> bool {
        if character == self.dialect.delimiter {
            self.end_field(start);
            self.state = State::FieldStart;
            return false;
        }
        if character != b'\n' && character != b'\r' {
            self.state = State::Unquoted;
            return false;
        }
        self.end_field(start);
        self.content = start;
        self.line_ends += 1;
        self.state = State::CarriageReturn;
        character == b'\n'
    }

    fn end_field(&mut self, end: usize) {
        self.fields.push(self.field_start..end);
        self.field_start = self.at;
    }

    fn found(&mut self) -> Found {
        let scanner = std::mem::replace(self, Self::new(self.dialect));
        Found {
            content: scanner.content,
            end: scanner.at,
            fields: scanner.fields,
            line_ends: scanner.line_ends,
            has_backslash_quote: scanner.has_backslash_quote,
        }
    }

    fn finish(&mut self) -> Result<Option<Found>, ScanError> {
        match self.state {
            State::FieldStart if self.at == 0 => return Ok(None),
            State::Quoted | State::Escaped => {
                let has_backslash_quote = self.has_backslash_quote;
                return Err(ScanError::OpenQuote { line: self.quote_line, has_backslash_quote });
            }
            State::CarriageReturn => {}
            State::FieldStart | State::Unquoted | State::QuoteInQuoted | State::Blanks => {
                self.end_field(self.at);
                self.content = self.at;
            }
        }
        Ok(Some(self.found()))
    }
}

/// The bytes of a field without its quotes, and escaped characters as they are meant; `None` for an absent value.
pub(crate) fn value(dialect: Dialect, field: &[u8]) -> Option<Vec<u8>> {
    let (encoding, width) = (dialect.encoding, dialect.encoding.width());
    if encoding.ascii(field) != Some(QUOTE) {
        let is_mysql_null = dialect.escape == Some(b'\\')
            && field.len() == 2 * width
            && encoding.ascii(field) == Some(b'\\')
            && encoding.ascii(&field[width..]) == Some(b'N');
        return (!field.is_empty() && !is_mysql_null).then(|| field.to_vec());
    }
    let mut value = Vec::with_capacity(field.len());
    let (mut at, mut is_quoted) = (width, true);
    while let Some(character) = encoding.ascii(&field[at..]) {
        let next = encoding.ascii(&field[at + width..]);
        if is_quoted && Some(character) == dialect.escape && next.is_some_and(|next| is_escaped(dialect, next)) {
            at += width;
        } else if is_quoted && character == QUOTE {
            at += width;
            if next != Some(QUOTE) {
                is_quoted = false;
                continue;
            }
        }
        value.extend_from_slice(&field[at..at + width]);
        at += width;
    }
    Some(value)
}

/// Whether the escape character before this one is not part of the value: Spark writes a backslash as it is before
/// other characters, `MySQL` escapes line breaks.
fn is_escaped(dialect: Dialect, character: u8) -> bool {
    character == QUOTE || Some(character) == dialect.escape || character == b'\n' || character == b'\r'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialect(escape: Option<u8>) -> Dialect {
        Dialect { delimiter: b',', escape, encoding: TextEncoding::Utf8 }
    }

    fn fields(record: &str, escape: Option<u8>) -> Vec<Option<String>> {
        let found = Scanner::new(dialect(escape)).scan(record.as_bytes(), true).unwrap().unwrap();
        let field = |range: Range<usize>| value(dialect(escape), &record.as_bytes()[range]);
        let text = |bytes: Option<Vec<u8>>| bytes.map(|bytes| String::from_utf8(bytes).unwrap());
        found.fields.into_iter().map(field).map(text).collect()
    }

    fn some(values: &[&str]) -> Vec<Option<String>> {
        values.iter().map(|value| Some((*value).into())).collect()
    }

    #[test]
    fn quotes_are_removed_and_doubled_quotes_are_one() {
        assert_eq!(fields("a,\"b \"\"c\"\",\nd\",e\"f\n", None), some(&["a", "b \"c\",\nd", "e\"f"]));
        assert_eq!(fields("\"\",,x", None), [Some(String::new()), None, Some("x".into())]);
    }

    #[test]
    fn an_escape_character_is_removed_before_quotes_and_itself() {
        let escaped = fields(r#""say \"hi\", now","C:\new\\","\\",\N"#, Some(b'\\'));
        assert_eq!(escaped, [&some(&["say \"hi\", now", r"C:\new\", r"\"])[..], &[None]].concat());
    }

    #[test]
    fn an_unknown_escape_is_found() {
        let scan = |text: &str| Scanner::new(dialect(None)).scan(text.as_bytes(), true);
        assert_eq!(scan(r#"1,"say \"hi\" now""#), Err(ScanError::BackslashQuote { line: 0 }));
        assert_eq!(scan("x,\"Wow\ny,I said \"no\"\n"), Err(ScanError::TextAfterLines { line: 0 }));
        assert_eq!(scan("\"a\nb\" c\n"), Err(ScanError::TextAfterLines { line: 0 }));
        for accepted in ["\"a\"b,\"c\nd\"\n", "\"a\nb\" ,c\n", "\"a\nb\" \n", "\"a\nb\" "] {
            assert!(scan(accepted).is_ok(), "{accepted}");
        }
        assert_eq!(scan("\"a\n\"\"b"), Err(ScanError::OpenQuote { line: 0, has_backslash_quote: false }));
        assert!(scan(r#"1,"C:\",2"#).is_ok());
    }
}
