//! Tests of CSV files as a whole.

use std::sync::Arc;

use arrow::array::{Float32Array, LargeStringArray, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use encoding_rs::{UTF_16BE, UTF_16LE, WINDOWS_1252};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::csv::encoder::CsvEncoder;
use crate::csv::reader::CsvReader;
use crate::error::{FileError, Position};
use crate::options::Options;
use crate::records::{RecordCopier, RecordTexts};
use crate::step::{Copier, CopyStep, Need, TextReader, TextStep};

fn added() -> SchemaRef {
    let fields = vec![Field::new("label", DataType::Utf8, true), Field::new("score", DataType::Float32, true)];
    Arc::new(Schema::new(fields))
}

fn labels(rows: usize) -> RecordBatch {
    let label = StringArray::from(vec!["joy"; rows]);
    let score = Float32Array::from(vec![0.5; rows]);
    RecordBatch::try_new(added(), vec![Arc::new(label), Arc::new(score)]).unwrap()
}

#[test]
fn a_record_without_an_end_does_not_fill_the_memory() {
    for start in ["text\n\"", "text\n", ""] {
        let mut input = start.as_bytes().to_vec();
        input.resize(160 << 20, b'a');
        let error = texts(&options(), &input, 16 << 20).unwrap_err().to_string();
        assert!(error.contains("a record is longer than 128 MiB"), "{error}");
    }
}

fn options() -> Options {
    Options::new("a.csv", "text", added())
}

fn texts(options: &Options, input: &[u8], chunk: usize) -> Result<Vec<Option<String>>, FileError> {
    let mut reader = RecordTexts::new(CsvReader::new(options, true)?, options);
    let (mut chunks, mut texts) = (input.chunks(chunk), Vec::new());
    loop {
        match reader.step()? {
            TextStep::Need(Need::Chunk) => {
                reader.supply(chunks.next().map(Bytes::copy_from_slice).into_iter().collect())?;
            }
            TextStep::Need(Need::Ranges(_)) => panic!("a stream has no ranges"),
            TextStep::Texts(batch) => {
                let batch = batch.texts.as_any().downcast_ref::<LargeStringArray>().unwrap().clone();
                texts.extend(batch.iter().map(|text| text.map(String::from)));
            }
            TextStep::End => return Ok(texts),
        }
    }
}

fn copy(options: &Options, input: &[u8], chunk: usize) -> Result<Vec<u8>, FileError> {
    let reader = CsvReader::new(options, false)?;
    let mut copier = RecordCopier::new(reader, CsvEncoder::new(options), options);
    let (mut chunks, mut out) = (input.chunks(chunk), Vec::new());
    loop {
        match copier.step(&mut out)? {
            CopyStep::Need(_) => copier.supply(chunks.next().map(Bytes::copy_from_slice).into_iter().collect())?,
            CopyStep::Rows { rows, .. } => copier.add(&labels(rows))?,
            CopyStep::Output => {}
            CopyStep::End => return Ok(out),
        }
    }
}

fn copied(input: &str) -> String {
    String::from_utf8(copy(&options(), input.as_bytes(), 7).unwrap()).unwrap()
}

fn refusal(input: &str) -> String {
    let error = texts(&options(), input.as_bytes(), 7).unwrap_err();
    let fault = error.fault().unwrap();
    format!("{} | {} | {}", fault.what, fault.place, fault.advice)
}

#[test]
fn fields_are_appended_before_each_line_end() {
    assert_eq!(
        copied("id,text\r\n1,\"a\n\"\"b\"\"\"\r\n2,c"),
        "id,text,label,score\r\n1,\"a\n\"\"b\"\"\",joy,0.5\r\n2,c,joy,0.5"
    );
    assert_eq!(copied("\u{feff}text\rä\r"), "\u{feff}text,label,score\rä,joy,0.5\r");
}

#[test]
fn missing_fields_are_filled_up_and_blank_lines_are_no_rows() {
    assert_eq!(copied("id,text,x\n\n1\n"), "id,text,x,label,score\n\n1,,,joy,0.5\n");
    assert_eq!(texts(&options(), b"id,text\n\n1\n2,\n3,\"\"\n", 3).unwrap(), [None, None, Some(String::new())]);
}

#[test]
fn empty_lines_of_a_single_column_are_rows() {
    assert_eq!(copied("text\n\na\n"), "text,label,score\n,joy,0.5\na,joy,0.5\n");
    assert_eq!(texts(&options(), b"text\n\na\n", 3).unwrap(), [None, Some("a".into())]);
}

#[test]
fn duplicate_and_empty_names_of_other_columns_are_kept() {
    assert_eq!(copied(",text,\n1,a,2\n"), ",text,,label,score\n1,a,2,joy,0.5\n");
    assert_eq!(copied("n,n,text\n1,2,a\n"), "n,n,text,label,score\n1,2,a,joy,0.5\n");
}

#[test]
fn faults_name_the_line_and_the_cure() {
    assert!(refusal("text,text\n").starts_with("two columns are called 'text' | 'a.csv', line 1 |"));
    assert_eq!(refusal("id,Text\n"), "there is no column 'text' | 'a.csv' | use --text 'Text'");
    for (header, delimiter) in [("id;text\n", ";"), ("\"id\"\t\"text\"\n", "\\t"), ("text|id\n", "|")] {
        let advice =
            format!("there is no column 'text' between delimiters ',' | 'a.csv' | use --delimiter '{delimiter}'");
        assert_eq!(refusal(header), advice);
    }
    assert!(refusal("Label,text\n").starts_with("the file already has a column 'Label'"));
    assert!(
        refusal("id,text\n1,a\n2,b,c\n").starts_with("the record has 3 fields, the header has 2 | 'a.csv', line 3 |")
    );
    assert!(refusal("id,text\n1,\"a\nb\"\n2,\"b").contains("'a.csv', line 4 | write the file again"));
    assert!(refusal("id,text\n1,\"say \\\"hi\\\" now\"\n").ends_with(r"add --escape '\'"));
    assert!(refusal("id,text\n1,\"say \\\", hi\\\" now\"\n").ends_with(r"add --escape '\'"));
    assert!(refusal("").starts_with("the file is empty"));
}

#[test]
fn backslashes_escape_quotes_where_asked_for() {
    let options = Options { escape: Some(b'\\'), ..options() };
    let input = b"id,text\n1,\"say \\\"hi\\\", now\"\n";
    assert_eq!(texts(&options, input, 5).unwrap(), [Some("say \"hi\", now".into())]);
    let output = String::from_utf8(copy(&options, input, 5).unwrap()).unwrap();
    assert_eq!(output, "id,text,label,score\n1,\"say \\\"hi\\\", now\",joy,0.5\n");
}

#[test]
fn other_encodings_are_read_copied_and_written() {
    let windows = Options { encoding: Some(WINDOWS_1252), ..options() };
    assert_eq!(texts(&windows, b"text\n\xe9\n", 2).unwrap(), [Some("é".into())]);
    assert_eq!(copy(&windows, b"text\n\xe9\n", 2).unwrap(), b"text,label,score\n\xe9,joy,0.5\n");
    let utf16 = |text: &str, unit: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(unit).collect::<Vec<_>>();
    let (before, after) = ("text,x\n\"Ĭ\n😀\",1\n", "text,x,label,score\n\"Ĭ\n😀\",1,joy,0.5\n");
    for (encoding, unit) in [(UTF_16LE, u16::to_le_bytes as fn(u16) -> [u8; 2]), (UTF_16BE, u16::to_be_bytes)] {
        let options = Options { encoding: Some(encoding), ..options() };
        assert_eq!(texts(&options, &utf16(before, unit), 3).unwrap(), [Some("Ĭ\n😀".into())]);
        assert_eq!(copy(&options, &utf16(before, unit), 3).unwrap(), utf16(after, unit));
        let marked = |text: &str| utf16(&format!("\u{feff}{text}"), unit);
        assert_eq!(copy(&self::options(), &marked(before), 3).unwrap(), marked(after));
    }
}

#[test]
fn invalid_text_is_named_by_its_offset() {
    let error = texts(&options(), b"id,text\n1,ab\xe9\n", 3).unwrap_err();
    let fault = error.fault().unwrap();
    assert_eq!(fault.place.position, Position::Byte { line: 2, offset: 12 });
    assert!(fault.advice.contains("--encoding windows-1252"));
    assert!(texts(&options(), b"id,text\n\xe9,a\n", 3).is_ok(), "other columns are not decoded");
}

#[test]
fn a_reader_starts_at_a_row() {
    let options = Options { start: (0, 2), batch_rows: 1, ..options() };
    assert_eq!(texts(&options, b"text\na\nb\nc\nd\n", 3).unwrap(), [Some("c".into()), Some("d".into())]);
}

#[test]
fn a_large_text_in_small_chunks_takes_linear_time() {
    let text = "line, \"\"quoted\"\"\n".repeat(200_000);
    let input = format!("text\n\"{text}\"\n");
    assert_eq!(copy(&options(), input.as_bytes(), 512).unwrap().len(), input.len() + ",label,score,joy,0.5".len());
}

fn field() -> impl Strategy<Value = String> {
    "[a-c,\"\r\n ;é]{0,6}"
}

proptest! {
    /// Files as the `csv` crate writes them, of records that it reads as they were.
    #[test]
    fn records_are_copied_and_fields_are_those_of_the_csv_crate(
        rows in vec(vec(field(), 3), 0..8), ends in 0..3_u8, chunk in 1..9_usize,
    ) {
        let terminator = [csv::Terminator::CRLF, csv::Terminator::Any(b'\n'), csv::Terminator::Any(b'\r')];
        let mut writer = csv::WriterBuilder::new().terminator(terminator[usize::from(ends)]).from_writer(Vec::new());
        writer.write_record(["id", "text", "x"]).unwrap();
        for row in &rows {
            writer.write_record(row).unwrap();
        }
        let input = writer.into_inner().unwrap();

        let read = texts(&options(), &input, chunk).unwrap();
        let expected: Vec<_> = rows.iter().map(|row| row[1].clone()).collect();
        prop_assert_eq!(read.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>(), expected);

        let output = copy(&options(), &input, chunk).unwrap();
        let text = String::from_utf8(output.clone()).unwrap();
        prop_assert_eq!(text.replace(",joy,0.5", "").replacen(",label,score", "", 1).into_bytes(), input);
        let mut records = csv::ReaderBuilder::new().has_headers(false).from_reader(&output[..]);
        for (record, row) in records.records().skip(1).zip(&rows) {
            let expected: Vec<_> = row.iter().map(String::as_str).chain(["joy", "0.5"]).collect();
            let record = record.unwrap();
            prop_assert_eq!(record.iter().collect::<Vec<_>>(), expected);
        }
    }

    /// Any bytes: what is read equals what the `csv` crate reads, and chunks make no difference.
    #[test]
    fn any_records_are_read_as_by_the_csv_crate(body in "[ab,\"\r\n]{0,40}", chunk in 1..9_usize) {
        let input = format!("id,text,x\n{body}");
        let whole = texts(&options(), input.as_bytes(), input.len());
        let pieces = texts(&options(), input.as_bytes(), chunk);
        prop_assert_eq!(whole.as_ref().ok(), pieces.as_ref().ok());
        if let Ok(texts) = whole {
            let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(input.as_bytes());
            let expected: Vec<_> = reader.records().map(|row| row.unwrap().get(1).unwrap_or("").to_string()).collect();
            prop_assert_eq!(texts.into_iter().map(Option::unwrap_or_default).collect::<Vec<_>>(), expected);
        }
    }
}
