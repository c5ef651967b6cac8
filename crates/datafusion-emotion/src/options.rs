use std::any::Any;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use emotion_classifier::{BackendChoice, ClassifyOptions, Compute, Device, LongText, Precision, TextCache};

use crate::error::Error;

/// A session's options under `emotion.`, for `SET`, `SHOW` and
/// [`SessionConfig`](datafusion::prelude::SessionConfig).
///
/// | option | default | what it is |
/// |---|---|---|
/// | `model` | `default` | model of the functions that name none: the built-in one, that of a function made by `CREATE FUNCTION`, a folder, or a hub id |
/// | `precision` | `float32` | `float32`, `bfloat16`, `int8` (CPU only) or `float16` (GPU only) |
/// | `backend` | `auto` | `packed` for the BERT family on the CPU, `candle` for any model, or `auto` for the first that can |
/// | `device` | `cpu` | `cpu`, `cuda`, `cuda:1` and so on, or `metal` |
/// | `max_length` | 0 | tokens the model sees at once; 0 for as many as it can |
/// | `long_text` | `truncate` | longer texts: `truncate` them, or average over a `window` that moves |
/// | `threshold` | `default` | probability from which a label holds; `default` is 0.5 for a multi-label model and 0 for a single-label model |
/// | `batch_tokens` | 0 | tokens of a micro-batch; 0 for 512 on the CPU and 8192 on a GPU |
/// | `threads` | 0 | threads that infer; 0 for all cores |
/// | `cache_entries` | `100000` | texts that the process remembers; 0 for none in this session |
///
/// ```
/// use datafusion::execution::SessionStateBuilder;
/// use datafusion::prelude::SessionContext;
/// use datafusion_emotion::EmotionExt;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> datafusion::error::Result<()> {
/// let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
/// let ctx = SessionContext::new_with_state(state);
/// ctx.sql("SET emotion.max_length = 128").await?;
/// assert!(ctx.sql("SET emotion.max_length = 'many'").await.is_err());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EmotionOptions {
    model: String,
    /// Differs between two models that were set one after the other under one name.
    model_revision: u64,
    /// Numbers in which the model computes.
    pub precision: Precision,
    /// What computes the model.
    pub backend: BackendChoice,
    /// Where the model computes. On a GPU the last digits of a score may depend on the rows that are inferred together.
    pub device: Device,
    /// Tokens that the model sees at once, special tokens included; `None` for as many as it can take.
    pub max_length: Option<usize>,
    /// Treatment of a text with more tokens than that.
    pub long_text: LongText,
    /// Probability from which a label holds, from 0 to 1; `None` for 0.5 in a multi-label model and 0 in a single-label
    /// model.
    ///
    /// A query is planned with a label that cannot be NULL if the model is a single-label model and the threshold is 0.
    /// It keeps every label if it is executed with another threshold.
    pub threshold: Option<f32>,
    /// Tokens of a micro-batch; `None` for 512 on the CPU and 8192 on a GPU. Changes no result on the CPU; on a GPU, the
    /// last digits of a score may change.
    pub batch_tokens: Option<usize>,
    /// Threads that infer; `None` for all cores. Changes no result.
    pub threads: Option<NonZeroUsize>,
    cache_entries: usize,
}

impl Default for EmotionOptions {
    fn default() -> Self {
        let ClassifyOptions { max_length, long_text, threshold, batch_tokens, threads, .. } =
            ClassifyOptions::default();
        Self {
            model: DEFAULT.into(),
            model_revision: 0,
            precision: Precision::default(),
            backend: BackendChoice::default(),
            device: Device::default(),
            max_length,
            long_text,
            threshold,
            batch_tokens,
            threads,
            cache_entries: TextCache::DEFAULT_ENTRIES,
        }
    }
}

impl EmotionOptions {
    /// The model of functions that name none: `default` for the built-in one, the name of a function made by
    /// `CREATE FUNCTION`, a folder, or a hub id.
    #[must_use]
    pub fn model(&self) -> &str {
        &self.model
    }

    /// Sets [`Self::model`]. The model is loaded when a plan first needs it, and loaded again after
    /// each call, so that a folder whose files were replaced is read anew.
    pub fn set_model(&mut self, model: impl Into<String>) {
        static REVISIONS: AtomicU64 = AtomicU64::new(1);
        self.model = model.into();
        self.model_revision = REVISIONS.fetch_add(1, Relaxed);
    }

    pub(crate) fn model_revision(&self) -> u64 {
        self.model_revision
    }

    /// Texts whose predictions the process remembers; 0 if this session neither looks up nor remembers.
    #[must_use]
    pub fn cache_entries(&self) -> usize {
        self.cache_entries
    }

    /// Sets [`Self::cache_entries`]. The cache belongs to the process: its capacity is the one that was
    /// set last, in any session, other than 0.
    pub fn set_cache_entries(&mut self, entries: usize) {
        self.cache_entries = entries;
        if entries > 0 {
            TextCache::shared().resize(entries);
        }
    }

    /// The options of a session, if it has them.
    pub(crate) fn of(config: &ConfigOptions) -> Option<&Self> {
        config.extensions.get::<Self>()
    }

    /// How models compute.
    pub(crate) fn compute(&self) -> Compute {
        Compute::from(self.precision).backend(self.backend).device(self.device)
    }

