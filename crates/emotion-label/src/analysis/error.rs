//! Why a table is not evaluated or reported on.

use std::error::Error;

use arrow::error::ArrowError;
use datafusion::error::DataFusionError;

pub(crate) type Result<T, E = AnalysisError> = std::result::Result<T, E>;

type BoxError = Box<dyn Error + Send + Sync>;

/// Why a table is not evaluated or reported on.
///
/// Its text is one line; [`message`](crate::job::message) adds those of its causes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AnalysisError {
    /// The files, the columns and their content do not fit together.
    #[error("{0}")]
    Refused(String),
    /// An operation failed; its source says why.
    #[error("{what}")]
    Failed {
        /// The operation.
        what: String,
        /// Why it failed.
        #[source]
        source: BoxError,
    },
    /// The classifier failed.
    #[error(transparent)]
    Classify(#[from] emotion_classifier::Error),
    /// A query failed.
    #[error(transparent)]
    Query(#[from] DataFusionError),
    /// Values cannot be converted.
    #[error(transparent)]
    Values(#[from] ArrowError),
    /// The analysis was cancelled.
    #[error("cancelled")]
    Cancelled,
}

/// A refusal with this message.
pub(crate) fn refused<T>(message: impl Into<String>) -> Result<T> {
    Err(AnalysisError::Refused(message.into()))
}

/// Adds to an error what was being done.
pub(crate) trait Context<T> {
    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<BoxError>> Context<T> for std::result::Result<T, E> {
    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| AnalysisError::Failed { what: what().into(), source: error.into() })
    }
}
