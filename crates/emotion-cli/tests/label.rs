//! `emotion label` over files: what it keeps, what it adds, and what it survives.

mod common;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Cursor, Write as _};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Float64Array, Int64Array, ListArray, RecordBatch, StringArray,
    TimestampMicrosecondArray,
};
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{DataType, Field, Float32Type, Int32Type, Schema, UInt64Type};
use arrow::ipc;
use common::{assert_fails, emotion, output_of, root, run, text};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::data_type::{
    ByteArray, ByteArrayType, FixedLenByteArray, FixedLenByteArrayType, Int64Type, Int96, Int96Type,
};
use parquet::file::metadata::{KeyValue, ParquetMetaData, RowGroupMetaData};
use parquet::file::properties::WriterProperties;
use parquet::file::reader::FileReader;
use parquet::file::serialized_reader::SerializedFileReader;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

/// A model of two layers, quick to load and to run.
const SMALL: &str = "tests/golden/one-head";

struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().into()
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::create_dir_all(Path::new(&path).parent().unwrap()).unwrap();
        fs::write(&path, content).unwrap();
        path
    }

    /// The labeled files, and no others, by their names.
    fn files(&self, folder: &str) -> BTreeMap<String, Vec<u8>> {
        fn collect(folder: &Path, prefix: &str, files: &mut BTreeMap<String, Vec<u8>>) {
            for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                match entry.file_type().unwrap().is_dir() {
                    true if name == ".emotion" => {}
                    true => collect(&entry.path(), &format!("{prefix}{name}/"), files),
                    false => drop(files.insert(format!("{prefix}{name}"), fs::read(entry.path()).unwrap())),
                }
            }
        }
        let (mut files, path) = (BTreeMap::new(), self.0.path().join(folder));
        if path.exists() {
            collect(&path, "", &mut files);
        }
        files
    }
}

/// Rows of many types: texts with NULLs, empty and repeated ones, and what must come through unchanged.
fn rows(count: usize) -> RecordBatch {
    let texts = (0..count).map(|row| match row % 10 {
        0 => None,
        1 => Some(String::new()),
        2 => Some("I like you.".into()),
        _ => Some(format!("Row {row} makes me happy, or does it?")),
    });
    let numbers = || (0..count).map(|row| i64::try_from(row).unwrap());
    let lists = numbers().map(|row| (row % 3 > 0).then(|| vec![Some(i32::try_from(row % 7).unwrap()), None]));
    let columns: [(&str, ArrayRef); 6] = [
        ("id", Arc::new(Int64Array::from_iter_values(numbers()))),
        ("Text", Arc::new(texts.collect::<StringArray>())),
        (
            "source",
            Arc::new(
                (0..count).map(|row| ["web", "chat"].get(row % 3).copied()).collect::<DictionaryArray<Int32Type>>(),
            ),
        ),
        ("at", Arc::new(TimestampMicrosecondArray::from_iter_values(numbers()).with_timezone("Europe/Paris"))),
        ("tags", Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(lists))),
        ("stars", Arc::new(Float64Array::from_iter_values(numbers().map(|row| row as f64 / 3.0)))),
    ];
    let fields = columns.iter().map(|(name, column)| {
        let field = Field::new(*name, column.data_type().clone(), *name != "id");
        field.with_metadata([("of".to_string(), format!("column {name}"))].into())
    });
    let schema =
        Schema::new_with_metadata(fields.collect::<Vec<_>>(), [("owner".to_string(), "us".to_string())].into());
    RecordBatch::try_new(Arc::new(schema), columns.map(|(_, column)| column).into()).unwrap()
}

fn parquet(rows: &RecordBatch, row_group: usize) -> Vec<u8> {
    let note = KeyValue::new("note".to_string(), "kept".to_string());
    let properties = WriterProperties::builder()
        .set_max_row_group_row_count(Some(row_group))
        .set_key_value_metadata(Some(vec![note]))
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), rows.schema(), Some(properties)).unwrap();
    writer.write(rows).unwrap();
    writer.into_inner().unwrap()
}

fn read_parquet(path: &str) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(path).unwrap()).unwrap();
    let schema = Arc::clone(reader.schema());
    concat_batches(&schema, &reader.build().unwrap().collect::<Result<Vec<_>, _>>().unwrap()).unwrap()
}

fn label(input: &str, output: &str, more: &[&str]) -> Output {
    label_command(input, output, more).output().unwrap()
}

fn label_command(input: &str, output: &str, more: &[&str]) -> Command {
    let line = ["label", input, "--text", "Text", "-o", output, "--model", SMALL, "--commit-every", "0"];
    emotion(&line.iter().chain(more).copied().collect::<Vec<_>>())
}

#[test]
fn every_column_type_and_row_is_kept_and_labels_are_those_of_sql() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(700), 300));
    let output = folder.path("out.parquet");
    let line = [
        "label",
        &input,
        "--text",
        "Text",
        "-o",
        &output,
        "--columns",
        "label=emotion,score,scores=all,truncated",
        "--json",
    ];
    let summary = run(&line);
    let summary: serde_json::Value = serde_json::from_str(output_of(&summary)).unwrap();
    assert_eq!((&summary["rows"], &summary["null"], &summary["empty"]), (&700.into(), &70.into(), &70.into()));
    assert_eq!(summary["repeated"], 138);

    let (before, after) = (read_parquet(&input), read_parquet(&output));
    let kept = after.project(&[0, 1, 2, 3, 4, 5]).unwrap();
    assert_eq!(kept.schema().fields(), before.schema().fields());
    assert_eq!(kept.columns(), before.columns());
    assert_eq!(after.schema().metadata()["owner"], "us");
    let names: Vec<_> = after.schema().fields()[6..].iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["emotion", "score", "all", "truncated"]);

    let query = format!(
        "SELECT count(*) AS n FROM '{output}' WHERE (emotion IS NOT DISTINCT FROM emotion_classify(\"Text\")) AND \
         (score IS NOT DISTINCT FROM emotion_score(\"Text\")) AND \
         (\"all\"['fear'] IS NOT DISTINCT FROM emotion_scores(\"Text\")['fear']) AND \
         (truncated IS NOT DISTINCT FROM emotion_annotate(\"Text\")['truncated'])"
    );
    let equal = run(&["sql", "-c", &query, "--format", "csv", "-q"]);
    assert_eq!(output_of(&equal), "n\n700\n");
}

#[test]
fn a_footer_says_what_made_the_labels() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(700), 300));
    let output = folder.path("out.parquet");
    output_of(&label(&input, &output, &["--precision", "int8", "--compression", "snappy"]));
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&output).unwrap()).unwrap();
    let metadata = reader.metadata();
    let rows: Vec<_> = metadata.row_groups().iter().map(RowGroupMetaData::num_rows).collect();
    assert_eq!(rows, [300, 300, 100]);
    assert_eq!(metadata.row_group(0).column(0).compression(), parquet::basic::Compression::SNAPPY);
    let entries = metadata.file_metadata().key_value_metadata().unwrap().iter();
    let entries: BTreeMap<_, _> = entries.map(|entry| (entry.key.as_str(), entry.value.as_deref().unwrap())).collect();
    assert_eq!(entries["note"], "kept");
    assert_eq!(entries["emotion.model"], SMALL);
    assert_eq!(entries["emotion.precision"], "int8");
    assert_eq!(entries["emotion.version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((entries["emotion.model_sha256"].len(), entries["emotion.tokenizer_sha256"].len()), (64, 64));
    assert!(entries["emotion.max_length"].parse::<usize>().is_ok());
    assert!(!entries.contains_key("emotion.threshold"), "none was given");
}

#[test]
fn a_threshold_leaves_texts_without_a_label_and_keeps_their_scores() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(40), 20));
    let columns = ["--columns", "label,score,scores"];
    output_of(&label(&input, &folder.path("all.parquet"), &columns));
    let all = read_parquet(&folder.path("all.parquet"));
    let scores = all["score"].as_primitive::<Float32Type>();
    let threshold = scores.iter().flatten().fold(0.0, f32::max);
    let more = ["--threshold", &threshold.to_string()];
    let more = [&columns[..], &more[..]].concat();

    let output = folder.path("some.parquet");
    let summary = label(&input, &output, &more);
    let some = read_parquet(&output);
    for name in ["score", "scores"] {
        assert_eq!(some[name].as_ref(), all[name].as_ref());
    }
    let (labels, expected) = (some["label"].as_string::<i32>(), all["label"].as_string::<i32>());
    for row in 0..40 {
        let holds = scores.is_valid(row) && scores.value(row) >= threshold;
        assert_eq!(labels.is_valid(row).then(|| labels.value(row)), holds.then(|| expected.value(row)), "row {row}");
    }
    let held = labels.len() - labels.null_count();
    assert!(held > 0 && labels.null_count() > scores.null_count(), "{held} of 40 labels hold");
    assert!(output_of(&summary).contains(&format!("{held:>13}")), "{}", output_of(&summary));
    let none = scores.len() - scores.null_count() - held;
    let line = format!("  none         {none:>13}  {:>5.1} %\n", 100.0 * none as f64 / 40.0);
    assert!(output_of(&summary).contains(&line), "{}", output_of(&summary));
    let again = label(&input, &output, &[&more[..], &["--json"]].concat());
    let json: serde_json::Value = serde_json::from_str(output_of(&again)).unwrap();
    assert_eq!(json["none"], none);
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(&output).unwrap()).unwrap();
    let entries = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let entry = entries.iter().find(|entry| entry.key == "emotion.threshold").unwrap();
    assert_eq!(entry.value.as_deref(), Some(&*threshold.to_string()));

    // An empty field of CSV, and a null of JSON.
    let csv = folder.write("in.csv", "Text\nI like you.\n");
    output_of(&label(&csv, &folder.path("out.csv"), &["--threshold", "1"]));
    let line = fs::read_to_string(folder.path("out.csv")).unwrap();
    assert!(line.starts_with("Text,label,score\nI like you.,,0."), "{line}");
    let json = folder.write("in.json", "{\"Text\": \"I like you.\"}\n");
    output_of(&label(&json, &folder.path("out.json"), &["--threshold", "1"]));
    let line: serde_json::Value = serde_json::from_str(&fs::read_to_string(folder.path("out.json")).unwrap()).unwrap();
    assert!(line["label"].is_null() && line["score"].as_f64().unwrap() > 0.0, "{line}");
}

