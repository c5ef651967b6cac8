//! What one sees of a job while it runs, on the standard error.

use std::io::IsTerminal;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use crate::numbers::{duration, grouped, whole};

/// Time between two lines where there is no terminal.
const LINES_EVERY: Duration = Duration::from_secs(10);

/// What files that are under way at once tell of.
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
    pub fn new(files: usize, rows: u64, before: u64, is_quiet: bool) -> Self {
        let shown = if is_quiet {
            Shown::Nothing
        } else if std::io::stderr().is_terminal() {
            let style = ProgressStyle::with_template("{bar:25} {percent}% {msg}").expect("the template is right");
            let bar = ProgressBar::new(rows).with_style(style).with_position(before);
            bar.enable_steady_tick(Duration::from_secs(1));
            Shown::Bar(bar)
        } else {
            Shown::Lines { last: Instant::now() }
        };
        let started = Instant::now();
        Self(Mutex::new(State { shown, files, file: 0, rows, before, done: before, tokens: 0, started }))
    }

    /// The next file is under way.
    pub fn next_file(&self) {
        let mut state = self.state();
        state.file += 1;
        state.show();
    }

    pub fn add(&self, rows: u64, tokens: u64) {
        let mut state = self.state();
        state.done += rows;
        state.tokens += tokens;
        state.show();
    }

    /// Rows that will not be labeled after all.
    pub fn drop_rows(&self, rows: u64) {
        let mut state = self.state();
        state.rows = state.rows.saturating_sub(rows);
        if let Shown::Bar(bar) = &state.shown {
            bar.set_length(state.rows);
        }
    }

    /// Something that must be seen now.
    pub fn say(&self, line: &str) {
        match &self.state().shown {
            Shown::Bar(bar) => bar.suspend(|| eprintln!("{line}")),
            Shown::Lines { .. } | Shown::Nothing => eprintln!("{line}"),
        }
    }

    pub fn finish(&self) {
        if let Shown::Bar(bar) = &self.state().shown {
            bar.finish_and_clear();
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.state().started.elapsed()
    }

    /// Rows a second in this run.
    pub fn rate(&self) -> f64 {
        self.state().rate()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

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
                eprintln!("{line}");
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
            duration(remaining(self.rows - self.done.min(self.rows), self.rate())),
            self.file.max(1),
            self.files
        )
    }
}

/// How long so many rows take; `None` before a rate is known.
pub fn remaining(rows: u64, rate: f64) -> Option<Duration> {
    (rate > 0.0).then(|| Duration::try_from_secs_f64(rows as f64 / rate).ok())?
}
