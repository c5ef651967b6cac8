//! A request to stop a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// A request to stop a job. Clones are the same request, for another thread.
///
/// A job that is cancelled keeps the labels that it has, and ends with [`LabelError::Cancelled`].
///
/// [`LabelError::Cancelled`]: crate::job::LabelError::Cancelled
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<AtomicBool>);

impl Cancel {
    /// Asks the job to stop.
    pub fn cancel(&self) {
        self.0.store(true, Relaxed);
    }

    /// Whether the job has been asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.load(Relaxed)
    }

    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }
}