#[test]
fn labels_that_hold_are_a_list_in_every_format() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(40).project(&[0, 1]).unwrap(), 20));
    let line = ["--text", "Text", "--model", "tests/golden/multi-label", "--columns", "labels,scores"];
    let label = |input: &str, output: &str, more: &[&str]| {
        output_of(&run(&[&["label", input, "-o", output, "--quiet"][..], &line, more].concat()));
    };
    let threshold = ["--threshold", "0.48"];
    label(&input, &folder.path("out.parquet"), &threshold);
    let labeled = read_parquet(&folder.path("out.parquet"));
    let (lists, scores) = (labeled["labels"].as_list::<i32>(), labeled["scores"].as_struct());
    let lists: Vec<Option<Vec<String>>> = lists
        .iter()
        .map(|list| list.map(|list| list.as_string::<i32>().iter().map(|label| label.unwrap().to_string()).collect()))
        .collect();
    let score = |label: &str, row| scores.column_by_name(label).unwrap().as_primitive::<Float32Type>().value(row);
    for (row, list) in lists.iter().enumerate() {
        let Some(list) = list else { continue };
        assert!(list.windows(2).all(|pair| score(&pair[0], row) >= score(&pair[1], row)), "{list:?}");
        let held = scores.column_names().into_iter().filter(|label| score(label, row) >= 0.48).count();
        assert_eq!(list.len(), held, "row {row}");
    }
    let lengths = || lists.iter().flatten().map(Vec::len);
    assert!(lengths().max() > lengths().min() && lists.iter().filter(|list| list.is_none()).count() == 4);

    // Encoded and copied, a list is a list, and in CSV the text of a JSON array. There an empty text is NULL.
    let texts = labeled["Text"].as_string::<i32>().iter();
    let copied_lists: Vec<_> =
        texts.zip(&lists).map(|(text, list)| list.clone().filter(|_| text != Some(""))).collect();
    for ending in ["arrow", "json", "csv"] {
        let plain = folder.path(&format!("plain.{ending}"));
        label(&input, &plain, &threshold);
        assert_eq!(labels_of(&plain), lists, "{ending} of Parquet");
        let texts = folder.path(&format!("texts.{ending}"));
        let copy = format!(
            "COPY (SELECT id, nullif(\"Text\", '') AS \"Text\" FROM '{input}') TO '{texts}' STORED AS {ending}"
        );
        output_of(&run(&["sql", "-c", &copy]));
        let copied = folder.path(&format!("copied.{ending}"));
        label(&texts, &copied, &threshold);
        assert_eq!(labels_of(&copied), copied_lists, "{ending} of {ending}");
    }
}

/// The lists in the column `labels` of a file.
fn labels_of(file: &str) -> Vec<Option<Vec<String>>> {
    let rows = run(&["sql", "--format", "nd-json", "-c", &format!("SELECT labels FROM '{file}'")]);
    let row = |line: &str| match &serde_json::from_str::<serde_json::Value>(line).unwrap()["labels"] {
        serde_json::Value::String(array) => serde_json::from_str(array).unwrap(),
        list => serde_json::from_value(list.clone()).unwrap(),
    };
    output_of(&rows).lines().map(row).collect()
}

#[test]
fn every_format_is_read_and_written() {
    let folder = Folder::new();
    let csv = "code,Text\n007,I like you.\n1.50,\"Two\nlines\"\n,\n";
    let input = folder.write("codes.csv", csv);
    let output = folder.path("labeled.csv");
    output_of(&label(&input, &output, &["--columns", "label"]));
    let labeled = fs::read_to_string(&output).unwrap();
    let (first, rest) = labeled.split_once('\n').unwrap();
    assert_eq!(first, "code,Text,label");
    assert!(
        rest.starts_with("007,I like you.,") && rest.contains("\n1.50,\"Two\nlines\",") && rest.ends_with("\n,,\n"),
        "{rest}"
    );

    let input = folder.write("lines.jsonl", "{\"Text\":\"Oh.\",\"n\":{\"m\":[1,2]}}\n{\"Text\":null}\n");
    output_of(&label(&input, &folder.path("jsonl"), &["--columns", "label"]));
    let labeled = fs::read_to_string(folder.path("jsonl/lines.jsonl")).unwrap();
    assert!(labeled.starts_with("{\"Text\":\"Oh.\",\"n\":{\"m\":[1,2]},\"label\":\""), "{labeled}");
    assert!(labeled.ends_with("\n{\"Text\":null,\"label\":null}\n"), "{labeled}");

    let rows = rows(50);
    let input = folder.write("in.parquet", parquet(&rows, 20));
    for format in ["json", "arrow", "parquet"] {
        let (there, back) = (folder.path(&format!("there.{format}")), folder.path(&format!("back-{format}.parquet")));
        output_of(&label(&input, &there, &["--columns", "label=first,scores=probabilities"]));
        output_of(&label(&there, &back, &["--columns", "label=second"]));
        let back = read_parquet(&back);
        assert_eq!(back.num_rows(), 50, "{format}");
        assert_eq!(back["first"].as_string::<i32>(), back["second"].as_string::<i32>(), "{format}");
        assert!(matches!(back["probabilities"].data_type(), DataType::Struct(_)), "{format}");
    }
    let flat = folder.path("flat.csv");
    let input = folder.write("flat.parquet", parquet(&rows.project(&[0, 1, 2]).unwrap(), 20));
    output_of(&label(&input, &flat, &["--columns", "scores=p"]));
    assert!(fs::read_to_string(&flat).unwrap().starts_with("id,Text,source,p_"));
}

/// The lines of a labeled CSV file, each of which is a line of the input or has a label at its end.
fn assert_labels_appended(before: &str, after: &str) -> usize {
    assert_eq!(before.lines().count(), after.lines().count());
    let mut labels = 0;
    for (before, after) in before.split_inclusive('\n').zip(after.split_inclusive('\n')) {
        if after != before {
            let end = if before.ends_with("\r\n") { "\r\n" } else { "\n" };
            let added = after.strip_prefix(before.trim_end()).and_then(|rest| rest.strip_suffix(end));
            let label =
                added.and_then(|added| added.strip_prefix(',')).unwrap_or_else(|| panic!("{before:?} {after:?}"));
            assert!(label.chars().all(char::is_alphabetic), "{before:?} {after:?}");
            labels += 1;
        }
    }
    labels
}

/// Reviews of several lines, more than 8 KiB of them: a chunk of the file ends within a text.
fn reviews(count: usize) -> String {
    let mut csv = "id,Text,label\n".to_string();
    for row in 0..count {
        writeln!(csv, "{row},\"It was for my sister, who loves it.\n\nWould buy again? Yes, number {row}.\",joy")
            .unwrap();
    }
    csv
}

#[test]
fn csv_is_copied_byte_for_byte() {
    let folder = Folder::new();
    let copied = |name: &str, csv: &str, more: &[&str]| {
        let (input, output) = (folder.write(&format!("in/{name}"), csv), folder.path(&format!("out/{name}")));
        output_of(&label(&input, &output, &[&["--columns", "label=feeling"], more].concat()));
        assert_labels_appended(csv, &fs::read_to_string(output).unwrap())
    };
    let codes = "zip,Text,n\r\n02134,\"I \"\"like\"\" you.\",1e99999\r\n\"00501\",Oh.,\"\"\r\n007,,0x1F\r\n";
    assert_eq!(copied("codes.csv", codes, &[]), 4);
    assert_eq!(copied("reviews.csv", &reviews(200), &[]), 201);
    assert_eq!(copied("spark.csv", "Text,n\n\"say \\\"hi\\\", now\",1\n", &["--escape", "\\"]), 2);
    let input = folder.write("a.tsv", "Text\tn\nI like you.\t007\n");
    output_of(&label(&input, &folder.path("b.tsv"), &["--columns", "truncated"]));
    assert_eq!(fs::read_to_string(folder.path("b.tsv")).unwrap(), "Text\tn\ttruncated\nI like you.\t007\tfalse\n");
    output_of(&label(&input, &folder.path("b.csv"), &["--columns", "truncated"]));
    assert_eq!(fs::read_to_string(folder.path("b.csv")).unwrap(), "Text,n,truncated\nI like you.,007,false\n");
    let delimiter = ["--columns", "truncated", "--delimiter", "\\t"];
    let notes = folder.write("notes.txt", "Text\tn\nI like you.\t007\n");
    output_of(&label(&notes, &folder.path("notes"), &delimiter));
    let labeled = fs::read_to_string(folder.path("notes/notes.txt")).unwrap();
    assert_eq!(labeled, "Text\tn\ttruncated\nI like you.\t007\tfalse\n");
    let latin = folder.write("latin.csv", b"Text\ncaf\xe9\n");
    assert_fails(&label(&latin, &folder.path("latin"), &[]), &["not valid UTF-8", "line 2", "--encoding windows-1252"]);
    output_of(&label(&latin, &folder.path("latin"), &["--columns", "truncated", "--encoding", "windows-1252"]));
    assert_eq!(fs::read(folder.path("latin/latin.csv")).unwrap(), b"Text,truncated\ncaf\xe9,false\n");
}

#[test]
fn compressed_text_files_are_read_and_written() {
    let folder = Folder::new();
    let input = folder.write("a.csv", "Text,n\nI like you.,007\n");
    output_of(&label(&input, &folder.path("a.csv.gz"), &["--columns", "truncated"]));
    let compressed = fs::read(folder.path("a.csv.gz")).unwrap();
    assert_eq!(compressed[..2], [0x1f, 0x8b]);
    output_of(&label(&folder.path("a.csv.gz"), &folder.path("b.jsonl.zst"), &["--columns", "truncated=cut"]));
    assert_eq!(fs::read(folder.path("b.jsonl.zst")).unwrap()[..4], [0x28, 0xb5, 0x2f, 0xfd]);
    output_of(&label(&folder.path("b.jsonl.zst"), &folder.path("c.jsonl"), &["--columns", "truncated=last"]));
    let labeled = fs::read_to_string(folder.path("c.jsonl")).unwrap();
    assert_eq!(labeled, "{\"Text\":\"I like you.\",\"n\":\"007\",\"truncated\":false,\"cut\":false,\"last\":false}\n");
    output_of(&label(&folder.path("a.csv.gz"), &folder.path("folder"), &["--columns", "truncated=cut"]));
    assert_eq!(folder.files("folder").keys().collect::<Vec<_>>(), ["a.csv.gz"]);
}

