//! Splits a stream into messages.

use std::collections::VecDeque;
use std::ops::Range;

use arrow::buffer::Buffer as ArrowBuffer;
use arrow::ipc::{
    Block, Buffer as IpcBuffer, CompressionType, Endianness, FieldNode, Message as Root, MessageHeader,
    Schema as RawSchema, root_as_footer, root_as_message,
};
use bytes::Bytes;
use zstd::zstd_safe;

use crate::error::{Fault, FileError};
use crate::flat::{Flat, Slot};
use crate::options::Options;
use crate::records::Buffer;
use crate::step::{Need, check_ranges, chunk};

/// The start of an Arrow file, and its end.
pub(crate) const MAGIC: &[u8; 6] = b"ARROW1";
/// The start of an Arrow file with its padding.
pub(crate) const FILE_START: usize = 8;
const FEATHER_V1: &[u8; 4] = b"FEA1";
const CONTINUATION: [u8; 4] = [0xff; 4];
/// The mark of the end of a stream.
const END: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];
/// A file with its magic numbers and the length of its footer.
const SMALLEST_FILE: u64 = 18;
/// Bytes at the end of the file that are fetched first; most footers fit.
const FIRST_GUESS: u64 = 64 << 10;
/// Bytes of blocks that are fetched together, about.
const BLOCKS_BYTES: u64 = 8 << 20;

/// A message: its prefix and metadata, padded to 8 bytes, and its body.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub bytes: ArrowBuffer,
    /// The length of the marker and of the length itself: 8, or 4 in files of old writers.
    pub prefix: usize,
    /// The length of the prefix and the metadata.
    pub header: usize,
}

impl Message {
    /// The metadata, without its prefix.
    pub fn metadata(&self) -> &[u8] {
        &self.bytes[self.prefix..self.header]
    }

    pub fn body(&self) -> &[u8] {
        &self.bytes[self.header..]
    }

    /// The metadata as a table. It was verified when the message was read.
    pub fn root(&self) -> Option<Root<'_>> {
        root_as_message(self.metadata()).ok()
    }

    /// Whether the metadata can be read, and the lengths that it lists agree with each other and with the body.
    ///
    /// Decoders allocate memory by these lengths before they find that the data is shorter.
    fn is_valid(&self) -> bool {
        let Some(root) = self.root() else { return false };
        let dictionary = root.header_as_dictionary_batch().and_then(|dictionary| dictionary.data());
        let Some(batch) = root.header_as_record_batch().or(dictionary) else { return true };
        let codec = batch.compression().map(|compression| compression.codec());
        let is_within = |buffer: &IpcBuffer| {
            let start = usize::try_from(buffer.offset()).ok();
            let length = usize::try_from(buffer.length()).ok();
            let end = start.zip(length).and_then(|(start, length)| start.checked_add(length));
            let bytes = start.zip(end).and_then(|(start, end)| self.body().get(start..end));
            bytes.is_some_and(|bytes| codec.is_none_or(|codec| can_decompress(bytes, codec)))
        };
        let is_counted = |node: &FieldNode| node.length() >= 0 && (0..=node.length()).contains(&node.null_count());
        let rows = batch.nodes().iter().flatten().next().map_or(batch.length(), FieldNode::length);
        batch.length() == rows
            && batch.length() >= 0
            && batch.buffers().iter().flatten().all(is_within)
            && batch.nodes().iter().flatten().all(is_counted)
    }

    pub fn kind(&self) -> MessageHeader {
        self.root().map_or(MessageHeader::NONE, |root| root.header_type())
    }

    pub fn schema(&self) -> Option<RawSchema<'_>> {
        self.root()?.header_as_schema()
    }
}

