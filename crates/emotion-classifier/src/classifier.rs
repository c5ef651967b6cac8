use std::fmt;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Instant;

use crate::architectures::layout_of;
use crate::backends::Backend;
#[cfg(feature = "candle")]
use crate::backends::candle::CandleBackend;
use crate::backends::packed::PackedBackend;
use crate::compute::{BackendChoice, Compute};
use crate::config::Config;
use crate::device::Device;
#[cfg(doc)]
use crate::error::Error;
use crate::error::Result;
use crate::folder::{Digest, ModelFolder, Origin};
use crate::precision::Precision;
use crate::prediction::Prediction;
use crate::tokenizer::{TokenIds, Tokenizer};
use crate::weights::Weights;

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
    /// Unique among the classifiers of this process.
    pub(crate) id: u64,
    origin: Origin,
    digest: Digest,
    parameters: usize,
    compute: Compute,
    max_length: usize,
    config: Config,
    pub(crate) tokenizer: Tokenizer,
    pub(crate) backend: Box<dyn Backend>,
}

/// Settings for loading a model; from [`Classifier::builder`].
#[derive(Debug, Clone, Default)]
#[must_use = "a builder does nothing until a model is loaded"]
pub struct ClassifierBuilder {
    max_length: Option<usize>,
    compute: Compute,
}

impl ClassifierBuilder {
    /// Sets precision, backend and device at once.
    pub fn compute(mut self, compute: impl Into<Compute>) -> Self {
        self.compute = compute.into();
        self
    }

    /// Computes the encoder's matrix products in this precision; the default is [`Precision::Float32`].
    ///
    /// The others trade accuracy for speed and memory: scores change a little, and occasionally a
    /// label does. On the CPU, the prediction of a text in one precision always has the same
    /// bits.
    pub fn precision(mut self, precision: Precision) -> Self {
        self.compute.precision = precision;
        self
    }

    /// Computes by this backend; the default is [`BackendChoice::Auto`].
    pub fn backend(mut self, backend: BackendChoice) -> Self {
        self.compute.backend = backend;
        self
    }

    /// Computes on this device; the default is [`Device::Cpu`].
    ///
    /// On a GPU texts are padded to batches, and the last digits of a prediction may depend on the batch.
    pub fn device(mut self, device: Device) -> Self {
        self.compute.device = device;
        self
    }

    /// Truncates texts to this many tokens, special tokens included.
    ///
    /// The default, which is also the maximum, is the lesser of [`Config::max_tokens`] and the tokenizer's
    /// `model_max_length`.
    pub fn max_length(mut self, tokens: usize) -> Self {
        self.max_length = Some(tokens);
        self
    }

    /// Loads a model from a folder in Hugging Face layout.
    ///
    /// # Errors
    ///
    /// - [`Error::MissingFolder`], [`Error::MissingFile`], [`Error::GitLfsPointer`] and [`Error::Read`] if the folder
    ///   or one of its files does not exist or cannot be read;
    /// - [`Error::Config`], [`Error::Tokenizer`] and [`Error::Weights`] if a file is malformed, does not fit the others
    ///   or is not supported;
    /// - [`Error::MaxLength`] if [`Self::max_length`] is outside the range that the model takes;
    /// - [`Error::Backend`] if the backend of [`Self::backend`] does not know the architecture or is not in this build;
    /// - [`Error::Device`] if the device of [`Self::device`] is not there or not in this build;
    /// - [`Error::Precision`] if the backend does not compute in [`Self::precision`] on that device.
    pub fn load(self, folder: impl AsRef<Path>) -> Result<Classifier> {
        self.build(&ModelFolder::from_folder(folder.as_ref())?)
    }