#[test]
fn json_is_copied_byte_for_byte() {
    let folder = Folder::new();
    let lines = [
        r#"{"id":18446744073709551557,"Text":"I like you.","meta":{}}"#,
        r#"{"id": 9007199254740993, "Text": null, "x": 1.50e3}"#,
        r#"{"Text":"A cut emoji \ud83d","id":0.5}"#,
    ];
    let input = folder.write("a.jsonl", format!("\u{feff}{}\n", lines.join("\n")));
    output_of(&label(&input, &folder.path("b.jsonl"), &["--columns", "label"]));
    let labeled = fs::read_to_string(folder.path("b.jsonl")).unwrap();
    let labeled: Vec<_> = labeled.strip_prefix('\u{feff}').unwrap().lines().collect();
    assert_eq!(labeled.len(), 3);
    for (before, after) in lines.iter().zip(labeled) {
        assert!(after.starts_with(&format!("{},\"label\":", before.strip_suffix('}').unwrap())), "{after}");
    }
    let empty = folder.write("empty.jsonl", "{\"Text\":\"I like you.\",\"meta\":{}}\n");
    let refused = label(&empty, &folder.path("c.parquet"), &[]);
    assert_fails(&refused, &["Parquet cannot hold a struct without fields", "column 'meta'", "--format json"]);
    assert!(!Path::new(&folder.path(".c.parquet.emotion/job.json")).exists());
    let array = folder.write("array.json", "\u{feff} [{\"Text\":\"secret\"}]");
    let query = format!("SELECT * FROM '{array}'");
    for refused in [label(&array, &folder.path("d.json"), &[]), run(&["sql", "-c", &query])] {
        assert_fails(&refused, &["array of objects", "jq -c '.[]'"]);
        assert!(!text(&refused.stderr).contains("secret"), "{refused:?}");
    }
}

/// Labels what is given on the standard input.
fn filter(input: &[u8], more: &[&str]) -> Output {
    let mut child = label_command("-", "-", more);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&input)));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    output
}

#[test]
fn standard_input_becomes_standard_output() {
    let folder = Folder::new();
    let reviews = reviews(2_000).replace(",label\n", ",note\n");
    let csv = ["--format", "csv"];
    let filtered = filter(reviews.as_bytes(), &csv);
    assert!(text(&filtered.stderr).contains("2,000 rows of 1 file labeled into 'standard output'"), "{filtered:?}");
    let input = folder.write("in.csv", &reviews);
    output_of(&label(&input, &folder.path("out.csv"), &[]));
    let expected = fs::read(folder.path("out.csv")).unwrap();
    assert_eq!(text(&filtered.stdout), text(&expected));
    let printed = label(&input, "-", &["--quiet"]);
    assert!(printed.stdout == expected && printed.stderr.is_empty());

    let lines = "{\"Text\":\"Oh.\"}\n{\"Text\":null}";
    let filtered = filter(lines.as_bytes(), &["--format", "json", "--columns", "truncated", "--quiet"]);
    assert_eq!(output_of(&filtered), "{\"Text\":\"Oh.\",\"truncated\":false}\n{\"Text\":null,\"truncated\":null}");
    let input = folder.write("in.jsonl", lines);
    let converted = label(&input, "-", &["--format", "csv", "--columns", "truncated", "--quiet"]);
    assert_eq!(output_of(&converted), "Text,truncated\nOh.,false\n,\n");
    assert_fails(&filter(b"id,Text\n1,a,b\n", &csv), &["standard input", "line 2"]);
    let cut = filter(b"id,Text\n1,Oh.\n2,Ah.\n3,a,b\n4,c\n", &["--format", "csv", "--columns", "truncated"]);
    assert_eq!(text(&cut.stdout), "id,Text,truncated\n1,Oh.,false\n2,Ah.,false\n", "the rows before the damage");
    assert!(!cut.status.success() && text(&cut.stderr).contains("line 4"), "{cut:?}");
    assert_fails(&filter(b"id\n1\n", &csv), &["there is no column 'Text'"]);
    let input = folder.write("semicolons.jsonl", "Text;n\nOh.;1\n");
    let of_file = label(&input, "-", &["--delimiter", ";", "--columns", "truncated", "--quiet"]);
    assert_eq!(output_of(&of_file), "Text;n;truncated\nOh.;1;false\n");
    assert_fails(&filter(b"", &["--format", "parquet"]), &["Parquet cannot be read from a pipe"]);
    assert_eq!(fs::read_dir(folder.0.path()).unwrap().count(), 5, "a journal was left");
}

#[test]
fn every_format_is_printed() {
    let folder = Folder::new();
    let table = rows(60).project(&[0, 1]).unwrap();
    let input = folder.write("in.parquet", parquet(&table, 25));
    for format in ["parquet", "csv", "tsv", "json", "arrow"] {
        let (output, more) = (folder.path(&format!("out.{format}")), ["--format", format, "--quiet"]);
        output_of(&label(&input, &output, &more));
        let expected = fs::read(&output).unwrap();
        assert!(label(&input, "-", &more).stdout == expected, "{format}");
        let again = ["--columns", "label=again", "--quiet"];
        output_of(&label(&output, &folder.path(&format!("again.{format}")), &again));
        let expected = fs::read(folder.path(&format!("again.{format}"))).unwrap();
        assert!(label(&output, "-", &again).stdout == expected, "{format}");
        if format == "parquet" {
            continue;
        }
        let piped = filter(&fs::read(&output).unwrap(), &[&more[..2], &again[..]].concat());
        if format == "arrow" {
            // A file whose footer can be read first is written with another footer.
            assert_eq!(read_arrow(&piped.stdout), read_arrow(&expected));
        } else {
            assert!(piped.stdout == expected, "{format}: {}", text(&piped.stderr));
        }
    }
}

fn read_arrow(file: &[u8]) -> Vec<RecordBatch> {
    ipc::reader::FileReader::try_new(Cursor::new(file), None).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn rows_of_a_slow_stream_are_written_at_once() {
    let mut child = label_command("-", "-", &["--format", "csv", "--columns", "truncated"]);
    let child = child.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut child = child.unwrap();
    let (mut stdin, mut lines) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()).lines());
    stdin.write_all(b"Text\nOne.\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "Text,truncated");
    assert_eq!(lines.next().unwrap().unwrap(), "One.,false");
    stdin.write_all(b"Two.\n").unwrap();
    assert_eq!(lines.next().unwrap().unwrap(), "Two.,false");
    // The reader goes away while the writer is idle.
    drop(lines);
    stdin.write_all(b"Three.\n").unwrap();
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)]
#[test]
fn pipes_are_read_and_closed_pipes_end_quietly() {
    let folder = Folder::new();
    let reviews = reviews(3_000).replace(",label\n", ",note\n");
    folder.write("in.csv", &reviews);
    let lines = (0..3_000).map(|row| format!("{{\"Text\":\"Number {row}.\"}}\n"));
    folder.write("in.jsonl", lines.collect::<String>());
    folder.write("in.parquet", parquet(&rows(3_000), 1_000));
    let shell = |script: &str| {
        let program =
            format!("'{}' label --text Text --model '{}'", env!("CARGO_BIN_EXE_emotion"), root().join(SMALL).display());
        let mut shell = Command::new("bash");
        shell.args(["-c", &script.replace("LABEL", &program)]).current_dir(folder.0.path()).output().unwrap()
    };
    output_of(&shell(
        "LABEL in.csv -o out.csv -q && LABEL <(cat in.csv) --format csv -o piped.csv && cmp out.csv piped.csv",
    ));
    output_of(&shell("LABEL <(cat in.csv) --format csv -o - -q | cmp - out.csv"));
    output_of(&shell("LABEL - -o named.csv < in.csv && cmp named.csv out.csv"));
    output_of(&shell(
        "LABEL /dev/stdin --format csv -o /dev/stdout -q < in.csv > redirected && cmp redirected out.csv",
    ));
    output_of(&shell("mkfifo fifo.csv && (cat in.csv > fifo.csv &) && LABEL fifo.csv -o - -q | cmp - out.csv"));
    for input in ["in.csv", "in.jsonl", "in.parquet", "<(cat in.csv) --format csv", "- --format csv < in.csv"] {
        for end in ["| head -n 1", "2>&1 | head -n 1"] {
            let ended = shell(&format!("set -o pipefail; LABEL {input} -o - {end} > first; test -s first"));
            assert!(ended.status.success() && ended.stderr.len() < 200, "{input} {end}: {ended:?}");
        }
    }
    let printed = shell(
        "set -o pipefail; for format in csv json arrow; do LABEL in.parquet --columns label=a -o - --format $format 2>&1 | head -c 5; done",
    );
    assert!(!text(&printed.stderr).contains("panicked"), "{printed:?}");
}

#[cfg(unix)]
#[test]
fn outputs_replace_files_and_nothing_else() {
    use std::os::unix::fs::{FileTypeExt, symlink};

    let folder = Folder::new();
    let csv = "Text\nI like you.\nI hate you.\n";
    let input = folder.write("in.csv", csv);
    for name in ["elsewhere/old.csv", "elsewhere/page.html"] {
        folder.write(name, "old");
    }
    let link = |target: &str, name: &str| {
        symlink(folder.path(target), folder.path(name)).unwrap();
        folder.path(name)
    };
    let (linked, page) = (link("elsewhere/old.csv", "link.csv"), link("elsewhere/page.html", "link.html"));
    let (dangling, of_input) = (link("nothing.csv", "dangling.csv"), link("in.csv", "of-input.csv"));
    fs::hard_link(&input, folder.path("hard.csv")).unwrap();
    let fifo = folder.path("fifo.csv");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let report = |output: &str| run(&["report", &input, "--text", "Text", "--model", SMALL, "-o", output]);
    let eval =
        |html: &str| run(&["eval", &input, "--text", "Text", "--label", "gold", "--model", SMALL, "--html", html]);

    // Links are kept, and what they point to is replaced.
    output_of(&label(&input, &linked, &["--quiet", "--restart"]));
    output_of(&report(&page));
    assert!(fs::symlink_metadata(&linked).unwrap().is_symlink() && fs::symlink_metadata(&page).unwrap().is_symlink());
    assert!(fs::read_to_string(folder.path("elsewhere/old.csv")).unwrap().starts_with("Text,label,score\n"));
    assert!(fs::read_to_string(folder.path("elsewhere/page.html")).unwrap().starts_with("<!DOCTYPE html>"));
    assert_eq!(folder.files("elsewhere").keys().filter(|name| !name.starts_with('.')).count(), 2);

    // An input stays what it is, by whatever name; devices, folders and links to nothing are refused.
    let hard = folder.path("hard.csv");
    for output in [&input, &of_input, &hard] {
        for refused in [label(&input, output, &[]), report(output), eval(output)] {
            assert_fails(&refused, &["choose another"]);
        }
    }
    let filtered = emotion(&["label", "-", "--text", "Text", "-o", &hard, "--model", SMALL])
        .stdin(File::open(&input).unwrap())
        .output()
        .unwrap();
    assert_fails(&filtered, &["which is an input"]);
    for output in ["/dev/zero", folder.0.path().to_str().unwrap(), &dangling] {
        for refused in [report(output), eval(output)] {
            assert_fails(&refused, &["cannot write to"]);
        }
    }
    assert_fails(&label(&input, &dangling, &[]), &["a link to a file that does not exist"]);
    assert_fails(&label(&input, "/dev/zero", &[]), &["'/dev/zero' is no folder"]);
    assert_eq!(fs::read_to_string(&input).unwrap(), csv);

    // A pipe is written in place.
    let reader = Command::new("cat").arg(&fifo).stdout(Stdio::piped()).spawn().unwrap();
    output_of(&label(&input, &fifo, &["--quiet"]));
    let read = reader.wait_with_output().unwrap().stdout;
    assert_eq!(read, fs::read(folder.path("elsewhere/old.csv")).unwrap());
    let reader = Command::new("cat").arg(&fifo).stdout(Stdio::piped()).spawn().unwrap();
    output_of(&report(&fifo));
    assert!(reader.wait_with_output().unwrap().stdout.starts_with(b"<!DOCTYPE html>"));
    assert!(fs::metadata(&fifo).unwrap().file_type().is_fifo());
    output_of(&report("/dev/null"));
    assert!(output_of(&report("/dev/stdout")).starts_with("<!DOCTYPE html>"));

    // In a folder, neither.
    fs::create_dir(folder.path("out")).unwrap();
    link("in.csv", "out/in.csv");
    assert_fails(&label(&input, &folder.path("out"), &["--restart"]), &["out/in.csv' is a link: remove it"]);
    assert_eq!(fs::read_to_string(&input).unwrap(), csv);
}

