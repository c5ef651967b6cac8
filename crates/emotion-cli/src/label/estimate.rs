//! An estimate as text.

use std::fmt::Write as _;

use emotion_label::job::{Estimate, FileProgress};

use crate::numbers::{duration, files, grouped, whole};

pub fn text(estimate: &Estimate) -> String {
    let mut text = String::new();
    for file in &estimate.files {
        let state = match &file.progress {
            FileProgress::Unreadable(error) => format!("skipped: {error}"),
            FileProgress::Done => "done".into(),
            FileProgress::Begun => format!("{} rows done", grouped(file.rows_labeled)),
            _ => "new".into(),
        };
        let _ = writeln!(text, "{} -> {}: {} rows, {state}", file.input, file.output, grouped(file.rows));
    }
    let _ = write!(text, "{}, {} rows to label", files(estimate.files.len()), grouped(estimate.rows_left()));
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
