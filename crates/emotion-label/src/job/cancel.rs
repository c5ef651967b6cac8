//! A request to stop a job.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use tokio::sync::Notify;

/// A request to stop a job. Clones are the same request, for another thread.
///
/// A job that is cancelled keeps the labels that it has, and ends with [`LabelError::Cancelled`].
///
/// [`LabelError::Cancelled`]: crate::job::LabelError::Cancelled
#[derive(Debug, Clone, Default)]
pub struct Cancel(Arc<Request>);

#[derive(Debug, Default)]
struct Request {
    is_made: AtomicBool,
    made: Notify,
}

impl Cancel {
    /// Asks the job to stop.
    pub fn cancel(&self) {
        self.0.is_made.store(true, Relaxed);
        self.0.made.notify_waiters();
    }

    /// Whether the job has been asked to stop.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.0.is_made.load(Relaxed)
    }

    /// Waits until the job is asked to stop.
    pub(crate) async fn cancelled(&self) {
        let made = self.0.made.notified();
        if !self.is_cancelled() {
            made.await;
        }
    }

    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0.is_made
    }
}
