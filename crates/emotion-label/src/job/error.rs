//! Why a job ends without its labels.

use std::error::Error;

use datafusion::error::DataFusionError;

use crate::error::FileError;

/// The result of a part of a job.
pub(crate) type Result<T, E = LabelError> = std::result::Result<T, E>;

/// An error of another library.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a job ends without its labels.
///
/// Its text is one line; [`message`] adds those of its causes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// The inputs, the output and the options do not fit together, or name nothing.
    #[error("{0}")]
    Refused(String),
    /// The output, or the journal beside it, belongs to another job, to another run or to nobody.
    #[error("{0}")]
    Conflict(String),
    /// An input, or a row group of it, cannot be labeled.
    #[error("{}", remedy(.file, *.row_group))]
    Input {
        /// The name of the file, as messages show it.
        file: String,
        /// The row group of a Parquet file, where only one is at fault.
        row_group: Option<usize>,
        /// What is wrong with it.
        #[source]
        source: Box<LabelError>,
    },
    /// The content of a file is damaged.
    #[error("{0}")]
    Damaged(String),
    /// The content of an input is not what its format or the options demand.
    #[error(transparent)]
    File(#[from] FileError),
    /// An operation failed; its source is the error of a store, the file system or a library.
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
    /// Values cannot be read, converted or written.
    #[error(transparent)]
    Values(BoxError),
    /// An error stopped the job after its work had begun.
    #[error("{KEPT}")]
    Stopped(#[source] Box<LabelError>),
    /// The job was cancelled after its work had begun.
    #[error("{KEPT}")]
    Cancelled,
}

/// What becomes of the work so far.
const KEPT: &str = "stopped; what is labeled so far is kept, and the same command goes on from there";

fn remedy(file: &str, row_group: Option<usize>) -> String {
    match row_group {
        Some(row_group) => format!(
            "cannot read row group {row_group} of '{file}': write the file again, or label the rest with --keep-going"
        ),
        None => format!("cannot label '{file}': mend it, take it away, or label the others with --keep-going"),
    }
}

macro_rules! values {
    ($($error:ty),+) => {
        $(impl From<$error> for LabelError {
            fn from(error: $error) -> Self {
                Self::Values(error.into())
            }
        })+
    };
}

values!(
    arrow::error::ArrowError,
    parquet::errors::ParquetError,
    DataFusionError,
    object_store::Error,
    std::io::Error,
    serde_json::Error,
    tokio::task::JoinError
);

/// Adds to an error what was being done.
pub(crate) trait Context<T> {
    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T>;
}

impl<T, E: Into<BoxError>> Context<T> for Result<T, E> {
    fn with_context<S: Into<String>>(self, what: impl FnOnce() -> S) -> Result<T> {
        self.map_err(|error| LabelError::Failed { what: what().into(), source: error.into() })
    }
}

/// An error and its causes in one text, without those that an outer message repeats.
#[must_use]
pub fn message(error: &(dyn Error + 'static)) -> String {
    let (mut message, mut next) = (text(error), error.source());
    while let Some(cause) = next {
        let cause_text = text(cause);
        if !message.contains(&cause_text) {
            message = format!("{message}: {cause_text}");
        }
        next = cause.source();
    }
    message
}

/// The text of an error, without that of `DataFusion` around one that is not its own.
fn text(error: &(dyn Error + 'static)) -> String {
    match error.downcast_ref() {
        Some(DataFusionError::External(inner)) => inner.to_string(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_each_cause_once() {
        let inner = DataFusionError::External("no such key".into());
        let failed = Err::<(), _>(inner).with_context(|| "cannot read 'a.csv'").unwrap_err();
        let error = LabelError::Stopped(Box::new(failed));
        assert_eq!(message(&error), format!("{KEPT}: cannot read 'a.csv': no such key"));
    }
}
