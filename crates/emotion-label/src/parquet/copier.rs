//! Copies a Parquet file with columns added.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::array::RecordBatch;
use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::ParquetMetaDataReader;

use crate::error::{Fault, FileError, Position};
use crate::guard::guarded;
use crate::metadata::extended;
use crate::options::Options;
use crate::parquet::added::{AddedFile, AddedWriter};
use crate::parquet::footer::{FooterReader, MAGIC, chunk, column, file, row_group};
use crate::parquet::splice::{bloom_filter_start, chunk_range, move_chunk, move_offset_index, range, set_range};
use crate::parquet::thrift::{Struct, Value};
use crate::step::{Copier, CopyStep, Need, check_ranges};

/// Bytes that are copied at once.
const PIECE: u64 = 16 << 20;

/// The header of a Bloom filter is not longer.
const BLOOM_HEADER: u64 = 64;

/// Copies a Parquet file.
///
/// The output has, for each row group, the column chunks of the input, those of the added columns, and the Bloom
/// filters; then the page indexes, and the footer.
pub(crate) struct ParquetCopier {
    options: Options,
    footer: FooterReader,
    state: State,
    /// The ranges that the last step asked for, and what arrived of them.
    ranges: Vec<Range<u64>>,
    arrived: Vec<Bytes>,
    /// The number of bytes of output.
    position: u64,
    tree: Struct,
    /// Row groups of the input that are to be copied.
    inputs: VecDeque<(usize, Struct)>,
    outputs: Vec<Group>,
    /// Ranges of the input that are to be copied as they are.
    queue: VecDeque<Range<u64>>,
    added: Option<AddedWriter>,
    rows_left: usize,
    row_group: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Footer,
    NextGroup,
    BloomHeaders,
    Chunks,
    Rows,
    BloomFilters,
    /// The page indexes of a row group of the output.
    ColumnIndexes(usize),
    OffsetIndexes(usize),
    LastPart,
    End,
}

/// A row group that is written, or being written.
struct Group {
    tree: Struct,
    chunks: Vec<Chunk>,
    /// Column indexes and offset indexes of the added columns.
    added_indexes: Vec<(Option<Bytes>, Option<Bytes>)>,
}

/// Where a column chunk was, and where it is.
struct Chunk {
    from: Range<u64>,
    to: u64,
    bloom_filter: Option<Range<u64>>,
}

impl ParquetCopier {
    pub fn new(options: &Options, size: u64) -> Self {
        Self {
            options: options.clone(),
            footer: FooterReader::new(options, size),
            state: State::Footer,
            ranges: Vec::new(),
            arrived: Vec::new(),
            position: 0,
            tree: Struct::default(),
            inputs: VecDeque::new(),
            outputs: Vec::new(),
            queue: VecDeque::new(),
            added: None,
            rows_left: 0,
            row_group: 0,
        }
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.position += bytes.len() as u64;
    }

    /// Emits bytes without copying them, if they are the first.
    fn emit_piece(&mut self, bytes: Bytes, out: &mut Vec<u8>) {
        if !out.is_empty() {
            return self.emit(&bytes, out);
        }
        self.position += bytes.len() as u64;
        *out = bytes.into();
    }

    fn ask(&mut self, ranges: Vec<Range<u64>>) -> CopyStep {
        self.ranges.clone_from(&ranges);
        CopyStep::Need(Need::Ranges(ranges))
    }

    fn go(&mut self, state: State) -> CopyStep {
        self.state = state;
        CopyStep::Output
    }

    fn damaged(&self, what: impl Into<String>) -> FileError {
        let place = self.options.place().at(Position::RowGroup(self.row_group));
        FileError::Damaged(Fault::new(what, place, "write the file again, or label the rest with --keep-going"))
    }

    fn not_encoded(&self, error: &ParquetError) -> FileError {
        let what = format!("the added columns cannot be written: {error}");
        FileError::Unsupported(Fault::new(what, self.options.place(), "choose other columns with --columns"))
    }

