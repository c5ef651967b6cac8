//! The tokenizer: texts in, token ids out.

mod characters;
mod family;
pub(crate) mod file;
mod growth;
mod library;
mod panic;
mod pieces;
mod sentence_pieces;
mod settings;
#[cfg(test)]
mod tests;
mod token;
mod word_piece;

use tokenizers::{Encoding, ModelWrapper, PostProcessor, Token, TruncationDirection};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::tokenizer::file::TokenizerFiles;
use crate::tokenizer::growth::Growth;
use crate::tokenizer::library::Fault;
use crate::tokenizer::panic::catch;
use crate::tokenizer::pieces::Boundaries;
use crate::tokenizer::settings::Settings;
use crate::tokenizer::word_piece::WordPieceTokenizer;

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
    word_piece: Option<WordPieceTokenizer>,
    /// The special tokens before and after every text.
    ends: [Vec<u32>; 2],
    /// The most tokens that the model takes, special tokens included.
    most: usize,
    /// The number of rows of the model's word embeddings, if a token of the vocabulary has none.
    embeddings: Option<usize>,
    /// The side on which long texts are cut.
    side: TruncationDirection,
    /// Where long texts may be divided for the library.
    boundaries: Option<Boundaries>,
    growth: Growth,
    unknown: Option<u32>,
}

/// Called now and then while a long text is tokenized; its error ends the work.
pub(crate) type Check<'a> = &'a dyn Fn() -> Result<()>;

/// The least bytes of a piece of a text that the library tokenizes at a time: some milliseconds of work.
const PIECE: usize = 4096;

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
        let ends = ends(&inner).map_err(wrong)?;
        let tokenizer = Self {
            most: config.max_tokens().min(settings.model_max_length.unwrap_or(usize::MAX)),
            embeddings: (largest as usize >= config.vocab_size).then_some(config.vocab_size),
            side: side.unwrap_or(TruncationDirection::Right),
            boundaries: Boundaries::of(&inner),
            growth: library::growth(&inner).map_err(wrong)?,
            unknown: unknown(&inner),
            word_piece: WordPieceTokenizer::of(&inner),
            ends,
            inner,
        };
        let special = tokenizer.special();
        if tokenizer.most <= special {
            return Err(wrong(format!(
                "a text may have {} tokens, of which {special} are special ones: correct model_max_length in \
                 tokenizer_config.json or max_position_embeddings in config.json",
                tokenizer.most
            )));
        }
        if special == 0 {
            return Err(wrong("it adds no [CLS] token to a text: save it again with its post-processor".into()));
        }
        if let Some(id) = tokenizer.ends.iter().flatten().find(|id| **id as usize >= config.vocab_size) {
            return Err(wrong(format!(
                "its post-processor adds id {id}, but the model has embeddings for {} tokens only: the tokenizer \
                 belongs to another model",
                config.vocab_size
            )));
        }
        tokenizer.encode_by_library("a").map_err(|error| wrong(error.to_string()))?;
        Ok(tokenizer)
    }

    /// The number of special tokens around every text.
    fn special(&self) -> usize {
        self.ends.iter().map(Vec::len).sum()
    }

    /// The requested length, or the most that the model takes; an error if the model cannot take it.
    pub(crate) fn checked_length(&self, max_length: Option<usize>) -> Result<usize> {
        let (least, most) = (self.special() + 1, self.most);
        match max_length {
            None => Ok(most),
            Some(given) if (least..=most).contains(&given) => Ok(given),
            Some(given) => Err(Error::MaxLength { given, least, most }),
        }
    }

    /// The ids of a text, truncated to `max_length` tokens. Of a long text no more is read than is needed for them.
    ///
    /// # Errors
    ///
    /// [`Error::Tokenize`] if the library fails, or a token of the text has no row in the model's word embeddings, and
    /// the error of `check`.
    pub(crate) fn encode(&self, text: &str, max_length: usize, check: Check<'_>) -> Result<TokenIds> {
        let [before, after] = &self.ends;
        let most = max_length - after.len();
        let mut ids = Vec::with_capacity(max_length.min(self.special() + text.len() / 3));
        ids.extend(before);
        let truncated = if matches!(self.side, TruncationDirection::Right) {
            self.append(text, &mut ids, most + 1, check)?;
            let truncated = ids.len() > most;
            ids.truncate(most);
            truncated
        } else {
            self.append(text, &mut ids, usize::MAX, check)?;
            let excess = ids.len().saturating_sub(most);
            ids.drain(before.len()..before.len() + excess);
            excess > 0
        };
        ids.extend(after);
        self.check_ids(&ids)?;
        Ok(TokenIds { ids, truncated })
    }

    /// A whole text in windows of at most `max_length` tokens, each of which begins with the last quarter of the one
    /// before. They are made one at a time, so that a text of any length takes little memory.
    ///
    /// # Errors
    ///
    /// Each item as [`Self::encode`].
    pub(crate) fn windows<'a>(&'a self, text: &'a str, max_length: usize, check: Check<'a>) -> Windows<'a> {
        Windows {
            tokenizer: self,
            rest: text,
            check,
            ids: Vec::new(),
            most: max_length - self.special(),
            is_done: false,
        }
    }

    /// Appends the ids of the start of a text, without special tokens around it, until there are at least `limit` ids,
    /// and returns what follows that start.
    fn append<'t>(&self, text: &'t str, ids: &mut Vec<u32>, limit: usize, check: Check<'_>) -> Result<&'t str> {
        let mut rest = text;
        while !rest.is_empty() && ids.len() < limit {
            if let Some(word_piece) = &self.word_piece {
                let progress = word_piece.append(rest, ids, limit, check)?;
                rest = &rest[progress.bytes..];
                if !progress.is_blocked {
                    continue;
                }
            }
            check()?;
            let (piece, next) = match self.boundaries {
                Some(boundaries) if rest.len() > PIECE => boundaries.split(rest, PIECE),
                _ => (rest, ""),
            };
            ids.extend(self.encode_by_library(piece)?.get_ids());
            rest = next;
        }
        Ok(rest)
    }

    /// The ids of a text without special tokens around it, by the library. A panic is an error.
    fn encode_by_library(&self, text: &str) -> Result<Encoding> {
        self.growth.check(text).map_err(Error::Tokenize)?;
        let encoding = catch(|| self.inner.encode_fast(text, false)).map_err(Error::Tokenize)?;
        encoding.map_err(|e| Error::Tokenize(e.to_string()))
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
}

