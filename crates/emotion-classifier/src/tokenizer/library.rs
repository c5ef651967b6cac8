//! Tokenizers of the `tokenizers` library, as `AutoTokenizer` makes them.

use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, Tokenizer};

use crate::file::Bytes;
use crate::tokenizer::family::Family;
use crate::tokenizer::file::TokenizerFiles;
use crate::tokenizer::growth::Growth;
use crate::tokenizer::panic::catch;
use crate::tokenizer::sentence_pieces;
use crate::tokenizer::settings::Settings;
use crate::tokenizer::token::Role;

/// Why there is no tokenizer.
pub(super) enum Fault {
    /// A file is missing; what to do about it.
    Missing(&'static str, &'static str),
    /// A file is wrong.
    Wrong(String),
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self::Wrong(reason)
    }
}

const CURE: &str = "it has no tokenizer.json either; save the tokenizer beside the model with \
     `AutoTokenizer.from_pretrained(folder).save_pretrained(folder)`";

/// The tokenizer that the files describe.
pub(super) fn load(files: &TokenizerFiles, settings: &Settings) -> Result<Tokenizer, Fault> {
    let mut tokenizer = match (&files.json, settings.family) {
        (Some(json), _) => from_json(json)?,
        (None, Family::Bert | Family::Mpnet) => word_pieces(required(files.pieces.as_ref(), "vocab.txt")?, settings)?,
        (None, Family::Roberta) => byte_pairs(
            required(files.byte_pairs.as_ref(), "vocab.json")?,
            required(files.merges.as_ref(), "merges.txt")?,
            settings,
        )?,
        (None, Family::XlmRoberta) => {
            sentence_pieces::xlm_roberta(required(files.sentence_pieces.as_ref(), "sentencepiece.bpe.model")?)?
        }
        (None, Family::Deberta) => {
            sentence_pieces::deberta(required(files.deberta_pieces.as_ref(), "spm.model")?, settings)?
        }
        (None, Family::Camembert | Family::Other) => {
            return Err(Fault::Missing(
                "tokenizer.json",
                "a tokenizer of its class is read from that file only; write it with \
                 `AutoTokenizer.from_pretrained(folder).save_pretrained(folder)`",
            ));
        }
    };
    configure(&mut tokenizer, settings)?;
    Ok(tokenizer)
}

fn required<'a>(file: Option<&'a Bytes>, name: &'static str) -> Result<&'a [u8], Fault> {
    file.map(|bytes| &**bytes).ok_or(Fault::Missing(name, CURE))
}

/// The parts of `tokenizer.json` that are checked before the library reads it.
#[derive(Deserialize)]
struct Checked {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    added_tokens: Vec<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    content: String,
}

/// Reads `tokenizer.json`. The library normalizes the added tokens while it does, and panics on some malformed files
/// instead of returning an error.
fn from_json(json: &[u8]) -> Result<Tokenizer, String> {
    let wrong = |reason: String| format!("tokenizer.json is not a tokenizer: {reason}");
    let checked: Checked = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    let growth = Growth::of(&checked.normalizer).map_err(wrong)?;
    checked.added_tokens.iter().try_for_each(|token| growth.check(&token.content)).map_err(wrong)?;
    match catch(|| Tokenizer::from_bytes(json)) {
        Ok(tokenizer) => tokenizer.map_err(|e| wrong(e.to_string())),
        Err(reason) => Err(wrong(reason)),
    }
}

/// The bound of the tokenizer's normalizer.
pub(super) fn growth(tokenizer: &Tokenizer) -> Result<Growth, String> {
    let normalizer = tokenizer.get_normalizer().map(serde_json::to_value).transpose().map_err(|e| e.to_string())?;
    Growth::of(&normalizer.unwrap_or_default())
}

