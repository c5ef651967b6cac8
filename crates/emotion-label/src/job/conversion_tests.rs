//! The documented table of type conversions, compared with what the encoders write.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, Decimal128Array, Int32Array, ListArray, MapBuilder, RecordBatch, StringArray,
    StringBuilder, StructArray, UnionArray, new_null_array,
};
use arrow::buffer::ScalarBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Fields, Int32Type, IntervalUnit, Schema, SchemaRef, TimeUnit, UnionFields};
use arrow::ipc;
use bytes::Bytes;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;

use crate::format::{Format, stored};
use crate::job::encoder::{Encoder, WriteOptions};

/// The formats of the table, in the order of its columns.
const FORMATS: [Format; 4] = [Format::Parquet, Format::Csv, Format::Json, Format::Arrow];

/// The rows of the table after its first: what the documentation says of each type.
fn documented() -> Vec<Vec<String>> {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/label.md")).unwrap();
    let (_, table) =
        page.split_once("| type | Parquet | CSV, TSV | JSON lines | Arrow |\n|---|---|---|---|---|\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_string()).collect()).collect()
}

fn numbers() -> Int32Array {
    Int32Array::from(vec![1, 2])
}

/// Two values of a type to which numbers can be cast.
fn of_numbers(data_type: &DataType) -> ArrayRef {
    let numbers: ArrayRef = Arc::new(numbers());
    let integers = if data_type.is_numeric() { numbers } else { cast(&numbers, &wide(data_type)).unwrap() };
    cast(&integers, data_type).unwrap()
}

/// The integers that a temporal type is stored in.
fn wide(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Date32 | DataType::Time32(_) | DataType::Boolean | DataType::Interval(_) => DataType::Int32,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        _ => DataType::Int64,
    }
}

fn list() -> ListArray {
    ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1)]), Some(vec![None])])
}

fn map(keys: &ArrayRef) -> ArrayRef {
    let mut builder = MapBuilder::new(None, StringBuilder::new(), StringBuilder::new());
    for key in ["a", "b"] {
        builder.keys().append_value(key);
        builder.values().append_value("v");
        builder.append(true).unwrap();
    }
    let map = builder.finish();
    let (_, offsets, entries, nulls, is_sorted) = map.into_parts();
    let values = Arc::clone(entries.column(1));
    let fields = Fields::from(vec![
        Field::new("keys", keys.data_type().clone(), false),
        Field::new("values", DataType::Utf8, true),
    ]);
    let entries = StructArray::new(fields.clone(), vec![Arc::clone(keys), values], None);
    let field = Arc::new(Field::new("entries", DataType::Struct(fields), false));
    Arc::new(arrow::array::MapArray::new(field, offsets, entries, nulls, is_sorted))
}

fn union() -> ArrayRef {
    let fields = UnionFields::try_new(vec![0], vec![Field::new("a", DataType::Int32, true)]).unwrap();
    let ids = ScalarBuffer::from(vec![0_i8, 0]);
    Arc::new(UnionArray::try_new(fields, ids, None, vec![Arc::new(numbers())]).unwrap())
}

