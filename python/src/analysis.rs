use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_emotion::EmotionExt;
use datafusion_emotion::emotion_classifier::ClassifyOptions;
use emotion_label::analysis::{self, Evaluation, Evaluator, Report, ReportColumns, TableFiles};
use emotion_label::file_tables::{Readers, set_defaults, with_files};
use emotion_label::job::{Cancel, message};
use pyo3::create_exception;
use pyo3::exceptions::{PyException, PyRuntimeError};
use pyo3::prelude::*;

use crate::function::to_python;
use crate::interrupt::interruptible;
use crate::model::{Options, ascii, classifier, option, option_of, probability};
use crate::process;
use crate::spelling::in_python;

create_exception!(datafusion_emotion, AnalysisError, PyException, "An evaluation or a report that cannot be made.");

/// Evaluates a model on files whose labels are known. Returns the figures as JSON, and a page that shows them.
#[pyfunction]
pub(crate) fn evaluate(
    py: Python<'_>,
    inputs: Vec<String>,
    text: &str,
    label: &str,
    options: Options,
) -> PyResult<(String, String)> {
    process::check()?;
    let cancel = Cancel::default();
    let evaluator = py.detach(|| evaluator(&options, text, label))?.cancelled_by(cancel.clone());
    let files = files(inputs, &options)?;
    let context = session(SessionConfig::new().with_target_partitions(1), &Options::new())?;
    let evaluation = interruptible(py, &cancel, move || run(measure(evaluator, &context, &files)), || Ok(()))??;
    let figures = serde_json::to_string(&evaluation).map_err(|error| PyRuntimeError::new_err(error.to_string()))?;
    Ok((figures, evaluation.html()))
}

/// Makes a report on the emotions in files. Returns the number of its texts, and the page.
///
/// `columns` are those of [`ReportColumns`] by their names.
#[pyfunction]
pub(crate) fn report(
    py: Python<'_>,
    inputs: Vec<String>,
    mut columns: Options,
    title: String,
    options: Options,
) -> PyResult<(u64, String)> {
    process::check()?;
    let mut column = |name: &str| columns.remove(name);
    let columns = ReportColumns {
        label: column("label"),
        score: column("score"),
        text: column("text"),
        time: column("time"),
        by: column("by"),
    };
    let files = files(inputs, &options)?;
    let context = session(SessionConfig::new(), &options)?;
    let cancel = Cancel::default();
    let request = cancel.clone();
    let work = move || run(Report::of(&context, &files, &columns, &title, &request));
    let report = interruptible(py, &cancel, work, || Ok(()))??;
    Ok((report.texts, report.html))
}

fn evaluator(options: &Options, text: &str, label: &str) -> PyResult<Evaluator> {
    let mut of_texts = ClassifyOptions::default().long_text(option(options, "long_text")?.unwrap_or_default());
    of_texts.threshold = option_of(options, "threshold", probability)?;
    Evaluator::new(classifier(options)?, of_texts, text, label).map_err(error)
}

async fn measure(
    mut evaluator: Evaluator,
    context: &SessionContext,
    files: &TableFiles,
) -> Result<Evaluation, analysis::AnalysisError> {
    for file in &files.names {
        evaluator.add_file(context, files, file).await?;
    }
    evaluator.finish()
}

fn run<T>(work: impl Future<Output = Result<T, analysis::AnalysisError>>) -> PyResult<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(work).map_err(error)
}

fn files(names: Vec<String>, options: &Options) -> PyResult<TableFiles> {
    Ok(TableFiles { names, delimiter: option_of(options, "delimiter", ascii)? })
}

/// A session with names of files as tables and with the functions of the model that the options name.
fn session(mut config: SessionConfig, options: &Options) -> PyResult<SessionContext> {
    set_defaults(config.options_mut());
    let mut builder = SessionStateBuilder::new().with_config(config).with_default_features().with_emotion();
    let of_model = options.iter().filter(|(name, _)| *name != "delimiter");
    for (name, value) in of_model {
        let config = builder.config().get_or_insert_default().options_mut();
        config.set(&format!("emotion.{name}"), value).map_err(to_python)?;
    }
    Ok(with_files(SessionContext::new_with_state(builder.build()), Readers::Here))
}

fn error(error: analysis::AnalysisError) -> PyErr {
    AnalysisError::new_err(in_python(&message(&error)))
}
