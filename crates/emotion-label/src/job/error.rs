//! Why a job ends without its labels.

use std::error::Error;
use std::io;

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

/// The codes of the system for too many open files, of the machine and of a process.
const TOO_MANY_OPEN_FILES: &[i32] = if cfg!(windows) { &[4] } else { &[23, 24] };

impl LabelError {
    /// Whether a file could not be opened because too many are open.
    pub(crate) fn lacks_descriptors(&self) -> bool {
        let has_code = |code| TOO_MANY_OPEN_FILES.contains(&code);
        let causes = std::iter::successors(Some(self as &(dyn Error + 'static)), |&error| cause(error));
        let mut systems = causes.filter_map(|error| error.downcast_ref::<io::Error>());
        systems.any(|error| error.raw_os_error().is_some_and(has_code))
    }
}

/// The cause of an error, also where the error stands for it and shows only the cause of that.
fn cause<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a (dyn Error + 'static)> {
    let in_box = || error.downcast_ref::<Box<LabelError>>().map(|error| &**error);
    if let Some(LabelError::Values(cause)) = error.downcast_ref().or_else(in_box) {
        return Some(&**cause);
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(cause) => Some(cause),
        None => error.source(),
    }
}

/// What becomes of the work so far.
const KEPT: &str = "stopped; the finished labels are kept; run the same command again to continue";

fn remedy(file: &str, row_group: Option<usize>) -> String {
    match row_group {
        Some(row_group) => format!(
            "cannot read row group {row_group} of '{file}': write the file again, or label the rest with --keep-going"
        ),
        None => format!("cannot label '{file}' (fix it, remove it, or label the others with --keep-going)"),
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
    io::Error,
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
    if lacks_ranges(error) {
        message.push_str("; the server sends no parts of files: download the file first");
    }
    message
}

/// Whether a server did not send a part of a file.
fn lacks_ranges(error: &(dyn Error + 'static)) -> bool {
    let is_refusal = |error: &(dyn Error + 'static)| match error.downcast_ref() {
        Some(object_store::Error::NotSupported { source }) => source.to_string().starts_with("Range request"),
        _ => false,
    };
    std::iter::successors(Some(error), |&error| cause(error)).any(is_refusal)
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
    fn a_lack_of_descriptors_is_found_among_the_causes() {
        let error = |code| {
            let source = Box::new(io::Error::other(io::Error::from_raw_os_error(code)));
            LabelError::from(object_store::Error::Generic { store: "LocalFileSystem", source })
        };
        assert!(error(TOO_MANY_OPEN_FILES[0]).lacks_descriptors());
        assert!(LabelError::from(io::Error::from_raw_os_error(TOO_MANY_OPEN_FILES[0])).lacks_descriptors());
        assert!(!error(2).lacks_descriptors());
    }

    #[test]
    fn files_of_a_server_without_ranges_are_to_be_downloaded() {
        let refusal = || object_store::Error::NotSupported { source: "Range request not supported by a.csv".into() };
        let label = LabelError::Input { file: "a.csv".into(), row_group: None, source: Box::new(refusal().into()) };
        let sql = DataFusionError::ObjectStore(Box::new(refusal()));
        for error in [&label as &(dyn Error + 'static), &sql] {
            assert!(message(error).ends_with("download the file first"), "{}", message(error));
        }
        assert!(
            !message(&LabelError::from(object_store::Error::NotImplemented {
                operation: "get".into(),
                implementer: "test".into(),
            }))
            .contains("download")
        );
    }

    #[test]
    fn a_message_has_each_cause_once() {
        let inner = DataFusionError::External("no such key".into());
        let failed = Err::<(), _>(inner).with_context(|| "cannot read 'a.csv'").unwrap_err();
        let error = LabelError::Stopped(Box::new(failed));
        assert_eq!(message(&error), format!("{KEPT}: cannot read 'a.csv': no such key"));
    }
}
