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
    /// The Gaussian error linear unit with a hyperbolic tangent in place of the error function.
    GeluTanh,
    /// The sigmoid linear unit, `x / (1 + e⁻ˣ)`.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
}

/// What the classifier's logits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ProblemType {
    /// At most one label holds, the most probable: probabilities are the softmax of the logits.
    #[default]
    SingleLabel,
    /// Any number of labels hold: probabilities are the sigmoids of the logits. A model with a single label is of this
    /// type.
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

/// The keys of `config.json` that are read. A null value is an absent key, as are keys that are not listed.
///
/// The keys that end in `_alias` have the names that `DistilBertConfig.attribute_map` gives to the attributes of every
/// configuration. As in `transformers`, they win over the model's own names.
#[derive(Deserialize)]
struct File {
    model_type: Option<String>,
    position_embedding_type: Option<String>,
    is_decoder: Option<bool>,
    problem_type: Option<String>,
    id2label: Option<BTreeMap<String, Value>>,
    num_labels: Option<usize>,
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

    /// The number of token types, which may be 0 where that is the default.
    fn token_types(&self, size: &Size) -> Result<usize, String> {
        if size.default > 0 { self.size(size) } else { Ok(self.number(size.keys[0])?.unwrap_or(0)) }
    }

    fn float(&self, key: &str, default: f64) -> Result<f64, String> {
        match self.rest.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(Value::Number(value)) => Ok(value.as_f64().unwrap_or(f64::NAN)),
            Some(other) => Err(format!("not a model configuration: {key} is {other}, not a number")),
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

/// The most layers of a model: the largest that are in use have about 100.
const MOST_LAYERS: usize = 1_000;

/// The most labels that a configuration may ask for without naming them.
const MOST_UNNAMED_LABELS: usize = 100_000;

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

    /// The most bytes that the weights of the model may have, whatever their type, with as many tensors that are not
    /// used, such as the head of another task.
    pub(crate) fn most_weight_bytes(&self) -> u64 {
        const MIB: u128 = 1 << 20;
        let [hidden, inner, embedding] = [self.hidden_size, self.intermediate_size, self.embedding_size].map(widen);
        let rows = widen(self.vocab_size) + widen(self.max_position_embeddings) + widen(self.type_vocab_size);
        // Each layer has four matrices between hidden states, and two more in DeBERTa; three that widen or narrow them.
        let layer = hidden.saturating_mul(6 * hidden + 3 * inner + 20).saturating_add(inner);
        let layers = layer.saturating_mul(widen(self.num_hidden_layers));
        let tables = rows.saturating_mul(hidden.max(embedding));
        let head = hidden.saturating_mul(4 * hidden + widen(self.labels.len()) + 4096);
        let values = layers.saturating_add(tables).saturating_add(head);
        u64::try_from(values.saturating_mul(2 * 8).saturating_add(64 * MIB)).unwrap_or(u64::MAX)
    }

    fn from_json(json: &[u8]) -> Result<Self, String> {
        let file: File = serde_json::from_slice(json).map_err(|e| format!("not a model configuration: {e}"))?;
        let model_type = file.model_type.as_deref().map_or(Ok(ModelType::DistilBert), ModelType::parse)?;
        file.check_variant()?;
        let keys = model_type.keys();
        let hidden_size = file.size(&keys.hidden)?;
        let labels = labels(file.id2label.clone(), file.num_labels)?;
        let config = Self {
            model_type,
            vocab_size: file.size(&keys.vocabulary)?,
            type_vocab_size: keys.token_types.map_or(Ok(0), |size| file.token_types(&size))?,
            embedding_size: keys.embedding.map_or(Ok(hidden_size), |size| file.size(&size))?,
            hidden_size,
            num_hidden_layers: file.size(&keys.layers)?,
            num_attention_heads: file.size(&keys.heads)?,
            intermediate_size: file.size(&keys.intermediate)?,
            activation: activation(&file.string(keys.activation, "gelu")?)?,
            layer_norm_eps: keys.epsilon.map_or(Ok(1e-12), |(key, default)| epsilon(&file, key, default))?,
            max_position_embeddings: file.size(&keys.positions)?,
            padding_id: padding_id(model_type, &file)?,
            problem_type: problem_type(file.problem_type.as_deref(), labels.len())?,
            labels,
        };
        config.check_shape()?;
        Ok(config)
    }

    fn check_shape(&self) -> Result<(), String> {
        let Self { hidden_size, num_attention_heads: heads, max_position_embeddings: positions, .. } = *self;
        if self.num_hidden_layers > MOST_LAYERS {
            return Err(format!(
                "the model has {} layers: at most {MOST_LAYERS} are supported",
                self.num_hidden_layers
            ));
        }
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

fn widen(size: usize) -> u128 {
    // A larger size is that of no tensor.
    (size as u128).min(1 << 48)
}

fn padding_id(model_type: ModelType, file: &File) -> Result<Option<usize>, String> {
    if !model_type.numbers_positions_after_padding() {
        return Ok(None);
    }
    Ok(Some(file.number("pad_token_id")?.unwrap_or(1)))
}

fn epsilon(file: &File, key: &str, default: f64) -> Result<f32, String> {
    let given = file.float(key, default)?;
    if !(0.0..1.0).contains(&given) {
        return Err(format!("{key} is {given}: it must be at least 0 and below 1"));
    }
    #[allow(clippy::cast_possible_truncation, reason = "tensors are in float32")]
    Ok(given as f32)
}

/// The activation with this name in `ACT2FN` of `transformers`.
pub(crate) fn activation(name: &str) -> Result<Activation, String> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "relu" => Ok(Activation::Relu),
        // They differ in rounding alone.
        "gelu_new" | "gelu_pytorch_tanh" | "gelu_python_tanh" | "gelu_fast" | "gelu_accurate" => {
            Ok(Activation::GeluTanh)
        }
        "silu" | "swish" => Ok(Activation::Silu),
        "tanh" => Ok(Activation::Tanh),
        other => Err(format!(
            "activation '{other}' is not supported: it must be 'gelu', 'gelu_new', 'gelu_fast', 'gelu_python', \
             'gelu_pytorch_tanh', 'gelu_python_tanh', 'gelu_accurate', 'relu', 'silu', 'swish' or 'tanh'"
        )),
    }
}

/// The function that the text-classification pipeline of `transformers` applies to the logits.
fn problem_type(name: Option<&str>, labels: usize) -> Result<ProblemType, String> {
    match name {
        None | Some("single_label_classification") if labels == 1 => Ok(ProblemType::MultiLabel),
        None | Some("single_label_classification") => Ok(ProblemType::SingleLabel),
        Some("multi_label_classification") => Ok(ProblemType::MultiLabel),
        Some(other) => Err(format!(
            "problem_type '{other}' is not supported: it must be 'single_label_classification' or \
             'multi_label_classification'"
        )),
    }
}

/// The labels by id: those of `id2label` or else `LABEL_0`, `LABEL_1`, …, as many as `num_labels` says.
fn labels(id2label: Option<BTreeMap<String, Value>>, num_labels: Option<usize>) -> Result<Vec<Arc<str>>, String> {
    let Some(id2label) = id2label else { return unnamed_labels(num_labels.unwrap_or(2)) };
    if id2label.is_empty() {
        return Err(
            "id2label holds no label: name the labels, such as {\"0\": \"negative\", \"1\": \"positive\"}".into()
        );
    }
    let mut by_id = BTreeMap::new();
    for (id, label) in id2label {
        let label = label_text(&id, label)?;
        let id: usize = id.parse().map_err(|_| format!("id2label has the id '{id}': ids must be 0, 1, 2, …"))?;
        by_id.insert(id, Arc::from(label));
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

fn unnamed_labels(count: usize) -> Result<Vec<Arc<str>>, String> {
    if !(1..=MOST_UNNAMED_LABELS).contains(&count) {
        return Err(format!("num_labels is {count}: it must be from 1 to {MOST_UNNAMED_LABELS}"));
    }
    Ok((0..count).map(|id| format!("LABEL_{id}").into()).collect())
}

/// A label may be a number or a boolean, whose JSON text is then the label.
fn label_text(id: &str, label: Value) -> Result<String, String> {
    match label {
        Value::String(text) => Ok(text),
        Value::Number(_) | Value::Bool(_) => Ok(label.to_string()),
        other => Err(format!("id2label has {other} for the id '{id}': labels must be strings or numbers")),
    }
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
        let modernbert = config(r#""model_type": "modernbert", "type_vocab_size": 2"#);
        assert_eq!((modernbert.vocab_size, modernbert.num_hidden_layers, modernbert.max_tokens()), (50_368, 22, 8_192));
        assert_eq!((modernbert.intermediate_size, modernbert.layer_norm_eps), (1_152, 1e-5));
        assert_eq!((modernbert.type_vocab_size, modernbert.architecture()), (0, "ModernBERT"));
        let deberta = config(r#""model_type": "deberta-v2", "type_vocab_size": 0"#);
        assert_eq!((deberta.vocab_size, deberta.hidden_size, deberta.num_hidden_layers), (128_100, 1_536, 24));
        assert_eq!((deberta.type_vocab_size, deberta.layer_norm_eps, deberta.max_tokens()), (0, 1e-7, 512));
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
            (r#"{"id2label": {}}"#.into(), "holds no label"),
            (r#"{"id2label": {"0": null, "1": "b"}}"#.into(), "null for the id '0'"),
            (r#"{"id2label": ["a", "b"]}"#.into(), "not a model configuration"),
            (r#"{"num_labels": 0}"#.into(), "num_labels is 0"),
            (r#"{"num_labels": 100000000000}"#.into(), "num_labels is 100000000000"),
            (r#"{"id2label": {"0": "a", "2": "b"}}"#.into(), "without a gap"),
            (r#"{"id2label": {"0": "a", "x": "b"}}"#.into(), "the id 'x'"),
            (r#"{"id2label": {"0": "a", "1": "a"}}"#.into(), "'a' twice"),
            (
                format!(r#"{{"model_type": "mpnet", {two}}}"#),
                "model_type is 'mpnet', which is not supported: choose a sequence classifier of the type 'distilbert', \
                 'bert', 'roberta', 'xlm-roberta', 'camembert', 'electra'",
            ),
            (
                format!(r#"{{"model_type": "t5", {two}}}"#),
                if cfg!(feature = "candle") {
                    "'electra', 'modernbert', 'deberta-v2'"
                } else {
                    "'electra'; a build with the feature 'candle' also has 'modernbert', 'deberta-v2'"
                },
            ),
            (
                format!(r#"{{"model_type": "bert", "position_embedding_type": "relative_key", {two}}}"#),
                "position_embedding_type 'relative_key'",
            ),
            (format!(r#"{{"model_type": "bert", "is_decoder": true, {two}}}"#), "is_decoder is true"),
            (format!(r#"{{"model_type": "bert", "type_vocab_size": 0, {two}}}"#), "type_vocab_size is 0"),
            (format!(r#"{{"model_type": "bert", "layer_norm_eps": -1, {two}}}"#), "layer_norm_eps is -1"),
            (
                format!(r#"{{"model_type": "bert", "layer_norm_eps": "x", {two}}}"#),
                "layer_norm_eps is \"x\", not a number",
            ),
            (format!(r#"{{"model_type": "modernbert", "norm_eps": 1, {two}}}"#), "norm_eps is 1"),
            (format!(r#"{{"model_type": "bert", "hidden_act": 3, {two}}}"#), "hidden_act is 3, not a string"),
            (format!(r#"{{"model_type": "electra", "embedding_size": 0, {two}}}"#), "embedding_size is 0"),
            (
                format!(r#"{{"model_type": "roberta", "pad_token_id": 511, "max_position_embeddings": 512, {two}}}"#),
                "begin after pad_token_id 511",
            ),
            (format!(r#"{{"dim": 10, "n_heads": 3, {two}}}"#), "not a multiple"),
            (format!(r#"{{"n_layers": 0, {two}}}"#), "n_layers is 0"),
            (format!(r#"{{"n_layers": 9223372036854775807, {two}}}"#), "9223372036854775807 layers: at most 1000"),
            (format!(r#"{{"dim": -1, {two}}}"#), "not a model configuration"),
            (format!(r#"{{"activation": "mish", {two}}}"#), "it must be 'gelu', 'gelu_new', 'gelu_fast'"),
            (format!(r#"{{"activation": "GELU", {two}}}"#), "activation 'GELU'"),
            (format!(r#"{{"problem_type": "regression", {two}}}"#), "problem_type 'regression'"),
        ] {
            let message = reason(&json);
            assert!(message.contains(part), "{json}: {message}");
        }
    }

    fn parse(json: &str) -> Config {
        Config::parse("m", json.as_bytes()).unwrap()
    }

    fn labels_of(json: &str) -> Vec<String> {
        parse(json).labels.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn labels_without_names_are_numbered() {
        assert_eq!(labels_of("{}"), ["LABEL_0", "LABEL_1"]);
        assert_eq!(labels_of(r#"{"id2label": null, "num_labels": null}"#), ["LABEL_0", "LABEL_1"]);
        assert_eq!(labels_of(r#"{"num_labels": 3}"#), ["LABEL_0", "LABEL_1", "LABEL_2"]);
        assert_eq!(labels_of(r#"{"label2id": {"a": 0, "b": 1, "c": 2}}"#), ["LABEL_0", "LABEL_1"]);
        let both = r#"{"num_labels": 3, "id2label": {"0": "a", "1": "b"}}"#;
        assert_eq!(labels_of(both), ["a", "b"], "id2label decides");
    }

    #[test]
    fn labels_may_be_numbers() {
        assert_eq!(labels_of(r#"{"id2label": {"0": 0, "1": -1.5, "2": true}}"#), ["0", "-1.5", "true"]);
    }

    #[test]
    fn a_single_label_has_a_sigmoid() {
        for problem_type in ["null", r#""single_label_classification""#, r#""multi_label_classification""#] {
            let config = parse(&format!(r#"{{"num_labels": 1, "problem_type": {problem_type}}}"#));
            assert_eq!((config.labels.len(), config.problem_type), (1, ProblemType::MultiLabel));
        }
        assert_eq!(parse(r#"{"problem_type": null}"#).problem_type, ProblemType::SingleLabel);
    }

    #[test]
    fn the_names_of_other_configurations_are_aliases() {
        let json = r#"{"hidden_size": 8, "num_attention_heads": 2, "num_hidden_layers": 3, "intermediate_size": 9}"#;
        let config = parse(json);
        assert_eq!(
            (config.hidden_size, config.num_attention_heads, config.num_hidden_layers, config.intermediate_size),
            (8, 2, 3, 9)
        );
        let both = parse(r#"{"hidden_size": 8, "dim": 32, "n_heads": 4, "hidden_dim": 7, "intermediate_size": 9}"#);
        assert_eq!((both.hidden_size, both.num_attention_heads, both.intermediate_size), (8, 4, 7));
        assert_eq!(parse(r#"{"hidden_size": null, "dim": null, "unknown": [1]}"#).hidden_size, 768);
    }

    #[test]
    fn gelu_has_two_names() {
        for name in ["gelu", "gelu_python"] {
            assert_eq!(parse(&format!(r#"{{"activation": "{name}"}}"#)).activation, Activation::Gelu);
        }
    }
}