    /// Loads a model from the Hugging Face hub: `owner/name` or `owner/name@revision`.
    ///
    /// The cache, the token and the hub's address are those of Python's `huggingface_hub`: `HF_HUB_CACHE` or `HF_HOME`,
    /// `HF_TOKEN` or the token file, `HF_ENDPOINT`. `HF_HUB_OFFLINE=1` forbids the network.
    ///
    /// # Errors
    ///
    /// [`Error::Hub`] if the model cannot be downloaded, and the errors of [`Self::load`].
    #[cfg(feature = "hub")]
    pub fn from_hub(self, id: &str) -> Result<Classifier> {
        self.build(&ModelFolder::from_hub(id)?)
    }

    /// Loads a model from a folder if there is one of that name, otherwise by its hub id (with the
    /// feature `hub`).
    ///
    /// # Errors
    ///
    /// [`Error::Hub`] if the model cannot be downloaded, and the errors of [`Self::load`].
    pub fn open(self, folder_or_id: &str) -> Result<Classifier> {
        self.build(&ModelFolder::open(folder_or_id)?)
    }

    /// Loads a new instance of the model that is built into this crate; [`Classifier::default_model`] shares one.
    ///
    /// # Errors
    ///
    /// [`Error::MaxLength`] if [`Self::max_length`] is outside the range that the model takes, and [`Error::Backend`],
    /// [`Error::Device`] and [`Error::Precision`] as for [`Self::load`].
    #[cfg(feature = "default-model")]
    pub fn load_default_model(self) -> Result<Classifier> {
        self.build(&ModelFolder::default_model())
    }

    fn build(self, files: &ModelFolder) -> Result<Classifier> {
        self.build_digested(files, files.digest())
    }

    pub(crate) fn build_digested(self, files: &ModelFolder, digest: Digest) -> Result<Classifier> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(0);
        let begin = Instant::now();
        let origin = files.origin.to_string();
        let config = Config::parse(&origin, &files.config)?;
        let compute = self.compute.resolve(config.model_type)?;
        let load_tokenizer = || Tokenizer::load(&origin, &files.tokenizer, &files.config, &config);
        let load_weights = || {
            let weights = Weights::load(&origin, &files.weights)?;
            Ok((weights.parameters(), load_backend(compute, &config, &files.config, &weights)?))
        };
        let (tokenizer, weights) = side_by_side(load_tokenizer, load_weights);
        let tokenizer = tokenizer?;
        let max_length = tokenizer.checked_length(self.max_length)?;
        let (parameters, backend) = weights?;
        let classifier = Classifier {
            id: NEXT_ID.fetch_add(1, Relaxed),
            origin: files.origin.clone(),
            digest,
            parameters,
            compute,
            max_length,
            backend,
            config,
            tokenizer,
        };
        log::info!(
            "loaded {origin} ({}, {} labels) in {:.1?}: {} backend on {}, {}",
            classifier.config.architecture(),
            classifier.labels().len(),
            begin.elapsed(),
            compute.backend,
            compute.device,
            compute.precision
        );
        Ok(classifier)
    }
}

/// Runs `other` on a thread of its own while `work` runs, or before it if there can be no other thread.
///
/// The thread pool does not serve here: a worker that waits in it may start another task, which may ask for the model
/// that is being loaded, and would wait for itself.
fn side_by_side<A: Send, B>(other: impl Fn() -> A + Sync, work: impl FnOnce() -> B) -> (A, B) {
    thread::scope(|scope| {
        let Ok(thread) = thread::Builder::new().spawn_scoped(scope, &other) else { return (other(), work()) };
        let done = work();
        (thread.join().unwrap_or_else(|panic| resume_unwind(panic)), done)
    })
}

/// Loads the backend that `compute` names; `json` is the `config.json` that `config` is parsed from.
#[cfg_attr(not(feature = "candle"), allow(unused_variables))]
fn load_backend(compute: Compute, config: &Config, json: &[u8], weights: &Weights<'_>) -> Result<Box<dyn Backend>> {
    #[cfg(feature = "candle")]
    if compute.backend == BackendChoice::Candle {
        return Ok(Box::new(CandleBackend::load(config, json, weights, compute)?));
    }
    let precision = compute.precision.packed().expect("a precision that Compute::resolve has checked");
    let layout = layout_of(config, |name| weights.contains(name))?;
    Ok(Box::new(PackedBackend::load(&layout, weights, precision)?))
}

