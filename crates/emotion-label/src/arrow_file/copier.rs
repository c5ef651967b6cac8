//! Copies an Arrow file or stream with columns added.

use arrow::array::RecordBatch;
use arrow::buffer::Buffer as ArrowBuffer;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::writer::StreamWriter;
use arrow::ipc::{
    Block, BodyCompression, BodyCompressionArgs, Buffer, FieldNode, KeyValue, KeyValueArgs, Message as Root,
    MessageArgs, MessageHeader, MetadataVersion, RecordBatch as RawBatch, RecordBatchArgs, root_as_footer,
};
use bytes::Bytes;
use flatbuffers::FlatBufferBuilder;

use crate::arrow_file::message::{FILE_START, MAGIC, Message, Split, Splitter};
use crate::error::{Fault, FileError};
use crate::flat::{Flat, Slot};
use crate::ipc_schema::with_fields;
use crate::metadata::extended;
use crate::options::Options;
use crate::step::{Copier, CopyStep};

/// Copies an Arrow file or stream.
pub(crate) struct ArrowCopier {
    options: Options,
    splitter: Splitter,
    /// The number of bytes of output.
    position: usize,
    /// The schema message of the output.
    schema: Option<Schemas>,
    /// A record batch that waits for its added columns.
    waiting: Option<Message>,
    added: Option<RecordBatch>,
    dictionaries: Vec<[u8; 24]>,
    batches: Vec<[u8; 24]>,
    is_complete: bool,
}

struct Schemas {
    message: Vec<u8>,
    version: MetadataVersion,
}

impl ArrowCopier {
    pub fn new(options: &Options, size: Option<u64>) -> Self {
        Self {
            options: options.clone(),
            splitter: Splitter::new(options, size),
            position: 0,
            schema: None,
            waiting: None,
            added: None,
            dictionaries: Vec::new(),
            batches: Vec::new(),
            is_complete: false,
        }
    }

    fn emit(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(bytes);
        self.position += bytes.len();
    }

    /// Writes a message; returns its place.
    fn message(&mut self, metadata: &[u8], body: &[u8], prefix: usize, out: &mut Vec<u8>) -> [u8; 24] {
        let start = self.position;
        let padded = (prefix + metadata.len()).next_multiple_of(8) - prefix;
        if prefix == 8 {
            self.emit(&[0xff; 4], out);
        }
        self.emit(&i32::try_from(padded).unwrap_or_default().to_le_bytes(), out);
        self.emit(metadata, out);
        self.emit(&[0; 8][..padded - metadata.len()], out);
        let header = self.position - start;
        self.emit(body, out);
        block(start, header, body.len())
    }

    fn take(&mut self, message: Message, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        if self.schema.is_none() {
            self.begin(&message, out)?;
            return Ok(CopyStep::Output);
        }
        match message.kind() {
            MessageHeader::DictionaryBatch => {
                let place = block(self.position, message.header, message.body().len());
                self.dictionaries.push(place);
                self.emit(&message.bytes, out);
                Ok(CopyStep::Output)
            }
            MessageHeader::RecordBatch => {
                self.waiting = Some(message);
                Ok(self.wanted())
            }
            _ => Err(self.splitter.damaged("a message is neither a record batch nor a dictionary")),
        }
    }

    fn wanted(&mut self) -> CopyStep {
        let rows = self.waiting.as_ref().map_or(0, rows);
        if rows > 0 {
            return CopyStep::Rows { row_group: 0, rows };
        }
        self.added = Some(RecordBatch::new_empty(self.options.added.clone()));
        CopyStep::Output
    }

    fn begin(&mut self, message: &Message, out: &mut Vec<u8>) -> Result<(), FileError> {
        let damaged = || self.splitter.damaged("the schema cannot be read");
        let (root, old) = message.root().zip(message.schema()).ok_or_else(damaged)?;
        self.splitter.check(old)?;
        let metadata = with_fields(message.metadata(), &self.options.added, extended).ok_or_else(damaged)?;
        let version = root.version();
        self.message(&metadata, &[], message.prefix, out);
        self.schema = Some(Schemas { message: metadata, version });
        Ok(())
    }

    fn not_encoded(&self, error: &ArrowError) -> FileError {
        let what = format!("the added columns cannot be written: {error}");
        FileError::Unsupported(Fault::new(what, self.options.place(), "choose other columns with --columns"))
    }