#[cfg(unix)]
#[test]
fn commands_to_the_terminal_are_not_printed() {
    let folder = Folder::new();
    let input = folder.write("in/\u{1b}]0;title\u{7}a.csv", "Text\nI like you.\n");
    let damaged = folder.write("\u{1b}[2Jb.csv", "Text\n\"\n");
    let output = folder.path("out\u{1b}[31m");
    for printed in [
        label(&folder.path("in"), &output, &["--dry-run"]),
        label(&folder.path("in"), &output, &[]),
        label(&damaged, &folder.path("other"), &[]),
        label(&damaged, &folder.path("other"), &["--keep-going"]),
        run(&["report", &damaged, "--label", "Text", "-o", &folder.path("\u{1b}[1mpage.html")]),
        run(&["eval", &input, "--text", "Text", "--label", "none"]),
    ] {
        assert!(!printed.stdout.contains(&0x1b) && !printed.stderr.contains(&0x1b), "{printed:?}");
        assert!(text(&printed.stdout).contains('␛') || text(&printed.stderr).contains('␛'), "{printed:?}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn folders_with_odd_names_and_loops_are_labeled_but_for_these() {
    use std::os::unix::ffi::OsStrExt;

    let folder = Folder::new();
    folder.write("in/a.csv", "Text\nI like you.\n");
    folder.write("in/sub/b.csv", "Text\nI hate you.\n");
    std::os::unix::fs::symlink(folder.path("in"), folder.path("in/sub/loop")).unwrap();
    for name in ["not-fetched.csv", ".#locked.csv", "notes"] {
        std::os::unix::fs::symlink("nowhere", folder.path(&format!("in/{name}"))).unwrap();
    }
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xff.csv");
    fs::write(Path::new(&folder.path("in")).join(odd), "Text\nOh.\n").unwrap();
    let (input, output) = (folder.path("in"), folder.path("out"));
    assert_fails(&label(&input, &output, &[]), &["cannot list"]);
    let dry = label(&input, &output, &["--keep-going", "--dry-run"]);
    assert!(output_of(&dry).contains("2 files, 2 rows to label"), "{dry:?}");
    let kept = label(&input, &output, &["--keep-going"]);
    assert_eq!(kept.status.code(), Some(3), "{kept:?}");
    assert!(text(&kept.stdout).contains("3 skipped because of errors"), "{kept:?}");
    let errors = fs::read_to_string(folder.path("out/_errors.jsonl")).unwrap();
    assert!(errors.contains("loop") && errors.contains("is not UTF-8"), "{errors}");
    assert!(errors.contains("not-fetched.csv") && !errors.contains("locked"), "{errors}");
    let files: Vec<_> = folder.files("out").into_keys().collect();
    assert_eq!(files, ["_errors.jsonl", "a.csv", "sub/b.csv"]);
}

#[test]
fn files_named_as_the_list_of_errors_are_left_alone() {
    let folder = Folder::new();
    let lines = "{\"Text\":\"I like you.\"}\n";
    let input = folder.write("_errors.jsonl", lines);
    let out = folder.path("out");
    assert_fails(&label(&input, &out, &[]), &["_errors.jsonl", "rename it"]);
    output_of(&label(&input, &folder.path("labeled.jsonl"), &["--quiet"]));
    folder.write("in/a.jsonl", lines);
    let foreign = folder.write("out/_errors.jsonl", lines);
    let kept = label(&folder.path("in"), &out, &["--keep-going"]);
    assert_fails(&kept, &["out/_errors.jsonl' would list what is skipped, but it is another file"]);
    output_of(&label(&folder.path("in"), &out, &["--quiet"]));
    assert_eq!(fs::read_to_string(foreign).unwrap(), lines);
}

/// A file of types that Arrow has no equal of, or more than one.
fn foreign_parquet() -> Vec<u8> {
    let schema = "message schema {
        required int96 at;
        required fixed_len_byte_array(16) id (UUID);
        optional binary Text (STRING);
        required int64 time (TIME(NANOS,true));
    }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let properties = WriterProperties::builder().set_compression(parquet::basic::Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties)).unwrap();
    for group in 0..2 {
        let mut rows = writer.next_row_group().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        // 9999-12-31 is beyond the nanoseconds that 64 bits hold.
        let mut last_day = Int96::new();
        last_day.set_data(0, 0, 5_373_484);
        column.typed::<Int96Type>().write_batch(&[last_day; 20], None, None).unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let ids: Vec<_> = (0..20).map(|row| FixedLenByteArray::from(vec![row + group; 16])).collect();
        column.typed::<FixedLenByteArrayType>().write_batch(&ids, None, None).unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        let texts: Vec<_> = (0..15).map(|row| ByteArray::from(["Good.", "Bad."][row % 2])).collect();
        let levels: Vec<i16> = (0..20).map(|row| i16::from(row % 4 > 0)).collect();
        column.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None).unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&[86_399_999_999_999; 20], None, None).unwrap();
        column.close().unwrap();
        rows.close().unwrap();
    }
    writer.into_inner().unwrap()
}

#[test]
fn parquet_is_copied_chunk_by_chunk() {
    let folder = Folder::new();
    let source = rows(700).project(&[1, 2, 4]).unwrap();
    for (name, before) in [("foreign.parquet", foreign_parquet()), ("lists.parquet", parquet(&source, 300))] {
        let (input, output) = (folder.write(name, &before), folder.path(&format!("labeled-{name}")));
        output_of(&label(&input, &output, &[]));
        let after = fs::read(&output).unwrap();
        let (old, new) = (SerializedFileReader::new(bytes(&before)), SerializedFileReader::new(bytes(&after)));
        let (old, new) = (old.unwrap().metadata().clone(), new.unwrap().metadata().clone());
        assert_eq!(old.num_row_groups(), new.num_row_groups());
        let columns = old.file_metadata().schema_descr().columns();
        assert_eq!(*columns, new.file_metadata().schema_descr().columns()[..columns.len()]);
        let chunk = |file: &[u8], metadata: &ParquetMetaData, group: usize, column: usize| {
            let (start, length) = metadata.row_group(group).column(column).byte_range();
            file[usize::try_from(start).unwrap()..][..usize::try_from(length).unwrap()].to_vec()
        };
        for (group, column) in (0..old.num_row_groups()).flat_map(|group| (0..columns.len()).map(move |at| (group, at)))
        {
            let equal = chunk(&before, &old, group, column) == chunk(&after, &new, group, column);
            assert!(equal, "{name}: row group {group}, column {column}");
        }
    }
}

#[test]
fn int96_times_beyond_nanoseconds_are_read_by_sql() {
    let folder = Folder::new();
    let input = folder.write("foreign.parquet", foreign_parquet());
    let query = format!("SELECT DISTINCT at FROM '{input}'");
    let rows = run(&["sql", "-q", "--format", "csv", "-c", &query]);
    assert_eq!(output_of(&rows), "at\n9999-12-31T00:00:00\n");
}

