//! The footer of a Parquet file.

use std::ops::Range;

use bytes::Bytes;

use crate::error::{Fault, FileError};
use crate::lfs;
use crate::options::Options;
use crate::parquet::thrift::Struct;
use crate::step::Need;

pub(crate) const MAGIC: &[u8; 4] = b"PAR1";

/// Bytes at the end of the file that are fetched first; most footers fit.
const FIRST_GUESS: u64 = 64 << 10;
/// The length of the footer and the magic number.
const TAIL: u64 = 8;

/// Ids of the fields of `FileMetaData`.
pub(crate) mod file {
    pub const SCHEMA: i16 = 2;
    pub const ROWS: i16 = 3;
    pub const ROW_GROUPS: i16 = 4;
    pub const METADATA: i16 = 5;
    pub const COLUMN_ORDERS: i16 = 7;
    pub const ENCRYPTION: i16 = 8;
}

/// Ids of the fields of `RowGroup`.
pub(crate) mod row_group {
    pub const COLUMNS: i16 = 1;
    pub const BYTES: i16 = 2;
    pub const ROWS: i16 = 3;
    pub const OFFSET: i16 = 5;
    pub const COMPRESSED: i16 = 6;
    pub const ORDINAL: i16 = 7;
}

/// Ids of the fields of `ColumnChunk`.
pub(crate) mod chunk {
    pub const PATH: i16 = 1;
    pub const OFFSET: i16 = 2;
    pub const METADATA: i16 = 3;
    pub const OFFSET_INDEX: (i16, i16) = (4, 5);
    pub const COLUMN_INDEX: (i16, i16) = (6, 7);
    pub const CRYPTO: i16 = 8;
}

/// Ids of the fields of `ColumnMetaData`.
pub(crate) mod column {
    pub const CODEC: i16 = 4;
    pub const COMPRESSED: i16 = 7;
    pub const DATA_PAGE: i16 = 9;
    pub const INDEX_PAGE: i16 = 10;
    pub const DICTIONARY_PAGE: i16 = 11;
    pub const BLOOM_FILTER: (i16, i16) = (14, 15);
}

/// Finds the bytes of the footer.
pub(crate) struct FooterReader {
    options: Options,
    size: u64,
    wanted: u64,
}

impl FooterReader {
    pub fn new(options: &Options, size: u64) -> Self {
        Self { options: options.clone(), size, wanted: size.min(FIRST_GUESS) }
    }

    pub fn need(&self) -> Need {
        Need::Ranges(vec![self.range()])
    }

    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn range(&self) -> Range<u64> {
        self.size - self.wanted..self.size
    }

    /// Takes the bytes of the range; returns the footer, or `None` if a longer range is needed.
    pub fn supply(&mut self, bytes: &Bytes) -> Result<Option<Bytes>, FileError> {
        let Some(start) = bytes.len().checked_sub(8) else { return Err(self.damaged("the file is too short")) };
        let (length, magic) = bytes[start..].split_at(4);
        if lfs::is_pointer(bytes) {
            return Err(FileError::Unsupported(Fault::new(
                format!("the file is {}", lfs::WHAT),
                self.options.place(),
                lfs::ADVICE,
            )));
        }
        if magic == b"PARE" {
            return Err(self.unsupported("the file is encrypted"));
        }
        if magic != MAGIC {
            return Err(self.damaged("the file does not end as a Parquet file does"));
        }
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let end_and_start = TAIL + MAGIC.len() as u64;
        if u64::from(length) + end_and_start > self.size {
            return Err(self.damaged("the footer is longer than the file"));
        }
        if let Some(first) = start.checked_sub(length as usize) {
            return Ok(Some(bytes.slice(first..start)));
        }
        self.wanted = u64::from(length) + TAIL;
        Ok(None)
    }

    /// The footer as a tree, if files like it can be copied.
    pub fn tree(&self, footer: &Bytes) -> Result<Struct, FileError> {
        let tree = Struct::read(footer).map(|(tree, _)| tree).filter(is_well_formed);
        let Some(tree) = tree else { return Err(self.damaged("the footer cannot be read")) };
        let chunks = || tree.structs(file::ROW_GROUPS).flat_map(|group| group.structs(row_group::COLUMNS));
        if tree.get(file::ENCRYPTION).is_some() || chunks().any(|chunk| chunk.get(chunk::CRYPTO).is_some()) {
            return Err(self.unsupported("the file is encrypted"));
        }
        if chunks().any(|chunk| chunk.get(chunk::PATH).is_some()) {
            return Err(self.unsupported("its columns are in other files"));
        }
        Ok(tree)
    }

    pub fn damaged(&self, what: &str) -> FileError {
        FileError::Damaged(Fault::new(what, self.options.place(), "write the file again, or download it again"))
    }

    fn unsupported(&self, what: &str) -> FileError {
        FileError::Unsupported(Fault::new(what, self.options.place(), "write it as a plain Parquet file first"))
    }
}

/// Whether the fields that are read or changed have the types of the format. Other readers do not look at the types that
/// the fields are written with, so that the copy of a damaged footer would say something else to them.
fn is_well_formed(tree: &Struct) -> bool {
    let is_column = |metadata: &Struct| {
        let (filter, length) = column::BLOOM_FILTER;
        let places = [column::DATA_PAGE, column::INDEX_PAGE, column::DICTIONARY_PAGE];
        metadata.are_numbers(&places) && metadata.are_numbers(&[column::CODEC, column::COMPRESSED, filter, length])
    };
    let is_chunk = |chunk: &Struct| {
        let ((offset, offset_length), (column, column_length)) = (chunk::OFFSET_INDEX, chunk::COLUMN_INDEX);
        chunk.are_numbers(&[chunk::OFFSET, offset, offset_length, column, column_length])
            && chunk.get(chunk::METADATA).is_none_or(|metadata| metadata.as_struct().is_some_and(is_column))
    };
    let is_group = |group: &Struct| {
        use row_group::{BYTES, COLUMNS, COMPRESSED, OFFSET, ORDINAL, ROWS};
        group.are_numbers(&[BYTES, ROWS, OFFSET, COMPRESSED, ORDINAL]) && group.are_structs(COLUMNS, is_chunk)
    };
    tree.are_numbers(&[file::ROWS])
        && tree.are_structs(file::SCHEMA, |_| true)
        && tree.are_structs(file::ROW_GROUPS, is_group)
        && tree.are_structs(file::METADATA, |_| true)
}
