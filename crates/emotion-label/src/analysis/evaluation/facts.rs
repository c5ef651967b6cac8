use std::time::Duration;

use emotion_classifier::{Classifier, Counts};
use serde::Serialize;

use crate::analysis::evaluation::metrics::Tally;

/// What an evaluation found; its names in JSON are those of Hugging Face's model cards.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// The evaluated files.
    pub files: Vec<String>,
    /// The evaluated model.
    pub model: ModelFacts,
    /// Rows with a text and a label.
    pub test_samples: u64,
    /// Rows without a text or a label.
    pub skipped_rows: u64,
    /// Texts with more tokens than the model takes.
    pub truncated_texts: u64,
    /// The share of texts for which the prediction is correct.
    pub test_accuracy: f64,
    /// The mean F1 of the labels, weighted by their texts.
    pub test_f1: f64,
    /// The unweighted mean F1 of the labels.
    pub test_f1_macro: f64,
    /// The F1 of all labels together, if a text may have several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_f1_micro: Option<f64>,
    /// The mean cross-entropy, in nats.
    pub test_loss: f64,
    /// Seconds for tokenization and inference.
    pub test_runtime: f64,
    /// Texts per second.
    pub test_samples_per_second: f64,
    /// Tokens per second.
    pub test_tokens_per_second: f64,
    /// The figures of each label.
    pub labels: Vec<LabelFacts>,
    /// A row for each label that texts have, a column for each that the model gave; none if a text may have several.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub confusion_matrix: Vec<Vec<u64>>,
}

/// Which model was evaluated.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ModelFacts {
    /// Where the model comes from.
    pub origin: String,
    /// The SHA-256 of the weights, in hexadecimal digits.
    pub weights_sha256: String,
    /// The SHA-256 of the tokenizer, in hexadecimal digits.
    pub tokenizer_sha256: String,
    /// The number of parameters.
    pub parameters: usize,
    /// What the model computed in.
    pub precision: String,
    /// Tokens of a text that the model takes.
    pub max_length: usize,
    /// The probability from which a label holds, if one was chosen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub threshold: Option<f32>,
}

/// How well one label is told from the others.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct LabelFacts {
    /// Its name.
    pub label: String,
    /// Of the texts that were given this label, the share that have it; 0 if there are none.
    pub precision: f64,
    /// Of the texts that have this label, the share that were given it; 0 if there are none.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
    /// Texts that have this label.
    pub samples: u64,
}

impl Evaluation {
    pub(crate) fn new(
        files: Vec<String>,
        model: ModelFacts,
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
            model,
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
            labels: facts.collect(),
            confusion_matrix: tally.confusion.clone(),
        }
    }
}

impl ModelFacts {
    pub(crate) fn of(model: &Classifier, threshold: Option<f32>) -> Self {
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
