//! The text column of an Arrow file or stream.

use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, make_array};
use arrow::buffer::NullBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::error::ArrowError;
use arrow::ipc::convert::try_schema_from_flatbuffer_bytes;
use arrow::ipc::reader::FileDecoder;
use arrow::ipc::{Block, Field as RawField, MessageHeader};
use bytes::Bytes;

use crate::arrow_file::message::{Message, Split, Splitter};
use crate::error::{Fault, FileError, Position};
use crate::guard::guarded;
use crate::options::Options;
use crate::step::{TextBatch, TextReader, TextStep};

/// Reads the text column.
pub(crate) struct ArrowTexts {
    options: Options,
    splitter: Splitter,
    column: Option<Column>,
    batches: usize,
    next_row: u64,
    /// Texts that were decoded and not passed on.
    ready: VecDeque<TextBatch>,
}

struct Column {
    decoder: FileDecoder,
    /// The dictionaries that the column uses.
    dictionaries: Vec<i64>,
    /// The fields to follow within structs.
    path: Vec<usize>,
}

impl ArrowTexts {
    pub fn new(options: &Options, size: Option<u64>) -> Self {
        Self {
            options: options.clone(),
            splitter: Splitter::new(options, size),
            column: None,
            batches: 0,
            next_row: 0,
            ready: VecDeque::new(),
        }
    }

    fn open(&self, message: &Message) -> Result<Column, FileError> {
        let damaged = || self.splitter.damaged("the schema cannot be read");
        let raw = message.schema().ok_or_else(damaged)?;
        self.splitter.check(raw)?;
        let schema = guarded(|| try_schema_from_flatbuffer_bytes(message.metadata()), ArrowError::ParseError)
            .map_err(|_| damaged())?;
        let (root, path) = self.find(&schema)?;
        let mut dictionaries = Vec::new();
        if let Some(fields) = raw.fields().filter(|fields| root < fields.len()) {
            collect_dictionaries(fields.get(root), &mut dictionaries);
        }
        let version = message.root().ok_or_else(damaged)?.version();
        let decoder = FileDecoder::new(Arc::new(schema), version).with_projection(vec![root]);
        Ok(Column { decoder, dictionaries, path })
    }

    /// The column and the path within it that hold the texts.
    fn find(&self, schema: &Schema) -> Result<(usize, Vec<usize>), FileError> {
        let text = &self.options.text;
        let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        let within = schema.fields().iter().enumerate().find_map(|(root, field)| {
            let mut path = Vec::new();
            follow(field, text, &mut path).map(|field| (root, path, field.data_type().clone()))
        });
        let exact = names.iter().position(|name| name == text);
        let exact = exact.map(|root| (root, Vec::new(), schema.field(root).data_type().clone()));
        let Some((root, path, data_type)) = exact.or(within) else { return Err(self.options.no_text_column(&names)) };
        if is_text(&data_type) {
            return Ok((root, path));
        }
        let advice = match data_type {
            DataType::Struct(_) => format!("name a field of it: --text {text}.NAME"),
            _ if data_type.is_nested() => "take it apart first, with unnest in SQL".into(),
            _ => format!("name another with --text, one of: {}", names.join(", ")),
        };
        let held = if data_type.is_nested() { "a list, map or struct".into() } else { data_type.to_string() };
        let what = format!("the column holds {held}, not texts");
        Err(FileError::Column(Fault::new(what, self.options.text_place(), advice)))
    }

    fn undecodable(&self, error: &ArrowError) -> FileError {
        let place = self.options.text_place().at(Position::RowGroup(self.batches));
        FileError::Damaged(Fault::new(error.to_string(), place, "write the file again"))
    }

