//! Tests of Arrow files and streams as a whole.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float32Array, Int64Array, RecordBatch, StringArray, StringViewArray,
    StructArray,
};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::ipc::writer::{DictionaryHandling, FileWriter, IpcWriteOptions, StreamWriter};
use arrow::ipc::{CompressionType, MessageHeader};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::Bytes;
use proptest::prelude::*;

use crate::arrow_file::copier::ArrowCopier;
use crate::arrow_file::message::{Split, Splitter};
use crate::arrow_file::texts::ArrowTexts;
use crate::drive::{self, DriveError};
use crate::error::FileError;
use crate::options::Options;
use crate::step::{Copier, CopyStep, TextReader, TextStep};

fn added() -> SchemaRef {
    let scores = DataType::Struct(vec![Field::new("joy", DataType::Float32, true)].into());
    Arc::new(Schema::new(vec![Field::new("label", DataType::Utf8, true), Field::new("scores", scores, true)]))
}

fn labels(rows: usize) -> RecordBatch {
    let label = StringArray::from(vec!["joy"; rows]);
    let joy: ArrayRef = Arc::new(Float32Array::from(vec![0.5; rows]));
    let DataType::Struct(fields) = added().field(1).data_type().clone() else { panic!("a struct") };
    let scores = StructArray::new(fields, vec![joy], None);
    RecordBatch::try_new(added(), vec![Arc::new(label), Arc::new(scores)]).unwrap()
}

fn options() -> Options {
    Options { batch_rows: 3, metadata: vec![("model".into(), "m".into())], ..Options::new("a.arrow", "text", added()) }
}

fn copy(input: &[u8], chunk: usize) -> Result<Vec<u8>, FileError> {
    let (mut copier, mut chunks, mut out) = (ArrowCopier::new(&options(), None), input.chunks(chunk), Vec::new());
    loop {
        match copier.step(&mut out)? {
            CopyStep::Need(_) => copier.supply(chunks.next().map(Bytes::copy_from_slice).into_iter().collect())?,
            CopyStep::Rows { rows, .. } => copier.add(&labels(rows))?,
            CopyStep::Output => {}
            CopyStep::End => return Ok(out),
        }
    }
}

/// Copies a file whose size is known, by the blocks of its footer.
fn copy_blocks(input: &[u8]) -> Result<Vec<u8>, DriveError> {
    let (mut copier, mut out) = (ArrowCopier::new(&options(), Some(input.len() as u64)), Vec::new());
    drive::copy(&mut copier, &mut Cursor::new(input), &mut out, |_, rows| labels(rows))?;
    Ok(out)
}

fn texts(options: &Options, input: &[u8], chunk: usize) -> Result<Vec<Option<String>>, FileError> {
    let (mut reader, mut chunks, mut texts) = (ArrowTexts::new(options, None), input.chunks(chunk), Vec::new());
    loop {
        match reader.step()? {
            TextStep::Need(_) => {
                reader.supply(chunks.next().map(Bytes::copy_from_slice).into_iter().collect())?;
            }
            TextStep::Texts(batch) => {
                assert_eq!(batch.first_row, options.start.1 + texts.len() as u64);
                let batch = arrow::compute::cast(&batch.texts, &DataType::Utf8).unwrap();
                texts.extend(batch.as_string::<i32>().iter().map(|text| text.map(String::from)));
            }
            TextStep::End => return Ok(texts),
        }
    }
}

fn batch(rows: std::ops::Range<usize>) -> RecordBatch {
    let text: StringArray = rows.clone().map(|row| (row % 4 > 0).then(|| format!("text {row}"))).collect();
    let category: DictionaryArray<Int32Type> = rows.clone().map(|row| ["a", "b", "c"][row % 3]).collect();
    let ids = Int64Array::from_iter_values(rows.clone().map(|row| i64::try_from(row).unwrap()));
    let views: StringViewArray = rows.map(|row| Some(format!("a long text for a view {row}"))).collect();
    let fields = vec![Field::new("text", DataType::Utf8, true)].into();
    let data = StructArray::new(fields, vec![Arc::new(text.clone())], None);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("category", Arc::new(category)),
        ("text", Arc::new(text)),
        ("id", Arc::new(ids)),
        ("view", Arc::new(views)),
        ("data", Arc::new(data)),
    ];
    let batch =
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true)));
    let batch = batch.unwrap();
    let metadata = [("geo".to_string(), "{}".to_string())].into();
    let schema = Schema::new_with_metadata(batch.schema().fields().clone(), metadata);
    batch.with_schema(Arc::new(schema)).unwrap()
}

