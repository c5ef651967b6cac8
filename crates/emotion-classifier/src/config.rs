use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::model_type::{ModelType, Size};

/// The shape of a sequence classifier, as given by its `config.json`.
///
/// Source: the configuration classes of Hugging Face `transformers`, whose defaults replace absent keys.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Which encoder and head the model has.
    pub model_type: ModelType,
    /// Number of rows of the word embeddings.
    pub vocab_size: usize,
    /// Number of rows of the token type embeddings; 0 if there are none.
    pub type_vocab_size: usize,
    /// Values in an embedding, which is projected to the hidden size if they differ.
    pub embedding_size: usize,
    /// Values in a hidden state.
    pub hidden_size: usize,
    /// Number of encoder layers.
    pub num_hidden_layers: usize,
    /// Number of attention heads; divides `hidden_size`.
    pub num_attention_heads: usize,
    /// Width of the feed-forward layers.
    pub intermediate_size: usize,
    /// Activation of the feed-forward layers.
    pub activation: Activation,
    /// Added to the variance in layer normalizations.
    pub layer_norm_eps: f32,
    /// Number of rows of the position embeddings.
    pub max_position_embeddings: usize,
    /// The id of the padding token, if positions are numbered after it: the first token has the position
    /// `padding_id + 1`, and tokens with this id all have the position `padding_id`.
    pub padding_id: Option<usize>,
    /// How logits become probabilities.
    pub problem_type: ProblemType,
    /// Labels in id order.
    pub labels: Vec<Arc<str>>,
}

/// The activation between the two feed-forward layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// The exact Gaussian error linear unit, `x · Φ(x)` with the error function.
    Gelu,
    /// `max(x, 0)`.
    Relu,
}

/// What the classifier's logits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ProblemType {
    /// Exactly one label holds: probabilities are the softmax of the logits.
    #[default]
    SingleLabel,
    /// Any number of labels hold: probabilities are the sigmoids of the logits.
    MultiLabel,
}

impl ProblemType {
    /// `single-label` or `multi-label`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::SingleLabel => "single-label",
            Self::MultiLabel => "multi-label",
        }
    }
}

#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    layer_norm_eps: Option<f64>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    problem_type: Option<String>,
    id2label: Option<BTreeMap<String, String>>,
    /// The keys that depend on the model type.
    #[serde(flatten)]
    rest: Map<String, Value>,
}

impl File {
    fn size(&self, size: &Size) -> Result<usize, String> {
        for key in size.keys {
            match self.number(key)? {
                None => {}
                Some(0) => return Err(format!("{key} is 0: it must be at least 1")),
                Some(value) => return Ok(value),
            }
        }
        Ok(size.default)
    }

    fn number(&self, key: &str) -> Result<Option<usize>, String> {
        let Some(value) = self.rest.get(key).filter(|value| !value.is_null()) else { return Ok(None) };
        match value.as_u64().and_then(|value| usize::try_from(value).ok()) {
            Some(value) => Ok(Some(value)),
            None => Err(format!("not a model configuration: {key} is {value}, not a whole number")),
        }
    }

    fn string(&self, key: &str, default: &str) -> Result<String, String> {
        match self.rest.get(key) {
            None | Some(Value::Null) => Ok(default.into()),
            Some(Value::String(value)) => Ok(value.clone()),
            Some(other) => Err(format!("not a model configuration: {key} is {other}, not a string")),
        }
    }

    /// Refuses variants of the encoder, which would otherwise be read as the common one.
    fn check_variant(&self) -> Result<(), String> {
        if let Some(other) = self.position_embedding_type.as_deref().filter(|kind| *kind != "absolute") {
            return Err(format!("position_embedding_type '{other}' is not supported: it must be 'absolute'"));
        }
        if self.is_decoder == Some(true) {
            return Err("is_decoder is true: only encoders, whose tokens attend to all others, are supported".into());
        }
        Ok(())
    }
}

impl Config {
    /// Parses and checks the bytes of a `config.json`; `origin` names the model in errors.
    pub(crate) fn parse(origin: &str, json: &[u8]) -> Result<Self> {
        Self::from_json(json).map_err(|reason| Error::Config { origin: origin.into(), reason })
    }