#[test]
fn values_are_kept_by_a_conversion() {
    let folder = Folder::new();
    let converted = |input: &str, name: &str, more: &[&str]| {
        let output = folder.path(name);
        output_of(&label(input, &output, &[&["--columns", "truncated"], more].concat()));
        fs::read_to_string(&output).unwrap_or(output)
    };
    let int96 = converted(&folder.write("foreign.parquet", foreign_parquet()), "int96.jsonl", &[]);
    assert!(int96.starts_with("{\"at\":\"9999-12-31T00:00:00\","), "{int96}");

    let values = "a,b,c,d,Text\n2024-01-01,2024-03-31T00:30:00+02:00,2024-03-31 00:30:00,7,Good.\n0000-00-00,,,8\n";
    let times = converted(&folder.write("times.csv", values), "times.jsonl", &[]);
    let first = r#"{"a":"2024-01-01","b":"2024-03-31T00:30:00+02:00","c":"2024-03-31T00:30:00","d":7,"Text":"Good.""#;
    let second = r#"{"a":"0000-00-00","b":null,"c":null,"d":8,"Text":null"#;
    assert!(times.starts_with(first) && times.lines().nth(1).unwrap().starts_with(second), "{times}");
    let query = format!("SELECT a, c FROM '{}'", folder.path("times.csv"));
    let read = run(&["sql", "-q", "--format", "csv", "-c", &query]);
    assert_eq!(output_of(&read), "a,c\n2024-01-01,2024-03-31T00:30:00\n0000-00-00,\n");

    let texts: ArrayRef = Arc::new(StringArray::from(vec![Some(""), None, Some("\"a\",b")]));
    let before = parquet(&RecordBatch::try_from_iter([("Text", texts)]).unwrap(), 10);
    let csv = converted(&folder.write("empty.parquet", before), "empty.csv", &[]);
    assert_eq!(csv, "Text,truncated\n\"\",false\n,\n\"\"\"a\"\",b\",false\n");

    let mysql = folder.write("mysql.csv", "n,Text,note\n1,\"say \\\"hi\\\"\",\\N\n\\N,\\N,C:\\new\n");
    let mysql = converted(&mysql, "mysql.jsonl", &["--escape", "\\"]);
    let (first, second) = mysql.split_once('\n').unwrap();
    assert_eq!(first, r#"{"n":"1","Text":"say \"hi\"","note":null,"truncated":false}"#);
    assert_eq!(second.trim_end(), r#"{"n":null,"Text":null,"note":"C:\\new","truncated":null}"#);

    let lines =
        "{\"Text\":\"a\",\"n\":18446744073709551557}\n{\"Text\":\"b\",\"n\":1,\"m\":{\"z\":[1,0.5],\"a\":null}}\n";
    let ids = converted(&folder.write("ids.jsonl", lines), "ids.parquet", &[]);
    let ids = read_parquet(&ids);
    assert_eq!(ids["n"].as_primitive::<UInt64Type>().values(), &[18_446_744_073_709_551_557, 1]);
    let names: Vec<_> = ids.schema().fields().iter().map(|field| field.name().clone()).collect();
    assert_eq!(names, ["Text", "n", "m", "truncated"], "in the order of the file");
}

#[test]
fn fields_that_no_type_holds_are_refused_before_a_text_is_labeled() {
    let folder = Folder::new();
    for (lines, what) in [
        ("{\"Text\":\"a\",\"n\":1}\n{\"Text\":\"b\",\"n\":\"x\"}\n", "'n' of"),
        ("{\"Text\":\"a\",\"m\":{\"n\":[1]}}\n{\"Text\":\"b\",\"m\":{\"n\":2}}\n", "holds numbers and lists"),
        ("{\"Text\":\"a\",\"n\":9007199254740993}\n{\"Text\":\"b\",\"n\":0.5}\n", "integers of more digits"),
    ] {
        let input = folder.write("in.jsonl", lines);
        let refused = label(&input, &folder.path("out.parquet"), &[]);
        assert_fails(&refused, &["cannot label", "the field '", what, "choose an output of JSON lines"]);
        assert!(!Path::new(&folder.path(".out.parquet.emotion")).exists(), "nothing is labeled");
        output_of(&label(&input, &folder.path("out.jsonl"), &["--columns", "truncated", "--restart"]));
    }
    let cut = folder.write("cut.jsonl", "{\"Text\":\"a\"}\n\n{\"Text\":");
    let read = run(&["sql", "-q", "-c", &format!("SELECT * FROM '{cut}'")]);
    assert_fails(&read, &["cut.jsonl'", "line 3 is not valid JSON"]);
}

#[test]
fn folders_and_patterns_are_tables() {
    let folder = Folder::new();
    let count = |name: &str| {
        let query = format!("SELECT count(*) AS n FROM '{}'", folder.path(name));
        run(&["sql", "-q", "--format", "csv", "-c", &query])
    };
    let assert_rows = |name: &str, rows: usize| assert_eq!(output_of(&count(name)), format!("n\n{rows}\n"), "{name}");
    folder.write("capitals/a.csv", "id\n1\n");
    folder.write("capitals/B.CSV", "id\n2\n3\n");
    folder.write("capitals/_old.csv", "id\n4\n");
    assert_rows("capitals", 3);
    folder.write("spark/.part-0.jsonl.crc", "x");
    folder.write("spark/part-0.jsonl", "{\"id\":1}\n");
    folder.write("spark/part-1.jsonl", "");
    folder.write("spark/part-2.jsonl", "{\"id\":2,\"note\":\"late\"}\n");
    folder.write("spark/_SUCCESS", "");
    assert_rows("spark", 2);
    assert_rows("spark/*-2.jsonl", 1);
    let query = format!("SELECT note FROM '{}' WHERE id = 2", folder.path("spark"));
    assert_eq!(output_of(&run(&["sql", "-q", "--format", "csv", "-c", &query])), "note\nlate\n");
    folder.write("year/year=2024/a.tsv", "id\n1\n");
    folder.write("year/year=2025/b.tsv", "id\n2\n");
    let of_year = || {
        let query = format!("SELECT id FROM '{}' WHERE year = '2025'", folder.path("year"));
        output_of(&run(&["sql", "-q", "--format", "csv", "-c", &query])).to_string()
    };
    assert_eq!(of_year(), "id\n2\n");
    folder.write("year/year=2024/._a.tsv", "another file of macOS");
    folder.write("year/year=2025/C.TSV", "id\n3\n");
    assert_eq!(of_year().lines().count(), 3);
    assert_rows("year", 3);
    assert_rows("year/year=*/*.tsv", 2);
    folder.write("year/year=2025/deeper/d.tsv", "id\n4\n");
    assert_rows("year", 4);
    let text = folder.write("a.csv", "Text\nOh.\n");
    output_of(&label(&text, &folder.path("parts/part-1.csv.gz"), &["--columns", "truncated"]));
    // A gzip file of no bytes.
    folder.write("parts/part-0.csv.gz", [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_rows("parts", 1);
    folder.write("parts/part-2.csv", "Text,truncated\nAh.,false\n");
    assert_fails(&count("parts"), &["several compressions"]);
    folder.write("nested/a.csv", "id\n1\n");
    folder.write("nested/b/c.csv/d.csv", "id\n2\n");
    folder.write("nested/y=1/e.csv", "id\n3\n");
    assert_rows("nested", 3);
    folder.write("void/a.parquet", parquet(&rows(4), 4));
    folder.write("void/b.parquet", "");
    assert_fails(&count("void"), &["void/b.parquet' is empty"]);
    assert_fails(&count("void/b.parquet"), &["void/b.parquet' is empty"]);
    folder.write("void/b.parquet", "PAR1");
    assert_fails(&count("void"), &["void"]);
    folder.write("open.csv", "id,text\n1,\"I love you\n2,I hate you\n");
    assert_fails(&count("open.csv"), &["open.csv'", "line 2 is not closed"]);
    folder.write("pretty.json", "{\n \"id\": 1\n}\n");
    assert_fails(&count("pretty.json"), &["pretty.json'", "line 1 is not valid JSON", "jq -c ."]);
    let report = run(&["report", &folder.write("semi.csv", "id;Text\n1;Oh.\n"), "--text", "Text"]);
    assert_fails(&report, &["has no column 'Text'", "--delimiter ';'"]);
    folder.write("heads/a.csv", "id\n1\n");
    folder.write("heads/b.csv", "other\n1\n");
    assert_fails(&count("heads"), &["heads/b.csv", "different columns"]);
    folder.write("capitals/c.jsonl", "{\"id\":1}\n");
    assert_fails(&count("capitals"), &["several formats", "'folder/*.csv'"]);
    assert_rows("capitals/*.jsonl", 1);
    folder.write("latin1.csv", b"id\nh\xe9\n");
    assert_fails(&count("latin1.csv"), &["latin1.csv'", "invalid UTF-8", "line 2", "iconv -f"]);
    folder.write("unknown/a.txt", "id");
    assert_fails(&count("unknown"), &["a folder in which no file is of a known type"]);
    assert_fails(&count("capitals/*.arrow"), &["there is no file"]);
}

#[cfg(unix)]
#[test]
fn a_pattern_is_looked_for_no_deeper_than_it_says() {
    let folder = Folder::new();
    folder.write("in[1]/a.csv", "Text\nGood.\n");
    fs::create_dir(folder.path("in[1]/deeper")).unwrap();
    std::os::unix::fs::symlink("..", folder.path("in[1]/deeper/loop")).unwrap();
    std::os::unix::fs::symlink(".", folder.path("in[1]/self")).unwrap();
    let query = format!("SELECT count(*) AS n FROM '{}'", folder.path("in[1]/*.csv"));
    assert_eq!(output_of(&run(&["sql", "-q", "--format", "csv", "-c", &query])), "n\n1\n");
    output_of(&label(&folder.path("in[1]/*.csv"), &folder.path("out"), &[]));
    assert_eq!(folder.files("out").keys().collect::<Vec<_>>(), ["a.csv"]);
    assert_fails(&label(&folder.path("in[1]/**/*.csv"), &folder.path("all"), &[]), &["cannot list", "loop"]);
}

#[test]
fn csv_columns_of_one_name_are_numbered_by_sql() {
    let folder = Folder::new();
    let input = folder.write("a.csv", "note,Text,note,note_1\na,Good.,b,c\n");
    let query = format!("SELECT note, note_1, note_2 FROM '{input}'");
    let rows = run(&["sql", "-q", "--format", "csv", "-c", &query]);
    assert_eq!(output_of(&rows), "note,note_1,note_2\na,c,b\n");
    output_of(&label(&input, &folder.path("b.csv"), &["--columns", "label"]));
    assert_eq!(fs::read_to_string(folder.path("b.csv")).unwrap().lines().next(), Some("note,Text,note,note_1,label"));
}

#[cfg(unix)]
#[test]
fn links_are_files_by_their_own_names() {
    let folder = Folder::new();
    folder.write("blobs/9f86d081", "Text\nI like you.\n");
    fs::create_dir(folder.path("snapshot")).unwrap();
    for name in ["train.csv", "test.csv"] {
        std::os::unix::fs::symlink("../blobs/9f86d081", folder.path(&format!("snapshot/{name}"))).unwrap();
    }
    output_of(&label(&folder.path("snapshot/train.csv"), &folder.path("one"), &[]));
    assert_eq!(folder.files("one").keys().collect::<Vec<_>>(), ["train.csv"]);
    output_of(&label(&folder.path("snapshot"), &folder.path("both"), &[]));
    assert_eq!(folder.files("both").keys().collect::<Vec<_>>(), ["test.csv", "train.csv"]);
}

#[test]
fn json_with_a_mark_or_a_cut_emoji_is_read_by_sql_and_converted() {
    let folder = Folder::new();
    let lines = "{\"id\":1,\"Text\":\"so happy \\ud83d\\ude02\"}\n{\"id\":2,\"Text\":\"so happy \\ud83d\"}\n";
    let input = folder.write("a.jsonl", format!("\u{feff}{lines}"));
    let query = format!("SELECT id, \"Text\" FROM '{input}' ORDER BY id");
    let rows = run(&["sql", "-q", "--format", "csv", "-c", &query]);
    assert_eq!(output_of(&rows), "id,Text\n1,so happy 😂\n2,so happy \u{fffd}\n");
    output_of(&label(&input, &folder.path("a.parquet"), &["--columns", "label"]));
    let converted = read_parquet(&folder.path("a.parquet"));
    output_of(&label(&input, &folder.path("b.jsonl"), &["--columns", "label"]));
    let copied = fs::read_to_string(folder.path("b.jsonl")).unwrap();
    for (row, line) in copied.lines().enumerate() {
        let end = format!(",\"label\":\"{}\"}}", converted["label"].as_string::<i32>().value(row));
        assert!(line.ends_with(&end), "{line} {end}");
    }
    let script = folder.write("query.sql", format!("\u{feff}{query}"));
    output_of(&run(&["sql", "-q", "-f", &script]));
}

#[test]
fn of_a_delta_table_the_live_files_are_labeled() {
    let folder = Folder::new();
    for name in ["in/old.parquet", "in/part=1/new.parquet"] {
        folder.write(name, parquet(&rows(20), 20));
    }
    let log = |version: u32, lines: &str| folder.write(&format!("in/_delta_log/{version:020}.json"), lines);
    log(0, "{\"protocol\":{\"minReaderVersion\":1}}\n{\"add\":{\"path\":\"old.parquet\"}}\n");
    log(1, "{\"remove\":{\"path\":\"old.parquet\"}}\n{\"add\":{\"path\":\"part=1/new.parquet\"}}\n");
    output_of(&label(&folder.path("in"), &folder.path("out"), &[]));
    assert_eq!(folder.files("out").keys().collect::<Vec<_>>(), ["part=1/new.parquet"]);
    assert_fails(&label(&folder.path("in/*.parquet"), &folder.path("none"), &[]), &["there is no file"]);
    fs::remove_file(folder.path("in/_delta_log/00000000000000000000.json")).unwrap();
    let refused = label(&folder.path("in"), &folder.path("none"), &[]);
    assert_fails(&refused, &["the Delta table", "checkpoints alone"]);
}

#[test]
fn pointers_of_git_lfs_are_named() {
    let folder = Folder::new();
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 267832558\n";
    for name in ["a.parquet", "a.csv", "a.jsonl"] {
        let input = folder.write(name, pointer);
        let parts = ["Git LFS pointer", "git lfs pull"];
        let refused = run(&["sql", "-c", &format!("SELECT * FROM '{input}'")]);
        assert_fails(&refused, &parts);
        assert!(text(&refused.stderr).starts_with(&format!("Error: '{name}' is")), "{refused:?}");
        assert_fails(&run(&["eval", &input, "--text", "Text", "--label", "label", "--model", SMALL]), &parts);
        assert_fails(&label(&input, &folder.path("out"), &[]), &parts);
    }
}

#[cfg(unix)]
#[test]
fn file_names_may_have_any_character() {
    let folder = Folder::new();
    let names = ["tab\tx.csv", "line\nend.csv", "50%off.csv", "c%09d.csv", "day\t1/a.csv"];
    for name in names {
        folder.write(&format!("in/{name}"), "id,Text\n1,I like you.\n");
    }
    output_of(&label(&folder.path("in"), &folder.path("out"), &[]));
    let mut sorted = names;
    sorted.sort_unstable();
    assert_eq!(folder.files("out").keys().collect::<Vec<_>>(), sorted.iter().collect::<Vec<_>>());
    for name in names {
        let input = folder.path(&format!("in/{name}"));
        output_of(&label(&input, &folder.path("alone"), &[]));
        output_of(&label(&input, &folder.path("typed"), &["--format", "json"]));
        let rows = run(&["sql", "-q", "--format", "csv", "-c", &format!("SELECT count(*) AS n FROM '{input}'")]);
        assert_eq!(output_of(&rows), "n\n1\n", "{name}");
    }
    assert!(Path::new(&folder.path("alone/tab\tx.csv")).exists());
    assert!(Path::new(&folder.path("typed/tab\tx.json")).exists());
}

/// A number in Avro's encoding: zigzag, seven bits a byte.
fn avro_number(value: i64) -> Vec<u8> {
    let (mut zigzag, mut bytes) = (((value << 1) ^ (value >> 63)).cast_unsigned(), Vec::new());
    while zigzag > 127 {
        bytes.push(u8::try_from(zigzag & 127).unwrap() | 128);
        zigzag >>= 7;
    }
    bytes.push(u8::try_from(zigzag).unwrap());
    bytes
}

fn avro_bytes(bytes: &[u8]) -> Vec<u8> {
    [avro_number(bytes.len().try_into().unwrap()), bytes.to_vec()].concat()
}

/// A file of this schema in two blocks with the same rows.
fn avro(schema: &str, rows: &[Vec<u8>]) -> Vec<u8> {
    let sync = [7_u8; 16];
    let schema = [avro_number(1), avro_bytes(b"avro.schema"), avro_bytes(schema.as_bytes()), avro_number(0)].concat();
    let content = rows.concat();
    let counts = [rows.len(), content.len()].map(|count| avro_number(count.try_into().unwrap()));
    let block = [counts.concat(), content, sync.to_vec()].concat();
    [b"Obj\x01".to_vec(), schema, sync.to_vec(), block.clone(), block].concat()
}

#[test]
fn avro_that_is_cut_short_is_refused() {
    let folder = Folder::new();
    let schema = r#"{"type":"record","name":"row","fields":[{"name":"Text","type":"string"}]}"#;
    let whole = avro(schema, &[avro_bytes(b"I like you."), avro_bytes(b"Oh.")]);
    let input = folder.write("a.avro", &whole);
    let summary = label(&input, &folder.path("a.parquet"), &[]);
    assert!(output_of(&summary).starts_with("4 rows"), "{summary:?}");
    for cut in [1, 20, 40] {
        let input = folder.write("cut.avro", &whole[..whole.len() - cut]);
        assert_fails(&label(&input, &folder.path("cut.parquet"), &[]), &["cut.avro", "ends within a block"]);
    }
}

#[test]
fn avro_keeps_its_types() {
    let folder = Folder::new();
    let schema = r#"{"type":"record","name":"row","fields":[
        {"name":"Text","type":["null","string"]},
        {"name":"id","type":"long"},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}},
        {"name":"local","type":{"type":"long","logicalType":"local-timestamp-millis"}},
        {"name":"day","type":{"type":"int","logicalType":"date"}},
        {"name":"time","type":{"type":"int","logicalType":"time-millis"}},
        {"name":"amount","type":{"type":"bytes","logicalType":"decimal","precision":10,"scale":2}},
        {"name":"mood","type":{"type":"enum","name":"mood","symbols":["good","bad"]}},
        {"name":"stars","type":["null","double"]},
        {"name":"raw","type":"bytes"},
        {"name":"tags","type":{"type":"array","items":"string"}},
        {"name":"of","type":{"type":"record","name":"of","fields":[{"name":"ok","type":"boolean"}]}},
        {"name":"counts","type":{"type":"map","values":"int"}}
    ]}"#;
    let row = |text: Option<&str>, id: i64| {
        let text = text.map_or(avro_number(0), |text| [avro_number(1), avro_bytes(text.as_bytes())].concat());
        let stars = [avro_number(1), 2.5_f64.to_le_bytes().to_vec()].concat();
        let tags = [avro_number(1), avro_bytes(b"new"), avro_number(0)].concat();
        let counts = [avro_number(1), avro_bytes(b"likes"), avro_number(3), avro_number(0)].concat();
        let numbers = [id, 1_700_000_000_123_456, 1_700_000_000_123, 19_675, 3_600_000].map(avro_number).concat();
        let rest = [avro_bytes(&[0x30, 0x39]), avro_number(1), stars, avro_bytes(&[1, 255]), tags, vec![1], counts];
        [text, numbers, rest.concat()].concat()
    };
    let input = folder.write("a.avro", avro(schema, &[row(Some("I like you."), 1 << 60), row(None, -1)]));
    let output = folder.path("a.parquet");
    output_of(&label(&input, &output, &["--columns", "truncated"]));
    let labeled = read_parquet(&output);
    let types: Vec<_> = labeled.schema().fields().iter().map(|field| format!("{}", field.data_type())).collect();
    let expected = [
        "Utf8",
        "Int64",
        "Timestamp(µs, \"+00:00\")",
        "Timestamp(ms)",
        "Date32",
        "Time32(ms)",
        "Decimal128(10, 2)",
        "Utf8",
        "Float64",
        "Binary",
        "List(non-null Utf8)",
        "Struct(\"ok\": non-null Boolean)",
        "Map(\"entries\": non-null Struct(\"key\": non-null Utf8, \"value\": non-null Int32), unsorted)",
        "Boolean",
    ];
    assert_eq!(types, expected);
    let output = folder.path("a.jsonl");
    output_of(&label(&input, &output, &["--columns", "truncated"]));
    let lines = fs::read_to_string(output).unwrap();
    let first: serde_json::Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    let expected = serde_json::json!({
        "Text": "I like you.",
        "id": 1_i64 << 60,
        "at": "2023-11-14T22:13:20.123456Z",
        "local": "2023-11-14T22:13:20.123",
        "day": "2023-11-14",
        "time": "01:00:00",
        "amount": 123.45,
        "mood": "bad",
        "stars": 2.5,
        "raw": "01ff",
        "tags": ["new"],
        "of": {"ok": true},
        "counts": {"likes": 3},
        "truncated": false
    });
    assert_eq!(first, expected);
    assert_fails(&label(&input, &folder.path("a.csv"), &[]), &["CSV cannot hold a list", "column 'tags'"]);
}