/// Changes a tokenizer as the settings say, and adds their tokens.
fn configure(tokenizer: &mut Tokenizer, settings: &Settings) -> Result<(), String> {
    let failed = |e: tokenizers::Error| e.to_string();
    tokenizer.set_encode_special_tokens(settings.split_special_tokens);
    if let (Family::Bert | Family::Mpnet, Some(NormalizerWrapper::BertNormalizer(normalizer))) =
        (settings.family, tokenizer.get_normalizer())
    {
        let mut normalizer = *normalizer;
        normalizer.lowercase = settings.normalizer.lowercase;
        normalizer.strip_accents = settings.normalizer.strip_accents;
        if settings.family == Family::Bert {
            normalizer.handle_chinese_chars = settings.normalizer.handle_chinese_chars;
        }
        tokenizer.with_normalizer(Some(normalizer)).map_err(failed)?;
    }
    if let Some(PreTokenizerWrapper::ByteLevel(bytes)) = tokenizer.get_pre_tokenizer() {
        let bytes = ByteLevel::new(settings.add_prefix_space, bytes.trim_offsets, bytes.use_regex);
        tokenizer.with_pre_tokenizer(Some(bytes));
    }
    let existing = tokenizer.get_added_tokens_decoder();
    let has = |text: &str| existing.values().any(|token| token.content == text);
    let added = settings.added_tokens(has);
    let growth = growth(tokenizer)?;
    added.iter().try_for_each(|token| growth.check(&token.content))?;
    catch(|| tokenizer.add_tokens(added))?.map_err(failed)?;
    Ok(())
}

/// `WordPiece` over a vocabulary with one piece per line.
///
/// Source: `BertConverter` and `MPNetConverter` of Hugging Face `transformers`.
fn word_pieces(vocab: &[u8], settings: &Settings) -> Result<Tokenizer, String> {
    let text = text("vocab.txt", vocab)?;
    let lines = text.split_terminator('\n').map(String::from);
    let ids: Vocab = lines.zip(0..).collect();
    let id = |token: &str| {
        ids.get(token)
            .copied()
            .ok_or_else(|| format!("vocab.txt has no '{token}': give BERT's vocabulary, a piece a line"))
    };
    let (unk, sep, cls) = (settings.token(Role::Unk)?, settings.token(Role::Sep)?, settings.token(Role::Cls)?);
    let post_processor = BertProcessing::new((sep.into(), id(sep)?), (cls.into(), id(cls)?));
    id(unk)?;

    let model = WordPiece::builder()
        .unk_token(unk.into())
        .vocab(ids)
        .build()
        .map_err(|e| format!("vocab.txt makes no vocabulary: {e}"))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_normalizer(Some(settings.normalizer)).map_err(|e| e.to_string())?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_post_processor(Some(post_processor));
    Ok(tokenizer)
}

/// Byte-level BPE over a vocabulary and the pairs that are merged, first to last.
///
/// Source: `RobertaTokenizer` and `RobertaConverter` of Hugging Face `transformers`.
fn byte_pairs(vocab: &[u8], merges: &[u8], settings: &Settings) -> Result<Tokenizer, String> {
    let ids: Vocab = serde_json::from_slice(vocab).map_err(|e| format!("vocab.json is not a vocabulary: {e}"))?;
    let id = |token: &str| ids.get(token).copied().ok_or_else(|| format!("vocab.json has no '{token}'"));
    let (sep, cls) = (settings.token(Role::Sep)?, settings.token(Role::Cls)?);
    let post_processor = RobertaProcessing::new((sep.into(), id(sep)?), (cls.into(), id(cls)?));

    let merges = text("merges.txt", merges)?;
    // The first line is the version, and what follows the last line break is not read.
    let lines = merges.rsplit_once('\n').map_or("", |(lines, _)| lines).split('\n').skip(1);
    let pair = |line: &str| {
        let mut parts = line.split_whitespace().map(String::from);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(one), Some(two), None) => Ok((one, two)),
            _ => Err(format!("merges.txt has the line '{line}', which is not a pair of pieces")),
        }
    };
    let merges = lines.map(pair).collect::<Result<Vec<_>, _>>()?;
    let model = BPE::builder()
        .vocab_and_merges(ids, merges)
        .build()
        .map_err(|e| format!("vocab.json and merges.txt do not belong together: {e}"))?;
    let mut tokenizer = Tokenizer::new(model);
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(settings.add_prefix_space, true, true)));
    tokenizer.with_post_processor(Some(post_processor));
    Ok(tokenizer)
}

/// The text of a file as Python reads it, with `\n` between lines, and without a byte order mark.
fn text(name: &str, bytes: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("{name} is not valid UTF-8: {e}"))?;
    Ok(text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n"))
}
