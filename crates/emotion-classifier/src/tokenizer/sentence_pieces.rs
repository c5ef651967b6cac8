//! `sentencepiece.bpe.model`: the pieces of a Unigram tokenizer and their scores.

use tokenizers::models::unigram::Unigram;
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::{NormalizerWrapper, Precompiled, Replace, Sequence, Strip};
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::processors::bert::BertProcessing;
use tokenizers::{AddedToken, Tokenizer};

/// What a `ModelProto` holds, as far as it is read.
#[derive(Default)]
struct Model {
    pieces: Vec<Piece>,
    /// The algorithm: 1 is Unigram.
    algorithm: u64,
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
    let wrong = |reason: &str| format!("sentencepiece.bpe.model is not a SentencePiece model: {reason}");
    let model = parse(bytes).ok_or_else(|| wrong("it is truncated or damaged"))?;
    if model.algorithm != 1 {
        return Err(wrong("its pieces are not those of the Unigram algorithm"));
    }
    let first = ["<s>", "<pad>", "</s>", "<unk>"].map(|piece| (piece.into(), 0.0));
    let pieces = model.pieces.iter().skip(3).map(|piece| (piece.text.clone(), f64::from(piece.score)));
    let vocab = first.into_iter().chain(pieces).chain([("<mask>".into(), 0.0)]).collect();
    let unigram = Unigram::from(vocab, Some(3), false).map_err(|e| wrong(&e.to_string()))?;

    let mut tokenizer = Tokenizer::new(unigram);
    let added = model
        .pieces
        .iter()
        .filter(|piece| matches!(piece.kind, CONTROL | USER_DEFINED))
        .map(|piece| AddedToken { normalized: false, ..AddedToken::from(&*piece.text, piece.kind == CONTROL) });
    tokenizer.add_tokens(added).map_err(|e| wrong(&e.to_string()))?;
    tokenizer.with_normalizer(Some(normalizer(&model.characters)?)).map_err(|e| wrong(&e.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(Metaspace::new('▁', PrependScheme::Always, true)));
    tokenizer.with_post_processor(Some(BertProcessing::new(("</s>".into(), 2), ("<s>".into(), 0))));
    Ok(tokenizer)
}

/// The rules of the model, then no spaces at the end and a single `▁` for several between words.
fn normalizer(characters: &[u8]) -> Result<Sequence, String> {
    let spaces = Replace::new(ReplacePattern::Regex(" {2,}".into()), "▁").map_err(|e| e.to_string())?;
    let mut all: Vec<NormalizerWrapper> = Vec::new();
    if !characters.is_empty() {
        // The library panics on some malformed rules instead of returning an error.
        let rules = std::panic::catch_unwind(|| Precompiled::from(characters)).ok().and_then(Result::ok);
        all.push(rules.ok_or("sentencepiece.bpe.model has damaged rules for characters")?.into());
    }
    all.extend([Strip::new(false, true).into(), spaces.into()]);
    Ok(Sequence::new(all))
}

fn parse(bytes: &[u8]) -> Option<Model> {
    let mut model = Model { algorithm: 1, ..Model::default() };
    let mut message = Message(bytes);
    while let Some((field, value)) = message.next()? {
        match (field, value) {
            (1, Value::Bytes(bytes)) => model.pieces.push(piece(bytes)?),
            (2, Value::Bytes(bytes)) => {
                if let Some(Value::Integer(algorithm)) = last(bytes, 3)? {
                    model.algorithm = algorithm;
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
