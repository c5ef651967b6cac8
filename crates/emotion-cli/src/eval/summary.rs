use std::fmt::Write;
use std::time::Duration;

use emotion_classifier::{Classifier, Counts};
use serde::Serialize;

use super::metrics::Tally;
use crate::memory::peak_memory;
use crate::numbers::counted;

/// What an evaluation found; its names in JSON are those of Hugging Face's model cards.
#[derive(Serialize)]
pub struct Summary {
    pub files: Vec<String>,
    pub model: ModelFacts,
    pub test_samples: u64,
    /// Rows without a text or a label.
    pub skipped_rows: u64,
    pub truncated_texts: u64,
    pub test_accuracy: f64,
    /// The mean over labels, each as heavy as its texts are many.
    pub test_f1: f64,
    pub test_f1_macro: f64,
    /// That of all labels together, if a text may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_f1_micro: Option<f64>,
    pub test_loss: f64,
    /// Seconds for tokenization and inference.
    pub test_runtime: f64,
    pub test_samples_per_second: f64,
    pub test_tokens_per_second: f64,
    /// The process's largest resident set; where the system does not tell, null.
    pub peak_memory_bytes: Option<u64>,
    pub labels: Vec<LabelFacts>,
    /// A row for each label that texts have, a column for each that the model gave; none if a text may have several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confusion_matrix: Vec<Vec<u64>>,
}

/// Which model was measured.
#[derive(Serialize)]
pub struct ModelFacts {
    pub origin: String,
    pub weights_sha256: String,
    pub tokenizer_sha256: String,
    pub parameters: usize,
    pub precision: String,
    pub max_length: usize,
    /// The probability from which a label holds, if one was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
}

#[derive(Serialize)]
pub struct LabelFacts {
    pub label: String,
    pub precision: f64,
    pub recall: f64,
    pub f1: f64,
    pub samples: u64,
}

impl Summary {
    pub fn new(
        files: Vec<String>,
        model: &Classifier,
        threshold: Option<f32>,
        tally: &Tally,
        rows: u64,
        time: Duration,
        counts: &Counts,
    ) -> Self {
        let facts = tally.labels.iter().zip(tally.label_scores()).map(|(label, scores)| LabelFacts {
            label: label.to_string(),
            precision: scores.precision,
            recall: scores.recall,
            f1: scores.f1,
            samples: scores.texts,
        });
        let seconds = time.as_secs_f64();
        Self {
            files,
            model: ModelFacts::of(model, threshold),
            test_samples: tally.texts(),
            skipped_rows: rows - tally.texts(),
            truncated_texts: counts.truncated,
            test_accuracy: tally.accuracy(),
            test_f1: tally.weighted_f1(),
            test_f1_macro: tally.macro_f1(),
            test_f1_micro: tally.is_of_several().then(|| tally.micro_f1()),
            test_loss: tally.loss(),
            test_runtime: seconds,
            test_samples_per_second: tally.texts() as f64 / seconds,
            test_tokens_per_second: counts.tokens as f64 / seconds,
            peak_memory_bytes: peak_memory(),
            labels: facts.collect(),
            confusion_matrix: tally.confusion.clone(),
        }
    }

    /// The figures to be read in a terminal.
    pub fn text(&self) -> String {
        let mut text = String::new();
        self.write(&mut text).expect("a string takes all that is written");
        text
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let ModelFacts { origin, precision, max_length, threshold, .. } = &self.model;
        let threshold = threshold.map_or_else(String::new, |threshold| format!(", labels from {threshold} on"));
        writeln!(out, "{} by {origin} ({precision}, at most {max_length} tokens{threshold})", self.files.join(", "))?;
        write!(
            out,
            "{} texts in {:.1} s: {:.0} texts/s, {:.0} tokens/s",
            self.test_samples, self.test_runtime, self.test_samples_per_second, self.test_tokens_per_second
        )?;
        if let Some(bytes) = self.peak_memory_bytes {
            write!(out, ", {:.0} MB of memory at most", bytes as f64 / 1e6)?;
        }
        writeln!(
            out,
            "\n{} without a text or label, {} cut\n",
            counted(self.skipped_rows, "row"),
            counted(self.truncated_texts, "text")
        )?;
        let micro = self.test_f1_micro.map_or_else(String::new, |f1| format!(" {f1:.4} (micro)"));
        writeln!(
            out,
            "accuracy {:.4}   F1 {:.4} (weighted) {:.4} (macro){micro}   loss {:.4}\n",
            self.test_accuracy, self.test_f1, self.test_f1_macro, self.test_loss
        )?;
        self.write_labels(out)?;
        if self.confusion_matrix.is_empty() { Ok(()) } else { self.write_confusion(out) }
    }

    fn width(&self) -> usize {
        self.labels.iter().map(|label| label.label.chars().count()).max().unwrap_or(0).max(8)
    }

    fn write_labels(&self, out: &mut String) -> std::fmt::Result {
        let width = self.width();
        writeln!(out, "{:width$}  precision  recall      F1  texts", "label")?;
        for LabelFacts { label, precision, recall, f1, samples } in &self.labels {
            writeln!(out, "{label:width$}  {precision:9.4}  {recall:6.4}  {f1:6.4}  {samples:5}")?;
        }
        Ok(())
    }

    fn write_confusion(&self, out: &mut String) -> std::fmt::Result {
        let width = self.width();
        writeln!(out, "\nEach row is a label of the file; the columns are what the model gave its texts.")?;
        write!(out, "{:width$}", "")?;
        for label in &self.labels {
            write!(out, "  {:>width$}", label.label)?;
        }
        for (label, row) in self.labels.iter().zip(&self.confusion_matrix) {
            write!(out, "\n{:width$}", label.label)?;
            for count in row {
                write!(out, "  {count:width$}")?;
            }
        }
        writeln!(out)
    }
}

impl ModelFacts {
    fn of(model: &Classifier, threshold: Option<f32>) -> Self {
        Self {
            origin: model.origin().to_string(),
            weights_sha256: model.weights_sha256(),
            tokenizer_sha256: model.tokenizer_sha256(),
            parameters: model.parameters(),
            precision: model.precision().to_string(),
            max_length: model.max_length(),
            threshold,
        }
    }
}
