//! The progress of a job, on the standard error.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use emotion_label::job::{Observer, SetAside};
use emotion_label::numbers::grouped;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::numbers::{duration, whole};
use crate::standard_error::say;

/// Time between two lines where there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// Shows the progress of a job as a bar, as lines, or not at all.
pub struct Progress(Mutex<State>);

struct State {
    shown: Shown,
    files: usize,
    file: usize,
    rows: u64,
    /// Rows that were labeled before this run.
    before: u64,
    done: u64,
    tokens: u64,
    started: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines { last: Instant },
    Nothing,
}

impl Progress {
    pub fn new(is_quiet: bool) -> Self {
        let shown = if is_quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:25} {percent}% {msg}").expect("the template is right");
            Shown::Bar(ProgressBar::hidden().with_style(style))
        } else {
            Shown::Lines { last: Instant::now() }
        };
        let started = Instant::now();
        Self(Mutex::new(State { shown, files: 0, file: 0, rows: 0, before: 0, done: 0, tokens: 0, started }))
    }

    /// Prints a line at once.
    pub fn say(&self, line: &str) {
        match &self.state().shown {
            Shown::Bar(bar) => bar.suspend(|| say(line)),
            Shown::Lines { .. } | Shown::Nothing => say(line),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn waiting(&self, output: &str, time: Duration) {
        self.say(&format!("'{output}' is locked; waiting {time:?} to see whether by a run that ended"));
    }

    fn started(&self, files: usize, rows: u64, labeled: u64) {
        let mut state = self.state();
        (state.files, state.rows, state.before, state.done) = (files, rows, labeled, labeled);
        state.started = Instant::now();
        if let Shown::Bar(bar) = &state.shown {
            bar.set_draw_target(ProgressDrawTarget::stderr());
            bar.set_length(rows);
            bar.set_position(labeled);
            bar.enable_steady_tick(Duration::from_secs(1));
        }
    }

    fn file_started(&self, _: &str) {
        let mut state = self.state();
        state.file += 1;
        state.show();
    }

    fn rows_labeled(&self, rows: u64, tokens: u64) {
        let mut state = self.state();
        state.done += rows;
        state.tokens += tokens;
        state.show();
    }

    fn rows_dropped(&self, rows: u64) {
        let mut state = self.state();
        state.rows = state.rows.saturating_sub(rows);
        if let Shown::Bar(bar) = &state.shown {
            bar.set_length(state.rows);
        }
    }

    fn set_aside(&self, what: &SetAside) {
        self.say(&format!("Skipped: {what}"));
    }

    fn finished(&self) {
        if let Shown::Bar(bar) = &self.state().shown {
            bar.finish_and_clear();
        }
    }
}

impl State {
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Rows per second in this run.
    fn rate(&self) -> f64 {
        (self.done - self.before) as f64 / self.elapsed().as_secs_f64().max(1e-3)
    }

    fn show(&mut self) {
        let line = self.line();
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(self.done);
                bar.set_message(line);
            }
            Shown::Lines { last } if last.elapsed() >= LINES_EVERY => {
                *last = Instant::now();
                say(line);
            }
            Shown::Lines { .. } | Shown::Nothing => {}
        }
    }

    fn line(&self) -> String {
        let tokens = self.tokens as f64 / self.elapsed().as_secs_f64().max(1e-3);
        format!(
            "{} of {} rows, {} rows/s, {} tokens/s, {} left, file {} of {}",
            grouped(self.done),
            grouped(self.rows),
            grouped(whole(self.rate())),
            grouped(whole(tokens)),
            duration(self.remaining()),
            self.file.max(1),
            self.files
        )
    }

    /// The time that the rows left take; `None` before a rate is known.
    fn remaining(&self) -> Option<Duration> {
        let (left, rate) = (self.rows - self.done.min(self.rows), self.rate());
        (rate > 0.0).then(|| Duration::try_from_secs_f64(left as f64 / rate).ok())?
    }
}
