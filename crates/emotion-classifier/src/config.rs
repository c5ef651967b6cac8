use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;

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
    vocab_size: Option<usize>,
    dim: Option<usize>,
    #[serde(rename = "hidden_size")]
    dim_alias: Option<usize>,
    n_layers: Option<usize>,
    #[serde(rename = "num_hidden_layers")]
    n_layers_alias: Option<usize>,
    n_heads: Option<usize>,
    #[serde(rename = "num_attention_heads")]
    n_heads_alias: Option<usize>,
    hidden_dim: Option<usize>,
    intermediate_size: Option<usize>,
    activation: Option<String>,
    max_position_embeddings: Option<usize>,
    problem_type: Option<String>,
    id2label: Option<BTreeMap<String, Value>>,
    num_labels: Option<usize>,
}

/// The most labels that a configuration may ask for without naming them.
const MOST_UNNAMED_LABELS: usize = 100_000;

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
        let vocab_size = file.vocab_size.unwrap_or(30_522);
        let dim = file.dim_alias.or(file.dim).unwrap_or(768);
        let n_layers = file.n_layers_alias.or(file.n_layers).unwrap_or(6);
        let n_heads = file.n_heads_alias.or(file.n_heads).unwrap_or(12);
        // `transformers` has no alias for this one; the name is only read where the model's own is absent.
        let hidden_dim = file.hidden_dim.or(file.intermediate_size).unwrap_or(3_072);
        let max_position_embeddings = file.max_position_embeddings.unwrap_or(512);
        let sizes = [
            ("vocab_size", vocab_size),
            ("dim", dim),
            ("n_layers", n_layers),
            ("n_heads", n_heads),
            ("hidden_dim", hidden_dim),
            ("max_position_embeddings", max_position_embeddings),
        ];
        if let Some((name, _)) = sizes.iter().find(|(_, size)| *size == 0) {
            return Err(wrong(format!("{name} is 0: it must be at least 1")));
        }
        if !dim.is_multiple_of(n_heads) {
            return Err(wrong(format!("dim {dim} is not a multiple of n_heads {n_heads}")));
        }
        let labels = labels(file.id2label, file.num_labels).map_err(wrong)?;
        Ok(Self {
            vocab_size,
            dim,
            n_layers,
            n_heads,
            hidden_dim,
            activation: activation(file.activation.as_deref().unwrap_or("gelu")).map_err(wrong)?,
            max_position_embeddings,
            problem_type: problem_type(file.problem_type.as_deref(), labels.len()).map_err(wrong)?,
            labels,
        })
    }
}

/// The activation with this name in `ACT2FN` of `transformers`.
fn activation(name: &str) -> Result<Activation, String> {
    match name {
        "gelu" | "gelu_python" => Ok(Activation::Gelu),
        "relu" => Ok(Activation::Relu),
        other => Err(format!("activation '{other}' is not supported: it must be 'gelu', 'gelu_python' or 'relu'")),
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
        assert_eq!((config.dim, config.n_layers, config.n_heads), (768, 6, 12));
        assert_eq!(config.problem_type, ProblemType::SingleLabel);
        assert_eq!(config.problem_type.name(), "single-label");
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
            (format!(r#"{{"model_type": "bert", {two}}}"#), "model_type is 'bert'"),
            (format!(r#"{{"dim": 10, "n_heads": 3, {two}}}"#), "not a multiple"),
            (format!(r#"{{"n_layers": 0, {two}}}"#), "n_layers is 0"),
            (format!(r#"{{"dim": -1, {two}}}"#), "not a model configuration"),
            (format!(r#"{{"activation": "mish", {two}}}"#), "it must be 'gelu', 'gelu_python' or 'relu'"),
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
        assert_eq!((config.dim, config.n_heads, config.n_layers, config.hidden_dim), (8, 2, 3, 9));
        let both = parse(r#"{"hidden_size": 8, "dim": 32, "n_heads": 4, "hidden_dim": 7, "intermediate_size": 9}"#);
        assert_eq!((both.dim, both.n_heads, both.hidden_dim), (8, 4, 7));
        assert_eq!(parse(r#"{"hidden_size": null, "dim": null, "unknown": [1]}"#).dim, 768);
    }

    #[test]
    fn gelu_has_two_names() {
        for name in ["gelu", "gelu_python"] {
            assert_eq!(parse(&format!(r#"{{"activation": "{name}"}}"#)).activation, Activation::Gelu);
        }
    }
}
