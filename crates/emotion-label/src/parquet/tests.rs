//! Tests of Parquet files as a whole.

use std::io::Cursor;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryArray, DictionaryArray, Float32Array, Int32Array, Int64Array, ListArray,
    RecordBatch, StringArray, StructArray,
};
use arrow::buffer::NullBuffer;
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef};
use bytes::Bytes;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use parquet::basic::Compression;
use parquet::file::metadata::{KeyValue, PageIndexPolicy, ParquetMetaData};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder, WriterVersion};
use proptest::prelude::*;

use crate::drive::{self, DriveError};
use crate::error::{FileError, Position};
use crate::options::Options;
use crate::parquet::copier::ParquetCopier;
use crate::parquet::texts::ParquetTexts;

fn added() -> SchemaRef {
    let scores = DataType::Struct(vec![Field::new("joy", DataType::Float32, true)].into());
    Arc::new(Schema::new(vec![Field::new("label", DataType::Utf8, true), Field::new("scores", scores, true)]))
}

/// Labels that tell row groups and rows apart.
fn labels(row_group: usize, rows: usize) -> RecordBatch {
    let label: StringArray = (0..rows).map(|row| Some(format!("{row_group}-{}", row % 3))).collect();
    let joy: ArrayRef = Arc::new(Float32Array::from(vec![0.5; rows]));
    let DataType::Struct(fields) = added().field(1).data_type().clone() else { panic!("a struct") };
    let scores = StructArray::new(fields, vec![joy], None);
    RecordBatch::try_new(added(), vec![Arc::new(label), Arc::new(scores)]).unwrap()
}

fn options() -> Options {
    Options {
        batch_rows: 7,
        metadata: vec![("model".into(), "m".into())],
        ..Options::new("a.parquet", "text", added())
    }
}

fn input(rows: usize) -> RecordBatch {
    let at = |row: usize| i64::try_from(row).unwrap();
    let text: StringArray = (0..rows).map(|row| (row % 4 > 0).then(|| format!("text {row}"))).collect();
    let id = Int64Array::from_iter_values((0..rows).map(at));
    let lists = (0..rows).map(|row| Some((0..row % 3).map(|item| Some(i32::try_from(item).unwrap()))));
    let list = ListArray::from_iter_primitive::<Int32Type, _, _>(lists);
    let category: DictionaryArray<Int32Type> = (0..rows).map(|row| ["a", "b"][row % 2]).collect();
    let inner: ArrayRef = Arc::new((0..rows).map(|row| Some(format!("inner {row}"))).collect::<StringArray>());
    let nulls: NullBuffer = (0..rows).map(|row| row % 5 > 0).collect();
    let fields = vec![Field::new("text", DataType::Utf8, true)].into();
    let data = StructArray::new(fields, vec![inner], Some(nulls));
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(id)),
        ("text", Arc::new(text)),
        ("list", Arc::new(list)),
        ("category", Arc::new(category)),
        ("data", Arc::new(data)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, column)| (name, column, true))).unwrap()
}

fn file(batch: &RecordBatch, group: usize, properties: WriterPropertiesBuilder) -> Vec<u8> {
    let properties = properties.set_max_row_group_row_count(Some(group)).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.into_inner().unwrap()
}

fn copy(options: &Options, input: &[u8]) -> Result<Vec<u8>, DriveError> {
    let (mut copier, mut out) = (ParquetCopier::new(options, input.len() as u64), Vec::new());
    drive::copy(&mut copier, &mut Cursor::new(input), &mut out, labels)?;
    Ok(out)
}

fn texts(options: &Options, input: &[u8]) -> Result<Vec<Option<String>>, DriveError> {
    let (mut reader, mut found) = (ParquetTexts::new(options, input.len() as u64), Vec::new());
    drive::read_texts(&mut reader, &mut Cursor::new(input), |batch| {
        let texts = arrow::compute::cast(&batch.texts, &DataType::Utf8).unwrap();
        found.extend(texts.as_string::<i32>().iter().map(|text| text.map(String::from)));
    })?;
    Ok(found)
}

fn fault(error: DriveError) -> (String, Position) {
    let DriveError::File(error) = error else { panic!("{error}") };
    let fault = error.fault().unwrap();
    (format!("{} | {}", fault.what, fault.advice), fault.place.position)
}

fn open(bytes: &[u8]) -> ParquetRecordBatchReaderBuilder<Bytes> {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Optional);
    ParquetRecordBatchReaderBuilder::try_new_with_options(Bytes::copy_from_slice(bytes), options).unwrap()
}

