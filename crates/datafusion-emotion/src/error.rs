use arrow::datatypes::DataType;
use datafusion::error::DataFusionError;

/// Why a function of this crate could not be planned or run. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a string.
    #[error("{function} takes a text (a string column), not {given}: {}", cure(.function, .given))]
    WrongType {
        /// The function's name.
        function: String,
        /// The type of the argument.
        given: DataType,
    },

    /// There are too few or too many arguments.
    #[error("{function} is called as {function}{takes}, not with {given} arguments")]
    WrongCount {
        /// The function's name.
        function: String,
        /// The arguments it takes, such as `(text [, model])`.
        takes: &'static str,
        /// How many there were.
        given: usize,
    },

    /// A label or the name of a model is neither a string nor a column of strings.
    #[error("{function}: the {argument} must be a string, not {given}")]
    WrongArgument {
        /// The function's name.
        function: String,
        /// Which argument it is.
        argument: &'static str,
        /// The type that was given.
        given: DataType,
    },

    /// The name of a model depends on the row, so that no plan can be made.
    #[error("{function}: the name of a model must be written out, as in {function}(text, 'name')")]
    ModelNotLiteral {
        /// The function's name.
        function: String,
    },

    /// The model has no such label.
    #[error("'{label}' is not a label of the model '{model}'{}: it has {known}", nearest(.label, .labels))]
    UnknownLabel {
        /// The label that was given.
        label: String,
        /// The model's name.
        model: String,
        /// The labels it has.
        labels: Vec<String>,
        /// The labels it has, to be read.
        known: String,
    },

    /// There is no model of that name.
    #[error(
        "there is no model '{name}'{}: it must be one of {known}; CREATE FUNCTION {name}(STRING) RETURNS STRING \
         LANGUAGE DISTILBERT AS '<folder or hub id>' makes one",
        nearest(.name, .names)
    )]
    UnknownModel {
        /// The name that was given.
        name: String,
        /// The names there are.
        names: Vec<String>,
        /// The names there are, to be read.
        known: String,
    },

    /// A model of the query cannot be loaded on a machine that is to run a part of it.
    #[error(
        "{place} has no model '{model}': {reason}; put the same model at the same place on every machine, or on storage \
         that all share"
    )]
    ModelNotThere {
        /// The machine.
        place: String,
        /// Folder or hub id of the model.
        model: String,
        /// Why it could not be loaded.
        reason: String,
    },

    /// `CREATE FUNCTION` asks for what cannot be made.
    #[error("CREATE FUNCTION {name}: {reason}")]
    CreateFunction {
        /// The function's name.
        name: String,
        /// What is wrong, and the cure.
        reason: String,
    },

    /// An option under `emotion.` has a value that it cannot take.
    #[error("emotion.{option} cannot be '{value}': {reason}")]
    Option {
        /// The option's name.
        option: String,
        /// The value that was given.
        value: String,
        /// What it can be.
        reason: String,
    },

    /// The functions name no model, and none is built in.
    #[error(
        "no model is built into this program: choose one by SET emotion.model = '<folder or hub id>', or build with the \
         feature default-model"
    )]
    NoBuiltInModel,

    /// The model could not be loaded, or could not classify a text.
    #[error(transparent)]
    Model(#[from] emotion_classifier::Error),
}

impl Error {
    pub(crate) fn option(option: &str, value: &str, reason: impl std::fmt::Display) -> Self {
        Self::Option { option: option.into(), value: value.into(), reason: reason.to_string() }
    }

    pub(crate) fn unknown_label(label: &str, model: &str, labels: &[std::sync::Arc<str>]) -> Self {
        let labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
        Self::UnknownLabel { label: label.into(), model: model.into(), known: labels.join(", "), labels }
    }

    pub(crate) fn unknown_model(name: &str, names: Vec<String>) -> Self {
        Self::UnknownModel { name: name.into(), known: names.join(", "), names }
    }
}

/// How to get texts from a value of another type.
fn cure(function: &str, given: &DataType) -> String {
    match given {
        DataType::Struct(_) | DataType::Map(..) => format!("name a field of it, as in {function}(x['text'])"),
        list if list.is_nested() => {
            format!("take the items of the list apart, as in SELECT {function}(x) FROM (SELECT unnest(xs) AS x FROM t)")
        }
        _ => format!("cast it, as in {function}(CAST(x AS VARCHAR))"),
    }
}

/// `, did you mean 'joy'?` if one of `names` is much like `name`.
fn nearest(name: &str, names: &[String]) -> String {
    let distance = |other: &String| strsim::damerau_levenshtein(&name.to_lowercase(), &other.to_lowercase());
    let best = names.iter().min_by_key(|other| distance(other));
    best.filter(|other| distance(other) <= name.len() / 2)
        .map_or(String::new(), |best| format!(" (did you mean '{best}'?)"))
}

impl From<Error> for DataFusionError {
    fn from(error: Error) -> Self {
        match error {
            Error::Model(_) => Self::External(Box::new(error)),
            Error::Option { .. } => Self::Configuration(error.to_string()),
            _ => Self::Plan(error.to_string()),
        }
    }
}
