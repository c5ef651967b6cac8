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

impl From<LabelError> for Failure {
    fn from(error: LabelError) -> Self {
        match error {
            LabelError::Classify(emotion_classifier::Error::Cancelled) => Self::Stopped,
            other => Self::Other(other),
        }
    }
}
