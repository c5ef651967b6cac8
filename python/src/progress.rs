use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use emotion_label::job::{Observer, SetAside};
use pyo3::prelude::*;

/// The progress of a labeling job: its threads write it, and the thread of the caller shows it.
#[derive(Default)]
pub(crate) struct Progress(Mutex<State>);

#[derive(Default)]
struct State {
    counts: Counts,
    /// Lines that are not shown yet.
    lines: Vec<String>,
}

/// How far a labeling job is.
#[pyclass(frozen, get_all, skip_from_py_object, module = "datafusion_emotion")]
#[derive(Clone, Default)]
pub(crate) struct Counts {
    /// Whether the work has begun, so that the number of rows is known.
    is_started: bool,
    files: usize,
    /// Files whose work has begun in this run.
    files_started: usize,
    rows: u64,
    /// Rows that an earlier run labeled.
    rows_before: u64,
    rows_labeled: u64,
}

impl Progress {
    /// Passes the lines and the counts to a display in Python.
    pub(crate) fn show(&self, display: &Bound<'_, PyAny>) -> PyResult<()> {
        let (counts, lines) = {
            let mut state = self.state();
            (state.counts.clone(), std::mem::take(&mut state.lines))
        };
        for line in lines {
            display.call_method1("say", (line,))?;
        }
        if counts.is_started {
            display.call_method1("show", (counts,))?;
        }
        Ok(())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Observer for Progress {
    fn waiting(&self, output: &str, time: Duration) {
        let line = format!("'{output}' is locked; waiting {time:?} to see whether by a run that ended");
        self.state().lines.push(line);
    }

    fn started(&self, files: usize, rows: u64, labeled: u64) {
        let mut state = self.state();
        state.counts =
            Counts { is_started: true, files, rows, rows_before: labeled, rows_labeled: labeled, ..Counts::default() };
    }

    fn file_started(&self, _: &str) {
        self.state().counts.files_started += 1;
    }

    fn rows_labeled(&self, rows: u64, _tokens: u64) {
        self.state().counts.rows_labeled += rows;
    }

    fn rows_dropped(&self, rows: u64) {
        let counts = &mut self.state().counts;
        counts.rows = counts.rows.saturating_sub(rows);
    }

    fn set_aside(&self, what: &SetAside) {
        self.state().lines.push(format!("Skipped: {what}"));
    }
}
