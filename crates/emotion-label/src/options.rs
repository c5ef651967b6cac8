//! How a file is to be read and copied.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use encoding_rs::Encoding;

use crate::error::{Fault, FileError, Place};

/// How a file is to be read and copied.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Options {
    /// The name of the file in messages.
    pub file: String,
    /// The name of the text column. In Parquet, Arrow and JSON `data.text` is the field `text` of the struct `data`,
    /// unless a column has that name.
    pub text: String,
    /// The columns to add. A reader checks that their names are free, so that no text is inferred in vain.
    pub added: SchemaRef,
    /// The delimiter of the fields of a CSV file; an ASCII character.
    pub delimiter: u8,
    /// The character before a quote that belongs to the text of a CSV field, where quotes are not doubled; ASCII.
    pub escape: Option<u8>,
    /// The encoding of a CSV file; UTF-8 by default. A byte order mark takes precedence.
    pub encoding: Option<&'static Encoding>,
    /// Rows that are read or written together, at most.
    pub batch_rows: usize,
    /// Whether rows are passed on as soon as they have arrived, so that none waits for more of a slow stream.
    pub is_prompt: bool,
    /// The row group and the row in it at which a reader starts.
    pub start: (usize, u64),
    /// Key-value metadata that a Parquet or Arrow file gets in addition.
    pub metadata: Vec<(String, String)>,
    /// Row groups that are left out of a copy.
    pub left_out: BTreeSet<usize>,
}

impl Options {
    /// Options for a file, its text column and the columns to add, with the defaults of CSV.
    #[must_use]
    pub fn new(file: impl Into<String>, text: impl Into<String>, added: SchemaRef) -> Self {
        Self {
            file: file.into(),
            text: text.into(),
            added,
            delimiter: b',',
            escape: None,
            encoding: None,
            batch_rows: 8192,
            is_prompt: false,
            start: (0, 0),
            metadata: Vec::new(),
            left_out: BTreeSet::new(),
        }
    }

    pub(crate) fn place(&self) -> Place {
        Place::file(&self.file)
    }

    pub(crate) fn text_place(&self) -> Place {
        self.place().column(&self.text)
    }

    /// Refuses a column whose name is that of an added column to an engine that ignores case.
    pub(crate) fn check_names<'a>(&self, names: impl IntoIterator<Item = &'a str>) -> Result<(), FileError> {
        let added: Vec<_> = self.added.fields().iter().map(|field| field.name().to_lowercase()).collect();
        let taken = names.into_iter().find(|name| added.contains(&name.to_lowercase()));
        match taken {
            Some(name) => Err(name_taken(self.place(), name)),
            None => Ok(()),
        }
    }

    /// The error for a text column that does not exist.
    pub(crate) fn no_text_column(&self, names: &[&str]) -> FileError {
        let same = |name: &&&str| name.trim().to_lowercase() == self.text.trim().to_lowercase();
        let advice = match names.iter().find(same) {
            Some(name) => format!("use --text '{name}'"),
            None => format!("name the column of texts with --text, one of: {}", shown(names)),
        };
        FileError::Column(Fault::new(format!("there is no column '{}'", self.text), self.place(), advice))
    }
}

pub(crate) fn name_taken(place: Place, name: &str) -> FileError {
    let what = format!("the file already has a column '{name}'");
    FileError::Column(Fault::new(what, place, format!("name the new one differently: --columns …=emotion_{name}")))
}

fn shown(names: &[&str]) -> String {
    const MOST: usize = 20;
    let more = if names.len() > MOST { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(MOST)].join(", "))
}

impl Default for Options {
    fn default() -> Self {
        Self::new("the input", "text", Arc::new(Schema::empty()))
    }
}
