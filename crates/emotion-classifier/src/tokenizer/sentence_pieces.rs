//! `sentencepiece.bpe.model` and `spm.model`: the pieces of a Unigram tokenizer and their scores.

use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{Lowercase, NormalizerWrapper, Precompiled, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::punctuation::Punctuation;
use tokenizers::processors::bert::BertProcessing;
use tokenizers::tokenizer::normalizer::SplitDelimiterBehavior;
use tokenizers::{AddedToken, PreTokenizerWrapper, Tokenizer, pre_tokenizers};

use crate::tokenizer::growth::rules_growth;
use crate::tokenizer::panic::catch;
use crate::tokenizer::settings::Settings;
use crate::tokenizer::token::Role;

/// What a `ModelProto` holds, as far as it is read.
#[derive(Default)]
struct Model {
    pieces: Vec<Piece>,
    /// The algorithm: 1 is Unigram.
    algorithm: u64,
    /// The id of the piece for what no piece spells.
    unknown: u64,
    /// The rules that replace characters.
    characters: Vec<u8>,
}

#[derive(Default)]
struct Piece {
    text: String,
    score: f32,
    kind: u64,
}

/// Control pieces such as `<s>`.
const CONTROL: u64 = 3;
const USER_DEFINED: u64 = 4;

/// Unigram over the pieces of a model, numbered as XLM-RoBERTa does.
///
/// Source: `XLMRobertaConverter` of Hugging Face `transformers`.
pub(super) fn xlm_roberta(bytes: &[u8]) -> Result<Tokenizer, String> {
    let wrong = |reason: String| format!("sentencepiece.bpe.model is not a SentencePiece model: {reason}");
    let model = parse(bytes).map_err(wrong)?;
    let first = ["<s>", "<pad>", "</s>", "<unk>"].map(|piece| (piece.into(), 0.0));
    let pieces = model.pieces.iter().skip(3).map(|piece| (piece.text.clone(), f64::from(piece.score)));
    let vocab = first.into_iter().chain(pieces).chain([("<mask>".into(), 0.0)]).collect();
    let mut tokenizer = unigram(vocab, 3, &model).map_err(wrong)?;
    // No spaces at the end, and a single `▁` for several between words.
    let mut all: Vec<NormalizerWrapper> = rules(&model).map_err(wrong)?.into_iter().collect();
    all.extend([Strip::new(false, true).into(), several_spaces("▁")?.into()]);
    tokenizer.with_normalizer(Some(Sequence::new(all))).map_err(|e| wrong(e.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
    tokenizer.with_post_processor(Some(BertProcessing::new(("</s>".into(), 2), ("<s>".into(), 0))));
    Ok(tokenizer)
}

/// Unigram over the pieces of a model, numbered as they are.
///
/// Source: `DebertaV2Converter` of Hugging Face `transformers`.
pub(super) fn deberta(bytes: &[u8], settings: &Settings) -> Result<Tokenizer, String> {
    let wrong = |reason: String| format!("spm.model is not a SentencePiece model: {reason}");
    let model = parse(bytes).map_err(wrong)?;
    let vocab: Vec<_> = model.pieces.iter().map(|piece| (piece.text.clone(), f64::from(piece.score))).collect();
    let id = |role| {
        let token = settings.token(role)?;
        let id = vocab.iter().zip(0..).find(|((piece, _), _)| piece == token).map(|(_, id)| (token.to_string(), id));
        id.ok_or_else(|| format!("spm.model has no '{token}'"))
    };
    let ends = BertProcessing::new(id(Role::Sep)?, id(Role::Cls)?);
    let unknown = usize::try_from(model.unknown).map_err(|e| wrong(e.to_string()))?;
    let mut tokenizer = unigram(vocab, unknown, &model).map_err(wrong)?;

    let mut normalizers: Vec<NormalizerWrapper> = Vec::new();
    if settings.normalizer.lowercase {
        normalizers.push(Lowercase.into());
    }
    normalizers.push(Strip::new(true, true).into());
    normalizers.extend(rules(&model).map_err(wrong)?);
    normalizers.push(several_spaces(" ")?.into());
    tokenizer.with_normalizer(Some(Sequence::new(normalizers))).map_err(|e| wrong(e.to_string()))?;
    let mut splits: Vec<PreTokenizerWrapper> = Vec::new();
    if settings.split_by_punct {
        splits.push(Punctuation::new(SplitDelimiterBehavior::Isolated).into());
    }
    splits.push(Metaspace::new('▁', PrependScheme::Always, true).into());
    tokenizer.with_pre_tokenizer(Some(pre_tokenizers::sequence::Sequence::new(splits)));
    tokenizer.with_post_processor(Some(ends));
    Ok(tokenizer)
}

/// Unigram over a vocabulary, with the control and user-defined pieces of the model as added tokens.
fn unigram(vocab: Vec<(String, f64)>, unknown: usize, model: &Model) -> Result<Tokenizer, String> {
    let unigram = Unigram::from(vocab, Some(unknown), false).map_err(|e| e.to_string())?;
    let mut tokenizer = Tokenizer::new(unigram);
    let added = model
        .pieces
        .iter()
        .filter(|piece| matches!(piece.kind, CONTROL | USER_DEFINED))
        .map(|piece| AddedToken { normalized: false, ..AddedToken::from(&*piece.text, piece.kind == CONTROL) });
    tokenizer.add_tokens(added).map_err(|e| e.to_string())?;
    Ok(tokenizer)
}

/// The rules of the model for characters, if it has any.
fn rules(model: &Model) -> Result<Option<NormalizerWrapper>, String> {
    if model.characters.is_empty() {
        return Ok(None);
    }
    rules_growth(&model.characters)?;
    // The library panics on some malformed rules instead of returning an error.
    let rules = catch(|| Precompiled::from(&model.characters)).ok().and_then(Result::ok);
    rules.map(|rules| Some(rules.into())).ok_or_else(|| "its rules for characters are damaged".into())
}

/// Replaces several spaces between words.
fn several_spaces(by: &str) -> Result<Replace, String> {
    Replace::new(ReplacePattern::Regex(" {2,}".into()), by).map_err(|e| e.to_string())
}

/// The model, if it is of the Unigram algorithm.
fn parse(bytes: &[u8]) -> Result<Model, String> {
    let model = read(bytes).ok_or("it is truncated or damaged")?;
    if model.algorithm != 1 {
        return Err("its pieces are not those of the Unigram algorithm".into());
    }
    if model.pieces.is_empty() {
        return Err("it has no pieces".into());
    }
    Ok(model)
}

/// `None` if the file is truncated or damaged.
fn read(bytes: &[u8]) -> Option<Model> {
    let mut model = Model { algorithm: 1, ..Model::default() };
    let mut message = Message(bytes);
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => model.pieces.push(piece(bytes)?),
            (2, Value::Bytes(bytes)) => {
                if let Some(Value::Integer(algorithm)) = last(bytes, 3)? {
                    model.algorithm = algorithm;
                }
                if let Some(Value::Integer(unknown)) = last(bytes, 40)? {
                    model.unknown = unknown;
                }
            }
            (3, Value::Bytes(bytes)) => {
                if let Some(Value::Bytes(characters)) = last(bytes, 2)? {
                    model.characters = characters.to_vec();
                }
            }
            _ => {}
        }
    }
    Some(model)
}

fn piece(bytes: &[u8]) -> Option<Piece> {
    let mut piece = Piece { kind: 1, ..Piece::default() };
    let mut message = Message(bytes);
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, Value::Bytes(text)) => piece.text = String::from_utf8(text.to_vec()).ok()?,
            (2, Value::Fixed32(bits)) => piece.score = f32::from_bits(bits),
            (3, Value::Integer(kind)) => piece.kind = kind,
            _ => {}
        }
    }
    Some(piece)
}

