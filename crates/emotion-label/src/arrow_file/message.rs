//! Splits a stream into messages.

use arrow::buffer::Buffer as ArrowBuffer;
use arrow::ipc::{Endianness, Message as Root, MessageHeader, Schema as RawSchema, root_as_message};

use crate::error::{Fault, LabelError};
use crate::options::Options;
use crate::records::Buffer;

/// The start of an Arrow file, and its end.
pub(crate) const MAGIC: &[u8; 6] = b"ARROW1";
/// The start of an Arrow file with its padding.
pub(crate) const FILE_START: usize = 8;
const FEATHER_V1: &[u8; 4] = b"FEA1";
const CONTINUATION: [u8; 4] = [0xff; 4];

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

    pub fn kind(&self) -> MessageHeader {
        self.root().map_or(MessageHeader::NONE, |root| root.header_type())
    }

    pub fn schema(&self) -> Option<RawSchema<'_>> {
        self.root()?.header_as_schema()
    }
}

pub(crate) enum Split {
    /// The start of a file: its magic number and padding; nothing in a stream.
    Start(Vec<u8>),
    Message(Message),
    /// The end of the stream, as it was marked, and what follows in the input so far.
    End(Vec<u8>),
    More,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
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
}

impl Splitter {
    pub fn new(options: &Options) -> Self {
        Self { options: options.clone(), buffer: Buffer::default(), part: Part::Start, is_file: false }
    }

    pub fn supply(&mut self, chunk: Option<&[u8]>) {
        self.buffer.supply(chunk);
    }

    pub fn is_file(&self) -> bool {
        self.is_file
    }

    pub fn next(&mut self) -> Result<Split, LabelError> {
        match self.part {
            Part::Start => self.start(),
            Part::Padding => self.padding(),
            Part::Messages => self.message(),
            Part::Rest if self.buffer.is_last() => {
                let length = self.buffer.rest().len();
                Ok(Split::End(self.buffer.consume(length).to_vec()))
            }
            Part::Rest => Ok(Split::More),
        }
    }

    fn start(&mut self) -> Result<Split, LabelError> {
        let bytes = self.buffer.rest();
        if bytes.len() < FILE_START {
            return if self.buffer.is_last() { Err(self.damaged("the file is too short")) } else { Ok(Split::More) };
        }
        if bytes.starts_with(FEATHER_V1) {
            let advice = "write it as version 2: pyarrow.feather.write_feather(table, name, version=2)";
            let what = "the file is Feather version 1, which is not Arrow";
            return Err(LabelError::Unsupported(Fault::new(what, self.options.place(), advice)));
        }
        self.is_file = bytes.starts_with(MAGIC);
        self.part = if self.is_file { Part::Padding } else { Part::Messages };
        let length = if self.is_file { FILE_START } else { 0 };
        Ok(Split::Start(self.buffer.consume(length).to_vec()))
    }

    /// Zeros that align the first message of a file to more than 8 bytes.
    fn padding(&mut self) -> Result<Split, LabelError> {
        match self.buffer.rest().first_chunk::<FILE_START>() {
            None if self.buffer.is_last() => Err(self.damaged("there is no schema")),
            None => Ok(Split::More),
            Some([0, 0, 0, 0, 0, 0, 0, 0]) => Ok(Split::Start(self.buffer.consume(FILE_START).to_vec())),
            Some(_) => {
                self.part = Part::Messages;
                self.message()
            }
        }
    }

    fn message(&mut self) -> Result<Split, LabelError> {
        let bytes = self.buffer.rest();
        let cut = || {
            if self.buffer.is_last() {
                Err(self.damaged("the file ends within a record batch"))
            } else {
                Ok(Split::More)
            }
        };
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 4)?;
            Some(i32::from_le_bytes(bytes.try_into().ok()?))
        };
        let prefix = if bytes.starts_with(&CONTINUATION) { 8 } else { 4 };
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
        let bytes = ArrowBuffer::from(self.buffer.consume(end));
        Ok(Split::Message(Message { bytes, prefix, header }))
    }

    pub fn damaged(&self, what: &str) -> LabelError {
        LabelError::Damaged(Fault::new(what, self.options.place(), "write the file again, or download it again"))
    }

    /// Refuses schemas that this machine cannot read, and names that are taken.
    pub fn check(&self, schema: RawSchema<'_>) -> Result<(), LabelError> {
        if schema.endianness() != Endianness::Little {
            let fault = Fault::new("the file is big-endian", self.options.place(), "write it on another machine");
            return Err(LabelError::Unsupported(fault));
        }
        self.options.check_names(schema.fields().iter().flatten().filter_map(|field| field.name()))
    }
}
