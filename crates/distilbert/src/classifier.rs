use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;

use crate::batch::micro_batches;
use crate::head::Head;
use crate::model_files::ModelFiles;
use crate::tokenizer::Tokenizer;
use crate::{Batch, Config, Encoder, Error, PackedEncoder, ProblemType, Result, TokenIds, Weights};

/// Tokens a micro-batch holds at most, unless a single text has more: enough work to outweigh
/// handing it to another core, little enough to keep all cores busy to the end.
const TOKEN_BUDGET: usize = 512;

/// A loaded model that labels texts. Cheap to share behind an [`Arc`]; all methods take `&self`.
///
/// ```
/// # #[cfg(feature = "default-model")]
/// # fn main() -> distilbert::Result<()> {
/// use distilbert::Classifier;
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
    /// Tokens the model saw, special tokens included.
    pub tokens: usize,
    /// Whether the text was longer than `max_length`, so that the model saw only its start.
    pub truncated: bool,
}

/// Choices to make before a model is loaded; from [`Classifier::builder`].
#[derive(Debug, Clone, Default)]
pub struct ClassifierBuilder {
    max_length: Option<usize>,
}

impl ClassifierBuilder {
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
        let mut files = ModelFiles::from_folder(&crate::hub::folder(id)?)?;
        files.origin = id.into();
        self.build(&files)
    }

    /// Loads a model from a folder if there is one of that name, otherwise by its hub id.
    pub fn open(self, folder_or_id: &str) -> Result<Classifier> {
        #[cfg(feature = "hub")]
        if is_hub_id(folder_or_id) && !Path::new(folder_or_id).exists() {
            return self.from_hub(folder_or_id);
        }
        self.load(folder_or_id)
    }

    /// Loads the model that is built into this crate.
    #[cfg(feature = "default-model")]
    pub fn default_model(self) -> Result<Classifier> {
        self.build(&ModelFiles::default_model())
    }

    fn build(self, files: &ModelFiles) -> Result<Classifier> {
        let config = Config::parse(&files.origin, &files.config)?;
        let tokenizer = Tokenizer::load(&files.origin, &files.tokenizer, &config, self.max_length)?;
        let weights = Weights::open(&files.origin, &files.weights)?;
        let encoder = Box::new(PackedEncoder::load(&config, &weights)?);
        let head = Head::load(&config, &weights)?;
        Ok(Classifier { config, tokenizer, encoder, head })
    }
}

/// `owner/name` with an optional `@revision`: one slash, no dots or separators of a path.
#[cfg(feature = "hub")]
fn is_hub_id(text: &str) -> bool {
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name))
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

    /// The model that is built into this crate: six emotions in English text.
    ///
    /// It is loaded once a process and shared.
    #[cfg(feature = "default-model")]
    pub fn default_model() -> Result<Arc<Self>> {
        static DEFAULT: std::sync::Mutex<Option<Arc<Classifier>>> = std::sync::Mutex::new(None);
        let mut shared = DEFAULT.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(classifier) = &*shared {
            return Ok(Arc::clone(classifier));
        }
        let classifier = Arc::new(Self::builder().default_model()?);
        *shared = Some(Arc::clone(&classifier));
        Ok(classifier)
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
        self.tokenizer.max_length()
    }

    /// The token ids of one text, cut to [`Self::max_length`].
    pub fn tokenize(&self, text: &str) -> Result<TokenIds> {
        self.tokenizer.encode(text)
    }

    /// Labels texts; one prediction a text, in their order.
    ///
    /// A text's prediction is the same to the last bit whatever the other texts are.
    pub fn classify(&self, texts: &[&str]) -> Result<Vec<Prediction>> {
        let tokens = self.tokenize_all(texts)?;
        let logits = self.forward(&tokens)?;
        let rows = tokens.iter().zip(logits);
        Ok(rows.map(|(tokens, logits)| self.prediction(tokens, &logits)).collect())
    }

    /// The raw scores of every label, before softmax or sigmoid; one list a text.
    pub fn logits(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>> {
        self.forward(&self.tokenize_all(texts)?)
    }

    fn tokenize_all(&self, texts: &[&str]) -> Result<Vec<TokenIds>> {
        texts.par_iter().map(|text| self.tokenizer.encode(text)).collect()
    }

    fn forward(&self, texts: &[TokenIds]) -> Result<Vec<Vec<f32>>> {
        let mut logits = vec![Vec::new(); texts.len()];
        let batches: Vec<_> = micro_batches(texts, TOKEN_BUDGET)
            .into_par_iter()
            .map(|rows| {
                let batch = Batch::pack(rows.iter().map(|&row| texts[row].ids.as_slice()));
                let states = self.encoder.encode(&batch)?;
                let logits = states.chunks_exact(self.config.dim).map(|h| self.head.logits(h));
                let logits: Vec<_> = logits.collect();
                if logits.iter().flatten().any(|logit| !logit.is_finite()) {
                    return Err(Error::NotFinite);
                }
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

    fn prediction(&self, tokens: &TokenIds, logits: &[f32]) -> Prediction {
        let probabilities = match self.config.problem_type {
            ProblemType::SingleLabel => softmax(logits),
            ProblemType::MultiLabel => logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
        };
        let label_id = first_max(logits);
        Prediction {
            label: Arc::clone(&self.config.labels[label_id]),
            label_id,
            score: probabilities[label_id],
            probabilities,
            tokens: tokens.ids.len(),
            truncated: tokens.truncated,
        }
    }
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

    #[cfg(feature = "hub")]
    #[test]
    fn hub_ids_are_told_from_paths() {
        for id in ["a/b", "bhadresh-savani/distilbert-base-uncased-emotion", "a/b@v1.0"] {
            assert!(is_hub_id(id), "{id}");
        }
        for path in ["a", "./a", "../a/b", "/a/b", "a/b/c", "a/", "C:\\a"] {
            assert!(!is_hub_id(path), "{path}");
        }
    }
}
