//! What a job came to, at its end.

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;

use super::counts::Counts;
use crate::message::message;
use crate::numbers::{duration, files, grouped, whole};

/// A file or a row group without labels, and why.
#[derive(Debug, Serialize)]
pub struct SetAside {
    pub file: String,
    pub row_group: Option<usize>,
    pub rows: Option<u64>,
    pub error: String,
}

impl SetAside {
    pub fn new(file: &str, row_group: Option<usize>, rows: Option<u64>, error: &anyhow::Error) -> Self {
        Self { file: file.into(), row_group, rows, error: message(error) }
    }
}

impl std::fmt::Display for SetAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.row_group {
            Some(row_group) => write!(f, "row group {row_group} of '{}': {}", self.file, self.error),
            None => write!(f, "'{}': {}", self.file, self.error),
        }
    }
}

/// Figures of all the job's files, and the time of this run.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub output: String,
    pub files: usize,
    /// Files in the folders that are no tables.
    pub other_files: usize,
    #[serde(flatten)]
    pub counts: Counts,
    pub seconds: f64,
    /// Of the rows that this run labeled.
    pub rows_per_second: f64,
    /// The process's largest resident set; where the system does not tell, null.
    pub peak_memory_bytes: Option<u64>,
    pub set_aside: Vec<SetAside>,
}

impl Summary {
    pub fn text(&self) -> String {
        let Counts { rows, null, empty, truncated, repeated, labels, .. } = &self.counts;
        let mut text = format!("{} rows of {} labeled into '{}'", grouped(*rows), files(self.files), self.output);
        let _ = match self.rows_per_second {
            0.0 => writeln!(text, "; no row was left to label"),
            rate => {
                let time = duration(Some(Duration::from_secs_f64(self.seconds)));
                writeln!(text, " in {time} ({} rows/s)", grouped(whole(rate)))
            }
        };
        let others = [("NULL", *null), ("empty", *empty), ("cut", *truncated), ("repeated", *repeated)];
        let others = others.map(|(what, rows)| format!("{} {what}", grouped(rows)));
        let _ = writeln!(text, "  of which {}", others.join(", "));
        let mut labels: Vec<_> = labels.iter().collect();
        labels.sort_by_key(|(_, rows)| std::cmp::Reverse(**rows));
        for (label, rows) in labels {
            let share = 100.0 * *rows as f64 / self.counts.rows as f64;
            let _ = writeln!(text, "  {label:<12} {:>13}  {share:>5.1} %", grouped(*rows));
        }
        if self.other_files > 0 {
            let _ = writeln!(text, "  {} of other types left out", files(self.other_files));
        }
        if !self.set_aside.is_empty() {
            let _ = writeln!(text, "  {} set aside for errors", self.set_aside.len());
        }
        text
    }
}
