use std::any::Any;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;

use crate::job::error::LabelError;

/// Why a file is not labeled.
pub enum Failure {
    /// Something is wrong with the file, or with a row group of it: others can go on.
    Input(Option<usize>, LabelError),
    /// Somebody asked to stop.
    Stopped,
    Other(LabelError),
}

impl Failure {
    /// The failure, of which a lack of file descriptors is not the input's.
    pub fn without_descriptors(self) -> Self {
        match self {
            Self::Input(_, error) if error.lacks_descriptors() => Self::Other(error),
            other => other,
        }
    }
}

/// Works on a file or a row group of it. Readers of damaged files may panic, which is a failure of this file alone.
pub async fn caught<T>(row_group: Option<usize>, work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result.unwrap_or_else(|panic| {
        let what = format!("the file is damaged, or its reader has a fault: {}", text(&*panic));
        Err(Failure::Input(row_group, LabelError::Damaged(what)))
    })
}

fn text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref().copied()).unwrap_or("it panicked")
}

impl From<LabelError> for Failure {
    fn from(error: LabelError) -> Self {
        match error {
            LabelError::Classify(emotion_classifier::Error::Cancelled) => Self::Stopped,
            other => Self::Other(other),
        }
    }
}