    /// Writes the record batch that waited, with the added columns.
    fn write(&mut self, message: &Message, added: &RecordBatch, out: &mut Vec<u8>) -> Result<(), FileError> {
        let damaged = || self.splitter.damaged("a record batch cannot be read");
        let root = message.root().ok_or_else(damaged)?;
        let old = root.header_as_record_batch().ok_or_else(damaged)?;
        let encoded = stream(added.schema_ref(), Some(added)).map_err(|error| self.not_encoded(&error))?;
        let encoded = encoded.get(1).ok_or(FileError::Protocol("dictionaries cannot be added to an Arrow file"))?;
        let new = encoded.root().and_then(|root| root.header_as_record_batch()).ok_or_else(damaged)?;

        let mut body = message.body().to_vec();
        let mut buffers: Vec<Buffer> = old.buffers().iter().flatten().copied().collect();
        for buffer in new.buffers().iter().flatten() {
            let at = |value: i64| usize::try_from(value).unwrap_or_default();
            let bytes = &encoded.body()[at(buffer.offset())..at(buffer.offset() + buffer.length())];
            body.resize(body.len().next_multiple_of(8), 0);
            let start = body.len();
            if old.compression().is_some() && !bytes.is_empty() {
                // The mark of a buffer that is not compressed among those that are.
                body.extend((-1_i64).to_le_bytes());
            }
            body.extend_from_slice(bytes);
            buffers.push(Buffer::new(long(start), long(body.len() - start)));
        }
        body.resize(body.len().next_multiple_of(8), 0);

        let mut builder = FlatBufferBuilder::new();
        let nodes = |batch: RawBatch<'_>| batch.nodes().iter().flatten().copied().collect::<Vec<FieldNode>>();
        let nodes = [nodes(old), nodes(new)].concat();
        let nodes = builder.create_vector(&nodes);
        let buffers = builder.create_vector(&buffers);
        let variadic = |batch: RawBatch<'_>| batch.variadicBufferCounts().iter().flatten().collect::<Vec<i64>>();
        let counts = [variadic(old), variadic(new)].concat();
        let counts = (!counts.is_empty()).then(|| builder.create_vector(&counts));
        let compression = old.compression().map(|compression| {
            let arguments = BodyCompressionArgs { codec: compression.codec(), method: compression.method() };
            BodyCompression::create(&mut builder, &arguments)
        });
        let arguments = RecordBatchArgs {
            length: old.length(),
            nodes: Some(nodes),
            buffers: Some(buffers),
            compression,
            variadicBufferCounts: counts,
        };
        let batch = RawBatch::create(&mut builder, &arguments);
        let entries = root.custom_metadata().map(|entries| {
            let entries = entries.iter().map(|entry| {
                let key = entry.key().map(|key| builder.create_string(key));
                let value = entry.value().map(|value| builder.create_string(value));
                KeyValue::create(&mut builder, &KeyValueArgs { key, value })
            });
            let entries = entries.collect::<Vec<_>>();
            builder.create_vector(&entries)
        });
        let arguments = MessageArgs {
            version: root.version(),
            header_type: MessageHeader::RecordBatch,
            header: Some(batch.as_union_value()),
            bodyLength: long(body.len()),
            custom_metadata: entries,
        };
        let root = Root::create(&mut builder, &arguments);
        builder.finish(root, None);
        let place = self.message(builder.finished_data(), &body, message.prefix, out);
        self.batches.push(place);
        Ok(())
    }

    /// Writes the end of the stream, and the footer of a file.
    fn end(&mut self, rest: &[u8], out: &mut Vec<u8>) -> Result<(), FileError> {
        self.is_complete = true;
        let Some(schema) = self.schema.take() else { return Err(self.splitter.damaged("there is no schema")) };
        if !self.splitter.is_file() {
            self.emit(rest, out);
            return Ok(());
        }
        let damaged = || self.splitter.damaged("the footer cannot be read");
        let tail = rest.len().checked_sub(MAGIC.len() + 4).ok_or_else(damaged)?;
        let (length, magic) = rest[tail..].split_at(4);
        let length = i32::from_le_bytes([length[0], length[1], length[2], length[3]]);
        let start = usize::try_from(length).ok().and_then(|length| tail.checked_sub(length)).ok_or_else(damaged)?;
        if magic != MAGIC {
            return Err(damaged());
        }
        let footer = footer(&schema, &rest[start..tail], &self.options, [&self.dictionaries, &self.batches]);
        let footer = footer.ok_or_else(damaged)?;
        // The mark of the end of the stream is kept as it was.
        self.emit(&rest[..start], out);
        self.emit(&footer, out);
        self.emit(&i32::try_from(footer.len()).unwrap_or_default().to_le_bytes(), out);
        self.emit(MAGIC, out);
        Ok(())
    }
}

