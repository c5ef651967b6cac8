use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;

use crate::cache::TextCache;
use crate::classifier::Classifier;
use crate::config::ProblemType;
use crate::error::{Error, Result};
use crate::inference::{Job, NEVER};
use crate::options::{ClassifyOptions, LongText};
use crate::prediction::Prediction;
use crate::statistics::{Counts, Statistics};

/// A request that takes longer is logged.
const SLOW: Duration = Duration::from_secs(5);

/// Texts to classify and how; from [`Classifier::request`].
///
/// ```
/// # #[cfg(feature = "default-model")]
/// # fn main() -> emotion_classifier::Result<()> {
/// use emotion_classifier::Classifier;
///
/// let classifier = Classifier::default_model()?;
/// let texts = ["What a day!", "What a day!"];
/// let answer = classifier.request(&texts).max_length(16).cache(false).run()?;
/// assert_eq!(answer.predictions[0], answer.predictions[1]);
/// assert_eq!((answer.counts.forward_passes, answer.counts.repeated), (1, 1));
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "default-model"))]
/// # fn main() {}
/// ```
#[derive(Debug, Clone)]
#[must_use = "a request does nothing until it is run"]
pub struct ClassifyRequest<'a> {
    classifier: &'a Classifier,
    texts: &'a [&'a str],
    options: ClassifyOptions,
    cancelled: &'a AtomicBool,
    statistics: Option<&'a Statistics>,
}

/// The result of a [`ClassifyRequest`].
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Predictions {
    /// One prediction for each text, in the order of the texts; equal texts share one.
    pub predictions: Vec<Arc<Prediction>>,
    /// What the request did.
    pub counts: Counts,
    problem_type: ProblemType,
    threshold: Option<f32>,
}

impl Predictions {
    /// For each text the most probable label, or `None` if that does not hold: see [`ClassifyRequest::threshold`].
    pub fn labels(&self) -> impl Iterator<Item = Option<&Arc<str>>> {
        self.predictions.iter().map(|prediction| self.problem_type.held_label(prediction, self.threshold))
    }
}

impl Classifier {
    /// Labels texts with the default [`ClassifyOptions`]; one prediction for each text, in order.
    ///
    /// It is short for `self.request(texts).run()`, and as such uses the [`TextCache`]. On the CPU, the
    /// prediction of a text has the same bits whatever the other texts are.
    ///
    /// # Errors
    ///
    /// - [`Error::Tokenize`] if a text cannot be tokenized;
    /// - [`Error::NotFinite`] if logits overflow, and [`Error::Forward`] if the forward pass fails.
    pub fn classify(&self, texts: &[&str]) -> Result<Vec<Arc<Prediction>>> {
        Ok(self.request(texts).run()?.predictions)
    }

    /// A request to classify texts, with the default [`ClassifyOptions`] to begin with.
    pub fn request<'a>(&'a self, texts: &'a [&'a str]) -> ClassifyRequest<'a> {
        ClassifyRequest {
            classifier: self,
            texts,
            options: ClassifyOptions::default(),
            cancelled: &NEVER,
            statistics: None,
        }
    }
}

impl<'a> ClassifyRequest<'a> {
    /// Replaces all options.
    pub fn options(mut self, options: &ClassifyOptions) -> Self {
        self.options = options.clone();
        self
    }

    /// Sets the most tokens the model sees at once, special tokens included; the default is
    /// [`Classifier::max_length`].
    pub fn max_length(mut self, tokens: usize) -> Self {
        self.options.max_length = Some(tokens);
        self
    }

    /// Sets how texts with more tokens are treated; the default is [`LongText::Truncate`].
    pub fn long_text(mut self, long_text: LongText) -> Self {
        self.options.long_text = long_text;
        self
    }

    /// Sets the probability from which a label holds, from 0 to 1; the default is 0.5 for a multi-label model and 0 for
    /// a single-label model. Changes no prediction, only [`Predictions::labels`].
    ///
    /// ```
    /// # #[cfg(feature = "default-model")]
    /// # fn main() -> emotion_classifier::Result<()> {
    /// let classifier = emotion_classifier::Classifier::default_model()?;
    /// let texts = ["I like you.", "The meeting is on Tuesday."];
    /// let answer = classifier.request(&texts).threshold(0.6).run()?;
    /// let labels: Vec<_> = answer.labels().map(|label| label.map(|label| &**label)).collect();
    /// assert_eq!(labels, [Some("love"), None]);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "default-model"))]
    /// # fn main() {}
    /// ```
    pub fn threshold(mut self, probability: f32) -> Self {
        self.options.threshold = Some(probability);
        self
    }

