use serde::Deserialize;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{
    AddedToken, Encoding, ModelWrapper, NormalizerWrapper, PostProcessor, PreTokenizerWrapper, TruncationDirection,
};

use crate::ascii::AsciiTokenizer;
use crate::model_files::{Bytes, TokenizerFiles};
use crate::{Config, Error, Result};

/// The token ids of one text, special tokens included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIds {
    /// Ids, at most `max_length` of them.
    pub ids: Vec<u32>,
    /// Whether the text had more tokens than `max_length`, so that its end was cut off.
    pub truncated: bool,
}

/// A model's tokenizer.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    ascii: Option<AsciiTokenizer>,
    /// Special tokens that are added to every text.
    special: usize,
    /// The most tokens that the model takes.
    most: usize,
    words_yield_tokens: bool,
    unknown: Option<u32>,
}

impl Tokenizer {
    /// Loads the tokenizer of a model and checks that it fits `config`.
    pub(crate) fn load(origin: &str, files: &TokenizerFiles, config: &Config) -> Result<Self> {
        let wrong = |reason: String| Error::Tokenizer { origin: origin.into(), reason };
        let mut inner = match files {
            TokenizerFiles::Json(json) => from_json(json).map_err(wrong)?,
            TokenizerFiles::Vocab { vocab, config } => from_vocab(vocab, config.as_ref()).map_err(wrong)?,
        };
        check_ids(&inner, config).map_err(wrong)?;
        inner.with_truncation(None).map_err(|e| wrong(e.to_string()))?;
        inner.with_padding(None);

        let tokenizer = Self {
            special: inner.get_post_processor().map_or(0, |p| p.added_tokens(false)),
            most: config.max_position_embeddings,
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

    /// The length asked for, or else the most there can be; refused if the model cannot take it.
    pub(crate) fn checked_length(&self, max_length: Option<usize>) -> Result<usize> {
        let (least, most) = (self.special + 1, self.most);
        match max_length {
            None => Ok(most),
            Some(given) if (least..=most).contains(&given) => Ok(given),
            Some(given) => Err(Error::MaxLength { given, least, most }),
        }
    }

    /// The start of a text, in at most `max_length` tokens.
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

    /// A whole text in windows of at most `max_length` tokens, each of which repeats the last
    /// quarter of the one before.
    pub(crate) fn windows(&self, text: &str, max_length: usize) -> Result<Vec<TokenIds>> {
        let encoding = self.split(text, max_length, (max_length - self.special) / 4)?;
        let windows = std::iter::once(&encoding).chain(encoding.get_overflowing());
        Ok(windows.map(|window| TokenIds { ids: window.get_ids().to_vec(), truncated: false }).collect())
    }

    /// How many of these ids stand for a word that the vocabulary cannot spell.
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

/// Reads `tokenizer.json`. The library panics over some malformed files instead of refusing them.
fn from_json(json: &[u8]) -> Result<tokenizers::Tokenizer, String> {
    let wrong = |reason: String| format!("tokenizer.json is not a tokenizer: {reason}");
    serde_json::from_slice::<serde_json::Value>(json).map_err(|e| wrong(e.to_string()))?;
    match std::panic::catch_unwind(|| tokenizers::Tokenizer::from_bytes(json)) {
        Ok(tokenizer) => tokenizer.map_err(|e| wrong(e.to_string())),
        Err(_) => Err(wrong("a part of it is malformed".into())),
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

/// Whether each word with an ASCII letter or digit is sure to become one token or more.
///
/// True of BERT's rules, which split at white space and never drop a letter or digit, as long as
/// no added token spans white space. Only then may a long text be cut before it is tokenized.
fn words_yield_tokens(tokenizer: &tokenizers::Tokenizer) -> bool {
    let bert_normalizer = matches!(tokenizer.get_normalizer(), Some(NormalizerWrapper::BertNormalizer(_)));
    let bert_pre_tokenizer = matches!(tokenizer.get_pre_tokenizer(), Some(PreTokenizerWrapper::BertPreTokenizer(_)));
    let added = tokenizer.get_added_tokens_decoder();
    bert_normalizer && bert_pre_tokenizer && !added.values().any(|token| token.content.contains(char::is_whitespace))
}

/// The start of `text` that holds its first `count` words with an ASCII letter or digit, or all of
/// it if it has no more; cut at a space, so that no word is changed.
///
/// With `count` words of at least a token each, the rest cannot survive truncation to `count`
/// tokens, special ones included. A text of megabytes then costs no more than its first page.
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

/// What `tokenizer_config.json` may say of a BERT tokenizer, with Hugging Face's defaults.
#[derive(Deserialize, Default)]
#[serde(default)]
struct VocabConfig {
    do_lower_case: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
    unk_token: Option<SpecialToken>,
    sep_token: Option<SpecialToken>,
    pad_token: Option<SpecialToken>,
    cls_token: Option<SpecialToken>,
    mask_token: Option<SpecialToken>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum SpecialToken {
    Plain(String),
    Detailed { content: String },
}

impl SpecialToken {
    fn or(token: Option<Self>, default: &str) -> String {
        match token {
            Some(Self::Plain(content) | Self::Detailed { content }) => content,
            None => default.into(),
        }
    }
}

/// BERT's tokenizer over a vocabulary of a piece a line.
///
/// Source: `BertTokenizerFast` and `DistilBertTokenizerFast` of Hugging Face `transformers`.
fn from_vocab(vocab: &[u8], config: Option<&Bytes>) -> Result<tokenizers::Tokenizer, String> {
    let config: VocabConfig = match config {
        Some(json) => serde_json::from_slice(json).map_err(|e| format!("tokenizer_config.json is malformed: {e}"))?,
        None => VocabConfig::default(),
    };
    let ids = WordPiece::read_bytes(vocab).map_err(|e| format!("vocab.txt is not a vocabulary: {e}"))?;

    let unk = SpecialToken::or(config.unk_token, "[UNK]");
    let sep = SpecialToken::or(config.sep_token, "[SEP]");
    let pad = SpecialToken::or(config.pad_token, "[PAD]");
    let cls = SpecialToken::or(config.cls_token, "[CLS]");
    let mask = SpecialToken::or(config.mask_token, "[MASK]");
    let id = |token: &str| {
        ids.get(token)
            .copied()
            .ok_or_else(|| format!("vocab.txt has no '{token}': give BERT's vocabulary, a piece a line"))
    };
    let post_processor = BertProcessing::new((sep.clone(), id(&sep)?), (cls.clone(), id(&cls)?));
    id(&unk)?;

    let model = WordPiece::builder()
        .vocab(ids.clone())
        .unk_token(unk.clone())
        .build()
        .map_err(|e| format!("vocab.txt makes no vocabulary: {e}"))?;
    let mut tokenizer = tokenizers::Tokenizer::new(model);
    let normalizer = BertNormalizer::new(
        true,
        config.tokenize_chinese_chars.unwrap_or(true),
        config.strip_accents,
        config.do_lower_case.unwrap_or(true),
    );
    tokenizer.with_normalizer(Some(normalizer)).map_err(|e| e.to_string())?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(post_processor));
    let special = [unk, sep, pad, cls, mask].map(|token| AddedToken::from(token, true));
    let known = special.into_iter().filter(|token| ids.contains_key(&token.content));
    tokenizer.add_special_tokens(known).map_err(|e| e.to_string())?;
    Ok(tokenizer)
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