fn compressed(compression: Option<CompressionType>) -> IpcWriteOptions {
    IpcWriteOptions::default().try_with_compression(compression).unwrap()
}

fn stream(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = StreamWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn file(batches: &[RecordBatch], options: IpcWriteOptions) -> Vec<u8> {
    let mut writer = FileWriter::try_new_with_options(Vec::new(), &batches[0].schema(), options).unwrap();
    for batch in batches {
        writer.write(batch).unwrap();
    }
    writer.write_metadata("kept", "value");
    writer.finish().unwrap();
    writer.into_inner().unwrap()
}

fn read_file(bytes: &[u8]) -> (Vec<RecordBatch>, std::collections::HashMap<String, String>) {
    let reader = FileReader::try_new(Cursor::new(bytes), None).unwrap();
    let metadata = reader.custom_metadata().clone();
    (reader.map(Result::unwrap).collect(), metadata)
}

fn read_stream(bytes: &[u8]) -> Vec<RecordBatch> {
    StreamReader::try_new(Cursor::new(bytes), None).unwrap().map(Result::unwrap).collect()
}

fn assert_labeled(before: &[RecordBatch], after: &[RecordBatch]) {
    assert_eq!(before.len(), after.len());
    for (old, new) in before.iter().zip(after) {
        let columns: Vec<_> = (0..old.num_columns()).collect();
        assert_eq!(new.project(&columns).unwrap(), *old);
        assert_eq!(new.num_columns(), old.num_columns() + 2);
        let label = new.column_by_name("label").unwrap();
        assert!(label.as_string::<i32>().iter().all(|label| label == Some("joy")));
        let scores = new.column_by_name("scores").unwrap().as_struct();
        assert!(scores.column(0).as_primitive::<arrow::datatypes::Float32Type>().iter().all(|joy| joy == Some(0.5)));
    }
}

/// Batches whose dictionaries differ, with an empty one.
fn batches() -> [RecordBatch; 3] {
    [batch(0..5), batch(5..5), batch(7..8)]
}

#[test]
fn streams_are_copied_with_replaced_dictionaries() {
    for compression in [None, Some(CompressionType::ZSTD), Some(CompressionType::LZ4_FRAME)] {
        let before = stream(&batches(), compressed(compression));
        assert_labeled(&batches(), &read_stream(&copy(&before, 100).unwrap()));
        assert_eq!(texts(&options(), &before, 100).unwrap().len(), 6);
    }
}

#[test]
fn streams_are_copied_with_delta_dictionaries() {
    let options = compressed(None).with_dictionary_handling(DictionaryHandling::Delta);
    let grown = [batch(0..2), batch(0..3)];
    let before = stream(&grown, options);
    assert_labeled(&grown, &read_stream(&copy(&before, 100).unwrap()));
}

#[test]
fn metadata_of_a_batch_is_kept() {
    // Written by pyarrow 26: two texts, and `custom_metadata={'source': 'crawl'}`.
    const STREAM: &str = "/////3AAAAAQAAAAAAAKAAwABgAFAAgACgAAAAABBAAMAAAACAAIAAAABAAIAAAABAAAAAEAAAAUAAAAEAAUAAgABgAHAAwAAAAQABAAAAAAAAEFEAAAABwAAAAEAAAAAAAAAAQAAAB0ZXh0AAAAAAQABAAEAAAA/////9gAAAAYAAAAAAAAAAAADgAcAAYABQAIABAADAAOAAAAAAMEAFQAAAAQAAAAIAAAAAAAAAAAAAAAAQAAAAwAAAAIAAwABAAIAAgAAAAUAAAABAAAAAUAAABjcmF3bAAAAAYAAABzb3VyY2UAAAAACgAYAAwABAAIAAoAAABMAAAAEAAAAAIAAAAAAAAAAAAAAAMAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAMAAAAAAAAABAAAAAAAAAACQAAAAAAAAAAAAAAAQAAAAIAAAAAAAAAAAAAAAAAAAAAAAAABQAAAAkAAAAAAAAAR29vZC5CYWQuAAAAAAAAAP////8AAAAA";
    let before = BASE64_STANDARD.decode(STREAM).unwrap();
    let after = copy(&before, before.len()).unwrap();
    assert_labeled(&read_stream(&before), &read_stream(&after));
    let mut splitter = Splitter::new(&options(), None);
    splitter.supply(vec![Bytes::from(after)]).unwrap();
    let batch = loop {
        match splitter.next().unwrap() {
            Split::Message(message) if message.kind() == MessageHeader::RecordBatch => break message,
            Split::Message(_) | Split::Start(_) => {}
            Split::End(_) | Split::Need(_) => panic!("no record batch"),
        }
    };
    let entries = batch.root().unwrap().custom_metadata().unwrap();
    let entries: Vec<_> = entries.iter().map(|entry| (entry.key(), entry.value())).collect();
    assert_eq!(entries, [(Some("source"), Some("crawl"))]);
}

#[test]
fn files_are_copied_with_their_metadata() {
    let parts = [batch(0..5), batch(0..5).slice(1, 2)];
    for compression in [None, Some(CompressionType::ZSTD)] {
        let before = file(&parts, compressed(compression));
        for output in [copy(&before, 100).unwrap(), copy_blocks(&before).unwrap()] {
            let (after, metadata) = read_file(&output);
            assert_labeled(&parts, &after);
            assert_eq!((metadata["kept"].as_str(), metadata["model"].as_str()), ("value", "m"));
            assert_eq!(after[0].schema().metadata()["geo"], "{}");
        }
    }
}

/// Polars writes files like this.
#[test]
fn a_footer_may_follow_the_last_batch_without_a_mark() {
    let before = file(&batches()[..1], compressed(None));
    let tail = before.len() - 10;
    let length = i32::from_le_bytes(before[tail..tail + 4].try_into().unwrap());
    let footer = tail - usize::try_from(length).unwrap();
    let without = [&before[..footer - 8], &before[footer..]].concat();
    assert_eq!(before[footer - 8..footer], [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    assert_labeled(&batches()[..1], &read_file(&copy(&without, 100).unwrap()).0);
}

/// Polars begins a file with a schema that is no message.
#[test]
fn a_file_is_read_by_its_footer() {
    let mut before = file(&batches()[..1], compressed(None));
    before[8..128].fill(4);
    assert_labeled(&batches()[..1], &read_file(&copy_blocks(&before).unwrap()).0);
    let mut reader = ArrowTexts::new(&options(), Some(before.len() as u64));
    let mut rows = 0;
    drive::read_texts(&mut reader, &mut Cursor::new(&before), |batch| rows += batch.texts.len()).unwrap();
    assert_eq!(rows, 5);
}

#[test]
fn a_stream_of_known_size_is_copied() {
    let before = stream(&batches(), compressed(None));
    assert_eq!(copy_blocks(&before).unwrap(), copy(&before, 100).unwrap());
}

#[test]
fn a_copy_is_valid_input_and_a_taken_name_is_refused() {
    let once = copy(&file(&batches()[..1], compressed(None)), 100).unwrap();
    let error = texts(&options(), &once, 100).unwrap_err();
    assert!(error.to_string().starts_with("the file already has a column 'label'"));
}

#[test]
fn texts_are_read_from_dictionaries_and_structs_and_from_a_row() {
    let before = stream(&batches(), compressed(None));
    let at = |text: &str, start| Options { text: text.into(), start: (0, start), ..options() };
    let read = |text, start| {
        let texts = texts(&at(text, start), &before, 100).unwrap();
        texts.into_iter().map(|text| text.unwrap_or("-".into())).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(read("category", 0), "a b c a b b");
    assert_eq!(read("data.text", 4), "- text 7");
    assert_eq!(read("text", 1), "text 1 text 2 text 3 - text 7");
    let refused = |text| texts(&at(text, 0), &before, 100).unwrap_err().to_string();
    assert!(refused("id").starts_with("the column holds Int64, not texts"));
    assert!(refused("data").contains("--text data.NAME"));
    assert!(refused("Text").contains("use --text 'text'"));
}

#[test]
fn damaged_and_old_files_are_refused() {
    let before = file(&batches()[..1], compressed(None));
    for cut in [0, 5, 100, before.len() / 2, before.len() - 1] {
        assert!(matches!(copy(&before[..cut], 64).unwrap_err(), FileError::Damaged(_)), "{cut}");
        assert!(copy_blocks(&before[..cut]).is_err(), "{cut}");
    }
    let cut = stream(&batches(), compressed(None));
    assert!(texts(&options(), &cut[..cut.len() / 2], 64).is_err());
    assert!(texts(&options(), b"FEA1\0\0\0\0", 64).unwrap_err().to_string().contains("Feather version 1"));
}

/// Overwrites one number, such as a length, everywhere it occurs.
fn with_number(bytes: &[u8], old: i64, new: i64) -> Vec<(usize, Vec<u8>)> {
    let (old, new) = (old.to_le_bytes(), new.to_le_bytes());
    let places = bytes.windows(8).enumerate().filter(|(_, window)| *window == old).map(|(at, _)| at);
    places.map(|at| (at, [&bytes[..at], &new, &bytes[at + 8..]].concat())).collect()
}

#[test]
fn damaged_lengths_allocate_no_memory() {
    const HUGE: i64 = 1 << 40;
    // No other number in the file is the number of rows.
    let rows = batch(0..41);
    let before = file(std::slice::from_ref(&rows), compressed(None));
    let damaged = with_number(&before, 41, HUGE);
    assert!(damaged.len() > 5, "{}", damaged.len());
    for (at, damaged) in damaged {
        let copied = copy(&damaged, 4096).map_or(0, |output| output.len());
        assert!(copied < 2 * before.len(), "the length at {at}");
        let read = texts(&options(), &damaged, 4096).map_or(0, |texts| texts.len());
        assert!(read <= 41, "the length at {at}");
    }
    for codec in [CompressionType::LZ4_FRAME, CompressionType::ZSTD] {
        let text: StringArray = (0..1000).map(|_| Some("a text that can be compressed")).collect();
        let batch = RecordBatch::try_from_iter([("text", Arc::new(text) as ArrayRef)]).unwrap();
        let before = file(std::slice::from_ref(&batch), compressed(Some(codec)));
        assert_eq!(texts(&options(), &before, 4096).unwrap().len(), 1000);
        let damaged = with_number(&before, 29_000, HUGE);
        assert_ne!(damaged.len(), 0);
        for (at, damaged) in damaged {
            assert!(texts(&options(), &damaged, 4096).is_err(), "{codec:?} at {at}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(32) })]

    #[test]
    fn chunks_make_no_difference(first in 0..9_usize, second in 0..9_usize, chunk in 1..700_usize, is_file: bool) {
        let parts = [batch(0..first), batch(0..first + second)];
        let (before, after);
        if is_file {
            before = file(&parts[..1], compressed(None));
            after = read_file(&copy(&before, chunk).unwrap()).0;
            assert_labeled(&parts[..1], &after);
        } else {
            before = stream(&parts, compressed(None));
            after = read_stream(&copy(&before, chunk).unwrap());
            assert_labeled(&parts, &after);
        }
        let all = concat_batches(&after[0].schema(), &after).unwrap();
        let expected = all.column_by_name("text").unwrap().as_string::<i32>().clone();
        let expected: Vec<_> = expected.iter().map(|text| text.map(String::from)).collect();
        prop_assert_eq!(texts(&options(), &before, chunk).unwrap(), expected);
    }

    #[test]
    fn damage_does_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut before = file(&batches()[..1], compressed(None));
        let at = at.index(before.len());
        before[at] = byte;
        let _ = copy(&before, 4096);
        let _ = copy_blocks(&before);
        let _ = texts(&options(), &before, 4096);
    }
}
