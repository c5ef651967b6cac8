use serde::Deserialize;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

use crate::folder::{Bytes, TokenizerFiles};

/// The tokenizer that a model's files describe, without truncation and padding, or why there is none.
pub(super) fn load(files: &TokenizerFiles) -> Result<Tokenizer, String> {
    let mut tokenizer = match files {
        TokenizerFiles::Json(json) => from_json(json)?,
        TokenizerFiles::Vocab { vocab, config } => from_vocab(vocab, config.as_ref())?,
    };
    tokenizer.with_truncation(None).map_err(|e| e.to_string())?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// Reads `tokenizer.json`. The library panics on some malformed files instead of returning an error.
fn from_json(json: &[u8]) -> Result<Tokenizer, String> {
    let wrong = |reason: String| format!("tokenizer.json is not a tokenizer: {reason}");
    serde_json::from_slice::<serde_json::Value>(json).map_err(|e| wrong(e.to_string()))?;
    match std::panic::catch_unwind(|| Tokenizer::from_bytes(json)) {
        Ok(tokenizer) => tokenizer.map_err(|e| wrong(e.to_string())),
        Err(_) => Err(wrong("a part of it is malformed".into())),
    }
}

/// The keys of `tokenizer_config.json` that apply to a BERT tokenizer; absent ones have Hugging Face's defaults.
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

/// BERT's tokenizer over a vocabulary with one piece per line.
///
/// Source: `BertTokenizerFast` and `DistilBertTokenizerFast` of Hugging Face `transformers`.
fn from_vocab(vocab: &[u8], config: Option<&Bytes>) -> Result<Tokenizer, String> {
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
    let mut tokenizer = Tokenizer::new(model);
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
