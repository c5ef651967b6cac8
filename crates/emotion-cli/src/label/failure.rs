use anyhow::Error;

/// Why a file is not labeled.
pub enum Failure {
    /// Something is wrong with the file, or with a row group of it: others can go on.
    Input(Option<usize>, Error),
    /// Somebody asked to stop.
    Stopped,
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error.downcast_ref() {
            Some(emotion_classifier::Error::Cancelled) => Self::Stopped,
            _ => Self::Other(error),
        }
    }
}
