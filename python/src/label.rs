use std::sync::Arc;
use std::time::Duration;

use emotion_label::format::Format;
use emotion_label::job::{self, Cancel, Codec, LabelJob, LabelJobBuilder, Summary, message};
use encoding_rs::Encoding;
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use crate::interrupt::interruptible;
use crate::model::{Options, ascii, classifier, invalid, parse, probability};
use crate::process;
use crate::progress::Progress;
use crate::spelling::in_python;

create_exception!(datafusion_emotion, LabelError, PyException, "A labeling job that ended without all its labels.");

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
    options: Options,
    display: &Bound<'_, PyAny>,
) -> PyResult<String> {
    process::check()?;
    let job = py.detach(|| build(inputs, text, output, &options))?;
    let (progress, cancel) = (Arc::new(Progress::default()), Cancel::default());
    let (observer, request) = (Arc::clone(&progress), cancel.clone());
    let work = move || run(&job, &observer, &request);
    let result = interruptible(py, &cancel, work, || progress.show(display))?;
    let summary = result.map_err(|error| LabelError::new_err(in_python(&message(&error))))?;
    progress.show(display)?;
    serde_json::to_string(&summary).map_err(|error| PyRuntimeError::new_err(error.to_string()))
}

fn run(job: &LabelJob, progress: &Progress, cancel: &Cancel) -> Result<Summary, job::LabelError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async { job.plan().await?.run(progress, cancel).await })
}

/// The job of these options.
fn build(inputs: Vec<String>, text: &str, output: &str, options: &Options) -> PyResult<LabelJob> {
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

fn encoding(name: &str) -> Result<&'static Encoding, String> {
    let found = Encoding::for_label(name.as_bytes());
    found.ok_or_else(|| "it must be the name of an encoding, such as utf-8, utf-16le or windows-1252".into())
}

fn seconds(value: &str) -> Result<Duration, String> {
    let time = value.parse().ok().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "it must be a number of seconds".into())
}
