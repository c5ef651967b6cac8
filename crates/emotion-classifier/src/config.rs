use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;

use crate::error::{Error, Result};

/// The shape of a DistilBERT sequence classifier, as given by its `config.json`.
///
/// Source: `DistilBertConfig` of Hugging Face `transformers`, whose defaults replace absent keys.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Number of rows of the word embeddings.
    pub vocab_size: usize,
    /// Hidden size.
    pub dim: usize,
    /// Number of encoder layers.
    pub n_layers: usize,
    /// Number of attention heads; divides `dim`.
    pub n_heads: usize,
    /// Width of the feed-forward layers.
    pub hidden_dim: usize,
    /// Activation of the feed-forward layers.
    pub activation: Activation,
    /// Number of rows of the position embeddings: the most tokens a sequence may have.
    pub max_position_embeddings: usize,
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
    #[serde(default = "default_vocab_size")]
    vocab_size: usize,
    #[serde(default = "default_dim")]
    dim: usize,
    #[serde(default = "default_n_layers")]
    n_layers: usize,
    #[serde(default = "default_n_heads")]
    n_heads: usize,
    #[serde(default = "default_hidden_dim")]
    hidden_dim: usize,
    #[serde(default = "default_activation")]
    activation: String,
    #[serde(default = "default_max_position_embeddings")]
    max_position_embeddings: usize,
    problem_type: Option<String>,
    id2label: Option<BTreeMap<String, String>>,
}

fn default_vocab_size() -> usize {
    30_522
}
fn default_dim() -> usize {
    768
}
fn default_n_layers() -> usize {
    6
}
fn default_n_heads() -> usize {
    12
}
fn default_hidden_dim() -> usize {
    3_072
}
fn default_activation() -> String {
    "gelu".into()
}
fn default_max_position_embeddings() -> usize {
    512
}

impl Config {
    /// Parses and checks the bytes of a `config.json`; `origin` names the model in errors.
    pub(crate) fn parse(origin: &str, json: &[u8]) -> Result<Self> {
        let wrong = |reason: String| Error::Config { origin: origin.into(), reason };
        let file: File = serde_json::from_slice(json).map_err(|e| wrong(format!("not a model configuration: {e}")))?;

        if let Some(other) = file.model_type.as_deref().filter(|t| *t != "distilbert") {
            return Err(wrong(format!(
                "model_type is '{other}', but only 'distilbert' is supported: choose a DistilBERT sequence classifier"
            )));
        }
        let sizes = [
            ("vocab_size", file.vocab_size),
            ("dim", file.dim),
            ("n_layers", file.n_layers),
            ("n_heads", file.n_heads),
            ("hidden_dim", file.hidden_dim),
            ("max_position_embeddings", file.max_position_embeddings),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(wrong(format!("{name} is 0: it must be at least 1")));
        }
        if !file.dim.is_multiple_of(file.n_heads) {
            return Err(wrong(format!("dim {} is not a multiple of n_heads {}", file.dim, file.n_heads)));
        }
        Ok(Self {
            vocab_size: file.vocab_size,
            dim: file.dim,
            n_layers: file.n_layers,
            n_heads: file.n_heads,
            hidden_dim: file.hidden_dim,
            activation: activation(&file.activation).map_err(wrong)?,
            max_position_embeddings: file.max_position_embeddings,
            problem_type: problem_type(file.problem_type.as_deref()).map_err(wrong)?,
            labels: labels(file.id2label).map_err(wrong)?,
        })
    }
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
        assert_eq!((config.dim, config.n_layers, config.n_heads), (768, 6, 12));
        assert_eq!(config.problem_type, ProblemType::SingleLabel);
        assert_eq!(config.problem_type.name(), "single-label");
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
            (format!(r#"{{"model_type": "bert", {two}}}"#), "model_type is 'bert'"),
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
