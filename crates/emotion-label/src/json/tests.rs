//! Tests of JSON files as a whole.

use std::sync::Arc;

use arrow::array::{Array, AsArray, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::error::FileError;
use crate::json::encoder::JsonEncoder;
use crate::json::reader::JsonReader;
use crate::options::Options;
use crate::records::{RecordCopier, RecordTexts};
use crate::step::{Copier, CopyStep, TextReader, TextStep};

fn added() -> SchemaRef {
    let fields = vec![Field::new("label", DataType::Utf8, true), Field::new("score", DataType::Float32, true)];
    Arc::new(Schema::new(fields))
}

fn labels(rows: usize) -> RecordBatch {
    let label = StringArray::from(vec![Some("joy\n\""); rows]);
    let score = Float32Array::from(vec![None; rows]);
    RecordBatch::try_new(added(), vec![Arc::new(label), Arc::new(score)]).unwrap()
}

const ADDED: &str = r#""label":"joy\n\"","score":null"#;

fn options() -> Options {
    Options { batch_rows: 3, ..Options::new("a.jsonl", "text", added()) }
}

fn texts(options: &Options, input: &[u8], chunk: usize) -> Result<Vec<Option<String>>, FileError> {
    let mut reader = RecordTexts::new(JsonReader::new(options, true), options);
    let (mut chunks, mut texts) = (input.chunks(chunk), Vec::new());
    loop {
        match reader.step()? {
            TextStep::Need(_) => {
                reader.supply(chunks.next().map(Bytes::copy_from_slice).into_iter().collect())?;
            }
            TextStep::Texts(batch) => {
                assert!(!batch.texts.is_empty());
                texts.extend(batch.texts.as_string::<i64>().iter().map(|text| text.map(String::from)));
            }
            TextStep::End => return Ok(texts),
        }
    }
}

fn copy(input: &[u8], chunk: usize) -> Result<String, FileError> {
    let reader = JsonReader::new(&options(), false);
    let mut copier = RecordCopier::new(reader, JsonEncoder::default(), &options());
    let (mut chunks, mut out) = (input.chunks(chunk), Vec::new());
    loop {
        match copier.step(&mut out)? {
            CopyStep::Need(_) => copier.supply(chunks.next().map(Bytes::copy_from_slice).into_iter().collect())?,
            CopyStep::Rows { rows, .. } => copier.add(&labels(rows))?,
            CopyStep::Output => {}
            CopyStep::End => return Ok(String::from_utf8(out).unwrap()),
        }
    }
}

fn refusal(input: &str) -> String {
    let error = texts(&options(), input.as_bytes(), 7).unwrap_err();
    let fault = error.fault().unwrap();
    format!("{} | {} | {}", fault.what, fault.place, fault.advice)
}

#[test]
fn members_are_added_before_the_closing_brace() {
    let before = "\u{feff}{\"id\":18446744073709551557,\"x\":1.50e2}\r\n\n{}\n{ \"text\": \"a}\" }";
    let after = format!(
        "\u{feff}{{\"id\":18446744073709551557,\"x\":1.50e2,{ADDED}}}\r\n\n{{{ADDED}}}\n{{ \"text\": \"a}}\",{ADDED} }}"
    );
    assert_eq!(copy(before.as_bytes(), 5).unwrap(), after);
    assert_eq!(texts(&options(), before.as_bytes(), 5).unwrap(), [None, None, Some("a}".into())]);
}

#[test]
fn objects_may_follow_each_other_and_span_lines() {
    let before = "{\"text\":\n\"a\"\n}{\"text\":null}";
    assert_eq!(copy(before.as_bytes(), 3).unwrap(), format!("{{\"text\":\n\"a\",{ADDED}\n}}{{\"text\":null,{ADDED}}}"));
    assert_eq!(texts(&options(), before.as_bytes(), 3).unwrap(), [Some("a".into()), None]);
}

#[test]
fn a_cut_emoji_is_replaced_in_the_text_and_copied() {
    let before = r#"{"text":"so \ud83d"}"#;
    assert_eq!(texts(&options(), before.as_bytes(), 3).unwrap(), [Some("so \u{fffd}".into())]);
    assert!(copy(before.as_bytes(), 3).unwrap().starts_with(r#"{"text":"so \ud83d","#));
}

#[test]
fn a_text_may_be_in_a_nested_object() {
    let options = Options { text: "data.text".into(), ..options() };
    assert_eq!(texts(&options, br#"{"data":{"text":"a"}}{"data":null}"#, 3).unwrap(), [Some("a".into()), None]);
}

#[test]
fn faults_name_the_line_and_the_cure() {
    assert!(
        refusal(" [{\"text\":\"a\"}]").starts_with("the file is an array of objects | 'a.jsonl', line 1 | write an")
    );
    assert!(
        refusal("{\"text\":1}\n").starts_with("the value is a number, not a text | 'a.jsonl', line 1, column 'text'")
    );
    assert!(refusal("{}\n{\"Label\":1}\n").starts_with("the file already has a column 'Label' | 'a.jsonl', line 2 |"));
    assert!(refusal("{\"Text\":\"a\"}\n").ends_with("use --text 'Text'"));
    assert!(
        refusal("{\"text\":\"a\"}\n\n{\"text\":\"so h")
            .starts_with("the last object is not complete | 'a.jsonl', line 3")
    );
    assert!(
        refusal("{\"text\":\"a\"}\n{\"text\" \"secret\"}")
            .starts_with("the object is not valid JSON at column 9 | 'a.jsonl', line 2")
    );
    assert!(refusal("{\"text\":\"a\"},\n").starts_with("an object is expected | 'a.jsonl', line 1 |"));
    let error = texts(&options(), b"{\"text\":\"a\"}\n{\"text\":\"\xe9\"}", 7).unwrap_err();
    assert!(error.to_string().contains("line 2, byte 22"), "{error}");
}

#[test]
fn an_empty_file_has_no_rows() {
    assert_eq!(texts(&options(), b"\n", 1).unwrap(), []);
    assert_eq!(copy(b"\n", 1).unwrap(), "\n");
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<f64>().prop_map(serde_json::Value::from),
        ".{0,6}".prop_map(serde_json::Value::from),
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            vec(("[a-c{}\"\\\\]{0,3}", inner), 0..3)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn objects_are_copied_in_any_chunks(
        rows in vec((value(), proptest::option::of(".{0,8}"), "[ \n]{0,2}"), 0..8), chunk in 1..9_usize,
    ) {
        let (mut input, mut expected) = (String::new(), Vec::new());
        for (value, text, space) in rows {
            input.push_str(&serde_json::json!({"a": value, "text": text}).to_string());
            input.push_str(&space);
            expected.push(text);
        }
        prop_assert_eq!(texts(&options(), input.as_bytes(), chunk).unwrap(), expected);
        let output = copy(input.as_bytes(), chunk).unwrap();
        prop_assert_eq!(output.replace(&format!(",{ADDED}"), ""), input);
        for object in serde_json::Deserializer::from_str(&output).into_iter::<serde_json::Value>() {
            prop_assert_eq!(&object.unwrap()["label"], "joy\n\"");
        }
    }
}
