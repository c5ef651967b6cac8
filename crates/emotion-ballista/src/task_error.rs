//! Errors of tasks. Ballista sends the debug representation of a task's error; a [`TaskError`] can be restored from it
//! without loss.

use std::error::Error;
use std::fmt;

use datafusion::error::DataFusionError;
use serde::{Deserialize, Serialize};

/// Precedes the JSON of an error.
const MARK: &str = "emotion-task-error:";

/// An error of a task, whose debug representation is [`MARK`] and JSON.
#[derive(Serialize, Deserialize)]
pub(crate) struct TaskError {
    kind: Kind,
    message: String,
}

/// The variants of [`DataFusionError`] that a session distinguishes.
#[derive(Serialize, Deserialize)]
enum Kind {
    Plan,
    Configuration,
    Execution,
    Other,
}

impl TaskError {
    /// Converts an error to a `TaskError`. Errors that Ballista handles itself, by retrying the task, do not change.
    #[cfg(feature = "server")]
    pub(crate) fn encode(error: DataFusionError) -> DataFusionError {
        let (kind, message) = match cause(&error) {
            None => return error,
            Some(DataFusionError::External(cause)) => (Kind::Other, cause.to_string()),
            Some(DataFusionError::Plan(message)) => (Kind::Plan, message.clone()),
            Some(DataFusionError::Configuration(message)) => (Kind::Configuration, message.clone()),
            Some(DataFusionError::Execution(message)) => (Kind::Execution, message.clone()),
            Some(other) => (Kind::Other, other.strip_backtrace()),
        };
        DataFusionError::External(Box::new(Self { kind, message }))
    }

    /// The error of a task in a message from the cluster; `error` itself if its message contains none.
    pub(crate) fn decode(error: DataFusionError) -> DataFusionError {
        let message = error.find_root().strip_backtrace();
        let json = message.split_once(MARK).map(|(_, json)| json);
        let read = |json| serde_json::Deserializer::from_str(json).into_iter::<Self>().next()?.ok();
        let Some(Self { kind, message }) = json.and_then(read) else { return error };
        match kind {
            Kind::Plan => DataFusionError::Plan(message),
            Kind::Configuration => DataFusionError::Configuration(message),
            Kind::Execution => DataFusionError::Execution(message),
            Kind::Other => DataFusionError::External(message.into()),
        }
    }
}

/// The innermost error; `None` if Ballista handles it.
#[cfg(feature = "server")]
fn cause(error: &DataFusionError) -> Option<&DataFusionError> {
    use ballista_core::error::BallistaError;
    match error.find_root() {
        DataFusionError::IoError(_) => None,
        root @ DataFusionError::External(inner) => match inner.downcast_ref() {
            Some(BallistaError::DataFusionError(inner)) => cause(inner),
            Some(_) => None,
            None => Some(root),
        },
        root => Some(root),
    }
}

impl fmt::Debug for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{MARK}{}", serde_json::to_string(self).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for TaskError {}

#[cfg(all(test, feature = "server"))]
mod tests {
    use std::sync::Arc;

    use ballista_core::error::BallistaError;
    use ballista_core::serde::protobuf::FailedTask;
    use datafusion::arrow::error::ArrowError;

    use super::*;

    /// What the session receives of an error that arises in a task.
    fn received(error: DataFusionError) -> DataFusionError {
        let task = FailedTask::from(BallistaError::DataFusionError(Box::new(TaskError::encode(error))));
        TaskError::decode(DataFusionError::Execution(format!("Job 1 failed: {}", task.error)))
    }

    #[test]
    fn an_error_is_received_as_it_arose() {
        for error in [
            DataFusionError::Plan("'even' is not a label:\n it has \"joy\" }".into()),
            DataFusionError::Configuration("no C:\\model".into()),
            DataFusionError::Execution("stopped".into()),
            DataFusionError::External("the model's logits are not finite".into()),
        ] {
            let expected = error.to_string();
            let nested =
                DataFusionError::Shared(Arc::new(DataFusionError::Context("in a task".into(), Box::new(error))));
            assert_eq!(received(nested).to_string(), expected);
        }
        let arrow = DataFusionError::ArrowError(Box::new(ArrowError::DivideByZero), None);
        assert!(received(arrow).to_string().contains("Divide by zero"));
    }

    #[test]
    fn an_input_or_output_error_is_left_to_ballista() {
        for error in [
            DataFusionError::IoError(std::io::Error::other("disk")),
            DataFusionError::External(Box::new(BallistaError::IoError(std::io::Error::other("disk")))),
        ] {
            let task = FailedTask::from(BallistaError::DataFusionError(Box::new(TaskError::encode(error))));
            assert!(task.retryable);
        }
    }

    #[test]
    fn any_other_message_stays_as_it_is() {
        for message in ["Job 1 failed: no executors", "emotion-task-error:{\"kind\":\"Pl"] {
            let error = TaskError::decode(DataFusionError::Execution(message.into()));
            assert!(error.to_string().contains(message), "{error}");
        }
    }
}