/// The windows of a text: see [`Tokenizer::windows`].
pub(crate) struct Windows<'a> {
    tokenizer: &'a Tokenizer,
    /// What is not tokenized yet.
    rest: &'a str,
    check: Check<'a>,
    /// The ids from the start of the next window on.
    ids: Vec<u32>,
    /// The most tokens of the text in a window.
    most: usize,
    is_done: bool,
}

impl Windows<'_> {
    fn window(&mut self) -> Result<Vec<u32>> {
        let Self { tokenizer, rest, check, ids, most, .. } = self;
        check()?;
        *rest = tokenizer.append(rest, ids, *most + 1, *check)?;
        let [before, after] = &tokenizer.ends;
        self.is_done = ids.len() <= *most;
        let window = [before, &ids[..ids.len().min(*most)], after].concat();
        tokenizer.check_ids(&window)?;
        if !self.is_done {
            ids.drain(..*most - *most / 4);
        }
        Ok(window)
    }
}

impl Iterator for Windows<'_> {
    type Item = Result<Vec<u32>>;

    fn next(&mut self) -> Option<Self::Item> {
        (!self.is_done).then(|| self.window().inspect_err(|_| self.is_done = true))
    }
}

/// The special tokens that the post-processor adds before and after every text.
fn ends(tokenizer: &tokenizers::Tokenizer) -> Result<[Vec<u32>; 2], String> {
    const TEXT: [u32; 2] = [u32::MAX - 1, u32::MAX - 2];
    let process = |ids: &[u32]| {
        let tokens = ids.iter().map(|id| Token::new(*id, "a".into(), (0, 1))).collect();
        let encoding = Encoding::from_tokens(tokens, 0);
        let processed = catch(|| tokenizer.post_process(encoding, None, true))?.map_err(|e| e.to_string())?;
        Ok::<_, String>(processed.get_ids().to_vec())
    };
    let special = tokenizer.get_post_processor().map_or(0, |processor| processor.added_tokens(false));
    if special > MOST_SPECIAL {
        return Err(format!("its post-processor adds {special} tokens to a text, which is more than {MOST_SPECIAL}"));
    }
    let (none, one, two) = (process(&[])?, process(&TEXT[..1])?, process(&TEXT)?);
    let at = two.iter().position(|id| *id == TEXT[0]).unwrap_or(none.len()).min(none.len());
    let (before, after) = none.split_at(at);
    if one != [before, &TEXT[..1], after].concat() || two != [before, &TEXT, after].concat() {
        return Err("its post-processor does not keep a text as it is between special tokens: its template must have \
                    $A exactly once; save the tokenizer again"
            .into());
    }
    Ok([before.to_vec(), after.to_vec()])
}

/// The most special tokens around a text.
const MOST_SPECIAL: usize = 1000;

/// The id of the token for unknown words, if the model has one.
fn unknown(tokenizer: &tokenizers::Tokenizer) -> Option<u32> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => tokenizer.token_to_id(&model.unk_token),
        ModelWrapper::BPE(model) => tokenizer.token_to_id(model.unk_token.as_ref()?),
        _ => None,
    }
}
