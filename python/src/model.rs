use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;

use datafusion_emotion::emotion_classifier::{Classifier, Compute, Precision};
use emotion_label::job::message;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;

/// The options of a call by their names, which are those of the program with underscores.
pub(crate) type Options = BTreeMap<String, String>;

/// The model that the options name, or the built-in one.
pub(crate) fn classifier(options: &Options) -> PyResult<Arc<Classifier>> {
    let compute = Compute::from(option::<Precision>(options, "precision")?.unwrap_or_default())
        .backend(option(options, "backend")?.unwrap_or_default())
        .device(option(options, "device")?.unwrap_or_default());
    let (max_length, model) = (option::<NonZeroUsize>(options, "max_length")?, options.get("model"));
    if max_length.is_none() && model.is_none() && compute == Compute::default() {
        return Classifier::default_model().map_err(|error| PyRuntimeError::new_err(message(&error)));
    }
    let mut builder = Classifier::builder().compute(compute);
    if let Some(tokens) = max_length {
        builder = builder.max_length(tokens.get());
    }
    let classifier = match model {
        Some(model) => builder.open(model),
        None => builder.load_default_model(),
    };
    classifier.map(Arc::new).map_err(|error| PyValueError::new_err(message(&error)))
}

pub(crate) fn option<T: FromStr<Err: ToString>>(options: &Options, name: &str) -> PyResult<Option<T>> {
    option_of(options, name, parse)
}

pub(crate) fn option_of<T>(
    options: &Options,
    name: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> PyResult<Option<T>> {
    let value = options.get(name).map(|value| parse(value).map_err(|reason| invalid(name, value, reason)));
    value.transpose()
}

pub(crate) fn invalid(name: &str, value: &str, reason: String) -> PyErr {
    PyValueError::new_err(format!("{name} cannot be '{value}': {reason}"))
}

pub(crate) fn parse<T: FromStr<Err: ToString>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

pub(crate) fn ascii(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("it must be one ASCII character".into()),
    }
}

pub(crate) fn probability(value: &str) -> Result<f32, String> {
    let probability = value.parse().ok().filter(|probability| (0.0..=1.0).contains(probability));
    probability.ok_or_else(|| "it must be a probability from 0 to 1".into())
}