impl Classifier {
    /// Settings for loading a model.
    pub fn builder() -> ClassifierBuilder {
        ClassifierBuilder::default()
    }

    /// Loads a model from a folder in Hugging Face layout, as `transformers` reads it:
    ///
    /// - `config.json`;
    /// - `model.safetensors`, or `model.safetensors.index.json` and its shards, or, with the feature `candle`,
    ///   `pytorch_model.bin`;
    /// - `tokenizer.json`, `vocab.txt`, `vocab.json` and `merges.txt`, `sentencepiece.bpe.model` or `spm.model`, with
    ///   what `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` change in it.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFolder`], [`Error::MissingFile`], [`Error::GitLfsPointer`], [`Error::Read`], [`Error::Config`],
    /// [`Error::Tokenizer`] and [`Error::Weights`], as for [`ClassifierBuilder::load`].
    pub fn load(folder: impl AsRef<Path>) -> Result<Self> {
        Self::builder().load(folder)
    }

    /// Loads a model from a folder if there is one of that name, otherwise by its hub id (with the
    /// feature `hub`).
    ///
    /// # Errors
    ///
    /// [`Error::Hub`] if the model cannot be downloaded, and the errors of [`Self::load`].
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

    /// The number of tokens to which a text is truncated, special tokens included.
    #[must_use]
    pub fn max_length(&self) -> usize {
        self.max_length
    }

    /// The precision in which the encoder's matrix products are computed.
    #[must_use]
    pub fn precision(&self) -> Precision {
        self.compute.precision
    }

    /// The backend that computes: [`BackendChoice::Packed`] or [`BackendChoice::Candle`].
    #[must_use]
    pub fn backend(&self) -> BackendChoice {
        self.compute.backend
    }

    /// The device that computes.
    #[must_use]
    pub fn device(&self) -> Device {
        self.compute.device
    }

    /// Precision, backend and device.
    #[must_use]
    pub fn compute(&self) -> Compute {
        self.compute
    }

    /// The origin of the model's files.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// The number of values in the model's weights.
    #[must_use]
    pub fn parameters(&self) -> usize {
        self.parameters
    }

    /// The SHA-256 of the file that holds the weights, or of all its shards one after another, in hexadecimal digits.
    #[must_use]
    pub fn weights_sha256(&self) -> String {
        hexadecimal(&self.digest.weights)
    }

    /// The SHA-256 of the tokenizer's files, one after another, in hexadecimal digits.
    #[must_use]
    pub fn tokenizer_sha256(&self) -> String {
        hexadecimal(&self.digest.tokenizer)
    }

    /// The SHA-256 of `config.json`, in hexadecimal digits.
    #[must_use]
    pub fn config_sha256(&self) -> String {
        hexadecimal(&self.digest.config)
    }

    /// The SHA-256 of all files of the model with their names, in hexadecimal digits: models of equal digests, and
    /// equal [`Compute::arithmetic`], give equal predictions.
    #[must_use]
    pub fn model_sha256(&self) -> String {
        hexadecimal(&self.digest.model)
    }

    pub(crate) fn digest(&self) -> &Digest {
        &self.digest
    }

    /// The token ids of one text, truncated to [`Self::max_length`].
    ///
    /// # Errors
    ///
    /// [`Error::Tokenize`] if the tokenizer fails on the text, or the text has a token beyond the model's embeddings.
    pub fn tokenize(&self, text: &str) -> Result<TokenIds> {
        self.tokenizer.encode(text, self.max_length, &|| Ok(()))
    }