#[test]
fn all_commands_read_the_same_files() {
    let folder = Folder::new();
    let reviews = folder.write("reviews.csv", reviews(300));
    let count = |file: &str| {
        let query = format!("SELECT count(*) AS n, count(DISTINCT id) AS ids FROM '{file}'");
        let mut sql = emotion(&["sql", "-c", &query, "--format", "csv", "-q"]);
        // Splits also small files between threads.
        sql.env("DATAFUSION_OPTIMIZER_REPARTITION_FILE_MIN_SIZE", "1000");
        output_of(&sql.output().unwrap()).to_string()
    };
    assert_eq!(count(&reviews), "n,ids\n300,300\n");
    let page = folder.path("page.html");
    output_of(&run(&["report", &reviews, "--text", "Text", "--model", SMALL, "-o", &page]));
    let golden = fs::read_to_string(root().join(SMALL).join("config.json")).unwrap();
    let config: serde_json::Value = serde_json::from_str(&golden).unwrap();
    let known = config["id2label"]["0"].as_str().unwrap();
    let labeled = fs::read_to_string(&reviews).unwrap().replace(",joy\n", &format!(",{known}\n"));
    let labeled = folder.write("labeled.csv", labeled);
    let line = ["eval", &labeled, "--text", "Text", "--label", "label", "--model", SMALL, "--format", "json"];
    let evaluated = run(&line);
    let evaluated: serde_json::Value = serde_json::from_str(output_of(&evaluated)).unwrap();
    assert_eq!(evaluated["test_samples"], 300);

    folder.write("folder/day=1/a.csv", fs::read(&reviews).unwrap());
    folder.write("folder/day=2/a.csv", "id,Text,label\nx,fine,joy\n");
    folder.write("folder/_SUCCESS", "");
    assert_eq!(count(&folder.path("folder")), "n,ids\n301,301\n");

    // A column whose values are numbers at first.
    let mut late = "id,code\n".to_string();
    (0..1500).for_each(|row| writeln!(late, "{row},{}", if row < 1200 { "7" } else { "x" }).unwrap());
    assert_eq!(count(&folder.write("late.csv", late)), "n,ids\n1500,1500\n");
    for name in ["a.jsonl", "a.ndjson"] {
        assert_eq!(count(&folder.write(name, "{\"id\":1}\n{\"id\":2}\n")), "n,ids\n2,2\n", "{name}");
    }
    for name in ["a.tsv", "data[1].csv", "really?.csv", "50%off.csv", "a%20b.csv"] {
        assert_eq!(count(&folder.write(name, "id\n1\n2\n")), "n,ids\n2,2\n", "{name}");
    }
}

