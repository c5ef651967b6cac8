//! Copies of column chunks: where they are in the input, and what the footer says of them in the output.

use std::ops::Range;

use crate::parquet::footer::{chunk, column};
use crate::parquet::thrift::{Struct, Value};

/// The bytes of a column chunk; `None` if they cannot be found, or if the dictionary, which comes first, is said to lie
/// after the data.
pub(crate) fn chunk_range(chunk: &Struct) -> Option<Range<u64>> {
    let metadata = chunk.child(chunk::METADATA)?;
    let first = u64::try_from(metadata.i64(column::DATA_PAGE)?).ok()?;
    let dictionary = metadata.i64(column::DICTIONARY_PAGE).and_then(|offset| u64::try_from(offset).ok());
    // Some writers give 0 where there is no dictionary.
    let start = dictionary.filter(|offset| *offset > 0).unwrap_or(first);
    if start > first {
        return None;
    }
    let length = u64::try_from(metadata.i64(column::COMPRESSED)?).ok()?;
    Some(start..start.checked_add(length)?)
}

/// The bytes of an index; `None` if there is none.
pub(crate) fn range(fields: &Struct, (offset, length): (i16, i16)) -> Option<Range<u64>> {
    let start = u64::try_from(fields.i64(offset)?).ok().filter(|start| *start > 0)?;
    let length = u64::try_from(fields.i64(length)?).ok()?;
    Some(start..start.checked_add(length)?)
}

/// Where the Bloom filter begins.
pub(crate) fn bloom_filter_start(chunk: &Struct) -> Option<u64> {
    let start = chunk.child(chunk::METADATA)?.i64(column::BLOOM_FILTER.0)?;
    u64::try_from(start).ok().filter(|start| *start > 0)
}

/// Points the offsets of a column chunk that was in `range` to its place in the output.
pub(crate) fn move_chunk(chunk: &mut Struct, range: &Range<u64>, to: u64) {
    let moved = |offset: i64| match u64::try_from(offset) {
        Ok(from) if from >= range.start && from <= range.end => (from - range.start + to).cast_signed(),
        _ => offset,
    };
    chunk.update(chunk::OFFSET, moved);
    if let Some(metadata) = chunk.child_mut(chunk::METADATA) {
        for offset in [column::DATA_PAGE, column::INDEX_PAGE, column::DICTIONARY_PAGE] {
            metadata.update(offset, moved);
        }
    }
}

/// Says where an index is in the output.
pub(crate) fn set_range(fields: &mut Struct, (offset, length): (i16, i16), at: Range<u64>) {
    fields.set(offset, Value::i64(at.start.cast_signed()));
    let bytes = i32::try_from(at.end - at.start).unwrap_or(i32::MAX);
    fields.set(length, Value::i32(bytes));
}

/// Points the pages of an offset index that belongs to a column chunk in `range` to their places in the output.
pub(crate) fn move_offset_index(index: &mut Struct, range: &Range<u64>, to: u64) {
    const PAGES: i16 = 1;
    const OFFSET: i16 = 1;
    for page in index.list_mut(PAGES).into_iter().flatten() {
        if let Value::Struct(page) = page {
            page.update(OFFSET, |offset| offset.wrapping_sub(range.start.cast_signed()).wrapping_add(to.cast_signed()));
        }
    }
}
