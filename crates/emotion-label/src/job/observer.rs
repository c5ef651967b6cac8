//! What a job tells of its work while it runs.

use crate::job::summary::SetAside;

/// Follows a job while it runs. Its methods are called from several threads and must return at once; by default they
/// do nothing.
///
/// `()` is an observer that does nothing.
pub trait Observer: Send + Sync {
    /// The output is locked, perhaps by a run that was killed. The job waits this long to find out.
    fn waiting(&self, output: &str, time: std::time::Duration) {
        let _ = (output, time);
    }

    /// The work begins: so many files and rows in all, of which `labeled` rows had been labeled before.
    fn started(&self, files: usize, rows: u64, labeled: u64) {
        let _ = (files, rows, labeled);
    }

    /// The work on a file begins.
    fn file_started(&self, file: &str) {
        let _ = file;
    }

    /// Rows were labeled, whose texts had so many tokens that were inferred.
    fn rows_labeled(&self, rows: u64, tokens: u64) {
        let _ = (rows, tokens);
    }

    /// Rows that were counted will not be labeled, since their row group cannot be read.
    fn rows_dropped(&self, rows: u64) {
        let _ = rows;
    }

    /// A file or a row group is left out for an error.
    fn set_aside(&self, what: &SetAside) {
        let _ = what;
    }

    /// The work is over, with or without an error.
    fn finished(&self) {}
}

impl Observer for () {}