    /// The name of the architecture in prose, such as `XLM-RoBERTa`.
    #[must_use]
    pub fn architecture(&self) -> &'static str {
        self.model_type.name()
    }

    /// The most tokens that a sequence may have, special tokens included.
    #[must_use]
    pub fn max_tokens(&self) -> usize {
        self.max_position_embeddings - self.first_position()
    }

    /// The row of the position embeddings for the first token.
    pub(crate) fn first_position(&self) -> usize {
        self.padding_id.map_or(0, |padding| padding + 1)
    }

    fn from_json(json: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(json).map_err(|e| format!("not a model configuration: {e}"))?;
        let model_type = file.model_type.as_deref().map_or(Ok(ModelType::DistilBert), ModelType::parse)?;
        file.check_variant()?;
        let keys = model_type.keys();
        let hidden_size = file.size(&keys.hidden)?;
        let config = Self {
            model_type,
            vocab_size: file.size(&keys.vocabulary)?,
            type_vocab_size: keys.token_types.map_or(Ok(0), |size| file.size(&size))?,
            embedding_size: keys.embedding.map_or(Ok(hidden_size), |size| file.size(&size))?,
            hidden_size,
            num_hidden_layers: file.size(&keys.layers)?,
            num_attention_heads: file.size(&keys.heads)?,
            intermediate_size: file.size(&keys.intermediate)?,
            activation: activation(&file.string(keys.activation, "gelu")?)?,
            layer_norm_eps: layer_norm_eps(model_type, &file)?,
            max_position_embeddings: file.size(&keys.positions)?,
            padding_id: padding_id(model_type, &file)?,
            problem_type: problem_type(file.problem_type.as_deref())?,
            labels: labels(file.id2label)?,
        };
        config.check_shape()?;
        Ok(config)
    }

    fn check_shape(&self) -> Result<(), String> {
        let Self { hidden_size, num_attention_heads: heads, max_position_embeddings: positions, .. } = *self;
        if !hidden_size.is_multiple_of(heads) {
            return Err(format!("the hidden size {hidden_size} is not a multiple of the {heads} attention heads"));
        }
        if let Some(padding) = self.padding_id.filter(|padding| positions.saturating_sub(1) <= *padding) {
            return Err(format!(
                "max_position_embeddings is {positions}, but positions begin after pad_token_id {padding}: no token \
                 has a position"
            ));
        }
        Ok(())
    }
}

fn padding_id(model_type: ModelType, file: &File) -> Result<Option<usize>, String> {
    if !model_type.numbers_positions_after_padding() {
        return Ok(None);
    }
    Ok(Some(file.number("pad_token_id")?.unwrap_or(1)))
}

/// `DistilBertConfig` has no key for it: the value is fixed in the model's code.
fn layer_norm_eps(model_type: ModelType, file: &File) -> Result<f32, String> {
    let given = file.layer_norm_eps.filter(|_| model_type != ModelType::DistilBert).unwrap_or(1e-12);
    if !(0.0..1.0).contains(&given) {
        return Err(format!("layer_norm_eps is {given}: it must be at least 0 and below 1"));
    }
    #[allow(clippy::cast_possible_truncation, reason = "tensors are in float32")]
    Ok(given as f32)
}

fn activation(name: &str) -> Result<Activation, String> {
    match name {
        "gelu" => Ok(Activation::Gelu),
        "relu" => Ok(Activation::Relu),
        other => Err(format!("activation '{other}' is not supported: it must be 'gelu' or 'relu'")),
    }
}

fn problem_type(name: Option<&str>) -> Result<ProblemType, String> {
    match name {
        None | Some("single_label_classification") => Ok(ProblemType::SingleLabel),
        Some("multi_label_classification") => Ok(ProblemType::MultiLabel),
        Some(other) => Err(format!(
            "problem_type '{other}' is not supported: it must be 'single_label_classification' or \
             'multi_label_classification'"
        )),
    }
}

