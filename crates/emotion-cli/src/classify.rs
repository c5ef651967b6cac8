use std::io::{self, BufRead, BufWriter, Read, Write};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::{ArrayRef, AsArray, Float32Array, RecordBatch, StringArray, StructArray};
use arrow::csv::WriterBuilder;
use arrow::datatypes::{DataType, Field, Fields, Float32Type};
use arrow::json::WriterBuilder as JsonWriterBuilder;
use arrow::json::writer::LineDelimited;
use arrow::util::display::FormatOptions;
use clap::{Args, ValueEnum};
use emotion_classifier::{Classifier, ClassifyOptions, Prediction};

use crate::escapes::visible;
use crate::model::ModelArguments;
use crate::standard_output::StandardOutput;
use crate::text_table::text_table;

/// Texts that are classified and printed together when they come from a pipe.
const LINES_A_BATCH: usize = 1024;

/// The most bytes of a line of standard input, and of the lines that are classified together.
const LONGEST_LINE: usize = 16 << 20;

/// The byte order mark, which editors on Windows write at the start of a file.
const MARK: char = '\u{feff}';

/// Classify texts given as arguments, or one per line from standard input
#[derive(Args)]
pub struct Arguments {
    /// The texts; without this argument, each line of standard input is a text
    texts: Vec<String>,

    /// How to print labels and scores
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,

    #[command(flatten)]
    model: ModelArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table
    Table,
    /// Comma-separated values, one column per score
    Csv,
    /// One JSON object per line
    Json,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let classifier = arguments.model.load()?;
    let mut options = ClassifyOptions::default();
    options.threshold = arguments.model.threshold();
    let mut printer = Printer::new(arguments.format, options, StandardOutput::open());
    if arguments.texts.is_empty() {
        for texts in batches_of_lines(io::stdin().lock()) {
            printer.print(&classifier, &texts?)?;
        }
    } else {
        printer.print(&classifier, &arguments.texts)?;
    }
    printer.finish()
}

/// The lines of `input` in batches; ends after an error, which names the line.
fn batches_of_lines(input: impl BufRead) -> impl Iterator<Item = Result<Vec<String>>> {
    let mut lines = Lines { input, number: 0 };
    let mut error = None;
    let mut has_ended = false;
    std::iter::from_fn(move || {
        if has_ended {
            return error.take().map(Err);
        }
        let (batch, ended) = lines.batch();
        has_ended = ended.is_some();
        error = ended.and_then(Result::err);
        if batch.is_empty() { error.take().map(Err) } else { Some(Ok(batch)) }
    })
}

struct Lines<R> {
    input: R,
    /// The number of lines that were read.
    number: usize,
}

impl<R: BufRead> Lines<R> {
    /// The next lines, up to a number and a size, and what ended them if it was not these: the end or an error.
    fn batch(&mut self) -> (Vec<String>, Option<Result<()>>) {
        let (mut lines, mut bytes) = (Vec::new(), 0);
        while lines.len() < LINES_A_BATCH && bytes < LONGEST_LINE {
            match self.line() {
                Ok(Some(line)) => {
                    bytes += line.len();
                    lines.push(line);
                }
                Ok(None) => return (lines, Some(Ok(()))),
                Err(error) => return (lines, Some(Err(error))),
            }
        }
        (lines, None)
    }

    fn line(&mut self) -> Result<Option<String>> {
        self.number += 1;
        let of_line = || format!("cannot read line {} of standard input", self.number);
        let mut line = Vec::new();
        // Two more bytes for the end of the line.
        let most = LONGEST_LINE as u64 + 2;
        self.input.by_ref().take(most).read_until(b'\n', &mut line).with_context(of_line)?;
        if line.is_empty() {
            return Ok(None);
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let text = text.strip_suffix(b"\r").filter(|_| line.ends_with(b"\n")).unwrap_or(text);
        if text.len() > LONGEST_LINE {
            bail!("{}: it is longer than 16 MiB; label it as a column of a file with `emotion label`", of_line());
        }
        let text = std::str::from_utf8(text).map_err(|_| anyhow!("{}: it must be UTF-8 text", of_line()))?;
        let text = text.strip_prefix(MARK).filter(|_| self.number == 1).unwrap_or(text);
        Ok(Some(text.into()))
    }
}

/// Prints predictions as they come; a table only at the end, when its widths are known.
struct Printer<W: Write> {
    format: Format,
    options: ClassifyOptions,
    out: BufWriter<W>,
    table: Vec<RecordBatch>,
    has_header: bool,
}

impl<W: Write> Printer<W> {
    fn new(format: Format, options: ClassifyOptions, out: W) -> Self {
        Self { format, options, out: BufWriter::new(out), table: Vec::new(), has_header: false }
    }