    /// Sets the most tokens in a micro-batch, unless a single text has more; the default is
    /// [`ClassifyOptions::BATCH_TOKENS`] on the CPU and [`ClassifyOptions::GPU_BATCH_TOKENS`] on a GPU. Changes no
    /// prediction on the CPU; on a GPU, it may change the last digits.
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.options.batch_tokens = Some(tokens);
        self
    }

    /// Sets the number of threads that infer, which is at most that of the machine; the default is those of the current
    /// rayon pool. Changes no prediction.
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.options.threads = Some(threads);
        self
    }

    /// Sets whether predictions are looked up in the [`TextCache`] and kept there; the default is
    /// `true`. Changes no prediction on the CPU. Equal texts of the request are inferred once in either case.
    pub fn cache(mut self, cache: bool) -> Self {
        self.options.cache = cache;
        self
    }

    /// Cancels the request once the flag is set, after the micro-batches in progress.
    pub fn cancelled(mut self, cancelled: &'a AtomicBool) -> Self {
        self.cancelled = cancelled;
        self
    }

    /// Adds everything the request does to these counters as it happens, also if it fails or is
    /// cancelled.
    pub fn statistics(mut self, statistics: &'a Statistics) -> Self {
        self.statistics = Some(statistics);
        self
    }

    /// Classifies the texts.
    ///
    /// On the CPU, the prediction of a text has the same bits whatever the other texts are. On a GPU, the last digits
    /// of a score may depend on the texts of its batch.
    ///
    /// # Errors
    ///
    /// - [`Error::MaxLength`] if [`Self::max_length`] is outside the range that the model takes;
    /// - [`Error::Threshold`] if [`Self::threshold`] is no probability;
    /// - [`Error::Threads`] if the threads of [`Self::threads`] cannot be started;
    /// - [`Error::Cancelled`] if the flag of [`Self::cancelled`] is set;
    /// - [`Error::Tokenize`] if a text cannot be tokenized;
    /// - [`Error::NotFinite`] if logits overflow, and [`Error::Forward`] if the forward pass fails.
    pub fn run(self) -> Result<Predictions> {
        let begin = Instant::now();
        let job = Job {
            options: &self.options,
            max_length: self.checked_length()?,
            cancelled: self.cancelled,
            counts: Statistics::default(),
            live: self.statistics,
        };
        job.check()?;
        let threshold = self.checked_threshold()?;
        let (texts, indices) = distinct(self.texts);
        job.count(&Counts { repeated: (self.texts.len() - texts.len()) as u64, ..Counts::default() });
        let inferred =
            if self.options.cache { self.look_up(&texts, &job)? } else { self.classifier.infer(&texts, &job)? };
        let predictions = indices.into_iter().map(|index| Arc::clone(&inferred[index])).collect();
        let problem_type = self.classifier.config().problem_type;
        let counts = job.counts.snapshot();
        if begin.elapsed() >= SLOW {
            log::info!(
                "a batch of {} texts took {:.1?}: {} forward passes, {} tokens",
                self.texts.len(),
                begin.elapsed(),
                counts.forward_passes,
                counts.tokens
            );
        }
        Ok(Predictions { predictions, counts, problem_type, threshold })
    }

    fn checked_threshold(&self) -> Result<Option<f32>> {
        match self.options.threshold {
            Some(threshold) if !(0.0..=1.0).contains(&threshold) => Err(Error::Threshold(threshold)),
            threshold => Ok(threshold),
        }
    }

    fn checked_length(&self) -> Result<usize> {
        match self.options.max_length {
            None => Ok(self.classifier.max_length()),
            given => self.classifier.tokenizer.checked_length(given),
        }
    }

    /// The predictions of distinct texts, of which only those absent from the cache are inferred.
    fn look_up(&self, texts: &[&str], job: &Job<'_>) -> Result<Vec<Arc<Prediction>>> {
        let cache = TextCache::shared();
        let key = |text: &&str| cache.key(self.classifier.id, job.max_length, self.options.long_text, text);
        let keys: Vec<u128> = texts.iter().map(key).collect();
        let on_hits = |hits: usize| job.count(&Counts { cache_hits: hits as u64, ..Counts::default() });
        cache.get_or_infer(&keys, self.cancelled, on_hits, |absent| {
            let absent: Vec<&str> = absent.iter().map(|&index| texts[index]).collect();
            self.classifier.infer(&absent, job)
        })
    }
}

/// The texts that differ, in the order of their first occurrence, and the index of each text among them.
fn distinct<'a>(texts: &[&'a str]) -> (Vec<&'a str>, Vec<usize>) {
    let mut indices = HashMap::with_capacity_and_hasher(texts.len(), RandomState::default());
    let mut distinct = Vec::with_capacity(texts.len());
    let index = |text: &&'a str| {
        *indices.entry(*text).or_insert_with(|| {
            distinct.push(*text);
            distinct.len() - 1
        })
    };
    let indices = texts.iter().map(index).collect();
    (distinct, indices)
}
