use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use arrow::array::ArrayRef;
use datafusion::error::Result;
use emotion_classifier::{Classifier, ClassifyOptions, Counts, Prediction, Statistics};

use crate::annotation::{Output, Writer};
use crate::error::Error;
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::usage::Usage;

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

    pub(crate) fn usage(&self) -> &Usage {
        &self.usage
    }

    pub(crate) fn write(&self, output: Output, rows: &[Option<&Prediction>]) -> Result<ArrayRef> {
        Writer::new(Arc::clone(&self.classifier), self.classify.threshold).write(output, rows)
    }
}
