use crate::job::error::LabelError;

/// Why a file is not labeled.
pub enum Failure {
    /// Something is wrong with the file, or with a row group of it: others can go on.
    Input(Option<usize>, LabelError),
    /// Somebody asked to stop.
    Stopped,
    Other(LabelError),
}

impl From<LabelError> for Failure {
    fn from(error: LabelError) -> Self {
        match error {
            LabelError::Classify(emotion_classifier::Error::Cancelled) => Self::Stopped,
            other => Self::Other(other),
        }
    }
}