    fn read_footer(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        let Some(bytes) = self.arrived.pop() else { return Ok(self.ask(vec![self.footer.range()])) };
        let Some(footer) = self.footer.supply(&bytes)? else { return Ok(CopyStep::Output) };
        self.tree = self.footer.tree(&footer)?;
        let groups = self.tree.structs(file::ROW_GROUPS).cloned().enumerate();
        // Row groups without rows hold nothing.
        let is_copied = |(index, group): &(usize, Struct)| {
            !self.options.left_out.contains(index) && group.i64(row_group::ROWS).is_some_and(|rows| rows > 0)
        };
        self.inputs = groups.filter(is_copied).collect();
        self.emit(MAGIC, out);
        Ok(self.go(State::NextGroup))
    }

    fn next_group(&mut self) -> Result<CopyStep, FileError> {
        let Some((index, tree)) = self.inputs.pop_front() else { return Ok(self.go(State::ColumnIndexes(0))) };
        self.row_group = index;
        let rows = tree.i64(row_group::ROWS).and_then(|rows| usize::try_from(rows).ok());
        self.rows_left = rows.ok_or_else(|| self.damaged("the number of rows is invalid"))?;
        let (mut chunks, mut to) = (Vec::new(), self.position);
        for chunk in tree.structs(row_group::COLUMNS) {
            let from = chunk_range(chunk).ok_or_else(|| self.damaged("a column chunk has no valid place"))?;
            self.check_range(&from)?;
            let length = from.end - from.start;
            let bloom_filter = chunk.child(chunk::METADATA).and_then(|metadata| range(metadata, column::BLOOM_FILTER));
            chunks.push(Chunk { from, to, bloom_filter });
            to += length;
        }
        self.outputs.push(Group { tree, chunks, added_indexes: Vec::new() });
        Ok(self.go(State::BloomHeaders))
    }

    fn check_range(&self, range: &Range<u64>) -> Result<(), FileError> {
        if range.start > range.end || range.end > self.footer.size() {
            return Err(self.damaged("a part of the row group lies beyond the end of the file"));
        }
        Ok(())
    }

    fn group(&mut self) -> Result<&mut Group, FileError> {
        self.outputs.last_mut().ok_or(FileError::Protocol("there is no row group"))
    }

    /// Finds the lengths of Bloom filters, which older writers do not note.
    fn bloom_headers(&mut self) -> Result<CopyStep, FileError> {
        let size = self.footer.size();
        let group = self.group()?;
        let unknown: Vec<(usize, u64)> = (group.tree.structs(row_group::COLUMNS).enumerate())
            .filter(|(index, _)| group.chunks[*index].bloom_filter.is_none())
            .filter_map(|(index, chunk)| Some((index, bloom_filter_start(chunk)?)))
            .collect();
        if !unknown.is_empty() && self.arrived.is_empty() {
            let header = |start: u64| start.min(size)..(start + BLOOM_HEADER).min(size);
            return Ok(self.ask(unknown.iter().map(|(_, start)| header(*start)).collect()));
        }
        for ((index, start), header) in unknown.into_iter().zip(std::mem::take(&mut self.arrived)) {
            const BYTES: i16 = 1;
            let length = Struct::read(&header).and_then(|(fields, length)| {
                let bytes = u64::try_from(fields.i64(BYTES)?).ok()?;
                bytes.checked_add(length as u64)
            });
            let length = length.ok_or_else(|| self.damaged("a Bloom filter cannot be read"))?;
            self.group()?.chunks[index].bloom_filter = Some(start..start.saturating_add(length));
        }
        let ranges: Vec<_> = self.group()?.chunks.iter().map(|chunk| chunk.from.clone()).collect();
        self.enqueue(ranges)?;
        Ok(self.go(State::Chunks))
    }

    /// Cuts ranges into pieces; joins those that follow each other.
    fn enqueue(&mut self, ranges: Vec<Range<u64>>) -> Result<(), FileError> {
        for mut range in ranges {
            self.check_range(&range)?;
            if let Some(last) = self.queue.back_mut()
                && last.end == range.start
                && range.end - last.start <= PIECE
            {
                last.end = range.end;
                continue;
            }
            while range.end - range.start > PIECE {
                self.queue.push_back(range.start..range.start + PIECE);
                range.start += PIECE;
            }
            if !range.is_empty() {
                self.queue.push_back(range);
            }
        }
        Ok(())
    }

