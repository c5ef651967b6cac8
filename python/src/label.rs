use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::str::FromStr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use datafusion_emotion::emotion_classifier::{Classifier, Compute, Precision};
use emotion_label::format::Format;
use emotion_label::job::{self, Cancel, Codec, LabelJob, LabelJobBuilder, Summary, message};
use encoding_rs::Encoding;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError, PyValueError};
use pyo3::prelude::*;

use crate::process;
use crate::progress::Progress;

create_exception!(datafusion_emotion, LabelError, PyException, "A labeling job that ended without all its labels.");

/// Time between two updates of the display, which are also the checks for an interrupt from the keyboard.
const UPDATE_EVERY: Duration = Duration::from_millis(100);

/// Labels files, and returns the summary as JSON.
///
/// `options` are those of `emotion label`, with underscores. `display` has the methods `show(progress)` and
/// `say(line)`, which this thread calls.
#[pyfunction]
pub(crate) fn label(
    py: Python<'_>,
    inputs: Vec<String>,
    text: &str,
    output: &str,
    options: BTreeMap<String, String>,
    display: &Bound<'_, PyAny>,
) -> PyResult<String> {
    process::check()?;
    let job = py.detach(|| build(inputs, text, output, &options))?;
    let (progress, cancel) = (Arc::new(Progress::default()), Cancel::default());
    let (observer, request) = (Arc::clone(&progress), cancel.clone());
    let worker = thread::spawn(move || run(&job, &observer, &request));
    let mut interrupt = None;
    while !worker.is_finished() {
        py.detach(|| thread::park_timeout(UPDATE_EVERY));
        let shown = py.check_signals().and_then(|()| progress.show(display));
        if let Err(error) = shown {
            cancel.cancel();
            interrupt.get_or_insert(error);
        }
    }
    let result = worker.join().map_err(|_| PyRuntimeError::new_err("the labeling job panicked"))?;
    if let Some(error) = interrupt {
        return Err(error);
    }
    let summary = result.map_err(|error| LabelError::new_err(in_python(&message(&error))))?;
    progress.show(display)?;
    serde_json::to_string(&summary).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

fn run(job: &LabelJob, progress: &Progress, cancel: &Cancel) -> Result<Summary, job::LabelError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { job.plan().await?.run(progress, cancel).await })
}

/// The job of these options.
fn build(inputs: Vec<String>, text: &str, output: &str, options: &BTreeMap<String, String>) -> PyResult<LabelJob> {
    let mut job = LabelJob::builder(classifier(options)?, inputs, text, output);
    for (name, value) in options {
        job = with_option(job, name, value).map_err(|reason| invalid(name, value, reason))?;
    }
    Ok(job.build())
}

fn with_option(job: LabelJobBuilder, name: &str, value: &str) -> Result<LabelJobBuilder, String> {
    Ok(match name {
        "columns" => job.columns(parse(value)?),
        "format" => job.format(format(value)?),
        "compression" => job.codec(codec(value)?),
        "row_group_rows" => job.row_group_rows(parse(value)?),
        "delimiter" => job.delimiter(ascii(value)?),
        "escape" => job.escape(ascii(value)?),
        "encoding" => job.encoding(encoding(value)?),
        "keep_going" => job.keep_going(value == "True"),
        "restart" => job.restart(value == "True"),
        "commit_every" => job.commit_every(seconds(value)?),
        "long_text" => job.long_text(parse(value)?),
        "threshold" => job.threshold(probability(value)?),
        _ => job,
    })
}

/// The model that the options name, or the built-in one.
fn classifier(options: &BTreeMap<String, String>) -> PyResult<Arc<Classifier>> {
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

fn option<T: FromStr<Err: ToString>>(options: &BTreeMap<String, String>, name: &str) -> PyResult<Option<T>> {
    let value = options.get(name).map(|value| parse(value).map_err(|reason| invalid(name, value, reason)));
    value.transpose()
}

fn invalid(name: &str, value: &str, reason: String) -> PyErr {
    PyValueError::new_err(format!("{name} cannot be '{value}': {reason}"))
}

fn parse<T: FromStr<Err: ToString>>(value: &str) -> Result<T, String> {
    value.parse().map_err(|error: T::Err| error.to_string())
}

fn format(name: &str) -> Result<Format, String> {
    let formats = [Format::Parquet, Format::Csv, Format::Tsv, Format::Json, Format::Arrow];
    let found = formats.into_iter().find(|format| format.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| "it must be 'parquet', 'csv', 'tsv', 'json' or 'arrow'".into())
}

fn codec(name: &str) -> Result<Codec, String> {
    let codecs = [Codec::Zstd, Codec::Snappy, Codec::Gzip, Codec::Brotli, Codec::Lz4, Codec::None];
    let found = codecs.into_iter().find(|codec| codec.name().eq_ignore_ascii_case(name));
    found.ok_or_else(|| "it must be 'zstd', 'snappy', 'gzip', 'brotli', 'lz4' or 'none'".into())
}

fn ascii(text: &str) -> Result<u8, String> {
    match text.as_bytes() {
        [byte] if byte.is_ascii() => Ok(*byte),
        _ => Err("it must be one ASCII character".into()),
    }
}

fn encoding(name: &str) -> Result<&'static Encoding, String> {
    let found = Encoding::for_label(name.as_bytes());
    found.ok_or_else(|| "it must be the name of an encoding, such as utf-8, utf-16le or windows-1252".into())
}

fn seconds(value: &str) -> Result<Duration, String> {
    let time = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "it must be a number of seconds".into())
}

fn probability(value: &str) -> Result<f32, String> {
    let probability = value.parse().ok().filter(|probability| (0.0..=1.0).contains(probability));
    probability.ok_or_else(|| "it must be a probability from 0 to 1".into())
}

/// Options as messages of the job spell them, and as Python does.
const SPELLINGS: [(&str, &str); 19] = [
    ("--keep-going", "keep_going=True"),
    ("--restart", "restart=True"),
    ("--format parquet", "format='parquet'"),
    ("--format arrow", "format='arrow'"),
    ("--format json", "format='json'"),
    ("--columns", "columns="),
    ("--compression", "compression="),
    ("--delimiter", "delimiter="),
    ("--encoding", "encoding="),
    ("--escape", "escape="),
    ("--format", "format="),
    ("--max-length", "max_length="),
    ("--output", "output="),
    ("--precision", "precision="),
    ("--row-group-rows", "row_group_rows="),
    ("--text '", "text='"),
    ("--text", "text="),
    ("--threshold", "threshold="),
    ("the same command", "the same call"),
];

/// A message of the job, which names options as the program does, for a caller in Python.
fn in_python(message: &str) -> String {
    SPELLINGS.iter().fold(message.into(), |message: String, (program, python)| message.replace(program, python))
}
