//! `emotion eval`: how well a model does on texts whose labels are known.

mod html;
mod metrics;
mod summary;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use clap::{Args, ValueEnum};
use emotion_classifier::{Classifier, ProblemType, Statistics};
use futures::StreamExt;

use crate::atomic_file;
use crate::model::ModelArguments;
use crate::table::{TableArguments, strings};
use metrics::Tally;
use summary::Summary;

/// Measure a model on texts whose labels are known
///
/// Prints accuracy, F1, loss, precision and recall of each label, the confusion matrix, and texts a second.
/// Rows without a text or a label are left out and counted.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    table: TableArguments,

    /// The column that holds the texts
    #[arg(long, value_name = "COLUMN")]
    text: String,

    /// The column that holds the labels: their names, or their numbers in the model
    #[arg(long, value_name = "COLUMN")]
    label: String,

    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Write a page with the figures to this file as well
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// To read
    Text,
    /// One JSON object, with the key names of Hugging Face's model cards
    Json,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let classifier = arguments.model.load()?;
    if classifier.config().problem_type == ProblemType::MultiLabel {
        bail!("this model gives a text several labels; eval is for models that give one");
    }
    if arguments.text == arguments.label {
        bail!("--text and --label name the same column, '{}'", arguments.text);
    }
    let mut evaluation = Evaluation::new(classifier);
    for file in arguments.table.files() {
        let mut batches = arguments.table.columns(file, &[&arguments.text, &arguments.label]).await?;
        let mut rows_before = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.with_context(|| format!("cannot read '{file}'"))?;
            evaluation.add(&batch, rows_before).with_context(|| format!("in '{file}'"))?;
            rows_before += batch.num_rows();
        }
    }
    let summary = evaluation.finish(arguments.table.files())?;
    if let Some(path) = &arguments.html {
        atomic_file::write(path, html::page(&summary).into_string().as_bytes())?;
    }
    let mut out = std::io::stdout();
    match arguments.format {
        Format::Text => write!(out, "{}", summary.text())?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?,
    }
    Ok(())
}

struct Evaluation {
    classifier: Arc<Classifier>,
    tally: Tally,
    rows: u64,
    time: Duration,
    statistics: Statistics,
}

impl Evaluation {
    fn new(classifier: Arc<Classifier>) -> Self {
        let tally = Tally::new(classifier.labels());
        Self { classifier, tally, rows: 0, time: Duration::ZERO, statistics: Statistics::default() }
    }

    /// Classifies a batch of two columns, texts and labels.
    fn add(&mut self, batch: &RecordBatch, rows_before: usize) -> Result<()> {
        let [texts, labels] = batch.columns() else { bail!("a batch of {} columns", batch.num_columns()) };
        let texts = strings(texts, batch.schema_ref().field(0).name())?;
        let ids = self.label_ids(labels, batch.schema_ref().field(1).name(), rows_before)?;
        let known = texts.iter().zip(ids).filter_map(|(text, id)| Some((text?, id?)));
        let (texts, ids): (Vec<&str>, Vec<usize>) = known.unzip();
        let started = Instant::now();
        let answer = self.classifier.request(&texts).cache(false).statistics(&self.statistics).run()?;
        self.time += started.elapsed();
        for (id, prediction) in ids.into_iter().zip(answer.predictions) {
            self.tally.add(id, &prediction);
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// For each row the id of its label, which stands there by name or as the id itself.
    fn label_ids(&self, column: &ArrayRef, name: &str, rows_before: usize) -> Result<Vec<Option<usize>>> {
        let known = self.classifier.labels();
        let unknown = |row: usize, label: String| {
            let row = rows_before + row + 1;
            anyhow!("row {row} has the label '{label}', which the model does not know: it has {}", known.join(", "))
        };
        if column.data_type().is_integer() {
            let ids = cast(column, &DataType::Int64)?;
            let id = |(row, id): (usize, Option<i64>)| match id {
                None => Ok(None),
                Some(id) => match usize::try_from(id) {
                    Ok(id) if id < known.len() => Ok(Some(id)),
                    _ => Err(unknown(row, id.to_string())),
                },
            };
            return ids.as_primitive::<Int64Type>().iter().enumerate().map(id).collect();
        }
        let id = |(row, label): (usize, Option<&str>)| match label {
            None => Ok(None),
            Some(label) => match known.iter().position(|known| **known == *label) {
                Some(id) => Ok(Some(id)),
                None => Err(unknown(row, label.to_string())),
            },
        };
        strings(column, name)?.iter().enumerate().map(id).collect()
    }

    fn finish(self, files: &[String]) -> Result<Summary> {
        if self.tally.texts() == 0 {
            bail!("no row has both a text and a label: nothing was measured");
        }
        Ok(Summary::new(
            files.to_vec(),
            &self.classifier,
            &self.tally,
            self.rows,
            self.time,
            &self.statistics.snapshot(),
        ))
    }
}
