use std::error::Error;
use std::fmt;
use std::num::NonZeroUsize;
use std::str::FromStr;

/// How a request classifies texts, in a form to be stored.
///
/// ```
/// use emotion_classifier::{ClassifyOptions, LongText};
///
/// let options = ClassifyOptions::default().long_text(LongText::Window).cache(false);
/// assert_eq!(options.max_length, None);
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ClassifyOptions {
    /// The most tokens the model sees at once, special tokens included; `None` for the length the
    /// [`Classifier`](crate::Classifier) was loaded with.
    pub max_length: Option<usize>,
    /// How texts with more tokens than that are treated.
    pub long_text: LongText,
    /// The probability from which a label holds, from 0 to 1; `None` for 0.5 in a multi-label model and 0 in a
    /// single-label model. Changes no prediction, only [`Predictions::labels`](crate::Predictions::labels).
    pub threshold: Option<f32>,
    /// The most tokens in a micro-batch, unless a single text has more; `None` for [`Self::BATCH_TOKENS`] on the CPU and
    /// [`Self::GPU_BATCH_TOKENS`] on a GPU. Changes no result on the CPU; on a GPU, the last digits of a score may
    /// change.
    pub batch_tokens: Option<usize>,
    /// The number of threads that infer; `None` for those of the current rayon pool. Changes no result.
    pub threads: Option<NonZeroUsize>,
    /// Whether predictions are looked up in the [`TextCache`](crate::TextCache) and kept there. Changes no result on
    /// the CPU.
    pub cache: bool,
}

impl ClassifyOptions {
    /// The default of [`Self::batch_tokens`] on the CPU: enough work to outweigh the cost of handing it to another
    /// core, and little enough that all cores stay busy to the end.
    pub const BATCH_TOKENS: usize = 512;

    /// The default of [`Self::batch_tokens`] on a GPU, which needs more work at once: an H100 labels 3.9 times as many
    /// texts per second as with 512.
    pub const GPU_BATCH_TOKENS: usize = 8192;

    /// Sets [`Self::max_length`].
    #[must_use]
    pub fn max_length(mut self, tokens: usize) -> Self {
        self.max_length = Some(tokens);
        self
    }

    /// Sets [`Self::long_text`].
    #[must_use]
    pub fn long_text(mut self, long_text: LongText) -> Self {
        self.long_text = long_text;
        self
    }

    /// Sets [`Self::threshold`].
    #[must_use]
    pub fn threshold(mut self, probability: f32) -> Self {
        self.threshold = Some(probability);
        self
    }

    /// Sets [`Self::batch_tokens`].
    #[must_use]
    pub fn batch_tokens(mut self, tokens: usize) -> Self {
        self.batch_tokens = Some(tokens);
        self
    }

    /// Sets [`Self::threads`].
    #[must_use]
    pub fn threads(mut self, threads: NonZeroUsize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Sets [`Self::cache`].
    #[must_use]
    pub fn cache(mut self, cache: bool) -> Self {
        self.cache = cache;
        self
    }
}

impl Default for ClassifyOptions {
    fn default() -> Self {
        Self {
            max_length: None,
            long_text: LongText::default(),
            threshold: None,
            batch_tokens: None,
            threads: None,
            cache: true,
        }
    }
}

/// How a text with more tokens than the model sees at once is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum LongText {
    /// The model sees the start of the text, or its end if the tokenizer's `truncation_side` is `left`, and the
    /// prediction is marked as truncated.
    #[default]
    Truncate,
    /// The model sees the whole text in windows that overlap by a quarter; the probabilities of
    /// the windows are averaged.
    Window,
}

impl LongText {
    const ALL: [Self; 2] = [Self::Truncate, Self::Window];

    /// The name that [`LongText::from_str`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncate => "truncate",
            Self::Window => "window",
        }
    }
}

impl fmt::Display for LongText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for LongText {
    type Err = UnknownLongText;

    fn from_str(name: &str) -> Result<Self, UnknownLongText> {
        let found = Self::ALL.into_iter().find(|choice| choice.name() == name);
        found.ok_or_else(|| UnknownLongText { given: name.into() })
    }
}

/// A name that no [`LongText`] has; the message lists the names there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownLongText {
    given: String,
}

impl fmt::Display for UnknownLongText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}' is not a way to treat long texts: it must be 'truncate' or 'window'", self.given)
    }
}

impl Error for UnknownLongText {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses() {
        for choice in LongText::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_names() {
        let error: Box<dyn Error> = Box::new("cut".parse::<LongText>().unwrap_err());
        assert_eq!(error.to_string(), "'cut' is not a way to treat long texts: it must be 'truncate' or 'window'");
    }

    #[test]
    fn each_setter_sets_its_field() {
        let threads = NonZeroUsize::new(3).unwrap();
        let options = ClassifyOptions::default()
            .max_length(7)
            .long_text(LongText::Window)
            .threshold(0.25)
            .batch_tokens(9)
            .threads(threads)
            .cache(false);
        let expected = ClassifyOptions {
            max_length: Some(7),
            long_text: LongText::Window,
            threshold: Some(0.25),
            batch_tokens: Some(9),
            threads: Some(threads),
            cache: false,
        };
        assert_eq!(options, expected);
    }
}
