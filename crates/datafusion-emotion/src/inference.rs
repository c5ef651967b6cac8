use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::ArrayRef;
use datafusion::error::Result;
use emotion_classifier::{Classifier, ClassifyOptions, Counts, LongText, Prediction, Statistics};

use crate::annotation::{Output, Writer};
use crate::error::Error;
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::usage::Usage;

/// The bytes of an allocation beside its content, and of the lists that refer to it.
const OVERHEAD: usize = 64;

/// A model with the options of the query that uses it.
pub(crate) struct Inference {
    classifier: Arc<Classifier>,
    classify: ClassifyOptions,
    usage: Arc<Usage>,
}

impl Inference {
    /// Loads the model to compute as the options ask for; without options, as it is.
    pub(crate) fn new(model: &Model, options: Option<&EmotionOptions>, usage: &Arc<Usage>) -> Result<Self, Error> {
        let usage = Arc::clone(usage);
        let (classifier, classify) = match options {
            Some(options) => (model.computing(options.compute())?, options.classify()),
            None => (model.classifier()?, ClassifyOptions::default()),
        };
        Ok(Self { classifier, classify, usage })
    }

    /// Infers each of these texts, which differ; counts what that took.
    pub(crate) fn run(&self, texts: &[&str], cancelled: &AtomicBool) -> (Result<Vec<Arc<Prediction>>, Error>, Counts) {
        let statistics = Statistics::default();
        let request = self.classifier.request(texts).options(&self.classify).cancelled(cancelled);
        let answer = request.statistics(&statistics).run();
        let counts = statistics.snapshot();
        self.usage.inference.add(&counts);
        (answer.map(|answer| answer.predictions).map_err(Error::from), counts)
    }

    /// The most bytes that the tokens of a text take while it is inferred.
    ///
    /// A text of windows has no more tokens at a time than those of the windows that exist together.
    pub(crate) fn token_bytes(&self, text: &str) -> usize {
        /// Windows that exist at a time, of which each has its ids and its logits.
        const WINDOWS: usize = 1024;
        let length = self.classify.max_length.unwrap_or(self.classifier.max_length());
        let most = match self.classify.long_text {
            LongText::Window => length.saturating_mul(WINDOWS),
            _ => length,
        };
        // Ids, twice: as they are collected, and as a batch.
        OVERHEAD + 2 * size_of::<u32>() * (text.len() + 2).min(most)
    }

    /// The bytes of a prediction.
    pub(crate) fn prediction_bytes(&self) -> usize {
        size_of::<Option<Arc<Prediction>>>() + OVERHEAD + size_of::<Prediction>() + 4 * self.classifier.labels().len()
    }

    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    pub(crate) fn write(&self, output: Output, rows: &[Option<&Prediction>]) -> Result<ArrayRef> {
        Writer::new(Arc::clone(&self.classifier), self.classify.threshold).write(output, rows)
    }
}
