//! When the work on a file ends before the file is complete.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::job::cancel::Cancel;

/// The first file, in the order of a job, that failed. Those before it are completed, as if files were labeled one
/// after the other; those after it keep what they have.
pub struct FirstFailed(AtomicUsize);

impl FirstFailed {
    pub fn none() -> Self {
        Self(AtomicUsize::new(usize::MAX))
    }

    pub fn report(&self, file: usize) {
        self.0.fetch_min(file, Relaxed);
    }
}

/// What ends the work on a file: the job is cancelled, or a file before it failed.
#[derive(Clone, Copy)]
pub struct Stop<'a> {
    cancel: &'a Cancel,
    failed: &'a FirstFailed,
    file: usize,
}

impl<'a> Stop<'a> {
    pub fn new(cancel: &'a Cancel, failed: &'a FirstFailed, file: usize) -> Self {
        Self { cancel, failed, file }
    }

    pub fn is_asked(self) -> bool {
        self.cancel.is_cancelled() || self.file > self.failed.0.load(Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_file_stops_those_after_it() {
        let (cancel, failed) = (Cancel::default(), FirstFailed::none());
        let asked = || [0, 1, 2].map(|file| Stop::new(&cancel, &failed, file).is_asked());
        assert_eq!(asked(), [false; 3]);
        failed.report(1);
        failed.report(2);
        assert_eq!(asked(), [false, false, true]);
        cancel.cancel();
        assert_eq!(asked(), [true; 3]);
    }
}
