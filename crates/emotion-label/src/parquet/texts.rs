//! The text column of a Parquet file.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, LargeStringBuilder, RecordBatch, StructArray};
use arrow::buffer::NullBuffer;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::DecodeResult;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::push_decoder::{ParquetPushDecoder, ParquetPushDecoderBuilder};
use parquet::basic::{LogicalType, Type as PhysicalType};
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::ColumnDescriptor;

use crate::error::{Fault, FileError, Place, Position};
use crate::guard::guarded;
use crate::options::Options;
use crate::parquet::footer::FooterReader;
use crate::step::{Need, TextBatch, TextReader, TextStep, check_ranges};

/// Bytes of texts that are decoded together, about.
const BATCH_BYTES: u64 = 16 << 20;

/// Reads the text column of a Parquet file, row group after row group.
pub(crate) struct ParquetTexts {
    options: Options,
    footer: FooterReader,
    file: Option<File>,
    /// The ranges that the last step asked for.
    ranges: Vec<Range<u64>>,
    row_group: usize,
    /// The next row, within the row group.
    row: u64,
    decoder: Option<ParquetPushDecoder>,
}

struct File {
    metadata: ArrowReaderMetadata,
    leaf: usize,
}

impl ParquetTexts {
    pub fn new(options: &Options, size: u64) -> Self {
        Self {
            options: options.clone(),
            footer: FooterReader::new(options, size),
            file: None,
            ranges: Vec::new(),
            row_group: options.start.0,
            row: options.start.1,
            decoder: None,
        }
    }

    fn open(&self, footer: &Bytes) -> Result<File, FileError> {
        self.footer.tree(footer)?;
        let unreadable = |error: ParquetError| self.footer.damaged(&error.to_string());
        let decode = || ParquetMetaDataReader::decode_metadata(footer);
        let metadata = guarded(decode, ParquetError::General).map_err(unreadable)?;
        let schema = metadata.file_metadata().schema_descr();
        let names: Vec<_> = schema.root_schema().get_fields().iter().map(|field| field.name()).collect();
        self.options.check_names(names.iter().copied())?;
        let leaf = self.leaf(&metadata, &names)?;
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let decode = || ArrowReaderMetadata::try_new(Arc::new(metadata), options);
        let metadata = guarded(decode, ParquetError::General).map_err(unreadable)?;
        Ok(File { metadata, leaf })
    }

    /// The index of the leaf that holds the texts.
    fn leaf(&self, metadata: &ParquetMetaData, names: &[&str]) -> Result<usize, FileError> {
        let schema = metadata.file_metadata().schema_descr();
        let text = &self.options.text;
        let leaves = || schema.columns().iter().enumerate();
        let found = leaves().find(|(_, leaf)| leaf.path().string() == *text);
        let Some((index, leaf)) = found else {
            return Err(match names.iter().find(|name| *name == text) {
                Some(_) => self.nested(leaves().map(|(_, leaf)| leaf.as_ref())),
                None => self.options.no_text_column(names),
            });
        };
        if leaf.max_rep_level() > 0 {
            return Err(self.not_text("a list", "take the items of the list apart first, with unnest in SQL"));
        }
        if is_text(leaf) {
            return Ok(index);
        }
        let held = format!("{:?}", leaf.physical_type());
        Err(self.not_text(&held, &format!("name another with --text, one of: {}", names.join(", "))))
    }

    fn not_text(&self, held: &str, advice: &str) -> FileError {
        let what = format!("the column holds {held}, not texts");
        FileError::Column(Fault::new(what, self.options.text_place(), advice))
    }

    /// The error for a column that is a struct, list or map.
    fn nested<'a>(&self, leaves: impl Iterator<Item = &'a ColumnDescriptor>) -> FileError {
        let mut within = leaves.filter(|leaf| leaf.path().parts()[0] == self.options.text);
        match within.find(|leaf| leaf.max_rep_level() == 0 && is_text(leaf)) {
            Some(leaf) => {
                self.not_text("a struct", &format!("name a field of it, for example --text {}", leaf.path().string()))
            }
            None => self.not_text("a list, map or struct", "take it apart first, with unnest in SQL"),
        }
    }

    fn place(&self) -> Place {
        self.options.text_place().at(Position::RowGroup(self.row_group))
    }

    fn undecodable(&self, error: &ParquetError) -> FileError {
        let advice = "write the file again, or label the rest with --keep-going";
        FileError::Damaged(Fault::new(error.to_string(), self.place(), advice))
    }

    fn decoder(&self, file: &File) -> Result<ParquetPushDecoder, FileError> {
        let metadata = file.metadata.metadata();
        let group = metadata.row_group(self.row_group);
        let rows = u64::try_from(group.num_rows()).unwrap_or_default().max(1);
        let column = group.column(file.leaf);
        let start = column.dictionary_page_offset().unwrap_or(column.data_page_offset());
        let end = start.checked_add(column.compressed_size()).and_then(|end| u64::try_from(end).ok());
        // The decoder panics on places that are no places.
        if start < 0 || column.compressed_size() < 0 || end.is_none_or(|end| end > self.footer.size()) {
            let error = ParquetError::General("the column lies beyond the end of the file".into());
            return Err(self.undecodable(&error));
        }
        let bytes = u64::try_from(column.uncompressed_size()).unwrap_or_default();
        let fitting = usize::try_from(BATCH_BYTES / (bytes / rows).max(1)).unwrap_or(usize::MAX).max(16);
        let mask = ProjectionMask::leaves(metadata.file_metadata().schema_descr(), [file.leaf]);
        ParquetPushDecoderBuilder::new_with_metadata(file.metadata.clone())
            .with_projection(mask)
            .with_row_groups(vec![self.row_group])
            .with_batch_size(self.options.batch_rows.min(fitting))
            .with_offset(usize::try_from(self.row).unwrap_or(usize::MAX))
            .build()
            .map_err(|error| self.undecodable(&error))
    }

    fn batch(&mut self, batch: &RecordBatch) -> Result<TextStep, FileError> {
        let first_row = self.row;
        let texts = texts(batch.column(0)).map_err(|row| {
            let position = Position::Row { row_group: self.row_group, row: first_row + row as u64 };
            let advice = "the column is binary: name a column of texts with --text, or convert it";
            let place = self.options.text_place().at(position);
            FileError::Text(Fault::new("the value is not UTF-8", place, advice))
        })?;
        self.row += texts.len() as u64;
        Ok(TextStep::Texts(TextBatch { row_group: self.row_group, first_row, texts }))
    }
}

