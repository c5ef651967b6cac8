//! The summary of a job, as text or as JSON.

use std::cmp::Reverse;
use std::fmt::Write as _;
use std::time::Duration;

use emotion_label::analysis::NO_LABEL;
use emotion_label::job::{Counts, Summary};
use emotion_label::numbers::{counted, grouped};
use serde::Serialize;

use crate::memory::peak_memory;
use crate::numbers::{duration, whole};

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    /// Rows with a text of which no label holds.
    none: u64,
    /// The process's largest resident set; where the system does not tell, null.
    peak_memory_bytes: Option<u64>,
}

pub fn json(summary: &Summary) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&Json { summary, none: none(&summary.counts), peak_memory_bytes: peak_memory() })
}

/// Rows with a text of which no label holds. Of several labels of a row, the most probable is counted.
fn none(counts: &Counts) -> u64 {
    (counts.rows - counts.null).saturating_sub(counts.labels.values().sum())
}

pub fn text(summary: &Summary) -> String {
    let counts = &summary.counts;
    let mut text = format!(
        "{} of {} labeled into '{}'",
        counted(counts.rows, "row"),
        counted(summary.files as u64, "file"),
        summary.output
    );
    let _ = match summary.rows_per_second {
        0.0 => writeln!(text, "; no row was left to label"),
        rate => {
            let time = duration(Some(Duration::from_secs_f64(summary.seconds)));
            writeln!(text, " in {time} ({} rows/s)", grouped(whole(rate)))
        }
    };
    let others =
        [("NULL", counts.null), ("empty", counts.empty), ("cut", counts.truncated), ("repeated", counts.repeated)];
    let others = others.map(|(what, rows)| format!("{} {what}", grouped(rows)));
    let _ = writeln!(text, "  of which {}", others.join(", "));
    let mut labels: Vec<_> = counts.labels.iter().map(|(label, rows)| (label.as_str(), *rows)).collect();
    labels.sort_by_key(|(_, rows)| Reverse(*rows));
    labels.extend(Some((NO_LABEL, none(counts))).filter(|(_, rows)| *rows > 0));
    for (label, rows) in labels {
        let share = 100.0 * rows as f64 / counts.rows as f64;
        let _ = writeln!(text, "  {label:<12} {:>13}  {share:>5.1} %", grouped(rows));
    }
    if summary.other_files > 0 {
        let _ = writeln!(text, "  {} of other types left out", counted(summary.other_files as u64, "file"));
    }
    if !summary.set_aside.is_empty() {
        let _ = writeln!(text, "  {} skipped because of errors", summary.set_aside.len());
    }
    text
}