#[test]
fn texts_of_every_type_get_the_same_labels() {
    let folder = Folder::new();
    let rows = rows(50).project(&[1]).unwrap();
    let labels = |texts: ArrayRef, name: &str| {
        let batch = RecordBatch::try_from_iter_with_nullable([("Text", texts, true)]).unwrap();
        let input = folder.write(&format!("{name}.parquet"), parquet(&batch, 20));
        let output = folder.path(&format!("labeled-{name}.parquet"));
        output_of(&label(&input, &output, &[]));
        let labeled = read_parquet(&output);
        assert_eq!(labeled["Text"].data_type(), batch["Text"].data_type());
        labeled["label"].as_string::<i32>().clone()
    };
    let expected = labels(Arc::clone(rows.column(0)), "utf8");
    assert_eq!(expected.null_count(), 5);
    let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    for (name, data_type) in [("large", DataType::LargeUtf8), ("view", DataType::Utf8View), ("dictionary", dictionary)]
    {
        assert_eq!(labels(cast(rows.column(0), &data_type).unwrap(), name), expected, "{name}");
    }
}

#[test]
fn folders_are_labeled_with_all_that_is_in_them() {
    let folder = Folder::new();
    let file = parquet(&rows(40), 20);
    folder.write("in/year=2024/a.parquet", &file);
    folder.write("in/year=2025/a.parquet", &file);
    folder.write("in/_SUCCESS", "");
    folder.write("in/.hidden.parquet", "no table");
    folder.write("in/README.md", "about");
    let (input, output) = (folder.path("in"), folder.path("in/labeled"));
    let summary = label(&input, &output, &[]);
    let summary = output_of(&summary);
    assert!(summary.starts_with("80 rows of 2 files labeled into "), "{summary}");
    assert!(summary.contains("1 file of other types left out"), "{summary}");
    let first = folder.files("in/labeled");
    assert_eq!(first.keys().collect::<Vec<_>>(), ["year=2024/a.parquet", "year=2025/a.parquet"]);

    folder.write("in/year=2025/b.parquet", &file);
    let summary = label(&input, &output, &[]);
    assert!(output_of(&summary).starts_with("120 rows of 3 files"), "{summary:?}");
    assert_eq!(folder.files("in/labeled").len(), 3);

    for (pattern, names) in [
        ("in/year=2025/*.parquet", vec!["a.parquet", "b.parquet"]),
        ("in/*/a.parquet", vec!["year=2024/a.parquet", "year=2025/a.parquet"]),
        ("in/year=*/b.parquet", vec!["year=2025/b.parquet"]),
    ] {
        let output = pattern.replace(['/', '*', '.'], "_");
        output_of(&label(&folder.path(pattern), &folder.path(&output), &[]));
        assert_eq!(folder.files(&output).keys().collect::<Vec<_>>(), names, "{pattern}");
    }
    assert_fails(&label(&folder.path("in/*.parquet"), &folder.path("none"), &[]), &["there is no file"]);
}

#[test]
fn a_job_killed_at_fifty_moments_ends_with_the_same_bytes() {
    let folder = Folder::new();
    for name in ["a.parquet", "b/c.parquet", "d.parquet"] {
        folder.write(&format!("in/{name}"), parquet(&rows(6_000), 2_000));
    }
    assert_kills_change_nothing(&folder, &[], kills());
}

#[test]
fn a_job_of_many_small_files_that_is_killed_ends_with_the_same_bytes() {
    let folder = Folder::new();
    for file in 0..200 {
        let rows = (0..20).map(|row| format!("{row},Number {row} of {file} makes me happy.\n"));
        folder.write(&format!("in/{file:03}.csv"), format!("id,Text\n{}", rows.collect::<String>()));
    }
    assert_kills_change_nothing(&folder, &[], 10);
}

#[test]
fn jobs_of_every_writer_that_are_killed_end_with_the_same_bytes() {
    let folder = Folder::new();
    let table = folder.write("table.parquet", parquet(&rows(3_000).project(&[0, 1]).unwrap(), 1_000));
    for format in ["csv", "tsv", "json", "arrow"] {
        // Each format is copied, and encoded from Parquet.
        let copied = Folder::new();
        let input = copied.path(&format!("in/a.{format}"));
        output_of(&label(&table, &input, &["--columns", "score=other", "--quiet"]));
        fs::remove_dir_all(copied.path(&format!("in/.a.{format}.emotion"))).unwrap();
        assert_kills_change_nothing(&copied, &[], 5);
        let encoded = Folder::new();
        fs::create_dir(encoded.path("in")).unwrap();
        fs::copy(&table, encoded.path("in/a.parquet")).unwrap();
        assert_kills_change_nothing(&encoded, &["--format", format], 5);
    }
    let compressed = Folder::new();
    output_of(&label(&table, &compressed.path("in/a.csv.gz"), &["--columns", "score=other", "--quiet"]));
    fs::remove_dir_all(compressed.path("in/.a.csv.gz.emotion")).unwrap();
    assert_kills_change_nothing(&compressed, &[], 5);
}

/// The kills of the longest test; `EMOTION_TEST_KILLS` asks for more.
fn kills() -> u32 {
    std::env::var("EMOTION_TEST_KILLS").map_or(50, |kills| kills.parse().expect("a number of kills"))
}

/// Kills jobs that label the folder `in` so many times, and compares what they come to.
fn assert_kills_change_nothing(folder: &Folder, more: &[&str], least_kills: u32) {
    let input = folder.path("in");
    let started = Instant::now();
    let whole = label_command(&input, &folder.path("whole"), more).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let begun = folder.path("whole/.emotion/job.json");
    wait_for(|| Path::new(&begun).exists());
    let (start, claimed) = (started.elapsed(), Instant::now());
    assert!(whole.unwrap().wait().unwrap().success());
    let mut work = claimed.elapsed();
    let expected = folder.files("whole");

    let (mut kills, mut runs, mut round) = (0, 0, 0);
    while kills < least_kills {
        // A job that got through before enough kills is followed by another.
        round += 1;
        assert!(round < 100.max(least_kills), "only {kills} kills in {runs} runs");
        let output = format!("out-{round}");
        let killed_before = kills;
        loop {
            let mut child = label_command(&input, &folder.path(&output), more);
            let mut child = child.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            // After enough kills it may come to its end.
            if kills < least_kills {
                std::thread::sleep(start.mul_f64(0.9) + work.mul_f64(moment(runs)));
                child.kill().unwrap();
            }
            runs += 1;
            let ended = child.wait_with_output().unwrap();
            for (name, bytes) in folder.files(&output) {
                assert!(bytes == expected[&name], "{name} stands there incomplete after {kills} kills");
            }
            if ended.status.success() {
                break;
            }
            assert!(ended.status.code().is_none(), "{}", text(&ended.stderr));
            kills += 1;
        }
        let all = folder.files(&output);
        assert!(all == expected, "round {round}: {:?}", all.keys());
        if kills == killed_before {
            // The other tests may have slowed down the run that was timed.
            work = work.mul_f64(0.7);
        }
    }
}

/// A share of the work after which to kill.
fn moment(run: u32) -> f64 {
    0.4 * (f64::from(run) * 0.618).fract()
}

#[test]
fn a_second_run_on_the_same_output_is_refused() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(200_000), 100_000));
    let output = folder.path("out");
    let mut first = label_command(&input, &output, &[]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let begun = Folder::path(&folder, "out/.emotion/files");
    wait_for(|| Path::new(&begun).exists());
    assert_fails(&label(&input, &output, &[]), &["another run is labeling into", "choose another --output"]);
    first.kill().unwrap();
    first.wait().unwrap();
}

fn wait_for(condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < Duration::from_mins(1), "waited for a minute");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_job_says_how_to_go_on_and_does() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(60_000), 30_000));
    let output = folder.path("out");
    let child = label_command(&input, &output, &[]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let begun = folder.path("out/.emotion/files/in.parquet");
    wait_for(|| fs::read_dir(&begun).is_ok_and(|files| files.count() > 2));
    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(stopped.status.code(), Some(130));
    assert!(text(&stopped.stderr).contains("run the same command again"), "{stopped:?}");
    assert!(folder.files("out").is_empty());
    let plan = label(&input, &output, &["--dry-run"]);
    assert!(output_of(&plan).contains(" rows done\n"), "{plan:?}");
    output_of(&label(&input, &output, &[]));
    assert_eq!(folder.files("out").len(), 1);
}

#[test]
fn what_was_made_otherwise_is_refused_until_restarted() {
    let folder = Folder::new();
    let input = folder.write("in/a.parquet", parquet(&rows(40), 20));
    let (inputs, output) = (folder.path("in"), folder.path("out"));
    output_of(&label(&inputs, &output, &[]));
    let before = folder.files("out");

    let refused = label(&inputs, &output, &["--precision", "int8"]);
    assert_fails(&refused, &["--precision was float32, is int8", "--restart"]);
    let refused = label(&inputs, &output, &["--threshold", "0.6"]);
    assert_fails(&refused, &["--threshold was 0, is 0.6", "--restart"]);
    let refused = label(&inputs, &output, &["--backend", "candle"]);
    assert_fails(&refused, &["--backend was packed, is candle", "--restart"]);
    fs::write(&input, parquet(&rows(60), 20)).unwrap();
    assert_fails(&label(&inputs, &output, &[]), &["a.parquet' has changed since labels were made of it", "--restart"]);
    assert_eq!(folder.files("out"), before);
    output_of(&label(&inputs, &output, &["--restart"]));
    assert_eq!(read_parquet(&folder.path("out/a.parquet")).num_rows(), 60);

    folder.write("out/a.parquet", "changed");
    assert_fails(&label(&inputs, &output, &[]), &["a.parquet' has changed since it was written"]);
    folder.write("other/a.parquet", "somebody's");
    assert_fails(&label(&inputs, &folder.path("other"), &[]), &["already exists, and was not written by this job"]);
    assert_eq!(fs::read_to_string(folder.path("other/a.parquet")).unwrap(), "somebody's");
}