/// The last value of a field of a message, if it has one; `None` if the message is damaged.
#[allow(clippy::option_option, reason = "as for Message::next")]
fn last(bytes: &[u8], wanted: u64) -> Option<Option<Value<'_>>> {
    let (mut message, mut found) = (Message(bytes), None);
    while let Some((field, value)) = message.next()? {
        if field == wanted {
            found = Some(value);
        }
    }
    Some(found)
}

/// The rest of a message of Protocol Buffers.
struct Message<'a>(&'a [u8]);

enum Value<'a> {
    Integer(u64),
    Fixed32(u32),
    Fixed64,
    Bytes(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The number and value of the next field, or `Some(None)` at the end; `None` if the message is damaged.
    #[allow(clippy::option_option, reason = "an end is not damage")]
    fn next(&mut self) -> Option<Option<(u64, Value<'a>)>> {
        if self.0.is_empty() {
            return Some(None);
        }
        let key = self.integer()?;
        let value = match key & 7 {
            0 => Value::Integer(self.integer()?),
            1 => self.take(8).map(|_| Value::Fixed64)?,
            2 => {
                let length = usize::try_from(self.integer()?).ok()?;
                Value::Bytes(self.take(length)?)
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.take(4)?.try_into().ok()?)),
            _ => return None,
        };
        Some(Some((key >> 3, value)))
    }

    /// An integer of seven bits a byte, the lowest first.
    fn integer(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.take(1)?[0];
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn take(&mut self, length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }
}