    fn take(&mut self, message: &Message) -> Result<(), FileError> {
        let kind = message.kind();
        let Some(column) = &mut self.column else {
            self.column = Some(self.open(message)?);
            return Ok(());
        };
        let header = i32::try_from(message.header).unwrap_or_default();
        let block = Block::new(0, header, i64::try_from(message.body().len()).unwrap_or_default());
        match kind {
            MessageHeader::DictionaryBatch => {
                let root = message.root();
                let id = root.and_then(|root| Some(root.header_as_dictionary_batch()?.id()));
                if id.is_some_and(|id| column.dictionaries.contains(&id)) {
                    let read =
                        guarded(|| column.decoder.read_dictionary(&block, &message.bytes), ArrowError::ParseError);
                    read.map_err(|error| self.undecodable(&error))?;
                }
                Ok(())
            }
            MessageHeader::RecordBatch => {
                let read = guarded(|| column.decoder.read_record_batch(&block, &message.bytes), ArrowError::ParseError);
                let path = column.path.clone();
                let batch = read.map_err(|error| self.undecodable(&error))?;
                if let Some(batch) = batch {
                    let texts = texts(batch.column(0), &path).map_err(|error| self.undecodable(&error))?;
                    self.push(&texts);
                }
                self.batches += 1;
                Ok(())
            }
            _ => Err(self.splitter.damaged("a message is neither a record batch nor a dictionary")),
        }
    }

    fn push(&mut self, texts: &ArrayRef) {
        let skipped = usize::try_from(self.options.start.1.saturating_sub(self.next_row)).unwrap_or(usize::MAX);
        for start in (skipped.min(texts.len())..texts.len()).step_by(self.options.batch_rows) {
            let rows = self.options.batch_rows.min(texts.len() - start);
            let first_row = self.next_row + start as u64;
            self.ready.push_back(TextBatch { row_group: 0, first_row, texts: texts.slice(start, rows) });
        }
        self.next_row += texts.len() as u64;
    }
}

/// The field that a name with dots stands for, and the way to it.
fn follow<'a>(field: &'a Field, name: &str, path: &mut Vec<usize>) -> Option<&'a Field> {
    if field.name() == name {
        return Some(field);
    }
    let rest = name.strip_prefix(field.name().as_str())?.strip_prefix('.')?;
    let DataType::Struct(fields) = field.data_type() else { return None };
    fields.iter().enumerate().find_map(|(index, field)| {
        path.push(index);
        let found = follow(field, rest, path);
        if found.is_none() {
            path.pop();
        }
        found
    })
}

fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        DataType::RunEndEncoded(_, values) => is_text(values.data_type()),
        _ => false,
    }
}

fn collect_dictionaries(field: RawField<'_>, ids: &mut Vec<i64>) {
    ids.extend(field.dictionary().map(|dictionary| dictionary.id()));
    for child in field.children().iter().flatten() {
        collect_dictionaries(child, ids);
    }
}

/// The texts of a column, or of a field of its structs.
fn texts(column: &ArrayRef, path: &[usize]) -> Result<ArrayRef, ArrowError> {
    let (mut column, mut nulls) = (Arc::clone(column), None);
    for index in path {
        let parent = column.as_struct();
        nulls = NullBuffer::union(nulls.as_ref(), parent.nulls());
        let child = Arc::clone(parent.column(*index));
        column = child;
    }
    let texts = match column.data_type() {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => column,
        _ => cast(&column, &DataType::LargeUtf8)?,
    };
    if nulls.is_none() {
        return Ok(texts);
    }
    let nulls = NullBuffer::union(nulls.as_ref(), texts.nulls());
    Ok(make_array(texts.to_data().into_builder().nulls(nulls).build()?))
}

impl TextReader for ArrowTexts {
    fn step(&mut self) -> Result<TextStep, FileError> {
        loop {
            if let Some(batch) = self.ready.pop_front() {
                return Ok(TextStep::Texts(batch));
            }
            match self.splitter.next()? {
                Split::Start(_) => {}
                Split::Message(message) => self.take(&message)?,
                Split::End(_) if self.column.is_none() => return Err(self.splitter.damaged("there is no schema")),
                Split::End(_) => return Ok(TextStep::End),
                Split::Need(need) => return Ok(TextStep::Need(need)),
            }
        }
    }

    fn supply(&mut self, bytes: Vec<Bytes>) -> Result<(), FileError> {
        self.splitter.supply(bytes)
    }
}
