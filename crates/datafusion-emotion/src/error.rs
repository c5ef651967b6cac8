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

    /// The function was called with another number of arguments than one.
    #[error("{function} takes one argument, the text, but got {given}: write {function}(text)")]
    WrongArguments {
        /// The function's name.
        function: &'static str,
        /// How many arguments it got.
        given: usize,
    },

    /// The model could not be loaded, or could not classify a text.
    #[error(transparent)]
    Model(#[from] distilbert::Error),
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        DataFusionError::External(Box::new(error))
    }
}