    fn print(&mut self, classifier: &Classifier, texts: &[String]) -> Result<()> {
        let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
        let answer = classifier.request(&borrowed).options(&self.options).run()?;
        let labels = answer.labels().map(|label| label.map(|label| &**label)).collect();
        let leading = leading(texts, labels, &answer.predictions);
        let scores = scores(classifier.labels(), &answer.predictions);
        match self.format {
            Format::Table => self.table.push(rounded(&flat(leading, scores)?)?),
            Format::Csv => {
                let batch = flat(leading, scores)?;
                let writer = WriterBuilder::new().with_header(!self.has_header);
                self.has_header = true;
                writer.build(&mut self.out).write(&batch)?;
            }
            Format::Json => {
                let batch = nested(leading, scores)?;
                let builder = JsonWriterBuilder::new().with_explicit_nulls(true);
                let mut writer = builder.build::<_, LineDelimited>(&mut self.out);
                writer.write(&batch)?;
                writer.finish()?;
            }
        }
        Ok(self.out.flush()?)
    }

    fn finish(mut self) -> Result<()> {
        if !self.table.is_empty() {
            let options = FormatOptions::default().with_null("NULL");
            let table = text_table(&self.table, &options)?;
            writeln!(self.out, "{}", visible(&table))?;
        }
        Ok(self.out.flush()?)
    }
}

type Column = (String, ArrayRef);

fn scores(labels: &[Arc<str>], predictions: &[Arc<Prediction>]) -> Vec<Column> {
    let column = |(id, label): (usize, &Arc<str>)| -> Column {
        let values = predictions.iter().map(|prediction| prediction.probabilities[id]);
        (label.to_string(), Arc::new(Float32Array::from_iter_values(values)))
    };
    labels.iter().enumerate().map(column).collect()
}

/// `text`, `label` (NULL if none holds) and `score`.
fn leading(texts: &[String], labels: StringArray, predictions: &[Arc<Prediction>]) -> Vec<Column> {
    let scores = predictions.iter().map(|prediction| prediction.score);
    vec![
        ("text".into(), Arc::new(StringArray::from_iter_values(texts))),
        ("label".into(), Arc::new(labels)),
        ("score".into(), Arc::new(Float32Array::from_iter_values(scores))),
    ]
}

fn flat(leading: Vec<Column>, scores: Vec<Column>) -> Result<RecordBatch> {
    Ok(RecordBatch::try_from_iter(leading.into_iter().chain(scores))?)
}

fn nested(leading: Vec<Column>, scores: Vec<Column>) -> Result<RecordBatch> {
    let (names, columns): (Vec<_>, Vec<_>) = scores.into_iter().unzip();
    let fields: Fields = names.iter().map(|name| Field::new(name, DataType::Float32, false)).collect();
    let scores: ArrayRef = Arc::new(StructArray::try_new(fields, columns, None)?);
    flat(leading, vec![("scores".into(), scores)])
}

/// The same batch to be read by people, to whom four decimals are enough.
fn rounded(wide: &RecordBatch) -> Result<RecordBatch> {
    let columns = wide.schema_ref().fields().iter().zip(wide.columns()).map(|(field, column)| {
        let column = match column.as_primitive_opt::<Float32Type>() {
            Some(values) => {
                let texts = values.values().iter().map(|value| format!("{value:.4}"));
                Arc::new(StringArray::from_iter_values(texts))
            }
            None => Arc::clone(column),
        };
        (field.name().clone(), column)
    });
    Ok(RecordBatch::try_from_iter(columns)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_come_in_batches_until_one_is_wrong() {
        let batches = |input: &[u8]| batches_of_lines(input).collect::<Result<Vec<_>>>();
        assert_eq!(batches(b"").unwrap(), [[""; 0]; 0]);
        assert_eq!(batches(b"a\r\n\nb\rc\r").unwrap(), [["a", "", "b\rc\r"]]);
        let many = "x\n".repeat(LINES_A_BATCH + 1);
        assert_eq!(batches(many.as_bytes()).unwrap().iter().map(Vec::len).collect::<Vec<_>>(), [LINES_A_BATCH, 1]);
        let error = batches(b"a\n\xff\n").unwrap_err().to_string();
        assert!(error.contains("line 2 of standard input: it must be UTF-8"), "{error}");
        assert_eq!(batches_of_lines(&b"\xff\nb\n"[..]).count(), 1);
    }

    #[test]
    fn lines_are_bounded() {
        let longest = "x".repeat(LONGEST_LINE) + "\r\nb\n";
        let lines = batches_of_lines(longest.as_bytes()).map(|batch| batch.unwrap().len());
        assert_eq!(lines.collect::<Vec<_>>(), [1, 1]);
        let endless = io::BufReader::new(io::repeat(b'x'));
        assert!(batches_of_lines(endless).next().unwrap().is_err());
        let longer = "x".repeat(LONGEST_LINE + 1);
        let error = batches_of_lines(longer.as_bytes()).next().unwrap().unwrap_err().to_string();
        assert!(error.contains("line 1 of standard input: it is longer than 16 MiB"), "{error}");
    }
}
