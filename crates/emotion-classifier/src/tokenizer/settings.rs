//! What `tokenizer_config.json`, `special_tokens_map.json` and `added_tokens.json` say of a tokenizer.
//!
//! Source: `PreTrainedTokenizerBase._from_pretrained` and `PreTrainedTokenizerFast.__init__` of Hugging Face
//! `transformers` 4.57, which `AutoTokenizer` calls.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::{AddedToken, TruncationDirection};

use crate::file::Bytes;
use crate::tokenizer::family::Family;
use crate::tokenizer::file::TokenizerFiles;
use crate::tokenizer::token::{Role, Token};

/// The settings of a tokenizer; absent ones have the defaults of its class.
pub(super) struct Settings {
    pub family: Family,
    /// For tokenizers whose class has a normalizer of this type.
    pub normalizer: BertNormalizer,
    pub add_prefix_space: bool,
    /// Whether each punctuation mark is a word.
    pub split_by_punct: bool,
    /// Whether special tokens in a text are split like other words.
    pub split_special_tokens: bool,
    /// The side on which long texts are cut; `None` if `tokenizer.json` says it.
    pub truncation_side: Option<TruncationDirection>,
    /// The most tokens of a text, special ones included.
    pub model_max_length: Option<usize>,
    special: Vec<(Role, Token)>,
    added: Vec<Added>,
}

/// A token to be added to the vocabulary.
struct Added {
    token: Token,
    /// Whether a token of the same text that is there already stays as it is.
    keeps_existing: bool,
}

#[derive(Clone, Deserialize)]
#[serde(untagged)]
enum Named {
    Text(String),
    Token(Token),
}

impl Named {
    fn content(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Token(token) => &token.content,
        }
    }
}

/// The keys of `tokenizer_config.json` other than special tokens.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Config {
    tokenizer_class: Option<String>,
    do_lower_case: Option<bool>,
    tokenize_chinese_chars: Option<bool>,
    strip_accents: Option<bool>,
    add_prefix_space: Option<bool>,
    split_by_punct: Option<bool>,
    split_special_tokens: Option<bool>,
    truncation_side: Option<String>,
    model_max_length: Option<f64>,
    max_len: Option<f64>,
    added_tokens_decoder: Option<BTreeMap<String, Token>>,
    additional_special_tokens: Option<Vec<Named>>,
    #[serde(flatten)]
    others: Map<String, Value>,
}

/// The keys of `config.json` that choose a class.
#[derive(Deserialize, Default)]
#[serde(default)]
struct ModelConfig {
    model_type: Option<String>,
    tokenizer_class: Option<String>,
}

/// `tokenizer.json`, as far as added tokens are concerned.
#[derive(Deserialize, Default)]
#[serde(default)]
struct TokenizerJson {
    added_tokens: Vec<Identified>,
}

#[derive(Deserialize)]
struct Identified {
    id: i64,
    #[serde(flatten)]
    token: Token,
}

impl Settings {
    /// Reads the settings of a tokenizer; `model_config` is the model's `config.json`.
    pub(super) fn read(files: &TokenizerFiles, model_config: &[u8]) -> Result<Self, String> {
        let mut config: Config = parse("tokenizer_config.json", files.config.as_ref())?;
        // What is wrong with it is the business of the model's configuration.
        let model: ModelConfig = serde_json::from_slice(model_config).unwrap_or_default();
        let class = config.tokenizer_class.as_deref().or(model.tokenizer_class.as_deref());
        let family = Family::of(class, model.model_type.as_deref());
        let mut additional = config.additional_special_tokens.take().unwrap_or_default();
        let tokens = match config.added_tokens_decoder.take() {
            Some(decoder) => by_id(decoder)?,
            None => legacy_tokens(files, &mut config.others, &mut additional)?,
        };
        let special = special_tokens(family, &config.others, &tokens)?;
        Ok(Self {
            family,
            normalizer: BertNormalizer::new(
                true,
                config.tokenize_chinese_chars.unwrap_or(true),
                config.strip_accents,
                config.do_lower_case.unwrap_or(family != Family::Deberta),
            ),
            add_prefix_space: config.add_prefix_space.unwrap_or(false),
            split_by_punct: config.split_by_punct.unwrap_or(false),
            split_special_tokens: config.split_special_tokens.unwrap_or(false),
            truncation_side: config.truncation_side.as_deref().map(truncation_side).transpose()?,
            model_max_length: config.model_max_length.or(config.max_len).map(length),
            added: added(tokens, &special, additional),
            special: special.into_iter().map(|special| (special.role, special.token)).collect(),
        })
    }

    /// The text of a special token.
    pub(super) fn token(&self, role: Role) -> Result<&str, String> {
        let found = self.special.iter().find(|(other, _)| *other == role);
        found.map(|(_, token)| token.content.as_str()).ok_or_else(|| format!("it has no {}", role.key()))
    }

    /// The tokens to be added to a vocabulary, in order; `has` tells which texts are added tokens already.
    pub(super) fn added_tokens(&self, has: impl Fn(&str) -> bool) -> Vec<AddedToken> {
        let added = self.added.iter().filter(|added| !(added.keeps_existing && has(&added.token.content)));
        added.map(|added| added.token.clone().added()).collect()
    }
}

fn parse<T: DeserializeOwned + Default>(name: &str, file: Option<&Bytes>) -> Result<T, String> {
    let Some(json) = file else { return Ok(T::default()) };
    serde_json::from_slice(json).map_err(|e| format!("{name} is malformed: {e}"))
}

