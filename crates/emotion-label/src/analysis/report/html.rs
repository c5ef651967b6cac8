use maud::{Markup, html};

use crate::analysis::page::document;
use crate::analysis::report::figures::{Counts, Example, Figures, OverTime, SCORE_BINS};
use crate::analysis::report::palette::colors;
use crate::numbers::{counted, grouped};

pub(crate) fn page(title: &str, files: &[String], figures: &Figures) -> Markup {
    let labeled = figures.rows - figures.unlabeled;
    let labels = &Labels::of(figures);
    let body = html! {
        p { (files.join(", ")) ": " (counted(labeled, "labeled text")) @if figures.unlabeled > 0 {
            ", " (counted(figures.unlabeled, "row")) " without a label"
        } "." }
        h2 { "Labels" }
        (distribution(figures, labels, labeled))
        @if let Some(over_time) = &figures.over_time {
            h2 { "Texts per " (over_time.unit) }
            (legend(labels))
            (time_chart(over_time, labels))
            p.small { "Times with a zone are shown in UTC." }
        }
        @if figures.without_time > 0 {
            p.small {
                "The chart over time omits " (counted(figures.without_time, "text"))
                " whose values are not valid times, or are before 1678 or after 2261."
            }
        }
        @if !figures.groups.is_empty() {
            h2 { "Groups" }
            (legend(labels))
            (groups(&figures.groups, labels))
            @if figures.other_groups > 0 { p.small { "Smaller groups that are not shown: " (figures.other_groups) "." } }
        }
        @if !figures.scores.is_empty() {
            h2 { "Texts by the score of their most probable label" }
            (histogram(&figures.scores))
        }
        @if !figures.confident.is_empty() {
            h2 { "Highest scores" }
            (examples(&figures.confident))
            h2 { "Lowest scores" }
            (examples(&figures.doubtful))
        }
    };
    document(title, &body)
}

/// The names and colors of the labels, in the order of [`Figures::labels`].
struct Labels<'a> {
    names: Vec<&'a str>,
    colors: Vec<String>,
}

impl<'a> Labels<'a> {
    fn of(figures: &'a Figures) -> Self {
        let names: Vec<_> = figures.labels.iter().map(|(label, _)| label.as_str()).collect();
        Self { colors: colors(names.iter().copied()), names }
    }

    fn background(&self, id: usize) -> String {
        format!("background: {}", self.colors[id])
    }
}

fn percent(part: u64, of: u64) -> f64 {
    100.0 * part as f64 / of.max(1) as f64
}

fn legend(labels: &Labels) -> Markup {
    html! {
        ul.legend { @for (id, name) in labels.names.iter().enumerate() {
            li { span.swatch style=(labels.background(id)) {} (name) }
        } }
    }
}

fn distribution(figures: &Figures, labels: &Labels, labeled: u64) -> Markup {
    let most = figures.labels.first().map_or(1, |(_, texts)| *texts);
    html! {
        table.chart { tbody { @for (id, (label, texts)) in figures.labels.iter().enumerate() {
            tr {
                th scope="row" { (label) }
                td.track { div.block style=(format!("width: {:.2}%; {}", percent(*texts, most), labels.background(id))) {} }
                td { (grouped(*texts)) }
                td { (format!("{:.1} %", percent(*texts, labeled))) }
            }
        } } }
    }
}

/// Columns of 1,000 by 240 units, stacked by label.
fn time_chart(over_time: &OverTime, labels: &Labels) -> Markup {
    let most = over_time.columns.iter().map(|(_, column)| column.total()).max().unwrap_or(1).max(1);
    let width = (1000.0 * over_time.width * 0.9).max(1.0);
    let names = [over_time.columns.first(), over_time.columns.last()];
    html! {
        figure {
            svg viewBox="0 0 1000 240" preserveAspectRatio="none" role="img" aria-label="texts over time" {
                @for (at, column) in &over_time.columns {
                    g { title { (column.name) ": " (grouped(column.total())) }
                        @for (id, top, height) in stacked(column, most) {
                            rect x=(format!("{:.2}", 1000.0 * at)) width=(format!("{width:.2}")) y=(format!("{top:.2}"))
                                height=(format!("{height:.2}")) style=(format!("fill: {}", labels.colors[id])) { title { (labels.names[id]) } }
                        }
                    }
                }
            }
            figcaption.ends {
                @for (_, column) in names.into_iter().flatten() { span { (column.name) } }
            }
            p.small { "The highest column has " (counted(most, "text")) "." }
        }
    }
}

/// Each label's id, upper edge and height in a column that is 240 high for `most` texts.
fn stacked(column: &Counts, most: u64) -> Vec<(usize, f64, f64)> {
    let mut bottom = 240.0;
    let present = column.counts.iter().enumerate().filter(|(_, texts)| **texts > 0);
    let blocks = present.map(|(id, texts)| {
        let height = 240.0 * *texts as f64 / most as f64;
        bottom -= height;
        (id, bottom, height)
    });
    blocks.collect()
}

fn groups(groups: &[Counts], labels: &Labels) -> Markup {
    html! {
        table.chart { tbody { @for group in groups {
            tr {
                th scope="row" { (group.name) }
                td.track { div.stack { @for (id, texts) in group.counts.iter().enumerate() { @if *texts > 0 {
                    div.block title=(format!("{}: {:.1} %", labels.names[id], percent(*texts, group.total())))
                        style=(format!("width: {:.2}%; {}", percent(*texts, group.total()), labels.background(id))) {}
                } } } }
                td { (grouped(group.total())) }
            }
        } } }
    }
}

fn histogram(bins: &[u64]) -> Markup {
    let most = bins.iter().copied().max().unwrap_or(1);
    html! {
        figure {
            div.columns { @for (bin, texts) in bins.iter().enumerate() {
                div.block title=(format!("{:.2} and above: {}", bin as f64 / SCORE_BINS as f64, grouped(*texts)))
                    style=(format!("height: {:.2}%", percent(*texts, most))) {}
            } }
            figcaption.ends { @for end in ["0", "0.25", "0.5", "0.75", "1"] { span { (end) } } }
        }
    }
}

fn examples(examples: &[Example]) -> Markup {
    html! {
        table.examples { tbody { @for example in examples {
            tr { th scope="row" { (example.label) } td { (format!("{:.3}", example.score)) } td { (shortened(&example.text)) } }
        } } }
    }
}

/// The first 280 characters of a text.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(280) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_in_texts_stays_text() {
        let example = Example { label: "joy".into(), score: 0.5, text: "<script>alert(1)</script>".into() };
        let page = examples(&[example]).into_string();
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"), "{page}");
    }

    #[test]
    fn stacked_blocks_fill_the_column() {
        let column = Counts { name: String::new(), counts: vec![1, 0, 3] };
        assert_eq!(stacked(&column, 4), [(0, 180.0, 60.0), (2, 0.0, 180.0)]);
    }
}