fn labels(id2label: Option<BTreeMap<String, String>>) -> Result<Vec<Arc<str>>, String> {
    let id2label = id2label.filter(|map| !map.is_empty()).ok_or(
        "no id2label: add the labels, such as {\"id2label\": {\"0\": \"negative\", \"1\": \"positive\"}}, \
         or choose a model that was fine-tuned for sequence classification",
    )?;
    let mut by_id = BTreeMap::new();
    for (id, label) in id2label {
        let id: usize = id.parse().map_err(|_| format!("id2label has the id '{id}': ids must be 0, 1, 2, …"))?;
        by_id.insert(id, Arc::from(label));
    }
    if by_id.len() < 2 {
        return Err("id2label holds a single label: a classifier needs at least two".into());
    }
    if by_id.keys().copied().ne(0..by_id.len()) {
        return Err(format!("id2label must number its labels 0 to {} without a gap", by_id.len() - 1));
    }
    let labels: Vec<Arc<str>> = by_id.into_values().collect();
    let mut seen = HashSet::new();
    if let Some(twice) = labels.iter().find(|label| !seen.insert(Arc::clone(label))) {
        return Err(format!("id2label holds the label '{twice}' twice: labels must differ"));
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(json: &str) -> String {
        Config::parse("m", json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn labels_come_in_id_order_beyond_nine() {
        let pairs: Vec<_> = (0..12).rev().map(|i| format!("\"{i}\": \"l{i}\"")).collect();
        let json = format!("{{\"id2label\": {{{}}}}}", pairs.join(","));
        let config = Config::parse("m", json.as_bytes()).unwrap();
        let expected: Vec<String> = (0..12).map(|i| format!("l{i}")).collect();
        assert!(config.labels.iter().map(AsRef::as_ref).eq(expected.iter().map(String::as_str)));
    }

    #[test]
    fn absent_keys_take_hugging_face_defaults() {
        let config = Config::parse("m", br#"{"id2label": {"0": "a", "1": "b"}}"#).unwrap();
        assert_eq!((config.hidden_size, config.num_hidden_layers, config.num_attention_heads), (768, 6, 12));
        assert_eq!(config.problem_type, ProblemType::SingleLabel);
        assert_eq!(config.problem_type.name(), "single-label");
    }

    #[test]
    fn each_model_type_has_its_keys_and_defaults() {
        let config = |json: &str| {
            let json = format!(r#"{{{json}, "id2label": {{"0": "a", "1": "b"}}}}"#);
            Config::parse("m", json.as_bytes()).unwrap()
        };
        let bert = config(r#""model_type": "bert", "dim": 5, "layer_norm_eps": 1e-5"#);
        assert_eq!((bert.hidden_size, bert.embedding_size, bert.num_hidden_layers), (768, 768, 12));
        assert_eq!((bert.architecture(), bert.layer_norm_eps, bert.max_tokens()), ("BERT", 1e-5, 512));
        let roberta = config(r#""model_type": "roberta", "max_position_embeddings": 514"#);
        assert_eq!((roberta.vocab_size, roberta.padding_id, roberta.max_tokens()), (50_265, Some(1), 512));
        let camembert = config(r#""model_type": "camembert", "pad_token_id": 0"#);
        assert_eq!((camembert.vocab_size, camembert.first_position(), camembert.max_tokens()), (30_522, 1, 511));
        let electra = config(r#""model_type": "electra", "hidden_act": "relu""#);
        assert_eq!((electra.hidden_size, electra.embedding_size, electra.num_attention_heads), (256, 128, 4));
        assert_eq!(electra.activation, Activation::Relu);
        let distilbert = config(r#""dim": 24, "hidden_size": 36, "layer_norm_eps": 1e-5, "type_vocab_size": 2"#);
        assert_eq!((distilbert.hidden_size, distilbert.layer_norm_eps, distilbert.type_vocab_size), (36, 1e-12, 0));
    }

    #[test]
    fn each_fault_is_named() {
        let two = r#""id2label": {"0": "a", "1": "b"}"#;
        for (json, part) in [
            ("{".to_string(), "not a model configuration"),
            ("{}".into(), "no id2label"),
            (r#"{"id2label": {"0": "a", "2": "b"}}"#.into(), "without a gap"),
            (r#"{"id2label": {"0": "a", "x": "b"}}"#.into(), "the id 'x'"),
            (r#"{"id2label": {"0": "a", "1": "a"}}"#.into(), "'a' twice"),
            (r#"{"id2label": {"0": "a"}}"#.into(), "single label"),
            (
                format!(r#"{{"model_type": "mpnet", {two}}}"#),
                "model_type is 'mpnet', which is not supported: choose a sequence classifier of the type 'distilbert', \
                 'bert', 'roberta', 'xlm-roberta', 'camembert', 'electra'",
            ),
            (
                format!(r#"{{"model_type": "bert", "position_embedding_type": "relative_key", {two}}}"#),
                "position_embedding_type 'relative_key'",
            ),
            (format!(r#"{{"model_type": "bert", "is_decoder": true, {two}}}"#), "is_decoder is true"),
            (format!(r#"{{"model_type": "bert", "type_vocab_size": 0, {two}}}"#), "type_vocab_size is 0"),
            (format!(r#"{{"model_type": "bert", "layer_norm_eps": -1, {two}}}"#), "layer_norm_eps is -1"),
            (format!(r#"{{"model_type": "bert", "hidden_act": 3, {two}}}"#), "hidden_act is 3, not a string"),
            (format!(r#"{{"model_type": "electra", "embedding_size": 0, {two}}}"#), "embedding_size is 0"),
            (
                format!(r#"{{"model_type": "roberta", "pad_token_id": 511, "max_position_embeddings": 512, {two}}}"#),
                "begin after pad_token_id 511",
            ),
            (format!(r#"{{"dim": 10, "n_heads": 3, {two}}}"#), "not a multiple"),
            (format!(r#"{{"n_layers": 0, {two}}}"#), "n_layers is 0"),
            (format!(r#"{{"dim": -1, {two}}}"#), "not a model configuration"),
            (format!(r#"{{"activation": "silu", {two}}}"#), "activation 'silu'"),
            (format!(r#"{{"problem_type": "regression", {two}}}"#), "problem_type 'regression'"),
        ] {
            let message = reason(&json);
            assert!(message.contains(part), "{json}: {message}");
        }
    }
}