/// Whether the uncompressed length that precedes a compressed buffer is one that its bytes can have.
fn can_decompress(bytes: &[u8], codec: CompressionType) -> bool {
    /// The mark of a buffer that is not compressed.
    const PLAIN: i64 = -1;
    /// No LZ4 block expands by a larger factor.
    const LZ4_RATIO: usize = 255;
    /// A block of zstd of 4 bytes stands for at most 128 KiB.
    const ZSTD_RATIO: usize = 1 << 15;
    if bytes.is_empty() {
        return true;
    }
    let Some((prefix, frame)) = bytes.split_first_chunk() else { return false };
    let length = i64::from_le_bytes(*prefix);
    let Ok(length) = usize::try_from(length) else { return length == PLAIN };
    match codec {
        CompressionType::ZSTD => match zstd_safe::get_frame_content_size(frame) {
            Ok(Some(content)) => content == length as u64,
            _ => length <= frame.len().saturating_mul(ZSTD_RATIO),
        },
        _ => length <= frame.len().saturating_mul(LZ4_RATIO),
    }
}

pub(crate) enum Split {
    /// The start of a file: its magic number and padding; nothing in a stream.
    Start(Vec<u8>),
    Message(Message),
    /// The end of the stream, as it was marked, and what follows in the input so far.
    End(Vec<u8>),
    Need(Need),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    /// Where the size is known: whether this is a file, which has a footer.
    Probe,
    /// The blocks of a file, as its footer lists them.
    Blocks,
    Start,
    Padding,
    Messages,
    /// The footer of a file.
    Rest,
}

/// Splits the bytes of a file or stream into messages.
pub(crate) struct Splitter {
    options: Options,
    buffer: Buffer,
    part: Part,
    is_file: bool,
    /// Whether messages begin with a marker, as they do since version 0.15 of Arrow.
    has_markers: bool,
    size: u64,
    /// Bytes at the end of the file to read for the footer.
    tail: u64,
    ranges: Vec<Range<u64>>,
    arrived: VecDeque<Bytes>,
    footer: Bytes,
    /// Blocks to read, and the lengths of their headers.
    blocks: VecDeque<(Range<u64>, usize)>,
    /// The lengths of the headers of the blocks that were asked for.
    headers: VecDeque<usize>,
}

impl Splitter {
    /// A splitter of a file of `size` bytes, or of a stream.
    pub fn new(options: &Options, size: Option<u64>) -> Self {
        let size = size.filter(|size| *size >= SMALLEST_FILE);
        Self {
            options: options.clone(),
            buffer: Buffer::default(),
            part: if size.is_some() { Part::Probe } else { Part::Start },
            is_file: false,
            has_markers: false,
            size: size.unwrap_or_default(),
            tail: size.unwrap_or_default().min(FIRST_GUESS),
            ranges: Vec::new(),
            arrived: VecDeque::new(),
            footer: Bytes::new(),
            blocks: VecDeque::new(),
            headers: VecDeque::new(),
        }
    }

