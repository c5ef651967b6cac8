use maud::{Markup, html};

use crate::analysis::evaluation::facts::{Evaluation, LabelFacts};
use crate::analysis::page::document;
use crate::numbers::counted;

impl Evaluation {
    /// The figures as an HTML page that needs no network.
    #[must_use]
    pub fn html(&self) -> String {
        page(self).into_string()
    }
}

fn page(evaluation: &Evaluation) -> Markup {
    let model = &evaluation.model;
    let body = html! {
        p { (evaluation.files.join(", ")) }
        (figures(evaluation))
        h2 { "Labels" }
        (labels(&evaluation.labels))
        @if !evaluation.confusion_matrix.is_empty() {
            h2 { "Confusion" }
            p { "Each row is a label of the file; the columns are what the model gave its texts." }
            (confusion(evaluation))
        }
        h2 { "Measured" }
        p {
            (evaluation.test_samples) " texts in " (format!("{:.1}", evaluation.test_runtime)) " s, "
            (format!("{:.0}", evaluation.test_samples_per_second)) " texts/s; "
            (counted(evaluation.skipped_rows, "row")) " without a text or label, "
            (counted(evaluation.truncated_texts, "text")) " cut to " (model.max_length) " tokens; " (model.precision)
            @if let Some(threshold) = model.threshold { "; labels from " (threshold) " on" } "."
        }
        p.small { "weights " (model.weights_sha256) " · tokenizer " (model.tokenizer_sha256) }
    };
    document(&format!("Evaluation of {}", model.origin), &body)
}

fn figures(evaluation: &Evaluation) -> Markup {
    let micro = evaluation.test_f1_micro.map(|f1| ("F1, micro", f1));
    let figures = [
        ("accuracy", evaluation.test_accuracy),
        ("F1, weighted", evaluation.test_f1),
        ("F1, macro", evaluation.test_f1_macro),
    ];
    let figures = figures.into_iter().chain(micro).chain([("loss", evaluation.test_loss)]);
    html! {
        dl.figures {
            @for (name, value) in figures {
                div { dt { (name) } dd { (format!("{value:.4}")) } }
            }
        }
    }
}

fn labels(labels: &[LabelFacts]) -> Markup {
    html! {
        div.wide { table {
            thead { tr { th { "label" } th { "precision" } th { "recall" } th { "F1" } th { "texts" } } }
            tbody {
                @for label in labels {
                    tr {
                        th scope="row" { (label.label) }
                        @for value in [label.precision, label.recall, label.f1] {
                            td.bar style=(format!("--share: {:.1}%", 100.0 * value)) { (format!("{value:.3}")) }
                        }
                        td { (label.samples) }
                    }
                }
            }
        } }
    }
}

fn confusion(evaluation: &Evaluation) -> Markup {
    html! {
        div.wide { table.confusion {
            thead { tr { th {} @for label in &evaluation.labels { th { (label.label) } } } }
            tbody {
                @for (label, row) in evaluation.labels.iter().zip(&evaluation.confusion_matrix) {
                    tr {
                        th scope="row" { (label.label) }
                        @for count in row { (cell(*count, row.iter().sum())) }
                    }
                }
            }
        } }
    }
}

/// A count, on a ground as strong as its share of the row.
fn cell(count: u64, of: u64) -> Markup {
    let share = 100.0 * count as f64 / of.max(1) as f64;
    html! { td.heat style=(format!("--share: {share:.1}%")) title=(format!("{share:.1} %")) { (count) } }
}
