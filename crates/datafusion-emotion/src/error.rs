use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;

/// Why a function of this crate could not be planned or run. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The argument is not a string.
    #[error("{function} takes a text (a string column), not {given}: cast it, as in {function}(CAST(x AS VARCHAR))")]
    WrongType {
        /// The function's name.
        function: &'static str,
        /// The type of the argument.
        given: DataType,
    },

    /// The model could not be loaded, or could not classify a text.
    #[error(transparent)]
    Model(#[from] distilbert::Error),
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::WrongType { .. } => Self::Plan(error.to_string()),
            Error::Model(_) => Self::External(Box::new(error)),
        }
    }
}
