use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use emotion_classifier::{Classifier, ClassifyOptions, Error, Prediction, ProblemType, Statistics};
use futures::{FutureExt, StreamExt};

use crate::analysis::columns::strings;
use crate::analysis::error::{AnalysisError, Context, Result, refused};
use crate::analysis::evaluation::facts::{Evaluation, ModelFacts};
use crate::analysis::evaluation::gold::Gold;
use crate::analysis::evaluation::metrics::Tally;
use crate::analysis::table_files::TableFiles;
use crate::job::Cancel;

/// Compares the predictions of a model with the labels that files give their texts.
pub struct Evaluator {
    classifier: Arc<Classifier>,
    /// The columns of the texts and of their labels.
    columns: [String; 2],
    options: ClassifyOptions,
    gold: Gold,
    cancel: Cancel,
    files: Vec<String>,
    tally: Tally,
    rows: u64,
    time: Duration,
    statistics: Statistics,
}

impl Evaluator {
    /// An evaluation of this model on the column `text`, whose labels are in the column `label`.
    ///
    /// If the options have a threshold, rows whose label is missing, `neutral` or `none` are texts without a label, and
    /// the prediction for them is correct if no label holds. Predictions are not cached.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Refused`], if both columns are the same.
    pub fn new(classifier: Arc<Classifier>, options: ClassifyOptions, text: &str, label: &str) -> Result<Self> {
        if text == label {
            return refused(format!("--text and --label name the same column, '{text}'"));
        }
        let gold = Gold::new(&classifier, options.threshold.is_some());
        let tally = match classifier.config().problem_type {
            ProblemType::MultiLabel => Tally::of_several(gold.classes()),
            _ => Tally::of_one(gold.classes()),
        };
        Ok(Self {
            classifier,
            columns: [text.into(), label.into()],
            options: options.cache(false),
            gold,
            cancel: Cancel::default(),
            files: Vec::new(),
            tally,
            rows: 0,
            time: Duration::ZERO,
            statistics: Statistics::default(),
        })
    }

    /// Ends with [`AnalysisError::Cancelled`] when this request is made.
    #[must_use]
    pub fn cancelled_by(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// Adds the rows of one of the files, or none of them if there is an error.
    ///
    /// The session must have one target partition, so that errors name rows by their positions in the file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, lacks a column, or has a label that is not the model's; the model fails; or the
    /// evaluation is cancelled.
    pub async fn add_file(&mut self, context: &SessionContext, files: &TableFiles, file: &str) -> Result<()> {
        let (tally, rows, time) = (self.tally.clone(), self.rows, self.time);
        let statistics = self.statistics.snapshot();
        // Readers of damaged files may panic.
        let work = AssertUnwindSafe(self.add_rows(context, files, file)).catch_unwind().await;
        let result = work.unwrap_or_else(|_| refused(format!("'{file}' is damaged, or its reader has a fault")));
        if result.is_err() {
            (self.tally, self.rows, self.time) = (tally, rows, time);
            self.statistics.reset();
            self.statistics.add(&statistics);
        } else {
            self.files.push(file.into());
        }
        result
    }

    async fn add_rows(&mut self, context: &SessionContext, files: &TableFiles, file: &str) -> Result<()> {
        let columns = self.columns.each_ref().map(String::as_str);
        let mut batches = files.columns(context, file, &columns).await?;
        let mut rows_before = 0;
        while let Some(batch) = batches.next().await {
            let batch = batch.with_context(|| format!("cannot read '{file}'"))?;
            match self.add(&batch, rows_before) {
                Err(AnalysisError::Classify(Error::Cancelled)) => return Err(AnalysisError::Cancelled),
                result => result.with_context(|| format!("in '{file}'"))?,
            }
            rows_before += batch.num_rows();
        }
        Ok(())
    }

    /// Classifies a batch of two columns, texts and labels.
    fn add(&mut self, batch: &RecordBatch, rows_before: usize) -> Result<()> {
        let [text, label] = &self.columns;
        let texts = strings(batch.column(0), text)?;
        let classes = self.gold.read(batch.column(1), label, rows_before)?;
        let known = texts.iter().zip(classes).filter_map(|(text, classes)| Some((text?, classes?)));
        let (texts, classes): (Vec<&str>, Vec<Vec<usize>>) = known.unzip();
        let request = self.classifier.request(&texts).options(&self.options).statistics(&self.statistics);
        let started = Instant::now();
        let answer = request.cancelled(self.cancel.flag()).run()?;
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

    /// The figures of all files that were added.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Refused`], if no row has both a text and a label.
    pub fn finish(self) -> Result<Evaluation> {
        if self.tally.texts() == 0 {
            return refused("no row has both a text and a label: nothing was measured");
        }
        let model = ModelFacts::of(&self.classifier, self.options.threshold);
        Ok(Evaluation::new(self.files, model, &self.tally, self.rows, self.time, &self.statistics.snapshot()))
    }
}
