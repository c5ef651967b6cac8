//! The progress of a query, on a terminal.

use std::io::{IsTerminal, stderr, stdout};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use emotion_classifier::Statistics;
use emotion_label::numbers::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::numbers::whole;

/// A query that ends within this time shows no progress.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two figures.
const EVERY: Duration = Duration::from_millis(250);

/// Shows the progress of a query from its third second on, until it is dropped.
pub struct Progress {
    rows: Arc<AtomicU64>,
    bar: ProgressBar,
    task: Option<JoinHandle<()>>,
}

impl Progress {
    /// Nothing is shown if `is_quiet`, or if an output is not a terminal.
    pub fn begin(is_quiet: bool) -> Self {
        let (rows, bar) = (Arc::default(), ProgressBar::hidden());
        let is_shown = !is_quiet && stderr().is_terminal() && stdout().is_terminal();
        let task = is_shown.then(|| tokio::spawn(show(bar.clone(), Arc::clone(&rows))));
        Self { rows, bar, task }
    }

    /// Counts rows of the result.
    pub fn add(&self, rows: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            self.bar.finish_and_clear();
        }
    }
}

async fn show(bar: ProgressBar, rows: Arc<AtomicU64>) {
    let begin = Instant::now();
    let before = texts();
    tokio::time::sleep(PATIENCE).await;
    bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("the template is right"));
    bar.set_draw_target(ProgressDrawTarget::stderr());
    loop {
        bar.set_message(line(begin.elapsed(), rows.load(Relaxed), texts() - before));
        bar.tick();
        tokio::time::sleep(EVERY).await;
    }
}

/// The texts that this process has inferred or found in the cache.
fn texts() -> u64 {
    let counts = Statistics::of_process().snapshot();
    counts.forward_passes + counts.cache_hits + counts.repeated
}

fn line(time: Duration, rows: u64, texts: u64) -> String {
    let rate = texts as f64 / time.as_secs_f64().max(1e-3);
    let seconds = time.as_secs();
    format!("{seconds} s, {} rows, {} texts, {} texts/s", grouped(rows), grouped(texts), grouped(whole(rate)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_has_rows_texts_and_the_rate() {
        assert_eq!(line(Duration::from_secs(4), 1_000, 12_000), "4 s, 1,000 rows, 12,000 texts, 3,000 texts/s");
    }

    #[tokio::test]
    async fn nothing_is_shown_without_a_terminal() {
        let progress = Progress::begin(true);
        progress.add(3);
        assert!(progress.task.is_none());
    }
}