    /// Whether the label with id `label_id` holds for a text with this prediction.
    ///
    /// In a single-label model the most probable label holds if its probability is at least `threshold`; without a
    /// threshold it always holds. In a multi-label model every label holds whose probability is at least `threshold`,
    /// by default [`DEFAULT_THRESHOLD`](crate::DEFAULT_THRESHOLD). In either case there may be none.
    ///
    /// # Panics
    ///
    /// If `label_id` is not an index of [`Self::labels`], or the prediction has another number of
    /// probabilities.
    #[must_use]
    pub fn holds(&self, label_id: usize, prediction: &Prediction, threshold: Option<f32>) -> bool {
        assert!(label_id < self.labels().len(), "the model has {} labels, not {label_id}", self.labels().len());
        self.config.problem_type.holds(label_id, prediction, threshold)
    }

    /// The most probable label if it holds: see [`Self::holds`].
    ///
    /// # Panics
    ///
    /// If the prediction has another number of probabilities than the model has labels.
    #[must_use]
    pub fn held_label<'a>(&self, prediction: &'a Prediction, threshold: Option<f32>) -> Option<&'a Arc<str>> {
        self.config.problem_type.held_label(prediction, threshold)
    }

    /// The labels that hold, the most probable first: see [`Self::holds`]. Of a single-label model there is one at most.
    ///
    /// # Panics
    ///
    /// If the prediction has another number of probabilities than the model has labels.
    pub fn held_labels(&self, prediction: &Prediction, threshold: Option<f32>) -> impl Iterator<Item = &Arc<str>> {
        let ids = self.config.problem_type.held_ids(prediction, threshold);
        ids.into_iter().map(|id| &self.labels()[id])
    }
}

impl fmt::Debug for Classifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Classifier")
            .field("origin", &self.origin)
            .field("labels", &self.config.labels)
            .field("compute", &self.compute)
            .field("max_length", &self.max_length)
            .finish_non_exhaustive()
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn golden(name: &str) -> Classifier {
        Classifier::load(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)).unwrap()
    }

    /// The first label that holds and all that do, of a prediction with these probabilities.
    fn held(
        classifier: &Classifier,
        probabilities: &[f32],
        threshold: impl Into<Option<f32>>,
    ) -> (Option<usize>, Vec<usize>) {
        let threshold = threshold.into();
        let labels = classifier.labels();
        let mut probabilities = probabilities.to_vec();
        probabilities.resize(labels.len(), 0.0);
        let prediction = Prediction::from_probabilities(labels, probabilities, 3, false);
        let id = |label: &Arc<str>| labels.iter().position(|other| other == label).unwrap();
        let all = classifier.held_labels(&prediction, threshold).map(id).collect();
        (classifier.held_label(&prediction, threshold).map(id), all)
    }

    #[test]
    fn at_most_one_label_of_a_single_label_model_holds() {
        let classifier = golden("gelu-json");
        assert_eq!(held(&classifier, &[0.2, 0.4, 0.4], None), (Some(1), vec![1]));
        assert_eq!(held(&classifier, &[0.2, 0.4, 0.4], 0.1), (Some(1), vec![1]));
        assert_eq!(held(&classifier, &[0.2, 0.4, 0.4], 0.5), (None, vec![]));
    }

    #[test]
    fn any_number_of_labels_of_a_multi_label_model_hold() {
        let classifier = golden("multi-label");
        assert_eq!(held(&classifier, &[0.4, 0.2], None), (None, vec![]));
        assert_eq!(held(&classifier, &[0.5, 0.9], None), (Some(1), vec![1, 0]));
        assert_eq!(held(&classifier, &[0.5, 0.9], 0.6), (Some(1), vec![1]));
    }

    #[test]
    fn what_is_loaded_side_by_side_returns_its_results_and_its_panics() {
        let main = thread::current().id();
        let (other, own) = side_by_side(|| thread::current().id(), || thread::current().id());
        assert!(other != main && own == main);
        let panic = std::panic::catch_unwind(|| side_by_side(|| -> u8 { panic!("of the other thread") }, || 1));
        assert_eq!(panic.unwrap_err().downcast_ref(), Some(&"of the other thread"));
    }

    #[test]
    fn the_debug_form_is_short() {
        let debug = format!("{:?}", golden("gelu-json"));
        assert!(debug.starts_with("Classifier { origin: Folder(") && debug.len() < 400, "{debug}");
    }
}