    /// Copies the ranges of the queue.
    fn copy(&mut self, then: State, out: &mut Vec<u8>) -> CopyStep {
        for bytes in std::mem::take(&mut self.arrived) {
            self.emit_piece(bytes, out);
        }
        match self.queue.pop_front() {
            Some(range) => self.ask(vec![range]),
            None => self.go(then),
        }
    }

    fn rows(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        if self.rows_left > 0 {
            let rows = self.rows_left.min(self.options.batch_rows);
            return Ok(CopyStep::Rows { row_group: self.row_group, rows });
        }
        let Some(writer) = self.added.take() else { return Err(FileError::Protocol("no columns were added")) };
        let added = writer.finish().map_err(|error| self.not_encoded(&error))?;
        self.append(&added, out)?;
        let filters = self.group()?.chunks.iter().filter_map(|chunk| chunk.bloom_filter.clone()).collect();
        self.enqueue(filters)?;
        Ok(self.go(State::BloomFilters))
    }

    /// Appends the chunks of the added columns to those of the row group.
    fn append(&mut self, added: &AddedFile, out: &mut Vec<u8>) -> Result<(), FileError> {
        let Some(group) = added.footer.structs(file::ROW_GROUPS).next() else {
            return Err(FileError::Protocol("no columns were added"));
        };
        let (mut chunks, mut compressed) = (Vec::new(), 0);
        for chunk in group.structs(row_group::COLUMNS) {
            let from = chunk_range(chunk).ok_or_else(|| self.damaged("an added column has no place"))?;
            let index = |ids| range(chunk, ids).map(|range| slice(&added.bytes, &range));
            let indexes = (index(chunk::COLUMN_INDEX), index(chunk::OFFSET_INDEX));
            compressed += (from.end - from.start).cast_signed();
            let to = self.position;
            self.emit(&slice(&added.bytes, &from), out);
            chunks.push(Value::Struct(chunk.clone()));
            let group = self.group()?;
            group.chunks.push(Chunk { from, to, bloom_filter: None });
            group.added_indexes.push(indexes);
        }
        let bytes = group.i64(row_group::BYTES).unwrap_or_default();
        let tree = &mut self.group()?.tree;
        tree.list_mut(row_group::COLUMNS).into_iter().for_each(|list| list.append(&mut chunks));
        tree.update(row_group::BYTES, |old| old.wrapping_add(bytes));
        tree.update(row_group::COMPRESSED, |old| old.wrapping_add(compressed));
        Ok(())
    }

    /// Points the footer's entry of the last row group to the output.
    fn close_group(&mut self) -> Result<CopyStep, FileError> {
        let ordinal = self.outputs.len() - 1;
        let mut filter_at = self.position - self.bloom_filter_bytes();
        let group = self.group()?;
        let first = group.chunks.first().map_or(0, |chunk| chunk.to);
        group.tree.update(row_group::OFFSET, |_| first.cast_signed());
        group.tree.update(row_group::ORDINAL, |_| ordinal.try_into().unwrap_or_default());
        let entries = group.tree.list_mut(row_group::COLUMNS).into_iter().flatten();
        for (entry, chunk) in entries.zip(&group.chunks) {
            let Value::Struct(entry) = entry else { continue };
            move_chunk(entry, &chunk.from, chunk.to);
            if let (Some(filter), Some(metadata)) = (&chunk.bloom_filter, entry.child_mut(chunk::METADATA)) {
                let end = filter_at + (filter.end - filter.start);
                set_range(metadata, column::BLOOM_FILTER, filter_at..end);
                filter_at = end;
            }
        }
        Ok(self.go(State::NextGroup))
    }

    fn bloom_filter_bytes(&self) -> u64 {
        let chunks = self.outputs.last().map_or(&[][..], |group| &group.chunks);
        chunks.iter().filter_map(|chunk| chunk.bloom_filter.as_ref()).map(|filter| filter.end - filter.start).sum()
    }