/// Values of the types that a row of the table stands for.
fn values(row: &str) -> Vec<ArrayRef> {
    let all = |types: &[DataType]| types.iter().map(of_numbers).collect();
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["a", "b"]));
    let item = Arc::new(Field::new("item", DataType::Int32, true));
    let structs = |fields: Fields, columns| -> ArrayRef { Arc::new(StructArray::new(fields, columns, None)) };
    match row {
        "timestamp in seconds, date in milliseconds" => {
            let zone = Some("Europe/Paris".into());
            all(&[
                DataType::Timestamp(TimeUnit::Second, None),
                DataType::Timestamp(TimeUnit::Second, zone),
                DataType::Date64,
            ])
        }
        "time in seconds" => all(&[DataType::Time32(TimeUnit::Second)]),
        "any other timestamp, date or time; duration; interval of months, or of days and milliseconds" => {
            let units = [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
            let mut types: Vec<_> = units.iter().map(|unit| DataType::Timestamp(*unit, None)).collect();
            types.extend(units.iter().map(|unit| DataType::Timestamp(*unit, Some("+02:00".into()))));
            types.extend([DataType::Date32, DataType::Time32(TimeUnit::Millisecond)]);
            types.extend([DataType::Time64(TimeUnit::Microsecond), DataType::Time64(TimeUnit::Nanosecond)]);
            let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
            types.extend(units.map(DataType::Duration));
            types.extend([DataType::Interval(IntervalUnit::YearMonth)]);
            let mut values: Vec<ArrayRef> = all(&types);
            let days = arrow::datatypes::IntervalDayTime::new(1, 2);
            values.push(Arc::new(arrow::array::IntervalDayTimeArray::from(vec![days, days])));
            values
        }
        "interval of months, days and nanoseconds" => {
            let interval = arrow::datatypes::IntervalMonthDayNano::new(1, 2, 3);
            vec![Arc::new(arrow::array::IntervalMonthDayNanoArray::from(vec![interval, interval]))]
        }
        "dictionary, run-end encoded" => {
            let dictionary = DataType::Dictionary(Box::new(DataType::Int8), Box::new(DataType::Utf8));
            let ends = Int32Array::from(vec![1, 2]);
            let runs = arrow::array::RunArray::try_new(&ends, &StringArray::from(vec!["a", "b"])).unwrap();
            vec![cast(&texts, &dictionary).unwrap(), Arc::new(runs)]
        }
        "list, struct, map" => vec![
            Arc::new(list()),
            cast(&list(), &DataType::LargeList(Arc::clone(&item))).unwrap(),
            cast(&list(), &DataType::FixedSizeList(item, 1)).unwrap(),
            structs(vec![Field::new("a", DataType::Int32, true)].into(), vec![Arc::new(numbers())]),
            map(&texts),
        ],
        "list view" => vec![
            cast(&list(), &DataType::ListView(Arc::clone(&item))).unwrap(),
            cast(&list(), &DataType::LargeListView(item)).unwrap(),
        ],
        "struct without fields" => vec![Arc::new(StructArray::new_empty_fields(2, None))],
        "map whose keys are not text" => vec![map(&(Arc::new(numbers()) as ArrayRef))],
        "union" => vec![union()],
        "binary" => {
            let binary: ArrayRef = Arc::new(BinaryArray::from(vec![&b"\x01\xff"[..], b"ab"]));
            let types = [DataType::Binary, DataType::LargeBinary, DataType::BinaryView, DataType::FixedSizeBinary(2)];
            types.iter().map(|data_type| cast(&binary, data_type).unwrap()).collect()
        }
        "null" => vec![new_null_array(&DataType::Null, 2)],
        "decimal" => {
            let decimal = Decimal128Array::from(vec![12_345, -1]).with_precision_and_scale(20, 2).unwrap();
            let decimal: ArrayRef = Arc::new(decimal);
            let types = [DataType::Decimal32(9, 2), DataType::Decimal64(18, 2), DataType::Decimal256(40, 2)];
            let others = types.iter().map(|data_type| cast(&decimal, data_type).unwrap());
            others.chain([Arc::clone(&decimal)]).collect()
        }
        "any other" => all(&[
            DataType::Boolean,
            DataType::Int8,
            DataType::Int16,
            DataType::Int32,
            DataType::Int64,
            DataType::UInt8,
            DataType::UInt16,
            DataType::UInt32,
            DataType::UInt64,
            DataType::Float16,
            DataType::Float32,
            DataType::Float64,
            DataType::Utf8,
            DataType::LargeUtf8,
            DataType::Utf8View,
        ]),
        other => panic!("no values are known for the row '{other}' of the table"),
    }
}

