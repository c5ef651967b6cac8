//! `emotion eval`: how well a model does on texts whose labels are known.

mod gold;
mod html;
mod metrics;
mod summary;

use std::io::Write;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use arrow::array::RecordBatch;
use clap::{Args, ValueEnum};
use emotion_classifier::{Classifier, ClassifyOptions, Prediction, ProblemType, Statistics};
use emotion_label::job::message;
use futures::{FutureExt, StreamExt};

use crate::atomic_file;
use crate::model::ModelArguments;
use crate::set_aside::SET_ASIDE;
use crate::standard_error::say;
use crate::standard_output::StandardOutput;
use crate::table::{TableArguments, strings};
use gold::Gold;
use metrics::Tally;
use summary::Summary;

/// Measure a model on texts whose labels are known
///
/// Prints accuracy, F1, loss, precision and recall of each label, the confusion matrix, and texts per second.
/// Rows without a text or a label are left out and counted. With --threshold, rows whose label is missing, 'neutral' or
/// 'none' are texts without a label, unless the model has a label of that name. The prediction for such a text is
/// correct if the model gives it no label.
///
/// For a multi-label model, a text may have several labels: a list, or a string with commas between them. A prediction
/// is correct if the text gets exactly these labels. F1 is also computed over all labels together.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    table: TableArguments,

    /// The column that holds the texts
    #[arg(long, value_name = "COLUMN")]
    text: String,

    /// The column that holds the labels: their names, or their numbers in the model; for a multi-label model, lists of
    /// them
    #[arg(long, value_name = "COLUMN")]
    label: String,

    /// Skip files that cannot be read, and report them
    #[arg(long)]
    keep_going: bool,

    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Also write an HTML page with the figures to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Plain text
    Text,
    /// One JSON object, with the key names of Hugging Face's model cards
    Json,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let classifier = arguments.model.load()?;
    if arguments.text == arguments.label {
        bail!("--text and --label name the same column, '{}'", arguments.text);
    }
    if let Some(path) = &arguments.html {
        atomic_file::check(path, arguments.table.files())?;
    }
    let mut evaluation = Evaluation::new(classifier, arguments.model.threshold());
    let (mut files, mut is_complete) = (Vec::new(), true);
    for file in arguments.table.files() {
        match evaluation.add_file(&arguments, file).await {
            Err(error) if arguments.keep_going => {
                is_complete = false;
                say(format_args!("Skipped: {}", message(error.as_ref())));
            }
            result => {
                result?;
                files.push(file.clone());
            }
        }
    }
    let summary = evaluation.finish(&files)?;
    if let Some(path) = &arguments.html {
        atomic_file::write(path, arguments.table.files(), html::page(&summary).into_string().as_bytes())?;
    }
    let mut out = StandardOutput::open();
    match arguments.format {
        Format::Text => write!(out, "{}", summary.text())?,
        Format::Json => writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?,
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::from(SET_ASIDE) })
}

struct Evaluation {
    classifier: Arc<Classifier>,
    options: ClassifyOptions,
    gold: Gold,
    tally: Tally,
    rows: u64,
    time: Duration,
    statistics: Statistics,
}

impl Evaluation {
    fn new(classifier: Arc<Classifier>, threshold: Option<f32>) -> Self {
        let gold = Gold::new(&classifier, threshold.is_some());
        let tally = match classifier.config().problem_type {
            ProblemType::MultiLabel => Tally::of_several(gold.classes()),
            _ => Tally::of_one(gold.classes()),
        };
        let mut options = ClassifyOptions::default().cache(false);
        options.threshold = threshold;
        Self { classifier, options, gold, tally, rows: 0, time: Duration::ZERO, statistics: Statistics::default() }
    }

    /// Adds the rows of a file, or none of them.
    async fn add_file(&mut self, arguments: &Arguments, file: &str) -> Result<()> {
        let (tally, rows, time) = (self.tally.clone(), self.rows, self.time);
        let statistics = self.statistics.snapshot();
        // Readers of damaged files may panic.
        let work = AssertUnwindSafe(self.add_rows(arguments, file)).catch_unwind().await;
        let result = work.unwrap_or_else(|_| bail!("'{file}' is damaged, or its reader has a fault"));
        if result.is_err() {
            (self.tally, self.rows, self.time) = (tally, rows, time);
            self.statistics.reset();
            self.statistics.add(&statistics);
        }
        result
    }

    async fn add_rows(&mut self, arguments: &Arguments, file: &str) -> Result<()> {
        let mut batches = arguments.table.columns(file, &[&arguments.text, &arguments.label]).await?;
        let mut rows_before = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.with_context(|| format!("cannot read '{file}'"))?;
            self.add(&batch, rows_before).with_context(|| format!("in '{file}'"))?;
            rows_before += batch.num_rows();
        }
        Ok(())
    }

    /// Classifies a batch of two columns, texts and labels.
    fn add(&mut self, batch: &RecordBatch, rows_before: usize) -> Result<()> {
        let [texts, labels] = batch.columns() else { bail!("a batch of {} columns", batch.num_columns()) };
        let texts = strings(texts, batch.schema_ref().field(0).name())?;
        let classes = self.gold.read(labels, batch.schema_ref().field(1).name(), rows_before)?;
        let known = texts.iter().zip(classes).filter_map(|(text, classes)| Some((text?, classes?)));
        let (texts, classes): (Vec<&str>, Vec<Vec<usize>>) = known.unzip();
        let started = Instant::now();
        let answer = self.classifier.request(&texts).options(&self.options).statistics(&self.statistics).run()?;
        self.time += started.elapsed();
        for (classes, prediction) in classes.iter().zip(&answer.predictions) {
            self.tally.add(classes, &self.given(prediction), &prediction.probabilities);
        }
        self.rows += batch.num_rows() as u64;
        Ok(())
    }

    /// The classes that the model gives a text.
    fn given(&self, prediction: &Prediction) -> Vec<usize> {
        let holds = |id: &usize| self.classifier.holds(*id, prediction, self.options.threshold);
        let given: Vec<usize> = (0..self.classifier.labels().len()).filter(holds).collect();
        if given.is_empty() { Vec::from_iter(self.gold.no_label()) } else { given }
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