fn read(bytes: &[u8]) -> RecordBatch {
    let builder = open(bytes);
    let schema = builder.schema().clone();
    let batches: Vec<_> = builder.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

/// Checks that old columns are in the output byte for byte, and are described as they were.
fn assert_copied(before: &[u8], after: &[u8]) {
    let (old, new) = (open(before), open(after));
    let (old, new): (&ParquetMetaData, &ParquetMetaData) = (old.metadata(), new.metadata());
    assert_eq!(old.num_row_groups(), new.num_row_groups());
    for (index, (old_group, new_group)) in old.row_groups().iter().zip(new.row_groups()).enumerate() {
        assert_eq!(old_group.num_rows(), new_group.num_rows());
        for (column, (x, y)) in old_group.columns().iter().zip(new_group.columns()).enumerate() {
            let bytes = |bytes: &[u8], (start, length): (u64, u64)| {
                let start = usize::try_from(start).unwrap();
                bytes[start..start + usize::try_from(length).unwrap()].to_vec()
            };
            assert_eq!(bytes(before, x.byte_range()), bytes(after, y.byte_range()));
            assert_eq!(x.statistics(), y.statistics());
            assert_eq!(x.compression(), y.compression());
            assert_eq!(x.column_descr(), y.column_descr());
            assert_eq!(x.bloom_filter_length(), y.bloom_filter_length());
            if let (Some(x), Some(length)) = (x.bloom_filter_offset(), x.bloom_filter_length()) {
                let at = |offset: i64| (u64::try_from(offset).unwrap(), u64::try_from(length).unwrap());
                assert_eq!(bytes(before, at(x)), bytes(after, at(y.bloom_filter_offset().unwrap())));
            }
            let indexes = |metadata: &ParquetMetaData| metadata.column_index().map(|all| all[index][column].clone());
            assert_eq!(indexes(old), indexes(new));
            let pages = |metadata: &ParquetMetaData, start: u64| {
                let pages = metadata.offset_index().map(|all| all[index][column].page_locations().clone());
                let page = |page: &parquet::file::page_index::offset_index::PageLocation| {
                    (page.offset - start.cast_signed(), page.compressed_page_size, page.first_row_index)
                };
                pages.map(|pages| pages.iter().map(page).collect::<Vec<_>>())
            };
            assert_eq!(pages(old, x.byte_range().0), pages(new, y.byte_range().0));
        }
    }
    let (old, new) = (old.file_metadata(), new.file_metadata());
    assert_eq!(old.created_by(), new.created_by());
    assert_eq!(old.schema().get_fields(), &new.schema().get_fields()[..old.schema().get_fields().len()]);
    let (old, new) = (read(before), read(after));
    assert_eq!(new.project(&(0..old.num_columns()).collect::<Vec<_>>()).unwrap().columns(), old.columns());
}

fn plain() -> WriterPropertiesBuilder {
    WriterProperties::builder()
}

#[test]
fn columns_are_copied_and_labels_added() {
    let before = file(&input(50), 20, plain().set_compression(Compression::SNAPPY));
    let after = copy(&options(), &before).unwrap();
    assert_copied(&before, &after);
    let table = read(&after);
    let label = table.column_by_name("label").unwrap().as_string::<i32>();
    assert_eq!((label.value(0), label.value(19), label.value(20), label.value(49)), ("0-0", "0-2", "1-0", "2-2"));
    let scores = table.column_by_name("scores").unwrap().as_struct();
    assert_eq!(scores.column(0).len(), 50);
    let metadata = open(&after).metadata().clone();
    let added = metadata.row_group(0).columns().last().unwrap();
    assert_eq!(added.compression(), Compression::SNAPPY);
    let model = KeyValue::new("model".to_string(), "m".to_string());
    assert!(metadata.file_metadata().key_value_metadata().unwrap().contains(&model));
}

#[test]
fn a_copy_is_copied_again_and_an_added_name_is_refused() {
    let before = file(&input(10), 10, plain());
    let once = copy(&options(), &before).unwrap();
    let error = texts(&options(), &once).unwrap_err();
    assert!(fault(error).0.starts_with("the file already has a column 'label'"));
}

#[test]
fn texts_are_read_from_a_row_of_a_row_group() {
    let before = file(&input(50), 20, plain());
    let all = texts(&options(), &before).unwrap();
    assert_eq!(all.len(), 50);
    assert_eq!((all[0].as_deref(), all[21].as_deref()), (None, Some("text 21")));
    let from = texts(&Options { start: (1, 13), ..options() }, &before).unwrap();
    assert_eq!(from, all[33..]);
}

#[test]
fn texts_are_read_from_a_struct() {
    let options = Options { text: "data.text".into(), ..options() };
    let texts = texts(&options, &file(&input(10), 20, plain())).unwrap();
    assert_eq!((texts[5].as_deref(), texts[6].as_deref()), (None, Some("inner 6")));
}

#[test]
fn columns_that_are_no_texts_are_refused_with_advice() {
    let before = file(&input(10), 20, plain());
    let refusal = |text: &str| fault(texts(&Options { text: text.into(), ..options() }, &before).unwrap_err()).0;
    assert_eq!(refusal("Text"), "there is no column 'Text' | use --text 'text'");
    assert!(refusal("data").ends_with("for example --text data.text"));
    assert!(refusal("list").contains("unnest"));
    assert!(refusal("id").starts_with("the column holds INT64, not texts"));
}

#[test]
fn binary_columns_are_texts_where_they_are_utf8() {
    let table = |values: Vec<&[u8]>| {
        let column: ArrayRef = Arc::new(BinaryArray::from(values));
        file(&RecordBatch::try_from_iter([("text", column)]).unwrap(), 2, plain())
    };
    assert_eq!(texts(&options(), &table(vec![b"a", b"b"])).unwrap(), [Some("a".into()), Some("b".into())]);
    let error = texts(&options(), &table(vec![b"a", b"b", b"c", b"\xff"])).unwrap_err();
    assert_eq!(fault(error).1, Position::Row { row_group: 1, row: 1 });
}

#[test]
fn row_groups_can_be_left_out() {
    let before = file(&input(50), 20, plain());
    let after = copy(&Options { left_out: [1].into(), ..options() }, &before).unwrap();
    let ids = read(&after).column_by_name("id").unwrap().as_primitive::<arrow::datatypes::Int64Type>().clone();
    assert_eq!((ids.len(), ids.value(19), ids.value(20)), (30, 19, 40));
}

#[test]
fn a_file_without_rows_gets_the_columns() {
    let before = file(&input(0), 20, plain());
    let table = read(&copy(&options(), &before).unwrap());
    assert_eq!((table.num_rows(), table.num_columns()), (0, 7));
}

#[test]
fn damaged_files_are_refused() {
    let before = file(&input(10), 20, plain());
    for cut in [0, 3, 9, before.len() / 2, before.len() - 1] {
        let error = copy(&options(), &before[..cut]).unwrap_err();
        assert!(matches!(error, DriveError::File(FileError::Damaged(_))), "{cut}: {error}");
        assert!(texts(&options(), &before[..cut]).is_err());
    }
}

/// The library panics on some of these, for example on definition levels beyond the end of a page. Columns other than
/// the texts are copied with their damage, which is not read.
#[test]
fn a_damaged_byte_causes_no_panic_and_changes_no_text_of_a_copy() {
    let before = file(&input(4), 2, plain().set_bloom_filter_enabled(true));
    let of_copy = Options { added: Arc::new(Schema::empty()), ..options() };
    for (offset, old) in before.iter().enumerate() {
        for value in [0, 0xa1, 0xff, old ^ 1] {
            let mut damaged = before.clone();
            damaged[offset] = value;
            let (Ok(found), Ok(copied)) = (texts(&options(), &damaged), copy(&options(), &damaged)) else { continue };
            assert_eq!(texts(&of_copy, &copied).unwrap(), found, "{offset}: {old} -> {value}");
        }
    }
}

#[test]
fn a_pointer_of_git_lfs_is_named_as_such() {
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
    for error in [copy(&options(), pointer).unwrap_err(), texts(&options(), pointer).unwrap_err()] {
        assert!(error.to_string().contains("git lfs pull"), "{error}");
    }
}

#[test]
fn statistics_of_some_columns_alone_are_copied() {
    let some = plain().set_column_statistics_enabled("id".into(), EnabledStatistics::None);
    let before = file(&input(50), 20, some);
    assert_copied(&before, &copy(&options(), &before).unwrap());
}

fn properties() -> impl Strategy<Value = WriterPropertiesBuilder> {
    let codec = prop_oneof![
        Just(Compression::UNCOMPRESSED),
        Just(Compression::SNAPPY),
        Just(Compression::LZ4_RAW),
        Just(Compression::ZSTD(parquet::basic::ZstdLevel::default())),
    ];
    let statistics =
        prop_oneof![Just(EnabledStatistics::None), Just(EnabledStatistics::Chunk), Just(EnabledStatistics::Page)];
    (codec, statistics, any::<[bool; 4]>(), 1..40_usize).prop_map(
        |(codec, statistics, [dictionary, bloom, has_offsets, is_v2], page)| {
            let version = if is_v2 { WriterVersion::PARQUET_2_0 } else { WriterVersion::PARQUET_1_0 };
            plain()
                .set_compression(codec)
                .set_statistics_enabled(statistics)
                .set_dictionary_enabled(dictionary)
                .set_bloom_filter_enabled(bloom)
                .set_offset_index_disabled(!has_offsets)
                .set_writer_version(version)
                .set_data_page_row_count_limit(page)
                .set_write_batch_size(page)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn files_are_copied_however_they_were_written(
        properties in properties(), rows in 0..90_usize, group in 1..50_usize,
    ) {
        let before = file(&input(rows), group, properties);
        let after = copy(&options(), &before).unwrap();
        assert_copied(&before, &after);
        prop_assert_eq!(texts(&options(), &before).unwrap().len(), rows);
        let all = Int32Array::from_iter_values(0..i32::try_from(rows).unwrap());
        prop_assert_eq!(all.len(), read(&after).num_rows());
    }

    /// Damaged bytes give an error or a copy, never a panic.
    #[test]
    fn damage_does_not_panic(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut before = file(&input(20), 10, plain());
        let footer = before.len() - 3000.min(before.len());
        let at = footer + at.index(before.len() - footer);
        before[at] = byte;
        let _ = copy(&options(), &before);
        let _ = texts(&options(), &before);
    }
}
