//! Labels a file with a constant: `add_constant INPUT OUTPUT [--text COLUMN] [--escape C] [--delimiter C]
//! [--encoding NAME]`.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use arrow::array::{Array, Float32Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use emotion_label::format::FileType;
use emotion_label::options::Options;
use emotion_label::{drive, open};
use encoding_rs::Encoding;

fn main() {
    if let Err(error) = run() {
        eprintln!("Error: {error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (input, output) = arguments.next().zip(arguments.next()).ok_or("give an INPUT and an OUTPUT")?;
    let fields = vec![Field::new("label", DataType::Utf8, true), Field::new("score", DataType::Float32, true)];
    let schema = Arc::new(Schema::new(fields));
    let mut options = Options::new(&input, "text", Arc::clone(&schema));
    while let Some((name, value)) = arguments.next().zip(arguments.next()) {
        let byte = value.bytes().next();
        match name.as_str() {
            "--text" => options.text = value,
            "--escape" => options.escape = byte,
            "--delimiter" => options.delimiter = byte.unwrap_or(b','),
            "--encoding" => options.encoding = Encoding::for_label(value.as_bytes()),
            _ => return Err(format!("'{name}' is no option").into()),
        }
    }
    let kind = FileType::of(&input).ok_or("the extension of the input is not known")?;
    let compression = FileType::of(&output).and_then(|output| output.compression);
    let mut file = File::open(&input)?;
    let size = file.metadata()?.len();

    let (mut rows, mut nulls) = (0, 0);
    let mut reader = open::texts(kind, Some(size), &options)?;
    drive::read_texts(&mut *reader, &mut file, |batch| {
        rows += batch.texts.len();
        nulls += batch.texts.null_count();
    })?;

    let label = |_, rows| {
        let label = StringArray::from(vec!["joy"; rows]);
        let score = Float32Array::from(vec![0.5; rows]);
        RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(label), Arc::new(score)]).expect("of the schema")
    };
    let mut copier = open::copier(kind, Some(size), compression, &options)?;
    let mut output = BufWriter::new(File::create(&output)?);
    drive::copy(&mut *copier, &mut file, &mut output, label)?;
    println!("{rows} rows, {nulls} without text");
    Ok(())
}
