use std::any::Any;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

use datafusion::common::config::{ConfigEntry, ConfigExtension, ExtensionOptions};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use emotion_classifier::{Classifier, ClassifyOptions, Precision, TextCache};

use crate::Error;
use crate::model::{Model, Models};

/// A session's options under `emotion.`, for `SET`, `SHOW` and
/// [`SessionConfig`](datafusion::prelude::SessionConfig).
///
/// | option | default | what it is |
/// |---|---|---|
/// | `model` | `default` | model of the functions that name none: the built-in one, that of a function made by `CREATE FUNCTION`, a folder, or a hub id |
/// | `precision` | `float32` | `float32`, `bfloat16` or `int8` |
/// | `max_length` | 0 | tokens the model sees at once; 0 for as many as it can |
/// | `long_text` | `truncate` | longer texts: `truncate` them, or average over a `window` that moves |
/// | `threshold` | `0.5` | probability from which a label of a multi-label model holds |
/// | `batch_tokens` | `512` | tokens of a micro-batch |
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
pub struct EmotionOptions {
    pub(crate) models: Arc<Models>,
    pub(crate) model: Arc<Model>,
    pub(crate) precision: Precision,
    pub(crate) classify: ClassifyOptions,
    pub(crate) threshold: f32,
    pub(crate) cache_entries: usize,
    /// Whether `model` is another session's, whose plans say themselves what it is.
    is_elsewhere: bool,
}

impl Default for EmotionOptions {
    fn default() -> Self {
        Self::new(Arc::default())
    }
}

impl EmotionOptions {
    pub(crate) fn new(models: Arc<Models>) -> Self {
        Self {
            model: Arc::clone(models.built_in()),
            models,
            precision: Precision::default(),
            classify: ClassifyOptions::default(),
            threshold: 0.5,
            cache_entries: TextCache::DEFAULT_ENTRIES,
            is_elsewhere: false,
        }
    }

    /// Options of a server that runs the plans of other sessions and takes their options.
    ///
    /// It does not look for their `model`, whose name may mean nothing there: plans that the codecs of this crate
    /// carry hold all that is needed to load it.
    #[cfg(feature = "proto")]
    #[must_use]
    pub fn of_another_session() -> Self {
        Self { is_elsewhere: true, ..Self::default() }
    }

    /// The options of a session, if it has them.
    pub(crate) fn of(config: &ConfigOptions) -> Option<&Self> {
        config.extensions.get::<Self>()
    }

    fn open_model(&self, name: &str) -> Result<Arc<Model>, Error> {
        if let Ok(model) = self.models.get(name) {
            return Ok(model);
        }
        Ok(Model::given(name, Classifier::shared(name, self.precision)?))
    }

    fn set_checked(&mut self, key: &str, value: &str) -> Result<(), Error> {
        match key {
            "model" if self.is_elsewhere => {}
            "model" => {
                self.model = self.open_model(value).map_err(|e| wrong(key, value, e))?;
            }
            "precision" => self.precision = parse(key, value)?,
            "max_length" => self.classify.max_length = whole(key, value)?.map(NonZeroUsize::get),
            "long_text" => self.classify.long_text = parse(key, value)?,
            "threshold" => {
                let threshold: f32 = value.parse().unwrap_or(f32::NAN);
                if !(0.0..=1.0).contains(&threshold) {
                    return Err(wrong(key, value, "it must be a probability from 0 to 1"));
                }
                self.threshold = threshold;
            }
            "batch_tokens" => {
                let tokens = whole(key, value)?.ok_or_else(|| wrong(key, value, "it must be above 0"))?;
                self.classify.batch_tokens = tokens.get();
            }
            "threads" => {
                let threads = whole(key, value)?;
                if threads.is_some_and(|threads| threads.get() > MOST_THREADS) {
                    return Err(wrong(key, value, format!("it must be at most {MOST_THREADS}")));
                }
                self.classify.threads = threads;
            }
            "cache_entries" => {
                self.cache_entries = whole(key, value)?.map_or(0, NonZeroUsize::get);
                self.classify.cache = self.cache_entries > 0;
                if self.classify.cache {
                    TextCache::shared().resize(self.cache_entries);
                }
            }
            _ => return Err(wrong(key, value, format!("there is no such option; there are {}", names()))),
        }
        Ok(())
    }
}

/// More than any machine has, and few enough to start.
const MOST_THREADS: usize = 1024;

fn wrong(option: &str, value: &str, reason: impl Display) -> Error {
    Error::Option { option: option.into(), value: value.into(), reason: reason.to_string() }
}

fn parse<T: FromStr<Err: Display>>(option: &str, value: &str) -> Result<T, Error> {
    value.to_ascii_lowercase().parse().map_err(|reason| wrong(option, value, reason))
}

/// A whole number, which is `None` for 0.
fn whole(option: &str, value: &str) -> Result<Option<NonZeroUsize>, Error> {
    let number = value.parse().map_err(|_| wrong(option, value, "it must be a whole number"))?;
    Ok(NonZeroUsize::new(number))
}

const DESCRIPTIONS: [(&str, &str); 8] = [
    (
        "model",
        "Model of the emotion functions that name none: 'default' for the built-in one, the name of a function made by \
         CREATE FUNCTION ... LANGUAGE DISTILBERT, a folder in Hugging Face layout, or a hub id",
    ),
    ("precision", "Numbers in which the model computes: 'float32', 'bfloat16' or 'int8'"),
    ("max_length", "Tokens that the model sees at once, special tokens included; 0 for as many as the model can take"),
    (
        "long_text",
        "What becomes of a text with more tokens than that: 'truncate' cuts it, 'window' averages the probabilities \
         over windows that overlap by a quarter",
    ),
    ("threshold", "Probability from which a label of a multi-label model holds"),
    ("batch_tokens", "Tokens that go through the model together, unless a single text has more; changes no result"),
    ("threads", "Threads that infer; 0 for all cores; changes no result"),
    (
        "cache_entries",
        "Texts whose predictions the process remembers, which the last session to set it decides; 0 makes this session \
         neither look up nor remember; changes no result",
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
            self.model.name().to_string(),
            self.precision.to_string(),
            self.classify.max_length.unwrap_or(0).to_string(),
            self.classify.long_text.to_string(),
            self.threshold.to_string(),
            self.classify.batch_tokens.to_string(),
            self.classify.threads.map_or(0, NonZeroUsize::get).to_string(),
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
