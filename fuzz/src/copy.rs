//! Copies of files with added columns.

use std::io::Cursor;
use std::sync::{Arc, Once};

use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::ipc::writer::FileWriter;
use emotion_label::drive::{DriveError, copy, read_texts};
use emotion_label::format::{FileType, Format};
use emotion_label::open;
use emotion_label::options::Options;
use parquet::arrow::ArrowWriter;

use crate::allow_caught_panics;

/// The readers catch panics of the libraries for Arrow and Parquet.
static CAUGHT_PANICS: Once = Once::new();

fn added() -> SchemaRef {
    let fields = vec![Field::new("label", DataType::Utf8, true), Field::new("score", DataType::Float32, true)];
    Arc::new(Schema::new(fields))
}

fn labels(rows: usize) -> RecordBatch {
    let columns: Vec<ArrayRef> =
        vec![Arc::new(StringArray::from(vec!["joy"; rows])), Arc::new(Float32Array::from(vec![0.5; rows]))];
    RecordBatch::try_new(added(), columns).expect("two columns of equal length")
}

fn texts(file: FileType, content: &[u8], options: &Options) -> Result<Vec<Option<String>>, DriveError> {
    let mut reader = open::texts(file, Some(content.len() as u64), options)?;
    let mut texts = Vec::new();
    read_texts(&mut *reader, &mut Cursor::new(content), |batch| {
        let batch = cast(&batch.texts, &DataType::LargeUtf8).expect("texts are strings");
        texts.extend(batch.as_string::<i64>().iter().map(|text| text.map(String::from)));
    })?;
    Ok(texts)
}

/// Reads the texts of a file and copies it with two columns. Errors are fine.
///
/// # Panics
///
/// If a copy succeeds whose texts are not those of the file.
pub fn check(format: Format, content: &[u8]) {
    CAUGHT_PANICS.call_once(allow_caught_panics);
    let file = FileType { format, compression: None };
    let mut options = Options::new("a file", "text", added());
    options.batch_rows = 3;
    let Ok(before) = texts(file, content, &options) else { return };
    let mut copied = Vec::new();
    let size = Some(content.len() as u64);
    let Ok(mut copier) = open::copier(file, size, None, &options) else { return };
    if copy(&mut *copier, &mut Cursor::new(content), &mut copied, |_, rows| labels(rows)).is_err() {
        return;
    }
    options.added = Arc::new(Schema::empty());
    let after = texts(file, &copied, &options).expect("a copy can be read");
    assert_eq!(before, after);
}

fn batch() -> RecordBatch {
    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some("I like you."), None, Some(""), Some("No,\nI don't.")]));
    let scores: ArrayRef = Arc::new(Float32Array::from(vec![Some(1.0), Some(0.25), None, Some(-0.0)]));
    RecordBatch::try_from_iter_with_nullable([("text", texts, true), ("x", scores, true)]).expect("two columns")
}

/// A valid Arrow file with a column `text`.
///
/// # Panics
///
/// Never: the file is written to memory.
#[must_use]
pub fn arrow_file() -> Vec<u8> {
    let mut writer = FileWriter::try_new(Vec::new(), &batch().schema()).expect("a schema");
    writer.write(&batch()).expect("a record batch");
    writer.write(&batch()).expect("a record batch");
    writer.into_inner().expect("a footer")
}

/// A valid Parquet file with a column `text`.
///
/// # Panics
///
/// Never: the file is written to memory.
#[must_use]
pub fn parquet_file() -> Vec<u8> {
    let mut writer = ArrowWriter::try_new(Vec::new(), batch().schema(), None).expect("a schema");
    writer.write(&batch()).expect("a record batch");
    writer.flush().expect("a row group");
    writer.write(&batch()).expect("a record batch");
    writer.into_inner().expect("a footer")
}
