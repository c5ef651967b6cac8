//! Key-value metadata of Parquet and Arrow files: what describes the old schema to an engine is extended or dropped.

use std::collections::BTreeMap;

use arrow::datatypes::{DataType, Field, Fields, SchemaRef};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::ipc_schema::with_fields;

/// Schemas that a reader takes for the file's own. They cannot be extended in general; without them the reader takes
/// the schema of Parquet.
const DROPPED: [&str; 7] = [
    "org.apache.spark.sql.parquet.row.attributes",
    "parquet.avro.schema",
    "avro.schema",
    "parquet.proto.class",
    "parquet.proto.descriptor",
    "thrift.descriptor",
    "iceberg.schema",
];

/// The value of a key in a file with these columns added; `None` if the key must go.
#[must_use]
pub fn extended(key: &str, value: &str, added: &SchemaRef) -> Option<String> {
    match key {
        "org.apache.spark.sql.parquet.row.metadata" => spark(value, added.fields()),
        ARROW_SCHEMA_META_KEY => arrow_schema(value, added),
        "pandas" => pandas(value, added.fields()),
        "huggingface" => huggingface(value, added.fields()),
        _ if DROPPED.contains(&key) => None,
        _ => Some(value.into()),
    }
}

/// The schema message, in base64, with its marker and length.
fn arrow_schema(value: &str, added: &SchemaRef) -> Option<String> {
    const CONTINUATION: [u8; 4] = [0xff; 4];
    let bytes = BASE64_STANDARD.decode(value).ok()?;
    let (length, message) = bytes.strip_prefix(&CONTINUATION).unwrap_or(&bytes).split_at_checked(4)?;
    let length = usize::try_from(i32::from_le_bytes(length.try_into().ok()?)).ok()?;
    let mut message = with_fields(message.get(..length)?, added, extended)?;
    message.resize(message.len().next_multiple_of(8), 0);
    let length = i32::try_from(message.len()).ok()?.to_le_bytes();
    Some(BASE64_STANDARD.encode([&CONTINUATION[..], &length, &message].concat()))
}

type Object = BTreeMap<String, Box<RawValue>>;

/// Appends items to a list of an object and keeps all other text of it.
fn append(object: &str, list: &str, items: Vec<Value>) -> Option<String> {
    let mut object: Object = serde_json::from_str(object).ok()?;
    let mut values: Vec<Box<RawValue>> = serde_json::from_str(object.get(list)?.get()).ok()?;
    for item in items {
        values.push(serde_json::value::to_raw_value(&item).ok()?);
    }
    object.insert(list.into(), serde_json::value::to_raw_value(&values).ok()?);
    serde_json::to_string(&object).ok()
}

fn spark(value: &str, added: &Fields) -> Option<String> {
    append(value, "fields", added.iter().map(|field| spark_field(field)).collect::<Option<_>>()?)
}

fn spark_field(field: &Field) -> Option<Value> {
    let data_type = spark_type(field.data_type())?;
    Some(json!({"name": field.name(), "type": data_type, "nullable": true, "metadata": {}}))
}

fn spark_type(data_type: &DataType) -> Option<Value> {
    Some(match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => json!("string"),
        DataType::Float32 => json!("float"),
        DataType::Float64 => json!("double"),
        DataType::Boolean => json!("boolean"),
        DataType::Int32 => json!("integer"),
        DataType::Int64 => json!("long"),
        DataType::List(item) => {
            json!({"type": "array", "elementType": spark_type(item.data_type())?, "containsNull": true})
        }
        DataType::Struct(fields) => {
            let fields = fields.iter().map(|field| spark_field(field)).collect::<Option<Vec<_>>>()?;
            json!({"type": "struct", "fields": fields})
        }
        _ => return None,
    })
}

fn pandas(value: &str, added: &Fields) -> Option<String> {
    let column = |field: &Field| {
        let (pandas_type, numpy_type) = match field.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => ("unicode", "object"),
            DataType::Float32 => ("float32", "float32"),
            DataType::Float64 => ("float64", "float64"),
            DataType::Boolean => ("bool", "object"),
            DataType::List(item) if item.data_type().is_string() => ("list[unicode]", "object"),
            _ => ("object", "object"),
        };
        let name = field.name();
        json!({"name": name, "field_name": name, "pandas_type": pandas_type, "numpy_type": numpy_type, "metadata": null})
    };
    append(value, "columns", added.iter().map(|field| column(field)).collect())
}