    /// The options of one call of the classifier.
    pub(crate) fn classify(&self) -> ClassifyOptions {
        let mut options = ClassifyOptions::default();
        options.max_length = self.max_length;
        options.long_text = self.long_text;
        options.threshold = self.threshold;
        options.batch_tokens = self.batch_tokens;
        options.threads = self.threads;
        options.cache = self.cache_entries > 0;
        options
    }

    fn set_checked(&mut self, key: &str, value: &str) -> Result<(), Error> {
        match key {
            "model" => self.set_model(value),
            "precision" => self.precision = parse(key, value)?,
            "backend" => self.backend = parse(key, value)?,
            "device" => self.device = parse(key, value)?,
            "max_length" => self.max_length = whole(key, value)?.map(NonZeroUsize::get),
            "long_text" => self.long_text = parse(key, value)?,
            "threshold" => self.threshold = threshold(key, value)?,
            "batch_tokens" => self.batch_tokens = whole(key, value)?.map(NonZeroUsize::get),
            "threads" => {
                let threads = whole(key, value)?;
                if threads.is_some_and(|threads| threads.get() > MOST_THREADS) {
                    return Err(Error::option(key, value, format!("it must be at most {MOST_THREADS}")));
                }
                self.threads = threads;
            }
            "cache_entries" => self.set_cache_entries(whole(key, value)?.map_or(0, NonZeroUsize::get)),
            _ => return Err(Error::option(key, value, format!("there is no such option; there are {}", names()))),
        }
        Ok(())
    }
}

/// The name of the built-in model, and of the threshold that depends on the model.
const DEFAULT: &str = "default";

/// More than any machine has, and few enough to start.
const MOST_THREADS: usize = 1024;

fn parse<T: FromStr<Err: Display>>(option: &str, value: &str) -> Result<T, Error> {
    value.to_ascii_lowercase().parse().map_err(|reason| Error::option(option, value, reason))
}

/// A whole number, which is `None` for 0.
fn whole(option: &str, value: &str) -> Result<Option<NonZeroUsize>, Error> {
    let number = value.parse().map_err(|_| Error::option(option, value, "it must be a whole number"))?;
    Ok(NonZeroUsize::new(number))
}

/// A probability; `None` for `default`.
fn threshold(option: &str, value: &str) -> Result<Option<f32>, Error> {
    if value.eq_ignore_ascii_case(DEFAULT) {
        return Ok(None);
    }
    let threshold = value.parse().ok().filter(|threshold| (0.0..=1.0).contains(threshold));
    let threshold = threshold.ok_or_else(|| Error::option(option, value, "it must be a probability from 0 to 1"))?;
    Ok(Some(threshold))
}

const DESCRIPTIONS: [(&str, &str); 10] = [
    (
        "model",
        "Model of the emotion functions that name none: 'default' for the built-in one, the name of a function made by \
         CREATE FUNCTION ... LANGUAGE DISTILBERT, a folder in Hugging Face layout, or a hub id",
    ),
    ("precision", "Number format of the computation: 'float32', 'bfloat16', 'int8' (CPU only) or 'float16' (GPU only)"),
    (
        "backend",
        "What computes the model: 'packed' for the BERT family on the CPU, 'candle' for every model and device, or \
         'auto' for the first of them that can",
    ),
    (
        "device",
        "Where the model computes: 'cpu', or 'cuda', 'cuda:1' and so on or 'metal' in a program built for it; on a \
         GPU the last digits of a score may depend on the rows that are inferred together",
    ),
    ("max_length", "Tokens that the model sees at once, special tokens included; 0 for as many as the model can take"),
    (
        "long_text",
        "What becomes of a text with more tokens than that: 'truncate' cuts it, 'window' averages the probabilities \
         over windows that overlap by a quarter",
    ),
    (
        "threshold",
        "Probability from which a label holds, from 0 to 1; 'default' is 0.5 for a multi-label model and 0 for a \
         single-label model",
    ),
    (
        "batch_tokens",
        "Tokens that go through the model together, unless a single text has more; 0 for 512 on the CPU and 8192 on a \
         GPU; changes no result on the CPU, and on a GPU at most the last digits of a score",
    ),
    ("threads", "Threads that infer; 0 for all cores; changes no result"),
    (
        "cache_entries",
        "Texts whose predictions the process remembers, which the last session to set it decides; 0 makes this session \
         neither look up nor remember; changes no result on the CPU",
    ),
];

fn names() -> String {
    DESCRIPTIONS.map(|(name, _)| name).join(", ")
}

impl ConfigExtension for EmotionOptions {
    const PREFIX: &'static str = "emotion";
}

impl ExtensionOptions for EmotionOptions {
    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }

    fn cloned(&self) -> Box<dyn ExtensionOptions> {
        Box::new(self.clone())
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        self.set_checked(key, value).map_err(DataFusionError::from)
    }

    fn entries(&self) -> Vec<ConfigEntry> {
        let values = [
            self.model.clone(),
            self.precision.to_string(),
            self.backend.to_string(),
            self.device.to_string(),
            self.max_length.unwrap_or(0).to_string(),
            self.long_text.to_string(),
            self.threshold.map_or_else(|| DEFAULT.into(), |threshold| threshold.to_string()),
            self.batch_tokens.unwrap_or(0).to_string(),
            self.threads.map_or(0, NonZeroUsize::get).to_string(),
            self.cache_entries.to_string(),
        ];
        let entries = DESCRIPTIONS.into_iter().zip(values);
        entries
            .map(|((name, description), value)| ConfigEntry {
                key: format!("emotion.{name}"),
                value: Some(value),
                description,
            })
            .collect()
    }
}