    /// Copies one kind of page index of a row group of the output.
    fn page_indexes(
        &mut self,
        at: usize,
        ids: (i16, i16),
        next: fn(usize) -> State,
        end: State,
        out: &mut Vec<u8>,
    ) -> Result<CopyStep, FileError> {
        let Some(group) = self.outputs.get(at) else { return Ok(self.go(end)) };
        let old = group.chunks.len() - group.added_indexes.len();
        let entries: Vec<_> = group.tree.structs(row_group::COLUMNS).take(old).collect();
        let found: Vec<_> =
            entries.iter().enumerate().filter_map(|(index, entry)| Some((index, range(entry, ids)?))).collect();
        if !found.is_empty() && self.arrived.is_empty() {
            found.iter().try_for_each(|(_, range)| self.check_range(range))?;
            return Ok(self.ask(found.into_iter().map(|(_, range)| range).collect()));
        }
        let arrived = std::mem::take(&mut self.arrived);
        let mut indexes: Vec<_> = found.into_iter().map(|(index, _)| index).zip(arrived).collect();
        let is_offset = ids == chunk::OFFSET_INDEX;
        for (index, (column, offset)) in group.added_indexes.iter().enumerate() {
            let added = if is_offset { offset } else { column };
            indexes.extend(added.clone().map(|bytes| (old + index, bytes)));
        }
        for (index, bytes) in indexes {
            let bytes = if is_offset { self.moved_index(at, index, &bytes)? } else { bytes };
            let start = self.position;
            self.emit(&bytes, out);
            let columns = self.outputs[at].tree.list_mut(row_group::COLUMNS);
            if let Some(Value::Struct(entry)) = columns.and_then(|columns| columns.get_mut(index)) {
                set_range(entry, ids, start..self.position);
            }
        }
        Ok(self.go(next(at + 1)))
    }

    fn moved_index(&self, group: usize, index: usize, bytes: &Bytes) -> Result<Bytes, FileError> {
        let chunk = &self.outputs[group].chunks[index];
        let (mut tree, _) = Struct::read(bytes).ok_or_else(|| self.damaged("an offset index cannot be read"))?;
        move_offset_index(&mut tree, &chunk.from, chunk.to);
        let mut moved = Vec::with_capacity(bytes.len() + 64);
        tree.write(&mut moved);
        Ok(moved.into())
    }

    fn last_part(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        let mut tree = std::mem::take(&mut self.tree);
        let added = self.writer(None)?.finish().map_err(|error| self.not_encoded(&error))?;
        extend_schema(&mut tree, &added.footer);
        let groups: Vec<_> = self.outputs.drain(..).map(|group| group.tree).collect();
        let rows = groups.iter().filter_map(|group| group.i64(row_group::ROWS)).fold(0, i64::saturating_add);
        tree.update(file::ROWS, |_| rows);
        tree.set(file::ROW_GROUPS, Value::structs(groups.into_iter().map(Value::Struct).collect()));
        self.extend_metadata(&mut tree);
        let mut footer = Vec::new();
        tree.write(&mut footer);
        // A damaged footer that can be read may become one that cannot.
        guarded(|| ParquetMetaDataReader::decode_metadata(&footer), ParquetError::General)
            .map_err(|error| self.damaged(format!("the footer of the copy could not be read: {error}")))?;
        let length = u32::try_from(footer.len()).map_err(|_| self.damaged("the footer is too long"))?;
        footer.extend_from_slice(&length.to_le_bytes());
        footer.extend_from_slice(MAGIC);
        self.emit(&footer, out);
        Ok(self.go(State::End))
    }

    fn extend_metadata(&self, tree: &mut Struct) {
        const KEY: i16 = 1;
        const VALUE: i16 = 2;
        let text = |entry: &Struct, id| Some(String::from_utf8_lossy(entry.get(id)?.as_bytes()?).into_owned());
        let ours = |key: &str| self.options.metadata.iter().any(|(other, _)| other == key);
        let mut entries = Vec::new();
        for entry in tree.structs(file::METADATA) {
            let key = text(entry, KEY).unwrap_or_default();
            // Its index may say how many rows there are.
            let is_stale = key == "pandas" && !self.options.left_out.is_empty();
            let Some(value) = text(entry, VALUE) else {
                entries.push(Value::Struct(entry.clone()));
                continue;
            };
            let Some(new) = extended(&key, &value, &self.options.added) else { continue };
            if is_stale || ours(&key) {
                continue;
            }
            let mut entry = entry.clone();
            if new != value {
                entry.set(VALUE, Value::text(new));
            }
            entries.push(Value::Struct(entry));
        }
        for (key, value) in &self.options.metadata {
            let mut entry = Struct::default();
            entry.set(KEY, Value::text(key));
            entry.set(VALUE, Value::text(value));
            entries.push(Value::Struct(entry));
        }
        tree.remove(file::METADATA);
        if !entries.is_empty() {
            tree.set(file::METADATA, Value::structs(entries));
        }
    }

