//! The tokenizer: texts in, token ids out.

mod ascii;
mod family;
pub(crate) mod file;
mod library;
mod sentence_pieces;
mod settings;
#[cfg(test)]
mod tests;
mod token;

use tokenizers::{Encoding, ModelWrapper, NormalizerWrapper, PostProcessor, PreTokenizerWrapper, TruncationDirection};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::tokenizer::ascii::AsciiTokenizer;
use crate::tokenizer::file::TokenizerFiles;
use crate::tokenizer::library::Fault;
use crate::tokenizer::settings::Settings;

/// The token ids of one text, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TokenIds {
    /// At most `max_length` ids.
    pub ids: Vec<u32>,
    /// Whether the text had more tokens than `max_length`, so that its end, or its start, was cut off.
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
    /// The number of rows of the model's word embeddings, if a token of the vocabulary has none.
    embeddings: Option<usize>,
    /// The side on which long texts are cut.
    side: TruncationDirection,
    words_yield_tokens: bool,
    unknown: Option<u32>,
}

impl Tokenizer {
    /// Loads the tokenizer of a model and checks that it fits `config`; `model_config` is the `config.json` that it is
    /// parsed from.
    pub(crate) fn load(origin: &str, files: &TokenizerFiles, model_config: &[u8], config: &Config) -> Result<Self> {
        let wrong = |reason: String| Error::Tokenizer { origin: origin.into(), reason };
        let settings = Settings::read(files, model_config).map_err(wrong)?;
        let mut inner = library::load(files, &settings).map_err(|fault| match fault {
            Fault::Missing(file, cure) => Error::MissingFile { origin: origin.into(), file, cure },
            Fault::Wrong(reason) => wrong(reason),
        })?;
        let side = settings.truncation_side.or(inner.get_truncation().map(|truncation| truncation.direction));
        inner.with_truncation(None).map_err(|e| wrong(e.to_string()))?;
        inner.with_padding(None);
        let largest =
            inner.get_vocab(true).into_values().max().ok_or_else(|| wrong("its vocabulary is empty".into()))?;
        let special = inner.get_post_processor().map_or(0, |p| p.added_tokens(false));
        let tokenizer = Self {
            special,
            most: config.max_tokens().min(settings.model_max_length.unwrap_or(usize::MAX)),
            embeddings: (largest as usize >= config.vocab_size).then_some(config.vocab_size),
            side: side.unwrap_or(TruncationDirection::Right),
            words_yield_tokens: words_yield_tokens(&inner),
            unknown: unknown(&inner),
            ascii: AsciiTokenizer::of(&inner),
            inner,
        };
        if tokenizer.most <= special {
            return Err(wrong(format!(
                "a text may have {} tokens, of which {special} are special ones: correct model_max_length in \
                 tokenizer_config.json",
                tokenizer.most
            )));
        }
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
    ///
    /// # Errors
    ///
    /// [`Error::Tokenize`] if the library fails, or a token of the text has no row in the model's word embeddings.
    pub(crate) fn encode(&self, text: &str, max_length: usize) -> Result<TokenIds> {
        let tokens = match self.encode_ascii(text, max_length) {
            Some(tokens) => tokens,
            None => self.encode_any(text, max_length)?,
        };
        self.check_ids(&tokens.ids)?;
        Ok(tokens)
    }

    /// The ids of a text by the fast path; `None` if the library must tokenize it.
    fn encode_ascii(&self, text: &str, max_length: usize) -> Option<TokenIds> {
        let ascii = self.ascii.as_ref()?;
        if matches!(self.side, TruncationDirection::Right) {
            let (ids, truncated) = ascii.encode(text, max_length)?;
            return Some(TokenIds { ids, truncated });
        }
        let (mut ids, _) = ascii.encode(text, usize::MAX)?;
        let excess = ids.len().saturating_sub(max_length);
        ids.drain(1..=excess);
        Some(TokenIds { ids, truncated: excess > 0 })
    }

    fn encode_any(&self, text: &str, max_length: usize) -> Result<TokenIds> {
        // What the words after the first ones become does not matter, unless it is they that are kept.
        let is_cut = self.words_yield_tokens && matches!(self.side, TruncationDirection::Right);
        let head = if is_cut { words(text, max_length) } else { text };
        let encoding = self.split(head, max_length, 0, self.side)?;
        Ok(TokenIds {
            ids: encoding.get_ids().to_vec(),
            truncated: head.len() < text.len() || !encoding.get_overflowing().is_empty(),
        })
    }

    /// The ids of a whole text in windows of at most `max_length` tokens, each of which begins with
    /// the last quarter of the one before.
    ///
    /// # Errors
    ///
    /// As for [`Self::encode`].
    pub(crate) fn windows(&self, text: &str, max_length: usize) -> Result<Vec<TokenIds>> {
        let stride = (max_length - self.special) / 4;
        let encoding = self.split(text, max_length, stride, TruncationDirection::Right)?;
        let windows = std::iter::once(&encoding).chain(encoding.get_overflowing());
        windows
            .map(|window| {
                self.check_ids(window.get_ids())?;
                Ok(TokenIds { ids: window.get_ids().to_vec(), truncated: false })
            })
            .collect()
    }

    /// Every id of a text must be a row of the word embeddings.
    fn check_ids(&self, ids: &[u32]) -> Result<()> {
        let Some(embeddings) = self.embeddings else { return Ok(()) };
        let Some(id) = ids.iter().find(|id| **id as usize >= embeddings) else { return Ok(()) };
        Err(Error::Tokenize(format!(
            "its token '{}' has id {id}, but the model has embeddings for {embeddings} tokens only: resize the model's \
             embeddings, or use the tokenizer that it was trained with",
            self.inner.id_to_token(*id).unwrap_or_default()
        )))
    }

    /// How many of these ids stand for a word outside the vocabulary.
    pub(crate) fn count_unknown(&self, ids: &[u32]) -> usize {
        ids.iter().filter(|id| Some(**id) == self.unknown).count()
    }

    /// The first or the last `max_length` tokens, with the rest in windows that overlap by `stride` tokens.
    fn split(&self, text: &str, max_length: usize, stride: usize, side: TruncationDirection) -> Result<Encoding> {
        let wrong = |e: tokenizers::Error| Error::Tokenize(e.to_string());
        let mut encoding = self.inner.encode_fast(text, false).map_err(wrong)?;
        encoding.truncate(max_length - self.special, stride, side);
        self.inner.post_process(encoding, None, true).map_err(wrong)
    }
}

/// The id of the token for unknown words, if the model has one.
fn unknown(tokenizer: &tokenizers::Tokenizer) -> Option<u32> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
        ModelWrapper::BPE(model) => tokenizer.token_to_id(model.unk_token.as_ref()?),
        _ => None,
    }
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
