//! `emotion eval`: how well a model does on texts whose labels are known.

mod text;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, ValueEnum};
use emotion_classifier::ClassifyOptions;
use emotion_label::analysis::{Evaluation, Evaluator};
use emotion_label::job::message;
use serde::Serialize;

use crate::atomic_file;
use crate::memory::peak_memory;
use crate::model::ModelArguments;
use crate::session::session;
use crate::set_aside::SET_ASIDE;
use crate::standard_error::say;
use crate::standard_output::StandardOutput;
use crate::table::TableArguments;

/// Measure a model on texts whose labels are known
///
/// Prints accuracy, F1, loss, precision and recall of each label, the confusion matrix, and texts per second.
/// Rows without a text or a label are left out and counted. With --threshold, rows whose label is missing, 'neutral' or
/// 'none' are texts without a label, unless the model has a label of that name. The prediction for such a text is
/// correct if the model gives it no label.
///
/// For a multi-label model, a text may have several labels: a list, or a string with commas between them. A prediction
/// is correct if the text gets exactly these labels. F1 is also computed over all labels together.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    table: TableArguments,

    /// The column that holds the texts
    #[arg(long, value_name = "COLUMN")]
    text: String,

    /// The column that holds the labels: their names, or their numbers in the model; for a multi-label model, lists of
    /// them
    #[arg(long, value_name = "COLUMN")]
    label: String,

    /// Skip files that cannot be read, and report them
    #[arg(long)]
    keep_going: bool,

    /// How to print the figures
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,

    /// Also write an HTML page with the figures to this file
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,

    #[command(flatten)]
    model: ModelArguments,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// Plain text
    Text,
    /// One JSON object, with the key names of Hugging Face's model cards
    Json,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    evaluation: &'a Evaluation,
    /// The process's largest resident set; where the system does not tell, null.
    peak_memory_bytes: Option<u64>,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let classifier = arguments.model.load()?;
    let mut options = ClassifyOptions::default();
    options.threshold = arguments.model.threshold();
    let mut evaluator = Evaluator::new(classifier, options, &arguments.text, &arguments.label)?;
    if let Some(path) = &arguments.html {
        atomic_file::check(path, arguments.table.names())?;
    }
    let in_order = [("datafusion.execution.target_partitions", "1".to_string())];
    let context = session(in_order).await?;
    let files = arguments.table.open(&context).await?;
    let mut is_complete = true;
    for file in &files.names {
        match evaluator.add_file(&context, &files, file).await {
            Err(error) if arguments.keep_going => {
                is_complete = false;
                say(format_args!("Skipped: {}", message(&error)));
            }
            result => result?,
        }
    }
    let evaluation = evaluator.finish()?;
    if let Some(path) = &arguments.html {
        atomic_file::write(path, &files.names, evaluation.html().as_bytes())?;
    }
    let mut out = StandardOutput::open();
    match arguments.format {
        Format::Text => write!(out, "{}", text::text(&evaluation))?,
        Format::Json => {
            let json = Json { evaluation: &evaluation, peak_memory_bytes: peak_memory() };
            writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        }
    }
    Ok(if is_complete { ExitCode::SUCCESS } else { ExitCode::from(SET_ASIDE) })
}
