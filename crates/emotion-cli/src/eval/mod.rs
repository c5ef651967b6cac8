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
use emotion_classifier::{Classifier, ClassifyOptions, ProblemType, Statistics};
use futures::StreamExt;

use crate::atomic_file;
use crate::model::{ModelArguments, NO_LABEL};
use crate::table::{TableArguments, strings};
use metrics::Tally;
use summary::Summary;

/// What files call the label of a text that has none of the model's labels.
const NAMES_OF_NO_LABEL: [&str; 3] = ["neutral", NO_LABEL, ""];

/// Measure a model on texts whose labels are known
///
/// Prints accuracy, F1, loss, precision and recall of each label, the confusion matrix, and texts a second.
/// Rows without a text or a label are left out and counted. With --threshold, rows without a label, or whose label is
/// 'neutral' or 'none' and not one of the model's, are texts of no label: the model is right if it gives them none.
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
    let mut evaluation = Evaluation::new(classifier, arguments.model.threshold());
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
    options: ClassifyOptions,
    tally: Tally,
    rows: u64,
    time: Duration,
    statistics: Statistics,
}

impl Evaluation {
    fn new(classifier: Arc<Classifier>, threshold: Option<f32>) -> Self {
        let mut classes = classifier.labels().to_vec();
        classes.extend(threshold.map(|_| NO_LABEL.into()));
        let mut options = ClassifyOptions::default().cache(false);
        options.threshold = threshold;
        let tally = Tally::new(classes);
        Self { classifier, options, tally, rows: 0, time: Duration::ZERO, statistics: Statistics::default() }
    }

    /// The class of texts of no label, if there is one.
    fn no_label(&self) -> Option<usize> {
        self.options.threshold.map(|_| self.classifier.labels().len())
    }

    /// Classifies a batch of two columns, texts and labels.
    fn add(&mut self, batch: &RecordBatch, rows_before: usize) -> Result<()> {
        let [texts, labels] = batch.columns() else { bail!("a batch of {} columns", batch.num_columns()) };
        let texts = strings(texts, batch.schema_ref().field(0).name())?;
        let classes = self.classes(labels, batch.schema_ref().field(1).name(), rows_before)?;
        let known = texts.iter().zip(classes).filter_map(|(text, class)| Some((text?, class?)));
        let (texts, classes): (Vec<&str>, Vec<usize>) = known.unzip();
        let started = Instant::now();
        let answer = self.classifier.request(&texts).options(&self.options).statistics(&self.statistics).run()?;
        self.time += started.elapsed();
        for ((class, prediction), label) in classes.into_iter().zip(&answer.predictions).zip(answer.labels()) {
            let given = if label.is_some() { Some(prediction.label_id) } else { self.no_label() };
            let given = given.context("without a threshold, a label holds")?;
            self.tally.add(class, given, &prediction.probabilities);
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// For each row the class of its label, which stands there by name or by its number; `None` if it is to be left out.
    fn classes(&self, column: &ArrayRef, name: &str, rows_before: usize) -> Result<Vec<Option<usize>>> {
        let (known, no_label) = (self.classifier.labels(), self.no_label());
        let unknown = |row: usize, label: String| {
            let row = rows_before + row + 1;
            anyhow!("row {row} has the label '{label}', which the model does not know: it has {}", known.join(", "))
        };
        if column.data_type().is_integer() {
            let ids = cast(column, &DataType::Int64)?;
            let id = |(row, id): (usize, Option<i64>)| match id {
                None => Ok(no_label),
                Some(id) => match usize::try_from(id) {
                    Ok(id) if id < known.len() => Ok(Some(id)),
                    _ => Err(unknown(row, id.to_string())),
                },
            };
            return ids.as_primitive::<Int64Type>().iter().enumerate().map(id).collect();
        }
        let id = |(row, label): (usize, Option<&str>)| match label {
            None => Ok(no_label),
            Some(label) => match known.iter().position(|known| **known == *label) {
                Some(id) => Ok(Some(id)),
                None if no_label.is_some() && NAMES_OF_NO_LABEL.contains(&label) => Ok(no_label),
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
            self.options.threshold,
            &self.tally,
            self.rows,
            self.time,
            &self.statistics.snapshot(),
        ))
    }
}
