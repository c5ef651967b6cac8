//! The tokenizer: texts in, token ids out.

mod ascii;
mod library;

use tokenizers::{Encoding, ModelWrapper, NormalizerWrapper, PostProcessor, PreTokenizerWrapper, TruncationDirection};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::folder::TokenizerFiles;
use crate::tokenizer::ascii::AsciiTokenizer;

/// The token ids of one text, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenIds {
    /// At most `max_length` ids.
    pub ids: Vec<u32>,
    /// Whether the text had more tokens than `max_length`, so that its end was cut off.
    pub truncated: bool,
}

/// A model's tokenizer: the library's as the files configure it, and a fast path for texts on which both agree.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    ascii: Option<AsciiTokenizer>,
    /// The number of special tokens that are added to every text.
    special: usize,
    /// The most tokens that the model takes, special tokens included.
    most: usize,
    words_yield_tokens: bool,
    unknown: Option<u32>,
}

impl Tokenizer {
    /// Loads the tokenizer of a model and checks that it fits `config`.
    pub(crate) fn load(origin: &str, files: &TokenizerFiles, config: &Config) -> Result<Self> {
        let wrong = |reason: String| Error::Tokenizer { origin: origin.into(), reason };
        let inner = library::load(files).map_err(wrong)?;
        check_ids(&inner, config).map_err(wrong)?;
        let tokenizer = Self {
            special: inner.get_post_processor().map_or(0, |p| p.added_tokens(false)),
            most: config.max_tokens(),
            words_yield_tokens: words_yield_tokens(&inner),
            unknown: unknown(&inner),
            ascii: AsciiTokenizer::of(&inner),
            inner,
        };
        let empty = tokenizer.inner.encode_fast("", true).map_err(|e| wrong(e.to_string()))?;
        if empty.is_empty() {
            return Err(wrong("it adds no [CLS] token to a text: save it again with its post-processor".into()));
        }
        if let Some(id) = empty.get_ids().iter().find(|id| **id as usize >= config.vocab_size) {
            return Err(wrong(format!(
                "its post-processor adds id {id}, but the model has embeddings for {} tokens only: the tokenizer \
                 belongs to another model",
                config.vocab_size
            )));
        }
        Ok(tokenizer)
    }

    /// The requested length, or the most that the model takes; an error if the model cannot take it.
    pub(crate) fn checked_length(&self, max_length: Option<usize>) -> Result<usize> {
        let (least, most) = (self.special + 1, self.most);
        match max_length {
            None => Ok(most),
            Some(given) if (least..=most).contains(&given) => Ok(given),
            Some(given) => Err(Error::MaxLength { given, least, most }),
        }
    }

    /// The ids of a text, truncated to `max_length` tokens.
    pub(crate) fn encode(&self, text: &str, max_length: usize) -> Result<TokenIds> {
        if let Some((ids, truncated)) = self.ascii.as_ref().and_then(|ascii| ascii.encode(text, max_length)) {
            return Ok(TokenIds { ids, truncated });
        }
        let head = if self.words_yield_tokens { words(text, max_length) } else { text };
        let encoding = self.split(head, max_length, 0)?;
        Ok(TokenIds {
            ids: encoding.get_ids().to_vec(),
            truncated: head.len() < text.len() || !encoding.get_overflowing().is_empty(),
        })
    }

    /// The ids of a whole text in windows of at most `max_length` tokens, each of which begins with
    /// the last quarter of the one before.
    pub(crate) fn windows(&self, text: &str, max_length: usize) -> Result<Vec<TokenIds>> {
        let encoding = self.split(text, max_length, (max_length - self.special) / 4)?;
        let windows = std::iter::once(&encoding).chain(encoding.get_overflowing());
        Ok(windows.map(|window| TokenIds { ids: window.get_ids().to_vec(), truncated: false }).collect())
    }

    /// How many of these ids stand for a word outside the vocabulary.
    pub(crate) fn count_unknown(&self, ids: &[u32]) -> usize {
        ids.iter().filter(|id| Some(**id) == self.unknown).count()
    }

    /// The first `max_length` tokens, with the rest in windows that overlap by `stride` tokens.
    fn split(&self, text: &str, max_length: usize, stride: usize) -> Result<Encoding> {
        let wrong = |e: tokenizers::Error| Error::Tokenize(e.to_string());
        let mut encoding = self.inner.encode_fast(text, false).map_err(wrong)?;
        encoding.truncate(max_length - self.special, stride, TruncationDirection::Right);
        self.inner.post_process(encoding, None, true).map_err(wrong)
    }
}

/// The id of the token for unknown words, if the model has one.
fn unknown(tokenizer: &tokenizers::Tokenizer) -> Option<u32> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
        _ => None,
    }
}

/// Every id that the tokenizer can produce must be a row of the word embeddings.
fn check_ids(tokenizer: &tokenizers::Tokenizer, config: &Config) -> Result<(), String> {
    let vocabulary = tokenizer.get_vocab(true);
    let Some((token, id)) = vocabulary.iter().max_by_key(|(_, id)| **id) else {
        return Err("its vocabulary is empty".into());
    };
    if *id as usize >= config.vocab_size {
        return Err(format!(
            "token '{token}' has id {id}, but the model has embeddings for {} tokens only: the tokenizer belongs \
             to another model",
            config.vocab_size
        ));
    }
    Ok(())
}

/// Whether each word with an ASCII letter or digit always becomes at least one token.
///
/// This is true of BERT's rules, which split at white space and never drop a letter or digit, as long as no added
/// token contains white space. Only then may a long text be cut before it is tokenized.
fn words_yield_tokens(tokenizer: &tokenizers::Tokenizer) -> bool {
    let bert_normalizer = matches!(tokenizer.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(_)));
    let bert_pre_tokenizer = matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
    let added = tokenizer.get_added_tokens_decoder();
    bert_normalizer && bert_pre_tokenizer && !added.values().any(|token| token.content.contains(char::is_whitespace))
}

/// The start of `text` up to the end of its first `count` words with an ASCII letter or digit, or all of it if it has
/// fewer; it ends at a space, so that no word is cut.
///
/// As each of these words is at least one token, truncation to `count` tokens, special ones included, drops
/// everything after them. The cost of a text of megabytes is then that of its first page.
fn words(text: &str, count: usize) -> &str {
    let (mut seen, mut in_word) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        if byte.is_ascii_alphanumeric() {
            in_word = true;
        } else if byte == b' ' {
            seen += usize::from(in_word);
            in_word = false;
            if seen >= count {
                return &text[..at];
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_cuts_at_a_space_after_enough_words() {
        for (text, count, expected) in [
            ("", 2, ""),
            ("one", 1, "one"),
            ("one two three", 2, "one two"),
            ("one !? - two three", 2, "one !? - two"),
            ("é ü one two", 1, "é ü one"),
            ("one two   ", 2, "one two"),
            ("日本 語 one", 1, "日本 語 one"),
        ] {
            assert_eq!(words(text, count), expected, "{text:?} {count}");
        }
    }
}