    pub fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        if self.ranges.is_empty() {
            self.buffer.supply(chunk(bytes)?.as_deref());
            return Ok(());
        }
        check_ranges(&self.ranges, &bytes)?;
        self.ranges.clear();
        self.arrived = bytes.into();
        Ok(())
    }

    fn ask(&mut self, ranges: Vec<Range<u64>>) -> Split {
        self.ranges.clone_from(&ranges);
        Split::Need(Need::Ranges(ranges))
    }

    /// Reads the footer of a file. Some writers begin a file with what is no message, so that it cannot be read as a
    /// stream.
    fn probe(&mut self) -> Result<Split, FileError> {
        let Some((start, end)) = self.arrived.pop_front().zip(self.arrived.pop_front()) else {
            return Ok(self.ask(vec![0..FILE_START as u64, self.size - self.tail..self.size]));
        };
        if !start.starts_with(MAGIC) {
            self.part = Part::Start;
            return self.next();
        }
        if !end.ends_with(MAGIC) {
            return Err(self.damaged("the end of the file is missing"));
        }
        let tail = end.len() - MAGIC.len() - 4;
        let length = i32::from_le_bytes([end[tail], end[tail + 1], end[tail + 2], end[tail + 3]]);
        let length = usize::try_from(length).map_err(|_| self.damaged("the footer has no valid length"))?;
        let Some(first) = tail.checked_sub(length) else {
            self.tail = (length + MAGIC.len() + 4) as u64;
            if self.tail > self.size {
                return Err(self.damaged("the footer is longer than the file"));
            }
            return Ok(self.ask(vec![0..FILE_START as u64, self.size - self.tail..self.size]));
        };
        // A buffer of its own is aligned.
        self.footer = Bytes::copy_from_slice(&end[first..tail]);
        self.is_file = true;
        self.part = Part::Blocks;
        self.list_blocks()
    }

    /// Gives the schema, and lists the blocks, dictionaries first.
    fn list_blocks(&mut self) -> Result<Split, FileError> {
        let damaged = || self.damaged("the footer cannot be read");
        let footer = root_as_footer(&self.footer).map_err(|_| damaged())?;
        let schema = footer.schema().ok_or_else(damaged)?;
        let dictionaries = footer.dictionaries();
        let batches = footer.recordBatches();
        let blocks = dictionaries.iter().flatten().chain(batches.iter().flatten());
        let place = |block: &Block| {
            let start = u64::try_from(block.offset()).ok()?;
            let header = u64::try_from(block.metaDataLength()).ok()?;
            let end = start.checked_add(header)?.checked_add(u64::try_from(block.bodyLength()).ok()?)?;
            let header = usize::try_from(header).ok()?;
            (end <= self.size).then_some((start..end, header))
        };
        let blocks = blocks.map(place).collect::<Option<VecDeque<_>>>().ok_or_else(damaged)?;

        let (mut flat, start) = Flat::new();
        let slots = [Slot::I16(footer.version().0), Slot::U8(MessageHeader::Schema.0), Slot::Offset, Slot::I64(0)];
        let header = flat.table(start, &slots)[0];
        let embedded = flat.embed(&self.footer);
        flat.point(header, embedded + schema._tab.loc());
        let mut bytes = vec![0; 8];
        bytes.extend(flat.finish());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        self.blocks = blocks;
        Ok(Split::Message(Message { prefix: 8, header: bytes.len(), bytes: bytes.into() }))
    }

    fn block(&mut self) -> Result<Split, FileError> {
        if let Some((bytes, header)) = self.arrived.pop_front().zip(self.headers.pop_front()) {
            let prefix = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
            let message = Message { bytes: ArrowBuffer::from(&bytes[..]), prefix, header };
            if header < prefix || !message.is_valid() {
                return Err(self.damaged("a message cannot be read"));
            }
            return Ok(Split::Message(message));
        }
        let (mut ranges, mut bytes) = (Vec::new(), 0);
        while bytes < BLOCKS_BYTES
            && let Some((range, header)) = self.blocks.pop_front()
        {
            bytes += range.end - range.start;
            ranges.push(range);
            self.headers.push_back(header);
        }
        if !ranges.is_empty() {
            return Ok(self.ask(ranges));
        }
        let mut rest = END.to_vec();
        rest.extend_from_slice(&self.footer);
        rest.extend(i32::try_from(self.footer.len()).unwrap_or_default().to_le_bytes());
        rest.extend_from_slice(MAGIC);
        Ok(Split::End(rest))
    }

    pub fn is_file(&self) -> bool {
        self.is_file
    }

    pub fn next(&mut self) -> Result<Split, FileError> {
        match self.part {
            Part::Probe => self.probe(),
            Part::Blocks => self.block(),
            Part::Start => self.start(),
            Part::Padding => self.padding(),
            Part::Messages => self.message(),
            Part::Rest if self.buffer.is_last() => {
                let length = self.buffer.rest().len();
                Ok(Split::End(self.buffer.consume(length).to_vec()))
            }
            Part::Rest => Ok(Split::Need(Need::Chunk)),
        }
    }

    fn start(&mut self) -> Result<Split, FileError> {
        let bytes = self.buffer.rest();
        if bytes.len() < FILE_START {
            return if self.buffer.is_last() {
                Err(self.damaged("the file is too short"))
            } else {
                Ok(Split::Need(Need::Chunk))
            };
        }
        if bytes.starts_with(FEATHER_V1) {
            let advice = "write it as version 2: pyarrow.feather.write_feather(table, name, version=2)";
            let what = "the file is Feather version 1, which is not Arrow";
            return Err(FileError::Unsupported(Fault::new(what, self.options.place(), advice)));
        }
        self.is_file = bytes.starts_with(MAGIC);
        self.part = if self.is_file { Part::Padding } else { Part::Messages };
        let length = if self.is_file { FILE_START } else { 0 };
        Ok(Split::Start(self.buffer.consume(length).to_vec()))
    }

    /// Zeros that align the first message of a file to more than 8 bytes.
    fn padding(&mut self) -> Result<Split, FileError> {
        match self.buffer.rest().first_chunk::<FILE_START>() {
            None if self.buffer.is_last() => Err(self.damaged("there is no schema")),
            None => Ok(Split::Need(Need::Chunk)),
            Some([0, 0, 0, 0, 0, 0, 0, 0]) => Ok(Split::Start(self.buffer.consume(FILE_START).to_vec())),
            Some(_) => {
                self.part = Part::Messages;
                self.message()
            }
        }
    }

    fn message(&mut self) -> Result<Split, FileError> {
        let bytes = self.buffer.rest();
        let cut = || {
            if self.buffer.is_last() {
                Err(self.damaged("the file ends within a record batch"))
            } else {
                Ok(Split::Need(Need::Chunk))
            }
        };
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(i32::from_le_bytes(bytes.try_into().ok()?))
        };
        let prefix = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
        if self.is_file && self.has_markers && prefix == 4 && bytes.len() >= 4 {
            // Some writers put the footer directly after the last message.
            self.part = Part::Rest;
            return self.next();
        }
        let Some(length) = number(prefix - 4) else {
            // A stream may end without a mark.
            if bytes.is_empty() && self.buffer.is_last() && !self.is_file {
                return Ok(Split::End(Vec::new()));
            }
            return cut();
        };
        if length == 0 {
            self.part = Part::Rest;
            // The mark stays in the buffer: it is copied with what follows.
            return self.next();
        }
        let Ok(length) = usize::try_from(length) else { return Err(self.damaged("a message has no valid length")) };
        let header = prefix + length;
        let Some(metadata) = bytes.get(prefix..header) else { return cut() };
        let root = root_as_message(metadata).map_err(|_| self.damaged("a message cannot be read"))?;
        let body = usize::try_from(root.bodyLength()).map_err(|_| self.damaged("a message has no valid length"))?;
        let Some(end) = header.checked_add(body) else { return Err(self.damaged("a message has no valid length")) };
        if bytes.len() < end {
            return cut();
        }
        self.has_markers = prefix == 8;
        let bytes = ArrowBuffer::from(self.buffer.consume(end));
        let message = Message { bytes, prefix, header };
        if !message.is_valid() {
            return Err(self.damaged("a buffer lies beyond its record batch"));
        }
        Ok(Split::Message(message))
    }

    pub fn damaged(&self, what: &str) -> FileError {
        FileError::Damaged(Fault::new(what, self.options.place(), "write the file again, or download it again"))
    }

    /// Refuses schemas that this machine cannot read, and names that are taken.
    pub fn check(&self, schema: RawSchema<'_>) -> Result<(), FileError> {
        if schema.endianness() != Endianness::Little {
            let fault = Fault::new("the file is big-endian", self.options.place(), "write it on another machine");
            return Err(FileError::Unsupported(fault));
        }
        self.options.check_names(schema.fields().iter().flatten().filter_map(|field| field.name()))
    }
}