#[test]
fn wrong_inputs_say_what_to_do() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(40), 20));
    let output = folder.path("out");
    assert_fails(&label(&folder.path("none.parquet"), &output, &[]), &["there is no file", "check the path"]);
    assert_fails(&label(&folder.path("none*.parquet"), &output, &[]), &["there is no file"]);
    let missing = run(&["label", &input, "--text", "body", "-o", &output]);
    assert_fails(&missing, &["there is no column 'body'", "id, Text, source, at, tags, stars", "--text"]);
    let number = run(&["label", &input, "--text", "stars", "-o", &output]);
    assert_fails(&number, &["column 'stars'", "DOUBLE, not texts"]);
    let clash = label(&input, &output, &["--columns", "label=SOURCE"]);
    assert_fails(&clash, &["already has a column 'source'", "--columns …=emotion_source"]);
    assert_fails(&label(&input, &folder.path("o.csv"), &[]), &["CSV cannot hold a list", "column 'tags'", "--format"]);
    assert_fails(&label(&input, "http://localhost/out", &[]), &["cannot be written to"]);
    assert_fails(&label(&input, &folder.path("o.avro"), &[]), &["Avro is read and not written"]);
    assert_fails(&label(&input, &folder.path("o.xlsx"), &[]), &["the extension of the output's name is not known"]);
    let otherwise = label(&input, &folder.path("o.csv"), &["--format", "json"]);
    assert_fails(&otherwise, &["has the extension of CSV", "--format asks for JSON"]);
    let quotes = folder.write("quotes.tsv", "id\tText\n1\t\"Wow\n2\tfine\n3\tI said \"no\"\n");
    assert_fails(&label(&quotes, &output, &[]), &["line 2", "several lines", "quotes within them doubled"]);
    let escapes = folder.write("escapes.csv", "id,Text\n1,\"C:\\new, \\\"x\\\"\"\n2,\\N\n");
    let dropped = label(&escapes, &folder.path("o.jsonl"), &["--escape", "\\"]);
    assert_fails(&dropped, &["line 2", "escape character", "choose a CSV output"]);
    assert_fails(&label(&folder.path(""), "-", &[]), &["is no file that '-' could take"]);
    assert_fails(&label("-", "-", &[]), &["name the format of 'standard input' with --format"]);
    assert_fails(&label("-", &folder.path("a.csv"), &["--format", "json"]), &["JSON from a pipe cannot become CSV"]);
    assert_fails(&label("-", &output, &["--format", "csv"]), &["a pipe is labeled into a local file or into '-'"]);
    assert_fails(&label("-", "-", &["--format", "csv", "--keep-going"]), &["--keep-going", "need files"]);
    assert_fails(&label(&input, &input, &[]), &["is in the output itself"]);
    assert_fails(&label(&input, "/proc/emotion", &[]), &["cannot write"]);
    let empty = folder.write("empty.csv", "");
    assert_fails(&label(&empty, &output, &[]), &["the file is empty", "empty.csv'"]);
    assert_fails(&label(&folder.write("empty.parquet", ""), &output, &[]), &["the file is empty", "empty.parquet'"]);
    let uneven = folder.write("uneven.csv", "id,Text\n1,a\n2,b,c\n");
    assert_fails(&label(&uneven, &output, &[]), &["cannot label", "uneven.csv", "line 3"]);
    let here = emotion(&["label", "un*.csv", "--text", "body", "-o", "out"]).current_dir(folder.0.path()).output();
    assert_fails(&here.unwrap(), &["cannot label 'uneven.csv'"]);
    let text_file = folder.write("notes.txt", "no table");
    assert_fails(&label(&text_file, &output, &[]), &["is not a table", ".parquet"]);
    assert!(!Path::new(&output).join("in.parquet").exists());
    assert_eq!(label(&input, &output, &["--columns", "feeling"]).status.code(), Some(2));
}

#[test]
fn damaged_files_stop_the_job_or_are_set_aside() {
    let folder = Folder::new();
    let good = parquet(&rows(60), 20);
    let mut one_bad = good.clone();
    // In the middle of the second row group's texts.
    let reader = ParquetRecordBatchReaderBuilder::try_new(bytes(&good)).unwrap();
    let (start, length) = reader.metadata().row_group(1).column(1).byte_range();
    let (start, length) = (usize::try_from(start).unwrap(), usize::try_from(length).unwrap());
    one_bad[start..start + length].fill(0xff);
    folder.write("in/a.parquet", &good);
    folder.write("in/b.parquet", &one_bad);
    folder.write("in/c.parquet", &good[..good.len() / 2]);
    let (input, output) = (folder.path("in"), folder.path("out"));

    assert_fails(&label(&input, &output, &[]), &["c.parquet", "--keep-going"]);
    fs::remove_file(folder.path("in/c.parquet")).unwrap();
    assert_fails(&label(&input, &output, &[]), &["row group 1 of", "b.parquet", "--keep-going"]);
    assert_eq!(folder.files("out").keys().collect::<Vec<_>>(), ["a.parquet"]);
    folder.write("in/c.parquet", &good[..good.len() / 2]);

    let kept_going = label(&input, &output, &["--keep-going"]);
    assert_eq!(kept_going.status.code(), Some(3), "{}", text(&kept_going.stderr));
    assert!(text(&kept_going.stdout).contains("2 skipped"), "{}", text(&kept_going.stdout));
    assert_eq!(read_parquet(&folder.path("out/a.parquet")).num_rows(), 60);
    let rest = read_parquet(&folder.path("out/b.parquet"));
    assert_eq!(rest.num_rows(), 40);
    let errors = fs::read_to_string(folder.path("out/_errors.jsonl")).unwrap();
    let errors: Vec<serde_json::Value> = errors.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((&errors[0]["row_group"], &errors[0]["rows"]), (&1.into(), &20.into()));
    assert!(errors[1]["file"].as_str().unwrap().ends_with("c.parquet"));

    folder.write("in/c.parquet", &good);
    assert_eq!(label(&input, &output, &["--keep-going"]).status.code(), Some(3));
    assert_eq!(read_parquet(&folder.path("out/c.parquet")).num_rows(), 60);
    folder.write("in/b.parquet", &good);
    assert_eq!(label(&input, &output, &["--keep-going", "--restart"]).status.code(), Some(0));
    assert_eq!(folder.files("out").keys().collect::<Vec<_>>(), ["a.parquet", "b.parquet", "c.parquet"]);
}

#[test]
fn a_file_that_is_cut_short_under_the_reader_stops_the_job() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(60_000), 5_000));
    let output = folder.path("out");
    let child = label_command(&input, &output, &[]).stderr(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let begun = folder.path("out/.emotion/files/in.parquet");
    wait_for(|| fs::read_dir(&begun).is_ok_and(|files| files.count() > 2));
    File::options().write(true).open(&input).unwrap().set_len(fs::metadata(&input).unwrap().len() / 2).unwrap();
    let stopped = child.wait_with_output().unwrap();
    assert_fails(&stopped, &["cannot read row group", "in.parquet", "write the file again"]);
    assert!(folder.files("out").is_empty());
}

fn bytes(file: &[u8]) -> bytes::Bytes {
    bytes::Bytes::copy_from_slice(file)
}

#[cfg(unix)]
#[test]
fn a_full_disk_stops_the_job_and_loses_nothing() {
    let folder = Folder::new();
    let table = folder.write("in.parquet", parquet(&rows(20_000).project(&[0, 1]).unwrap(), 5_000));
    for format in ["parquet", "csv", "tsv", "json", "arrow"] {
        // The first writer encodes, the second copies.
        let (encoded, copied) = (folder.path(&format!("a.{format}")), folder.path(&format!("b.{format}")));
        for (input, output, column) in [(&table, &encoded, "score"), (&encoded, &copied, "score=other")] {
            let columns = ["--columns", column];
            // A limit on the size of files stands in for the disk's: writes fail in the middle of the output.
            let script = "trap '' XFSZ; ulimit -f 80; exec \"$0\" \"$@\"";
            let limited = Command::new("sh")
                .args(["-c", script, env!("CARGO_BIN_EXE_emotion"), "label", input, "--text", "Text", "-o", output])
                .args(["--model", SMALL, "--commit-every", "0"])
                .args(columns)
                .current_dir(root())
                .output()
                .unwrap();
            assert_fails(&limited, &["run the same command again", "cannot write", "File too large"]);
            assert!(!Path::new(output).exists());
            output_of(&label(input, output, &columns));
            assert!(fs::metadata(output).unwrap().len() > 80 << 10, "{output}");
        }
    }
}

#[test]
fn a_dry_run_does_nothing() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(700), 300));
    let output = folder.path("out");
    let plan = label(&input, &output, &["--dry-run"]);
    let plan = output_of(&plan);
    assert!(plan.contains("out/in.parquet: 700 rows, new\n1 file, 700 rows to label: about "), "{plan}");
    assert!(!Path::new(&output).exists());
}

#[test]
fn a_model_of_several_labels_gives_none_where_none_holds() {
    let folder = Folder::new();
    let input = folder.write("in.parquet", parquet(&rows(40), 20));
    let output = folder.path("out.parquet");
    let line = ["label", &input, "--text", "Text", "-o", &output, "--model", "tests/golden/multi-label", "--quiet"];
    assert_eq!(output_of(&run(&line)), "");
    let labeled = read_parquet(&output);
    let (labels, scores) = (labeled["label"].as_string::<i32>(), labeled["score"].as_primitive::<Float32Type>());
    for row in 0..40 {
        assert_eq!(labels.is_valid(row), scores.is_valid(row) && scores.value(row) >= 0.5, "row {row}");
    }
}

/// A folder that must not be read does not end a job that keeps going.
#[test]
#[cfg(target_os = "linux")]
fn an_unreadable_folder_is_skipped() {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    let folder = Folder::new();
    for name in ["a.csv", "secret/b.csv"] {
        folder.write(&format!("in/{name}"), "id,Text\n1,I like you.\n");
    }
    let allow = |path: &str, mode| fs::set_permissions(folder.path(path), PermissionsExt::from_mode(mode)).unwrap();
    allow("", 0o777);
    allow("in/secret", 0o000);
    let job = |output: &str, more: &[&str]| {
        let command = label_command(&folder.path("in"), &folder.path(output), more);
        if fs::metadata(folder.path("")).unwrap().uid() != 0 {
            return command;
        }
        // The superuser may read everything.
        let mut other = Command::new("setpriv");
        other.args(["--reuid=65534", "--regid=65534", "--clear-groups"]).arg(command.get_program());
        other.args(command.get_args()).current_dir(command.get_current_dir().unwrap_or(Path::new(".")));
        other
    };
    let names = "secret: Permission denied";
    assert_fails(&job("whole", &[]).output().unwrap(), &["cannot list", names]);
    let kept = job("kept", &["--keep-going"]).output().unwrap();
    assert!(text(&kept.stderr).contains(names), "{}", text(&kept.stderr));
    assert_eq!(folder.files("kept").keys().collect::<Vec<_>>(), ["_errors.jsonl", "a.csv"]);
    allow("in/secret", 0o700);
}
