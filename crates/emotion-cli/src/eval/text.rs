//! The figures of an evaluation, to be read in a terminal.

use std::fmt::Write;

use emotion_label::analysis::{Evaluation, LabelFacts, ModelFacts};
use emotion_label::numbers::counted;

use crate::memory::peak_memory;

pub fn text(evaluation: &Evaluation) -> String {
    let mut text = String::new();
    write(evaluation, &mut text).expect("a string takes all that is written");
    text
}

fn write(evaluation: &Evaluation, out: &mut String) -> std::fmt::Result {
    let ModelFacts { origin, precision, max_length, threshold, .. } = &evaluation.model;
    let threshold = threshold.map_or_else(String::new, |threshold| format!(", labels from {threshold} on"));
    writeln!(out, "{} by {origin} ({precision}, at most {max_length} tokens{threshold})", evaluation.files.join(", "))?;
    write!(
        out,
        "{} texts in {:.1} s: {:.0} texts/s, {:.0} tokens/s",
        evaluation.test_samples,
        evaluation.test_runtime,
        evaluation.test_samples_per_second,
        evaluation.test_tokens_per_second
    )?;
    if let Some(bytes) = peak_memory() {
        write!(out, ", {:.0} MB of memory at most", bytes as f64 / 1e6)?;
    }
    writeln!(
        out,
        "\n{} without a text or label, {} cut\n",
        counted(evaluation.skipped_rows, "row"),
        counted(evaluation.truncated_texts, "text")
    )?;
    let micro = evaluation.test_f1_micro.map_or_else(String::new, |f1| format!(" {f1:.4} (micro)"));
    writeln!(
        out,
        "accuracy {:.4}   F1 {:.4} (weighted) {:.4} (macro){micro}   loss {:.4}\n",
        evaluation.test_accuracy, evaluation.test_f1, evaluation.test_f1_macro, evaluation.test_loss
    )?;
    write_labels(evaluation, out)?;
    if evaluation.confusion_matrix.is_empty() { Ok(()) } else { write_confusion(evaluation, out) }
}

/// The width of a column that holds a label.
fn width(evaluation: &Evaluation) -> usize {
    evaluation.labels.iter().map(|label| label.label.chars().count()).max().unwrap_or(0).max(8)
}

fn write_labels(evaluation: &Evaluation, out: &mut String) -> std::fmt::Result {
    let width = width(evaluation);
    writeln!(out, "{:width$}  precision  recall      F1  texts", "label")?;
    for LabelFacts { label, precision, recall, f1, samples, .. } in &evaluation.labels {
        writeln!(out, "{label:width$}  {precision:9.4}  {recall:6.4}  {f1:6.4}  {samples:5}")?;
    }
    Ok(())
}

fn write_confusion(evaluation: &Evaluation, out: &mut String) -> std::fmt::Result {
    let width = width(evaluation);
    writeln!(out, "\nEach row is a label of the file; the columns are what the model gave its texts.")?;
    write!(out, "{:width$}", "")?;
    for label in &evaluation.labels {
        write!(out, "  {:>width$}", label.label)?;
    }
    for (label, row) in evaluation.labels.iter().zip(&evaluation.confusion_matrix) {
        write!(out, "\n{:width$}", label.label)?;
        for count in row {
            write!(out, "  {count:width$}")?;
        }
    }
    writeln!(out)
}
