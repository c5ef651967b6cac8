use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use rayon::prelude::*;

use crate::batch::micro_batches;
use crate::head::Head;
use crate::model_files::{Digest, ModelFiles, Origin};
use crate::threads::install;
use crate::tokenizer::Tokenizer;
use crate::{
    Batch, ClassifyOptions, Config, Counts, Encoder, Error, LongText, PackedEncoder, Precision, ProblemType, Result,
    Statistics, TextCache, TokenIds, Weights,
};

/// A loaded model that labels texts. Cheap to share behind an [`Arc`]; all methods take `&self`.
///
/// ```
/// # #[cfg(feature = "default-model")]
/// # fn main() -> emotion_classifier::Result<()> {
/// use emotion_classifier::Classifier;
///
/// let classifier = Classifier::default_model()?;
/// let prediction = &classifier.classify(&["I am so happy for you!"])?[0];
/// assert_eq!(&*prediction.label, "joy");
/// assert_eq!(prediction.probabilities.len(), classifier.labels().len());
/// # Ok(())
/// # }
/// # #[cfg(not(feature = "default-model"))]
/// # fn main() {}
/// ```
pub struct Classifier {
    /// What tells this classifier from the others of this process.
    id: u64,
    origin: Origin,
    digest: Digest,
    parameters: usize,
    precision: Precision,
    max_length: usize,
    config: Config,
    tokenizer: Tokenizer,
    encoder: Box<dyn Encoder>,
    head: Head,
}

/// What the model says of one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Prediction {
    /// The most probable label; of equals, the one with the lowest id.
    pub label: Arc<str>,
    /// That label's place in [`Classifier::labels`].
    pub label_id: usize,
    /// That label's probability.
    pub score: f32,
    /// The probability of every label, in the order of [`Classifier::labels`].
    pub probabilities: Vec<f32>,
    /// Tokens the model saw, special tokens included; in all windows together.
    pub tokens: usize,
    /// Whether the text was longer than `max_length`, so that the model saw only its start.
    pub truncated: bool,
}

/// Choices to make before a model is loaded; from [`Classifier::builder`].
#[derive(Debug, Clone, Default)]
pub struct ClassifierBuilder {
    max_length: Option<usize>,
    precision: Precision,
}

impl ClassifierBuilder {
    /// Computes the encoder's matrix products in this precision; the default is [`Precision::Float32`].
    ///
    /// The coarser ones are for speed and memory: they change scores a little, and now and then a
    /// label. In each, one text has one answer, to the last bit.
    #[must_use]
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Cuts texts to this many tokens, special tokens included.
    ///
    /// The default, and the most there can be, is the model's `max_position_embeddings`.
    #[must_use]
    pub fn max_length(mut self, tokens: usize) -> Self {
        self.max_length = Some(tokens);
        self
    }

    /// Loads a model from a folder in Hugging Face layout.
    pub fn load(self, folder: impl AsRef<Path>) -> Result<Classifier> {
        self.build(&ModelFiles::from_folder(folder.as_ref())?)
    }

    /// Loads a model from the Hugging Face hub: `owner/name` or `owner/name@revision`.
    ///
    /// Files are kept in the hub's cache (`HF_HOME`); `HF_HUB_OFFLINE=1` forbids the network.
    #[cfg(feature = "hub")]
    pub fn from_hub(self, id: &str) -> Result<Classifier> {
        self.build(&ModelFiles::from_hub(id)?)
    }

    /// Loads a model from a folder if there is one of that name, otherwise by its hub id.
    pub fn open(self, folder_or_id: &str) -> Result<Classifier> {
        self.build(&ModelFiles::open(folder_or_id)?)
    }

    /// Loads the model that is built into this crate.
    #[cfg(feature = "default-model")]
    pub fn default_model(self) -> Result<Classifier> {
        self.build(&ModelFiles::default_model())
    }

    fn build(self, files: &ModelFiles) -> Result<Classifier> {
        self.build_digested(files, files.digest())
    }

    pub(crate) fn build_digested(self, files: &ModelFiles, digest: Digest) -> Result<Classifier> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let origin = files.origin.to_string();
        let config = Config::parse(&origin, &files.config)?;
        let tokenizer = Tokenizer::load(&origin, &files.tokenizer, &config)?;
        let max_length = tokenizer.checked_length(self.max_length)?;
        let weights = Weights::open(&origin, &files.weights)?;
        Ok(Classifier {
            id: NEXT_ID.fetch_add(1, Relaxed),
            origin: files.origin.clone(),
            digest,
            parameters: weights.parameters(),
            precision: self.precision,
            max_length,
            encoder: Box::new(PackedEncoder::load(&config, &weights, self.precision)?),
            head: Head::load(&config, &weights)?,
            config,
            tokenizer,
        })
    }
}

impl Classifier {
    /// Choices to make before a model is loaded.
    #[must_use]
    pub fn builder() -> ClassifierBuilder {
        ClassifierBuilder::default()
    }

