//! An estimate as text.

use std::fmt::Write as _;

use emotion_label::job::{Estimate, FileProgress};
use emotion_label::numbers::{counted, grouped};

use crate::numbers::{duration, whole};

pub fn text(estimate: &Estimate) -> String {
    let mut text = String::new();
    for file in &estimate.files {
        let state = match &file.progress {
            FileProgress::Unreadable(error) => format!("skipped: {error}"),
            FileProgress::Done => "done".into(),
            FileProgress::Begun => format!("{} done", counted(file.rows_labeled, "row")),
            _ => "new".into(),
        };
        let _ = writeln!(text, "{} -> {}: {}, {state}", file.input, file.output, counted(file.rows, "row"));
    }
    let _ = write!(
        text,
        "{}, {} to label",
        counted(estimate.files.len() as u64, "file"),
        counted(estimate.rows_left(), "row")
    );
    let Some(rate) = estimate.rows_per_second() else { return text + "\n" };
    let _ = writeln!(
        text,
        ": about {} at {} rows/s, as measured over {} of them (repeated texts take no time)",
        duration(estimate.time_left()),
        grouped(whole(rate)),
        grouped(estimate.sampled_rows)
    );
    text
}
