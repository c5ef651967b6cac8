//! What can be wrong with a file, where, and what to do about it.

use std::fmt::{self, Display, Formatter};

/// Why a file cannot be read, or a labeled copy of it cannot be written.
///
/// Its text has three lines: what is wrong, where, and what to do. It never contains the data of the file, except for
/// names of columns.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The text column is missing or ambiguous, or an added column has the name of an existing one.
    #[error(transparent)]
    Column(Box<Fault>),
    /// A value of the text column is not text.
    #[error(transparent)]
    Text(Box<Fault>),
    /// The file does not follow its format, or is not complete.
    #[error(transparent)]
    Damaged(Box<Fault>),
    /// The file is valid, but cannot be read or written in this way.
    #[error(transparent)]
    Unsupported(Box<Fault>),
    /// The caller broke the protocol of a reader or copier.
    #[error("{0}")]
    Protocol(&'static str),
}

impl FileError {
    /// The details, unless the caller is at fault.
    #[must_use]
    pub fn fault(&self) -> Option<&Fault> {
        match self {
            Self::Column(fault) | Self::Text(fault) | Self::Damaged(fault) | Self::Unsupported(fault) => Some(fault),
            Self::Protocol(_) => None,
        }
    }
}

/// One fault of a file.
#[derive(Debug, thiserror::Error)]
#[error("{what}\n  where: {place}\n  what to do: {advice}")]
#[non_exhaustive]
pub struct Fault {
    /// What is wrong, in one line.
    pub what: String,
    /// Where it is wrong.
    pub place: Place,
    /// What to do about it, in one line.
    pub advice: String,
}

impl Fault {
    #[expect(clippy::unnecessary_box_returns, reason = "errors hold it in a box")]
    pub(crate) fn new(what: impl Into<String>, place: Place, advice: impl Into<String>) -> Box<Self> {
        Box::new(Self { what: one_line(&what.into()), place, advice: advice.into() })
    }
}

/// Messages of other libraries may quote data: the first line is kept, up to a limit.
fn one_line(text: &str) -> String {
    const LONGEST: usize = 300;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line.into(),
    }
}

/// A place in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Place {
    /// The name of the file, as the caller gave it.
    pub file: String,
    /// The position in the file.
    pub position: Position,
    /// The column, where the fault concerns one.
    pub column: Option<String>,
}

impl Place {
    pub(crate) fn file(file: &str) -> Self {
        Self { file: file.into(), position: Position::File, column: None }
    }

    pub(crate) fn at(mut self, position: Position) -> Self {
        self.position = position;
        self
    }

    pub(crate) fn column(mut self, column: &str) -> Self {
        self.column = Some(column.into());
        self
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "'{}'{}", self.file, self.position)?;
        match &self.column {
            Some(column) => write!(f, ", column '{column}'"),
            None => Ok(()),
        }
    }
}

/// A position in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Position {
    /// The file as a whole.
    File,
    /// A line, counted from 1.
    Line(u64),
    /// A line, counted from 1, and the offset of a byte in the file, counted from 0.
    Byte {
        /// The line on which the record begins.
        line: u64,
        /// The offset of the byte.
        offset: u64,
    },
    /// A row group of a Parquet file or a record batch of an Arrow file, counted from 0.
    RowGroup(usize),
    /// A row, counted from 0, within a row group or record batch.
    Row {
        /// The row group or record batch.
        row_group: usize,
        /// The row in it.
        row: u64,
    },
}

impl Display for Position {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::File => Ok(()),
            Self::Line(line) => write!(f, ", line {line}"),
            Self::Byte { line, offset } => write!(f, ", line {line}, byte {offset}"),
            Self::RowGroup(row_group) => write!(f, ", row group {row_group}"),
            Self::Row { row_group, row } => write!(f, ", row group {row_group}, row {row}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_a_line_for_what_where_and_advice() {
        let place = Place::file("a.csv").at(Position::Line(3)).column("text");
        let error = FileError::Damaged(Fault::new("a quote is not closed", place, "close it"));
        assert_eq!(
            error.to_string(),
            "a quote is not closed\n  where: 'a.csv', line 3, column 'text'\n  what to do: close it"
        );
    }

    #[test]
    fn a_message_is_limited_to_one_short_line() {
        let fault = Fault::new(format!("bad {}\nsecond", "é".repeat(1000)), Place::file("a"), "");
        assert_eq!(fault.what.chars().count(), 301);
    }
}