    /// A writer of the added columns that uses the codec of a row group.
    fn writer(&self, group: Option<&Group>) -> Result<AddedWriter, FileError> {
        let entries: Vec<_> = group.into_iter().flat_map(|group| group.tree.structs(row_group::COLUMNS)).collect();
        let codecs = entries.iter().filter_map(|entry| entry.child(chunk::METADATA)?.i64(column::CODEC));
        // A column may be stored uncompressed where the others are not.
        let codec = codecs.max_by_key(|codec| *codec != 0);
        let has_page_index = entries.iter().all(|entry| range(entry, chunk::OFFSET_INDEX).is_some());
        AddedWriter::new(&self.options.added, codec, has_page_index).map_err(|error| self.not_encoded(&error))
    }
}

fn slice(bytes: &Bytes, range: &Range<u64>) -> Bytes {
    let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
    bytes.slice(at(range.start)..at(range.end))
}

/// Appends the added columns to the schema.
fn extend_schema(tree: &mut Struct, added: &Struct) {
    const CHILDREN: i16 = 5;
    let Some((added_root, added_elements)) = added.list(file::SCHEMA).and_then(<[Value]>::split_first) else { return };
    let children = added_root.as_struct().and_then(|root| root.i64(CHILDREN)).unwrap_or_default();
    if let Some(schema) = tree.list_mut(file::SCHEMA) {
        if let Some(Value::Struct(root)) = schema.first_mut() {
            match root.get(CHILDREN) {
                Some(_) => root.update(CHILDREN, |old| old + children),
                None => root.set(CHILDREN, Value::i32(i32::try_from(children).unwrap_or_default())),
            }
        }
        schema.extend_from_slice(added_elements);
    }
    if let (Some(orders), Some(added)) = (tree.list_mut(file::COLUMN_ORDERS), added.list(file::COLUMN_ORDERS)) {
        orders.extend_from_slice(added);
    }
}

impl Copier for ParquetCopier {
    fn step(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        match self.state {
            State::Footer => self.read_footer(out),
            State::NextGroup => self.next_group(),
            State::BloomHeaders => self.bloom_headers(),
            State::Chunks => Ok(self.copy(State::Rows, out)),
            State::Rows => self.rows(out),
            State::BloomFilters => match self.copy(State::BloomFilters, out) {
                CopyStep::Output => self.close_group(),
                step => Ok(step),
            },
            State::ColumnIndexes(at) => {
                self.page_indexes(at, chunk::COLUMN_INDEX, State::ColumnIndexes, State::OffsetIndexes(0), out)
            }
            State::OffsetIndexes(at) => {
                self.page_indexes(at, chunk::OFFSET_INDEX, State::OffsetIndexes, State::LastPart, out)
            }
            State::LastPart => self.last_part(out),
            State::End => Ok(CopyStep::End),
        }
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        check_ranges(&self.ranges, &bytes)?;
        self.ranges.clear();
        self.arrived = bytes;
        Ok(())
    }

    fn add(&mut self, added: &RecordBatch) -> Result<(), FileError> {
        if self.state != State::Rows || added.num_rows() > self.rows_left {
            return Err(FileError::Protocol("the added columns are not of the rows that were asked for"));
        }
        let mut writer = match self.added.take() {
            Some(writer) => writer,
            None => self.writer(self.outputs.last())?,
        };
        writer.write(added).map_err(|error| self.not_encoded(&error))?;
        self.added = Some(writer);
        self.rows_left -= added.num_rows();
        Ok(())
    }
}
