//! `emotion models show`.

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use clap::Args;
use emotion_classifier::Classifier;
use emotion_label::numbers::grouped;
use serde_json::{Value, json};

use crate::standard_output::StandardOutput;

/// Show what a model is: its architecture, sizes, labels and digests
///
/// The model is loaded, which checks all of its files. Nothing is downloaded.
#[derive(Args)]
pub struct Arguments {
    /// A folder, or a hub id that is in the cache [default: the built-in model]
    #[arg(value_name = "ID_OR_FOLDER")]
    model: Option<String>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub fn run(arguments: &Arguments) -> Result<()> {
    let classifier = match &arguments.model {
        None => Classifier::default_model()?,
        Some(model) => Arc::new(Classifier::load(folder_of(model)?)?),
    };
    let facts = facts(&classifier);
    let text = if arguments.json { facts.into_iter().collect::<Value>().to_string() } else { lines(&facts) };
    let mut out = StandardOutput::open();
    writeln!(out, "{text}")?;
    Ok(out.flush()?)
}

/// The folder of a model, which is not downloaded.
fn folder_of(model: &str) -> Result<PathBuf> {
    #[cfg(feature = "hub")]
    if !std::path::Path::new(model).is_dir() && emotion_classifier::is_hub_id(model) {
        return Ok(emotion_classifier::cached_folder(model)?);
    }
    Ok(model.into())
}

fn facts(classifier: &Classifier) -> Vec<(&'static str, Value)> {
    let config = classifier.config();
    let labels: Vec<&str> = classifier.labels().iter().map(AsRef::as_ref).collect();
    vec![
        ("model", json!(classifier.origin().to_string())),
        ("architecture", json!(config.architecture())),
        ("backend", json!(classifier.backend().to_string())),
        ("type", json!(config.problem_type.name())),
        ("labels", json!(labels)),
        ("parameters", json!(classifier.parameters())),
        ("layers", json!(config.num_hidden_layers)),
        ("hidden_size", json!(config.hidden_size)),
        ("vocabulary", json!(config.vocab_size)),
        ("max_length", json!(classifier.max_length())),
        ("weights_sha256", json!(classifier.weights_sha256())),
        ("tokenizer_sha256", json!(classifier.tokenizer_sha256())),
    ]
}

/// A line for each fact, with the values aligned.
fn lines(facts: &[(&str, Value)]) -> String {
    let width = facts.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
    let line = |(name, value): &(&str, Value)| format!("{name:width$}  {}", text(value));
    facts.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.as_u64().map_or_else(|| number.to_string(), grouped),
        Value::Array(values) => values.iter().map(text).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