/// The features of the `datasets` library, which refuses a file with other columns.
fn huggingface(value: &str, added: &Fields) -> Option<String> {
    let mut object: Object = serde_json::from_str(value).ok()?;
    let mut info: Object = serde_json::from_str(object.get("info")?.get()).ok()?;
    let mut features: serde_json::Map<String, Value> = serde_json::from_str(info.get("features")?.get()).ok()?;
    for field in added {
        features.insert(field.name().clone(), feature(field.data_type())?);
    }
    info.insert("features".into(), serde_json::value::to_raw_value(&features).ok()?);
    object.insert("info".into(), serde_json::value::to_raw_value(&info).ok()?);
    serde_json::to_string(&object).ok()
}

fn feature(data_type: &DataType) -> Option<Value> {
    let name = match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "string",
        DataType::Float32 => "float32",
        DataType::Float64 => "float64",
        DataType::Boolean => "bool",
        DataType::Int32 => "int32",
        DataType::Int64 => "int64",
        DataType::List(item) => return Some(json!({"feature": feature(item.data_type())?, "_type": "Sequence"})),
        DataType::Struct(fields) => {
            let features = fields.iter().map(|field| Some((field.name().clone(), feature(field.data_type())?)));
            return Some(Value::Object(features.collect::<Option<_>>()?));
        }
        _ => return None,
    };
    Some(json!({"dtype": name, "_type": "Value"}))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::Schema;
    use arrow::ipc::convert::try_schema_from_ipc_buffer;
    use parquet::arrow::encode_arrow_schema;

    use super::*;

    fn added() -> SchemaRef {
        let scores = DataType::Struct(vec![Field::new("joy", DataType::Float32, true)].into());
        let labels = DataType::new_list(DataType::Utf8, true);
        Arc::new(Schema::new(vec![
            Field::new("label", DataType::Utf8, true),
            Field::new("scores", scores, true),
            Field::new("labels", labels, true),
        ]))
    }

    #[test]
    fn spark_sees_the_added_columns() {
        let before = r#"{"type":"struct","fields":[{"name":"id","type":"long","nullable":true,"metadata":{"x":1e2}}]}"#;
        let after = extended("org.apache.spark.sql.parquet.row.metadata", before, &added()).unwrap();
        assert!(after.contains(r#"{"name":"id","type":"long","nullable":true,"metadata":{"x":1e2}}"#), "{after}");
        let after: Value = serde_json::from_str(&after).unwrap();
        assert_eq!(after["fields"][1]["type"], "string");
        assert_eq!(after["fields"][2]["type"]["fields"][0]["name"], "joy");
        let labels = json!({"type": "array", "elementType": "string", "containsNull": true});
        assert_eq!(after["fields"][3]["type"], labels);
    }

    #[test]
    fn the_arrow_schema_is_extended() {
        let old = Schema::new(vec![Field::new("took", DataType::Duration(arrow::datatypes::TimeUnit::Second), true)]);
        let after = extended(ARROW_SCHEMA_META_KEY, &encode_arrow_schema(&old), &added()).unwrap();
        let after = try_schema_from_ipc_buffer(&BASE64_STANDARD.decode(after).unwrap()).unwrap();
        assert_eq!(after.field(0), old.field(0));
        assert_eq!(after.field(2).name(), "scores");
    }

    #[test]
    fn other_keys_are_kept_and_foreign_schemas_dropped() {
        assert_eq!(extended("org.apache.spark.legacyDateTime", "", &added()), Some(String::new()));
        assert_eq!(extended("geo", "{}", &added()), Some("{}".into()));
        assert_eq!(extended("parquet.avro.schema", "{}", &added()), None);
        assert_eq!(extended("pandas", "not JSON", &added()), None);
    }

    #[test]
    fn features_of_datasets_and_columns_of_pandas_are_extended() {
        let before = r#"{"info":{"features":{"a":{"names":["x"],"_type":"ClassLabel"}}}}"#;
        let after: Value = serde_json::from_str(&extended("huggingface", before, &added()).unwrap()).unwrap();
        assert_eq!(after["info"]["features"]["a"]["names"][0], "x");
        assert_eq!(after["info"]["features"]["scores"]["joy"]["dtype"], "float32");
        assert_eq!(after["info"]["features"]["labels"]["feature"]["dtype"], "string");
        let after = extended("pandas", r#"{"columns":[],"index_columns":[]}"#, &added()).unwrap();
        assert_eq!(serde_json::from_str::<Value>(&after).unwrap()["columns"][0]["pandas_type"], "unicode");
    }
}