fn truncation_side(name: &str) -> Result<TruncationDirection, String> {
    match name {
        "left" => Ok(TruncationDirection::Left),
        "right" => Ok(TruncationDirection::Right),
        other => Err(format!("truncation_side is '{other}' in tokenizer_config.json: it must be 'left' or 'right'")),
    }
}

/// A length in tokens. `transformers` writes 10³⁰ for none.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "out of range, it is the nearest length")]
fn length(tokens: f64) -> usize {
    tokens as usize
}

fn by_id(decoder: BTreeMap<String, Token>) -> Result<BTreeMap<i64, Token>, String> {
    let id = |id: &str| {
        id.trim()
            .parse()
            .map_err(|_| format!("tokenizer_config.json has an added token of the id '{id}', not a number"))
    };
    decoder.into_iter().map(|(key, token)| Ok((id(&key)?, token))).collect()
}

/// The added tokens of models that were saved before `added_tokens_decoder` was: those of `added_tokens.json` and of
/// `tokenizer.json`. The special tokens of `special_tokens_map.json` replace those of `tokenizer_config.json`.
fn legacy_tokens(
    files: &TokenizerFiles,
    special: &mut Map<String, Value>,
    additional: &mut Vec<Named>,
) -> Result<BTreeMap<i64, Token>, String> {
    let mut map: Map<String, Value> = parse("special_tokens_map.json", files.special_tokens.as_ref())?;
    if let Some(tokens @ Value::Array(_)) = map.remove("additional_special_tokens") {
        let more: Vec<Named> =
            serde_json::from_value(tokens).map_err(|e| format!("special_tokens_map.json is malformed: {e}"))?;
        additional.extend(more);
    }
    special.extend(map);

    let mut is_special: HashSet<&str> = additional.iter().map(Named::content).collect();
    let named: Vec<Named> =
        Role::ALL.iter().filter_map(|role| named(special, *role).transpose()).collect::<Result<_, _>>()?;
    is_special.extend(named.iter().map(Named::content));
    let added: HashMap<String, i64> = parse("added_tokens.json", files.added_tokens.as_ref())?;
    let token = |content: String| {
        let special = is_special.contains(content.as_str());
        Token { special, ..Token::named(content) }
    };
    let mut tokens: BTreeMap<i64, Token> = added.into_iter().map(|(content, id)| (id, token(content))).collect();
    // What is wrong with this file is found where it is read.
    let json = files.json.as_ref().and_then(|json| serde_json::from_slice::<TokenizerJson>(json).ok());
    tokens.extend(json.unwrap_or_default().added_tokens.into_iter().map(|added| (added.id, added.token)));
    Ok(tokens)
}

/// The token that the files name for a role; `None` if it is absent or null.
fn named(special: &Map<String, Value>, role: Role) -> Result<Option<Named>, String> {
    let value = special.get(role.key()).filter(|value| !value.is_null());
    let named = value.map(|value| serde_json::from_value(value.clone()));
    named.transpose().map_err(|_| format!("{} is neither a text nor a token", role.key()))
}

struct Special {
    role: Role,
    token: Token,
    /// Whether only its text is known.
    is_text: bool,
}

/// The special tokens, those of the class where the files name none.
fn special_tokens(
    family: Family,
    files: &Map<String, Value>,
    tokens: &BTreeMap<i64, Token>,
) -> Result<Vec<Special>, String> {
    let by_text: HashMap<&str, &Token> = tokens.values().map(|token| (token.content.as_str(), token)).collect();
    let mut special = Vec::new();
    for role in Role::ALL {
        let named = match named(files, role)? {
            Some(named) => match by_text.get(named.content()) {
                Some(token) => Named::Token((*token).clone()),
                None => named,
            },
            // A token that is null is one that the model does not have.
            None if files.contains_key(role.key()) => continue,
            None => match family.default_token(role) {
                Some(text) => Named::Text(text.into()),
                None => continue,
            },
        };
        special.push(match named {
            Named::Token(token) => Special { role, token, is_text: false },
            Named::Text(text) => {
                Special { role, token: family.named_token(role, text), is_text: !family.redefines(role) }
            }
        });
    }
    Ok(special)
}

/// The tokens to be added: those of the files by id, then the special ones.
fn added(tokens: BTreeMap<i64, Token>, special: &[Special], additional: Vec<Named>) -> Vec<Added> {
    let special = special.iter().map(|special| (special.token.clone(), special.is_text));
    let additional = additional.into_iter().map(|named| match named {
        Named::Text(text) => (Token::named(text), true),
        Named::Token(token) => (token, false),
    });
    let mut seen = HashSet::new();
    let special: Vec<_> = special.chain(additional).filter(|(token, _)| seen.insert(token.content.clone())).collect();
    let is_special = |content: &str| special.iter().any(|(token, _)| token.content == content);
    let listed: Vec<Token> = tokens
        .into_values()
        .map(|token| Token { special: token.special || is_special(&token.content), ..token })
        .collect();
    let is_listed = |content: &str| listed.iter().any(|token| token.content == content);
    let more: Vec<Added> = special
        .into_iter()
        .filter(|(token, is_text)| !(*is_text && is_listed(&token.content)))
        .map(|(token, is_text)| Added { token: Token { special: true, ..token }, keeps_existing: is_text })
        .collect();
    let listed = listed.into_iter().map(|token| Added { token, keeps_existing: false });
    listed.chain(more).collect()
}
