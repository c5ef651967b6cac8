//! The progress of downloads.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// A file of a model of the hub that is being downloaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Download<'a> {
    /// The model: `owner/name`.
    pub model: &'a str,
    /// The file's name in the model's folder.
    pub file: &'a str,
    /// The bytes that are here.
    pub bytes: u64,
    /// The size of the file in bytes.
    pub size: u64,
}

type Observer = Arc<dyn Fn(&Download) + Send + Sync>;

static OBSERVER: RwLock<Option<Observer>> = RwLock::new(None);

/// Calls `observer` while files are downloaded from the hub: when a file begins, after each part, and when it is
/// complete.
///
/// A process has one observer, because models are loaded wherever a query names them; a later one replaces it. It is
/// called on the thread that downloads.
pub fn observe_downloads(observer: impl Fn(&Download) + Send + Sync + 'static) {
    *OBSERVER.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(observer));
}

pub(crate) fn report(download: &Download) {
    let observer = OBSERVER.read().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(observer) = observer {
        observer(download);
    }
}

impl fmt::Display for Download<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.file, self.model)
    }
}