    /// Loads a model from a folder in Hugging Face layout: `config.json`, `model.safetensors`, and
    /// `tokenizer.json` or `vocab.txt` with `tokenizer_config.json`.
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        Self::builder().load(folder)
    }

    /// Loads a model from a folder if there is one of that name, otherwise by its hub id.
    pub fn open(folder_or_id: &str) -> Result<Self> {
        Self::builder().open(folder_or_id)
    }

    /// The labels, in id order.
    #[must_use]
    pub fn labels(&self) -> &[Arc<str>] {
        &self.config.labels
    }

    /// The shape of the model.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Tokens to which a text is cut, special tokens included.
    #[must_use]
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// What the encoder's matrix products are computed in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// Where the model came from.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// How many numbers the model's weights are.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The SHA-256 of `model.safetensors`, in hexadecimal digits.
    #[must_use]
    pub fn weights_sha256(&self) -> String {
        hexadecimal(&self.digest.weights)
    }

    /// The SHA-256 of `tokenizer.json` or else of `vocab.txt`, in hexadecimal digits.
    #[must_use]
    pub fn tokenizer_sha256(&self) -> String {
        hexadecimal(&self.digest.tokenizer)
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The token ids of one text, cut to [`Self::max_length`].
    pub fn tokenize(&self, text: &str) -> Result<TokenIds> {
        self.tokenizer.encode(text, self.max_length)
    }

    /// Labels texts; one prediction a text, in their order.
    ///
    /// A text's prediction is the same to the last bit whatever the other texts are. Each text is
    /// inferred; [`Self::classify_with`] looks it up first.
    pub fn classify(&self, texts: &[&str]) -> Result<Vec<Prediction>> {
        let job = Job { options: &ClassifyOptions::default(), cancelled: &NEVER, statistics: &Statistics::default() };
        self.infer(texts, self.max_length, job)
    }

    /// Labels texts as `options` say; one prediction a text, in their order.
    ///
    /// A text that this process has classified before, or that another thread is classifying, is
    /// not inferred again if [`ClassifyOptions::cache`] is set. What is done is added to
    /// `statistics`. Once `cancelled` is set, the call ends with [`Error::Cancelled`] after the
    /// micro-batches under way.
    ///
    /// ```
    /// # #[cfg(feature = "default-model")]
    /// # fn main() -> emotion_classifier::Result<()> {
    /// use std::sync::atomic::AtomicBool;
    /// use emotion_classifier::{Classifier, ClassifyOptions, Statistics};
    ///
    /// let classifier = Classifier::default_model()?;
    /// let (cancelled, statistics) = (AtomicBool::new(false), Statistics::default());
    /// let options = ClassifyOptions { max_length: Some(16), ..ClassifyOptions::default() };
    /// let texts = ["What a day!", "What a day!"];
    /// let predictions = classifier.classify_with(&texts, &options, &cancelled, &statistics)?;
    /// assert_eq!(predictions[0], predictions[1]);
    /// assert_eq!(statistics.snapshot().forward_passes, 1);
    /// # Ok(())
    /// # }
    /// # #[cfg(not(feature = "default-model"))]
    /// # fn main() {}
    /// ```
    pub fn classify_with(
        &self,
        texts: &[&str],
        options: &ClassifyOptions,
        cancelled: &AtomicBool,
        statistics: &Statistics,
    ) -> Result<Vec<Arc<Prediction>>> {
        let max_length = match options.max_length {
            None => self.max_length,
            given => self.tokenizer.checked_length(given)?,
        };
        let job = Job { options, cancelled, statistics };
        // A worker of rayon that waited for another thread's inference could hold up just that.
        if !options.cache || rayon::current_thread_index().is_some() {
            return Ok(self.infer(texts, max_length, job)?.into_iter().map(Arc::new).collect());
        }
        let cache = TextCache::shared();
        let keys: Vec<u128> =
            texts.iter().map(|text| cache.key(self.id, max_length, options.long_text, text)).collect();
        let (predictions, hits) = cache.get_or_infer(&keys, cancelled, |wanted| {
            let texts: Vec<&str> = wanted.iter().map(|&at| texts[at]).collect();
            self.infer(&texts, max_length, job)
        })?;
        statistics.add(&Counts { cache_hits: hits as u64, ..Counts::default() });
        Ok(predictions)
    }

    /// The raw scores of every label, before softmax or sigmoid; one list a text.
    pub fn logits(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        let sequences: Vec<_> = texts.par_iter().map(|text| self.tokenize(text)).collect::<Result<_>>()?;
        let job = Job { options: &ClassifyOptions::default(), cancelled: &NEVER, statistics: &Statistics::default() };
        self.forward(&sequences, job)
    }

    fn infer(&self, texts: &[&str], max_length: usize, job: Job<'_>) -> Result<Vec<Prediction>> {
        install(job.options.threads, || {
            let texts: Vec<Vec<TokenIds>> =
                texts.par_iter().map(|text| self.windows(text, max_length, job)).collect::<Result<_>>()?;
            let windows: Vec<usize> = texts.iter().map(Vec::len).collect();
            let sequences: Vec<TokenIds> = texts.into_iter().flatten().collect();
            let logits = self.forward(&sequences, job)?;
            let (mut sequences, mut logits) = (&sequences[..], &logits[..]);
            let predictions = windows.into_iter().map(|windows| {
                let prediction = self.prediction(&sequences[..windows], &logits[..windows]);
                (sequences, logits) = (&sequences[windows..], &logits[windows..]);
                prediction
            });
            Ok(predictions.collect())
        })?
    }

    /// The sequences in which the model sees a text.
    fn windows(&self, text: &str, max_length: usize, job: Job<'_>) -> Result<Vec<TokenIds>> {
        job.check()?;
        let windows = match job.options.long_text {
            LongText::Truncate => vec![self.tokenizer.encode(text, max_length)?],
            LongText::Window => self.tokenizer.windows(text, max_length)?,
        };
        let truncated = windows.iter().any(|window| window.truncated);
        job.statistics.add(&Counts { truncated: truncated.into(), ..Counts::default() });
        Ok(windows)
    }

    fn forward(&self, sequences: &[TokenIds], job: Job<'_>) -> Result<Vec<Vec<f32>>> {
        let mut logits = vec![Vec::new(); sequences.len()];
        let workers = rayon::current_num_threads();
        let total: usize = sequences.iter().map(|sequence| sequence.ids.len()).sum();
        let batches: Vec<_> = micro_batches(sequences, job.options.batch_tokens, workers)
            .into_par_iter()
            .map(|rows| {
                job.check()?;
                let batch = Batch::pack(rows.iter().map(|&row| sequences[row].ids.as_slice()));
                let logits = self.micro_batch(&batch, batch.fair_workers(total, workers), job)?;
                Ok((rows, logits))
            })
            .collect::<Result<_>>()?;
        for (rows, batch) in batches {
            for (row, values) in rows.into_iter().zip(batch) {
                logits[row] = values;
            }
        }
        Ok(logits)
    }

    fn micro_batch(&self, batch: &Batch, workers: usize, job: Job<'_>) -> Result<Vec<Vec<f32>>> {
        let started = Instant::now();
        let states = self.encoder.encode(batch, workers)?;
        let logits = self.head.logits(&states);
        if logits.iter().flatten().any(|logit| !logit.is_finite()) {
            return Err(Error::NotFinite);
        }
        job.statistics.add(&Counts {
            forward_passes: batch.len() as u64,
            tokens: batch.sequences().map(|ids| ids.len() as u64).sum(),
            unknown_tokens: batch.sequences().map(|ids| self.tokenizer.count_unknown(ids) as u64).sum(),
            // Those that help are kept from other work.
            busy: started.elapsed() * u32::try_from(workers).unwrap_or(u32::MAX),
            ..Counts::default()
        });
        Ok(logits)
    }

    /// The prediction of a text from the logits of its windows, whose probabilities are averaged.
    fn prediction(&self, windows: &[TokenIds], logits: &[Vec<f32>]) -> Prediction {
        let mut probabilities = vec![0.0; self.config.labels.len()];
        for logits in logits {
            for (sum, probability) in probabilities.iter_mut().zip(self.probabilities(logits)) {
                *sum += probability;
            }
        }
        for sum in &mut probabilities {
            *sum /= logits.len() as f32;
        }
        // Of one window the logits decide: they differ where probabilities round to the same.
        let label_id = first_max(if let [logits] = logits { logits } else { &probabilities });
        Prediction {
            label: Arc::clone(&self.config.labels[label_id]),
            label_id,
            score: probabilities[label_id],
            probabilities,
            tokens: windows.iter().map(|window| window.ids.len()).sum(),
            truncated: windows.iter().any(|window| window.truncated),
        }
    }

    fn probabilities(&self, logits: &[f32]) -> Vec<f32> {
        match self.config.problem_type {
            ProblemType::SingleLabel => softmax(logits),
            ProblemType::MultiLabel => logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        }
    }
}

/// What a call of [`Classifier::classify_with`] is to do, and to heed.
#[derive(Clone, Copy)]
struct Job<'a> {
    options: &'a ClassifyOptions,
    cancelled: &'a AtomicBool,
    statistics: &'a Statistics,
}

impl Job<'_> {
    fn check(&self) -> Result<()> {
        if self.cancelled.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
    }
}

static NEVER: AtomicBool = AtomicBool::new(false);

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

/// Shifted by the maximum, so that no exponential overflows.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f32> = logits.iter().map(|x| (x - max).exp()).collect();
    let sum: f32 = exps.iter().sum();
    exps.iter().map(|x| x / sum).collect()
}

fn first_max(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softmax_survives_large_logits() {
        let probabilities = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(probabilities, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn the_first_of_equal_labels_wins() {
        assert_eq!(first_max(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(first_max(&[1.0]), 0);
    }
}