/// A file of this column.
fn encoded(format: Format, schema: &SchemaRef, column: &ArrayRef) -> Result<Vec<u8>, String> {
    let options = WriteOptions { compression: Compression::UNCOMPRESSED, row_group_rows: None, delimiter: b',' };
    let column = cast(column, schema.field(0).data_type()).map_err(|error| error.to_string())?;
    let batch = RecordBatch::try_new(Arc::clone(schema), vec![column]).map_err(|error| error.to_string())?;
    let mut encoder = Encoder::new(format, schema, &options, Vec::new()).map_err(|error| error.to_string())?;
    let mut file = encoder.encode(&batch).map_err(|error| crate::job::error::message(&error))?;
    file.extend(encoder.finish().map_err(|error| error.to_string())?);
    Ok(file)
}

/// What a column becomes in a format, in the words of the table.
fn becomes(column: &ArrayRef, format: Format) -> String {
    let data_type = column.data_type();
    let schema = Schema::new(vec![Field::new("c", data_type.clone(), true)]);
    let Ok(schema) = stored("a.arrow", &schema, format) else { return "refused".into() };
    let schema = Arc::new(schema);
    let target = schema.field(0).data_type();
    let file = match encoded(format, &schema, column) {
        Ok(file) => file,
        Err(error) => return format!("failed: {error}"),
    };
    let is_kept = |read: &ArrayRef| read.data_type() == target && **read == *cast(column, target).unwrap();
    match format {
        Format::Csv => {
            let text = String::from_utf8(file).unwrap();
            let first = text.lines().nth(1).unwrap_or_default();
            match data_type {
                DataType::Null => assert!(text.starts_with("c\n\n"), "{text:?}"),
                _ => assert!(!first.is_empty(), "{data_type}: {text}"),
            }
            return if first == "01ff" { "hexadecimal" } else { in_words(data_type, target, "text") }.into();
        }
        Format::Json => {
            let text = String::from_utf8(file).unwrap();
            let first: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
            let value = &first["c"];
            let is_text = value.is_string() && !target.is_string();
            let word = if value == "01ff" { "hexadecimal" } else { in_words(data_type, target, "kept") };
            return if is_text && word == "kept" { "text".into() } else { word.into() };
        }
        Format::Parquet => {
            let reader = ParquetRecordBatchReaderBuilder::try_new(Bytes::from(file)).unwrap().build().unwrap();
            let read = reader.map(|batch| Arc::clone(batch.unwrap().column(0))).next().unwrap();
            if !is_kept(&read) {
                return format!("changed: {:?} is {:?}", target, read.data_type());
            }
        }
        _ => {
            let reader = ipc::reader::FileReader::try_new(std::io::Cursor::new(file), None).unwrap();
            let read = reader.map(|batch| Arc::clone(batch.unwrap().column(0))).next().unwrap();
            if !is_kept(&read) {
                return format!("changed: {:?} is {:?}", target, read.data_type());
            }
        }
    }
    in_words(data_type, target, "kept").into()
}

fn in_words<'a>(from: &DataType, to: &DataType, same: &'a str) -> &'a str {
    match (from, to) {
        _ if from == to => same,
        (DataType::Dictionary(..) | DataType::RunEndEncoded(..), _) => "its values",
        (_, DataType::List(_) | DataType::LargeList(_)) => "list",
        (_, DataType::Timestamp(TimeUnit::Millisecond, _) | DataType::Time32(TimeUnit::Millisecond)) => {
            "in milliseconds"
        }
        _ => "another type",
    }
}

#[test]
fn types_become_what_the_documentation_says() {
    let mut wrong = Vec::new();
    for row in documented() {
        for column in values(&row[0]) {
            let found: Vec<_> = FORMATS.iter().map(|format| becomes(&column, *format)).collect();
            if found != row[1..] {
                wrong.push(format!("{}: {found:?}, not {:?}", column.data_type(), &row[1..]));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
