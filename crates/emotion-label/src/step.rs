//! The protocol between a caller, which does the input and output, and the readers and copiers, which do none.
//!
//! A reader or copier is advanced step by step. Each step says what it needs or what it produced; the caller fetches
//! the bytes from wherever the file is and supplies them. The same code therefore serves local files, object stores
//! and pipes, in synchronous and asynchronous programs.

use std::ops::Range;

use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;

use crate::error::FileError;

/// Bytes of the input that are needed to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Need {
    /// These ranges of the file. Supply one buffer for each, in the same order.
    Ranges(Vec<Range<u64>>),
    /// The chunk that follows the last one, from the start of the file; ranges that were read do not count. Supply one
    /// buffer of any size, or none at the end of the input.
    Chunk,
}

/// Texts of consecutive rows.
#[derive(Debug, Clone)]
pub struct TextBatch {
    /// The row group of a Parquet file; 0 in other formats.
    pub row_group: usize,
    /// The first row, counted from the beginning of the row group.
    pub first_row: u64,
    /// The texts, of type `Utf8`, `LargeUtf8` or `Utf8View`.
    pub texts: ArrayRef,
}

/// What a step of a [`TextReader`] came to.
#[derive(Debug)]
pub enum TextStep {
    /// Supply these bytes, then step again.
    Need(Need),
    /// Texts of the next rows; never none.
    Texts(TextBatch),
    /// All rows have been read.
    End,
}

/// Reads the text column of a file.
pub trait TextReader: Send {
    /// Reads on.
    ///
    /// # Errors
    ///
    /// [`FileError`], if the file cannot be labeled. The reader cannot be used afterwards; a reader that starts at
    /// the next row group may go on.
    fn step(&mut self) -> Result<TextStep, FileError>;

    /// Supplies the bytes that the last step asked for.
    ///
    /// # Errors
    ///
    /// [`FileError::Protocol`], if they are not as many buffers, or not as long, as was asked for.
    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError>;

    /// The number of rows of each row group, where the file says so before it is read (Parquet, after its footer).
    fn row_groups(&self) -> Option<Vec<u64>> {
        None
    }
}

/// What a step of a [`Copier`] came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CopyStep {
    /// Supply these bytes, then step again.
    Need(Need),
    /// Call [`Copier::add`] with the added columns of this many rows, which are the next rows of this row group.
    Rows {
        /// The row group of a Parquet file; 0 in other formats.
        row_group: usize,
        /// The number of rows.
        rows: usize,
    },
    /// Some output was produced; step again.
    Output,
    /// The copy is complete.
    End,
}

/// Copies a file byte for byte and adds columns.
///
/// The output is produced in order: whatever is appended to `out` comes directly after what was appended before.
pub trait Copier: Send {
    /// Copies on, and appends to `out` what can be written.
    ///
    /// # Errors
    ///
    /// [`FileError`], if the file cannot be copied. The copier cannot be used afterwards.
    fn step(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError>;

    /// Supplies the bytes that the last step asked for.
    ///
    /// # Errors
    ///
    /// [`FileError::Protocol`], if they are not as many buffers, or not as long, as was asked for.
    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError>;

    /// Supplies the added columns of the rows that the last step asked for.
    ///
    /// # Errors
    ///
    /// [`FileError::Protocol`], if the number of rows or the columns differ from what was announced.
    fn add(&mut self, added: &RecordBatch) -> Result<(), FileError>;
}

/// Checks what a caller supplies against the ranges it was asked for.
pub(crate) fn check_ranges(ranges: &[Range<u64>], bytes: &[Bytes]) -> Result<(), FileError> {
    let fits = |(range, bytes): (&Range<u64>, &Bytes)| range.end - range.start == bytes.len() as u64;
    if ranges.len() != bytes.len() || !ranges.iter().zip(bytes).all(fits) {
        return Err(FileError::Protocol("the supplied buffers are not the ranges that were asked for"));
    }
    Ok(())
}

/// The one buffer of a stream, or none at its end.
pub(crate) fn chunk(mut bytes: Vec<Bytes>) -> Result<Option<Bytes>, FileError> {
    let chunk = bytes.pop();
    if !bytes.is_empty() {
        return Err(FileError::Protocol("a stream takes one chunk at a time"));
    }
    Ok(chunk)
}