fn rows(message: &Message) -> usize {
    let length = message.root().and_then(|root| Some(root.header_as_record_batch()?.length()));
    length.and_then(|length| usize::try_from(length).ok()).unwrap_or_default()
}

fn block(offset: usize, header: usize, body: usize) -> [u8; 24] {
    Block::new(long(offset), i32::try_from(header).unwrap_or_default(), long(body)).0
}

fn long(value: usize) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The messages of a stream of a schema and a record batch.
fn stream(schema: &Schema, batch: Option<&RecordBatch>) -> Result<Vec<Message>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), schema)?;
    if let Some(batch) = batch {
        writer.write(batch)?;
    }
    let bytes = writer.into_inner()?;
    let mut splitter = Splitter::new(&Options::default(), None);
    for chunk in [vec![Bytes::from(bytes)], Vec::new()] {
        splitter.supply(chunk).map_err(|error| ArrowError::ExternalError(Box::new(error)))?;
    }
    let mut messages = Vec::new();
    while let Ok(split) = splitter.next() {
        match split {
            Split::Message(message) => messages.push(message),
            Split::Start(_) => {}
            Split::End(_) | Split::Need(_) => break,
        }
    }
    Ok(messages)
}

/// The footer of a file, which embeds the schema message and the old footer.
fn footer(schema: &Schemas, old: &[u8], options: &Options, blocks: [&[[u8; 24]]; 2]) -> Option<Vec<u8>> {
    // A table that is embedded at a multiple of 8 bytes must have been aligned before.
    let old = ArrowBuffer::from(old);
    let entries = root_as_footer(&old).ok()?.custom_metadata();
    let ours = |key: Option<&str>| options.metadata.iter().any(|(other, _)| Some(other.as_str()) == key);
    let kept = entries.into_iter().flatten().filter(|entry| !ours(entry.key()));
    let kept: Vec<_> = kept.map(|entry| entry._tab.loc()).collect();
    let metadata =
        Schema::new_with_metadata(Vec::<arrow::datatypes::FieldRef>::new(), options.metadata.iter().cloned().collect());
    let added = stream(&metadata, None).ok()?;
    let added = added.first()?;
    let new: Vec<_> = added.schema()?.custom_metadata().into_iter().flatten().map(|entry| entry._tab.loc()).collect();

    let (mut flat, start) = Flat::new();
    let slots = [Slot::I16(schema.version.0), Slot::Offset, Slot::Offset, Slot::Offset, Slot::Offset];
    let places = flat.table(start, &slots);
    flat.structs(places[1], blocks[0]);
    flat.structs(places[2], blocks[1]);
    let metadata_places = flat.offsets(places[3], kept.len() + new.len());
    let message = arrow::ipc::root_as_message(&schema.message).ok()?;
    let first = flat.embed(&schema.message);
    flat.point(places[0], first + message.header_as_schema()?._tab.loc());
    let (second, third) = (flat.embed(&old), flat.embed(added.metadata()));
    let targets = kept.into_iter().map(|place| second + place).chain(new.into_iter().map(|place| third + place));
    for (at, target) in metadata_places.into_iter().zip(targets) {
        flat.point(at, target);
    }
    Some(flat.finish())
}

impl Copier for ArrowCopier {
    fn step(&mut self, out: &mut Vec<u8>) -> Result<CopyStep, FileError> {
        if self.is_complete {
            return Ok(CopyStep::End);
        }
        if let Some(message) = self.waiting.take() {
            let Some(added) = self.added.take() else {
                self.waiting = Some(message);
                return Ok(self.wanted());
            };
            self.write(&message, &added, out)?;
            return Ok(CopyStep::Output);
        }
        match self.splitter.next()? {
            Split::Start(start) => {
                self.emit(&start, out);
                Ok(CopyStep::Output)
            }
            Split::Message(message) => {
                if self.position == 0 && self.splitter.is_file() {
                    self.emit(MAGIC, out);
                    self.emit(&[0; FILE_START - MAGIC.len()], out);
                }
                self.take(message, out)
            }
            Split::End(rest) => {
                self.end(&rest, out)?;
                Ok(CopyStep::Output)
            }
            Split::Need(need) => Ok(CopyStep::Need(need)),
        }
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        self.splitter.supply(bytes)
    }

    fn add(&mut self, added: &RecordBatch) -> Result<(), FileError> {
        if self.waiting.as_ref().map(rows) != Some(added.num_rows()) {
            return Err(FileError::Protocol("the added columns are not of the rows that were asked for"));
        }
        self.added = Some(added.clone());
        Ok(())
    }
}