fn is_text(leaf: &ColumnDescriptor) -> bool {
    let logical = leaf.logical_type_ref();
    leaf.physical_type() == PhysicalType::BYTE_ARRAY
        && matches!(logical, None | Some(LogicalType::String | LogicalType::Json | LogicalType::Enum))
        && !matches!(
            leaf.converted_type(),
            parquet::basic::ConvertedType::DECIMAL | parquet::basic::ConvertedType::BSON
        )
}

/// The texts of a leaf, below structs of one field each; or the first row that is not text.
fn texts(column: &ArrayRef) -> Result<ArrayRef, usize> {
    let mut column = Arc::clone(column);
    let mut nulls = None;
    while let Some(parent) = column.as_any().downcast_ref::<StructArray>() {
        nulls = NullBuffer::union(nulls.as_ref(), parent.nulls());
        column = Arc::clone(parent.column(0));
    }
    if nulls.is_none() && *column.data_type() == DataType::Utf8 {
        return Ok(column);
    }
    let nulls = NullBuffer::union(nulls.as_ref(), column.logical_nulls().as_ref());
    let mut texts = LargeStringBuilder::new();
    for row in 0..column.len() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            texts.append_null();
            continue;
        }
        let text = match column.data_type() {
            DataType::Utf8 => Some(column.as_string::<i32>().value(row)),
            DataType::Binary => std::str::from_utf8(column.as_binary::<i32>().value(row)).ok(),
            _ => None,
        };
        texts.append_value(text.ok_or(row)?);
    }
    Ok(Arc::new(texts.finish()))
}

impl TextReader for ParquetTexts {
    fn step(&mut self) -> Result<TextStep, FileError> {
        loop {
            let Some(file) = &self.file else {
                self.ranges = vec![self.footer.range()];
                return Ok(TextStep::Need(self.footer.need()));
            };
            let groups = file.metadata.metadata().row_groups();
            if self.row_group >= groups.len() {
                return Ok(TextStep::End);
            }
            let rows = u64::try_from(groups[self.row_group].num_rows()).unwrap_or_default();
            if self.decoder.is_none() && self.row < rows {
                self.decoder = Some(self.decoder(file)?);
            }
            let decoded = match &mut self.decoder {
                Some(decoder) => guarded(|| decoder.try_decode(), ParquetError::General),
                None => Ok(DecodeResult::Finished),
            };
            match decoded.map_err(|error| self.undecodable(&error))? {
                DecodeResult::NeedsData(ranges) => {
                    self.ranges.clone_from(&ranges);
                    return Ok(TextStep::Need(Need::Ranges(ranges)));
                }
                DecodeResult::Data(batch) => return self.batch(&batch),
                DecodeResult::Finished if self.row < rows => {
                    return Err(self.undecodable(&ParquetError::General("the row group has too few rows".into())));
                }
                DecodeResult::Finished => {
                    self.decoder = None;
                    self.row_group += 1;
                    self.row = 0;
                }
            }
        }
    }

    fn supply(&mut self, mut bytes: Vec<Bytes>) -> Result<(), FileError> {
        check_ranges(&self.ranges, &bytes)?;
        let ranges = std::mem::take(&mut self.ranges);
        if let Some(decoder) = &mut self.decoder {
            let pushed = decoder.push_ranges(ranges, bytes);
            return pushed.map_err(|error| self.undecodable(&error));
        }
        let Some(bytes) = bytes.pop() else { return Ok(()) };
        if let Some(footer) = self.footer.supply(&bytes)? {
            self.file = Some(self.open(&footer)?);
        }
        Ok(())
    }

    fn row_groups(&self) -> Option<Vec<u64>> {
        let groups = self.file.as_ref()?.metadata.metadata().row_groups();
        Some(groups.iter().map(|group| u64::try_from(group.num_rows()).unwrap_or_default()).collect())
    }
}
