//! The cache of the Hugging Face hub.

use std::io::Write;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::util::pretty::pretty_format_batches;
use clap::{Args, ValueEnum};
use emotion_classifier::{CachedModel, Config, cached_models};
use serde::Serialize;

use crate::numbers::bytes;
use crate::standard_output::StandardOutput;

/// The arguments of `emotion models pull`.
#[derive(Args)]
pub struct PullArguments {
    /// Models: owner/name or owner/name@revision; a private or gated one needs a token in `HF_TOKEN`
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

/// The arguments of `emotion models list`.
#[derive(Args)]
pub struct ListArguments {
    /// How to print the list
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// A table to read
    Table,
    /// One JSON object per line
    Json,
}

pub fn pull(arguments: &PullArguments) -> Result<()> {
    let mut out = StandardOutput::open();
    for id in &arguments.ids {
        let folder = emotion_classifier::pull(id)?;
        writeln!(out, "{}", folder.display())?;
    }
    Ok(out.flush()?)
}

pub fn list(arguments: &ListArguments) -> Result<()> {
    let rows: Vec<Row> = cached_models()?.into_iter().map(Row::of).collect();
    let mut out = StandardOutput::open();
    match arguments.format {
        Format::Table => writeln!(out, "{}", table(&rows)?)?,
        Format::Json => {
            for row in &rows {
                writeln!(out, "{}", serde_json::to_string(row)?)?;
            }
        }
    }
    Ok(out.flush()?)
}

/// A model as the list shows it.
#[derive(Serialize)]
struct Row {
    model: String,
    commit: String,
    revisions: Vec<String>,
    bytes: u64,
    /// `None` if the model cannot be used.
    architecture: Option<&'static str>,
    labels: Vec<String>,
    folder: String,
}

impl Row {
    fn of(model: CachedModel) -> Self {
        let config = Config::open(&model.folder).ok();
        let labels = config.iter().flat_map(|config| &config.labels).map(ToString::to_string).collect();
        Self {
            model: model.id,
            commit: model.commit,
            revisions: model.revisions,
            bytes: model.bytes,
            architecture: config.map(|config| config.architecture()),
            labels,
            folder: model.folder.display().to_string(),
        }
    }

    fn revision(&self) -> String {
        let commit = self.commit.get(..8).unwrap_or(&self.commit);
        if self.revisions.is_empty() { commit.into() } else { format!("{} ({commit})", self.revisions.join(", ")) }
    }
}

fn table(rows: &[Row]) -> Result<String> {
    let column = |text: fn(&Row) -> String| -> ArrayRef {
        std::sync::Arc::new(StringArray::from_iter_values(rows.iter().map(text)))
    };
    let batch = RecordBatch::try_from_iter([
        ("model", column(|row| row.model.clone())),
        ("revision", column(Row::revision)),
        ("size", column(|row| bytes(row.bytes))),
        ("architecture", column(|row| row.architecture.unwrap_or("not supported").into())),
        ("labels", column(|row| some_of(&row.labels))),
    ])?;
    Ok(pretty_format_batches(&[batch]).context("cannot format the list")?.to_string())
}

/// The first labels, and how many more there are.
fn some_of(labels: &[String]) -> String {
    const MOST: usize = 8;
    let shown = labels.iter().take(MOST).map(String::as_str).collect::<Vec<_>>().join(", ");
    if labels.len() <= MOST { shown } else { format!("{shown} and {} more", labels.len() - MOST) }
}
