use std::num::NonZeroUsize;

/// How texts are classified; of one call, not of the model.
///
/// ```
/// use emotion_classifier::{ClassifyOptions, LongText};
///
/// let options = ClassifyOptions { long_text: LongText::Window, ..ClassifyOptions::default() };
/// assert!(options.cache);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassifyOptions {
    /// Tokens the model sees at once, special tokens included; `None` for as many as the
    /// [`Classifier`](crate::Classifier) was loaded with.
    pub max_length: Option<usize>,
    /// What becomes of a text with more tokens than that.
    pub long_text: LongText,
    /// Tokens a micro-batch holds at most, unless a single text has more. Changes no result.
    pub batch_tokens: usize,
    /// Threads that infer; `None` for all cores. Changes no result.
    pub threads: Option<NonZeroUsize>,
    /// Whether texts that this process has classified before are looked up. Changes no result.
    pub cache: bool,
}

impl ClassifyOptions {
    /// Enough work to outweigh handing it to another core, little enough to keep all cores busy
    /// to the end.
    pub const BATCH_TOKENS: usize = 512;
}

impl Default for ClassifyOptions {
    fn default() -> Self {
        Self {
            max_length: None,
            long_text: LongText::default(),
            batch_tokens: Self::BATCH_TOKENS,
            threads: None,
            cache: true,
        }
    }
}

/// What becomes of a text with more tokens than the model sees at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LongText {
    /// The model sees the text's start, and the prediction says that it was cut.
    #[default]
    Truncate,
    /// The model sees the whole text in windows that overlap by a quarter; their probabilities
    /// are averaged.
    Window,
}

impl LongText {
    /// `truncate` or `window`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Window => "window",
        }
    }
}

impl std::fmt::Display for LongText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for LongText {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Truncate, Self::Window]
            .into_iter()
            .find(|choice| choice.name() == name)
            .ok_or_else(|| format!("'{name}' is no way to treat long texts: it must be 'truncate' or 'window'"))
    }
}
