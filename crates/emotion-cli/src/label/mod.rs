//! `emotion label`: labels for files of any size, which survive whatever happens on the way.

mod avro_blocks;
mod choices;
mod cluster;
mod columns;
mod compressor;
mod counts;
mod estimate;
mod failure;
mod format;
mod inputs;
mod job;
mod journal;
mod labeler;
mod labels;
mod lock;
mod parquet_object;
mod progress;
mod source;
mod storage;
mod summary;
#[cfg(test)]
mod tests;
mod texts;
mod typed;
mod write;

use std::io::Write;
use std::num::NonZeroUsize;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use datafusion::prelude::SessionContext;
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use emotion_classifier::{Classifier, ClassifyOptions, LongText};
use emotion_label::format::{FileType, Format};
use encoding_rs::Encoding;
use futures::{StreamExt, TryStreamExt};

use crate::character::ascii;
use crate::memory::peak_memory;
use crate::model::ModelArguments;
use crate::session::session;
use choices::Choices;
use cluster::Cluster;
use columns::Columns;
use failure::Failure;
use format::{Codec, OutputFormat, Target};
use inputs::Input;
use job::{Content, Job, Outcome, Task, cores, cure};
use journal::{JobKey, Journal, State};
use labeler::Labeler;
use progress::Progress;
use source::Source;
use storage::Storage;
use summary::{SetAside, Summary};

/// Exit code of a job that is complete but for what was set aside.
const SET_ASIDE: u8 = 3;

/// Exit code of a job that was asked to stop, as shells have it.
const STOPPED: u8 = 130;

/// What becomes of the work so far.
const KEPT: &str = "stopped; what is labeled so far is kept, and the same command goes on from there";

/// Files that are looked at side by side before the work begins.
const LOOKED_AT: usize = 16;

/// Label the texts of whole files: every column, type and row is kept, and labels are added
///
/// A job that was stopped, killed or cut off goes on where it was when the same command is given again, and ends
/// with the same bytes. A job that is done does nothing, or labels the files that have come since.
///
/// Exit codes: 0 all is labeled; 1 an error, after which the same command goes on; 2 wrong arguments;
/// 3 all is labeled but for what --keep-going set aside; 130 stopped by Ctrl-C.
#[derive(Args)]
#[expect(clippy::doc_markdown, reason = "shown as the program's help")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Arguments {
    /// Files, folders (with all that is in them) or patterns; also at s3://, gs://, az:// and https://
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,

    /// The column that holds the texts
    #[arg(long, value_name = "COLUMN")]
    text: String,

    /// The folder to write to, a file there for each input; for one input a file; also at s3://, gs:// and az://
    #[arg(short, long)]
    output: String,

    /// Which columns to add, under which names: label, labels (all that hold), score, scores (of all labels), truncated
    #[arg(long, value_name = "COLUMN[=NAME],…", default_value = "label,score")]
    columns: Columns,

    /// What to write [default: what the input is, or what the output's name ends in]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    /// How to compress Parquet [default: as in the input; of another format, zstd]
    #[arg(long, value_enum)]
    compression: Option<Codec>,

    /// Rows of a Parquet row group [default: as in the input; of another format, at most 1,048,576 rows and 128 MiB]
    #[arg(long, value_name = "ROWS")]
    row_group_rows: Option<NonZeroUsize>,

    /// Read the files as CSV with this character between fields, whatever their endings; \t is a tab
    #[arg(long, value_name = "CHARACTER", value_parser = ascii)]
    delimiter: Option<u8>,

    /// The character before a quote within a quoted field of a CSV file, such as \ [default: quotes are doubled]
    #[arg(long, value_name = "CHARACTER", value_parser = ascii)]
    escape: Option<u8>,

    /// The encoding of CSV files, such as windows-1252 or utf-16le [default: as the byte order mark says, or UTF-8]
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Option<&'static Encoding>,

    /// Texts with more tokens than the model takes: cut them, or average over windows
    #[arg(long, value_name = "truncate|window", default_value_t)]
    long_text: LongText,

    /// Go on after a file or a row group that cannot be read, and list it in an errors file
    #[arg(long)]
    keep_going: bool,

    /// Label again what was labeled otherwise, or has changed
    #[arg(long)]
    restart: bool,

    /// Say what would be done and how long it would take, and do nothing
    #[arg(long)]
    dry_run: bool,

    /// Seconds of work that a kill may cost
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    commit_every: u64,

    /// Print the summary as JSON
    #[arg(long)]
    json: bool,

    /// Show no progress and no summary
    #[arg(short, long)]
    quiet: bool,

    /// Label on the cluster of an emotion-scheduler, such as df://localhost:50050, whose executors see the inputs under
    /// the same names
    #[arg(long, value_name = "df://HOST:PORT")]
    cluster: Option<String>,

    #[command(flatten)]
    model: ModelArguments,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode> {
    let options = [
        // Rows in the order of the file, and all that is in a folder.
        ("datafusion.execution.target_partitions", "1".to_string()),
        ("datafusion.execution.listing_table_ignore_subdirectory", "false".to_string()),
        ("emotion.long_text", arguments.long_text.to_string()),
    ];
    // A model that is not the session's travels with each query.
    let of_model = arguments.model.options().filter(|(option, _)| *option != "emotion.model");
    let stores = Arc::new(InstrumentedObjectStoreRegistry::new());
    let context = session(options.into_iter().chain(of_model), stores).await?;
    if let Some(address) = &arguments.cluster {
        cluster::check(address, &context).await?;
    }
    let storage = Storage::open(&context, &arguments.output).await?;
    let classifier = arguments.model.load()?;
    let stop = Arc::new(AtomicBool::new(false));
    stop_when_asked(&stop);
    run_in(&context, storage, &arguments, classifier, stop).await
}

/// The whole job, with everything given that comes from outside.
async fn run_in(
    context: &SessionContext,
    storage: Storage,
    arguments: &Arguments,
    classifier: Arc<Classifier>,
    stop: Arc<AtomicBool>,
) -> Result<ExitCode> {
    let (inputs, other_files) =
        inputs::find(context, &arguments.inputs, arguments.delimiter.is_some(), &storage).await?;
    let format = arguments.output_format(&inputs, storage.file_type())?;
    let choices = arguments.choices(&classifier);
    let key = arguments.key(&classifier, format);
    let mut options = ClassifyOptions::default().long_text(arguments.long_text);
    options.threshold = arguments.model.threshold();
    let labeler = Arc::new(Labeler::new(classifier, options, arguments.columns.clone(), format));
    let targets = targets(&inputs, format, &storage)?;
    let planned = inputs.into_iter().zip(targets);
    if arguments.dry_run {
        let journal = Journal::look(storage, &key, arguments.restart).await?;
        let tasks = plan(context, &journal, &labeler, &choices, planned).await?;
        let plan = estimate::describe(context, &tasks, &labeler, &choices, journal.storage()).await?;
        write!(std::io::stdout(), "{plan}")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut journal = Journal::open(storage, &key, arguments.restart).await?;
    let result = async {
        let tasks = plan(context, &journal, &labeler, &choices, planned).await?;
        journal.claim(&key).await?;
        let files = tasks.len();
        let rows = tasks.iter().map(Task::rows).sum();
        let before = tasks.iter().map(Task::rows_done).sum();
        let progress = Progress::new(files, rows, before, arguments.quiet);
        let (choices, journal) = (&choices, &journal);
        let cluster = arguments.cluster.clone().map(Cluster);
        let cluster = cluster.as_ref();
        let job = Job { context, journal, labeler, choices, stop, progress, cluster };
        let outcome = job.run(tasks).await.context(KEPT)?;
        list_errors(journal.storage(), &outcome.set_aside).await?;
        Ok::<_, anyhow::Error>((outcome, files, job.progress))
    };
    let result = result.await;
    let output = journal.storage().shown().to_string();
    journal.close().await;
    let (outcome, files, progress) = result?;
    arguments.conclude(outcome, &progress, files, other_files, output)
}

impl Arguments {
    fn output_format(&self, inputs: &[Input], file: Option<FileType>) -> Result<Format> {
        if let Some(format) = self.format.map(Format::from).or(file.map(|file| file.format)) {
            return Ok(format);
        }
        let mut formats = inputs.iter().map(|input| input.file.format.output());
        let first = formats.next().context("there is nothing to label")?;
        if formats.any(|format| format != first) {
            bail!("the files are of several formats: choose one for all labeled files with --format");
        }
        Ok(first)
    }

    fn choices(&self, classifier: &Classifier) -> Choices {
        Choices {
            text: self.text.clone(),
            delimiter: self.delimiter,
            escape: self.escape,
            encoding: self.encoding,
            codec: self.compression,
            row_group_rows: self.row_group_rows.map(NonZeroUsize::get),
            model: footer(classifier, self.model.threshold()),
            keep_going: self.keep_going,
            commit_every: Duration::from_secs(self.commit_every),
            threads: cores(),
            on_cluster: self.cluster.is_some(),
        }
    }

    /// All that the bytes of the output depend on, but for the input.
    fn key(&self, classifier: &Classifier, format: Format) -> JobKey {
        let mut key = JobKey::from(
            [
                ("program version", env!("CARGO_PKG_VERSION").to_string()),
                ("model weights", classifier.weights_sha256()),
                ("tokenizer", classifier.tokenizer_sha256()),
                ("--precision", classifier.precision().to_string()),
                ("--backend", classifier.backend().to_string()),
                ("--device", classifier.device().to_string()),
                ("--max-length", classifier.max_length().to_string()),
                ("--long-text", self.long_text.to_string()),
                ("--threshold", classifier.config().problem_type.threshold(self.model.threshold()).to_string()),
                ("--text", self.text.clone()),
                ("--columns", self.columns.to_string()),
                ("--format", format.name().to_lowercase()),
            ]
            .map(|(name, value)| (name.to_string(), value)),
        );
        if format == Format::Parquet {
            let as_input = || "as in the input".to_string();
            let codec = self.compression.map_or_else(as_input, |codec| codec.name().to_string());
            let rows = self.row_group_rows.map_or_else(as_input, |rows| rows.to_string());
            key.extend([("--compression".into(), codec), ("--row-group-rows".into(), rows)]);
        }
        let character = |character: Option<u8>| character.map(|character| char::from(character).to_string());
        let of_text = [
            ("--delimiter", character(self.delimiter)),
            ("--escape", character(self.escape)),
            ("--encoding", self.encoding.map(|encoding| encoding.name().to_string())),
        ];
        key.extend(of_text.into_iter().filter_map(|(name, value)| Some((name.to_string(), value?))));
        key
    }

    /// Says how it ended.
    fn conclude(
        &self,
        outcome: Outcome,
        progress: &Progress,
        files: usize,
        other_files: usize,
        output: String,
    ) -> Result<ExitCode> {
        let Outcome { counts, set_aside, is_stopped } = outcome;
        if is_stopped {
            eprintln!("{KEPT}");
            return Ok(ExitCode::from(STOPPED));
        }
        let code = if set_aside.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SET_ASIDE) };
        let (seconds, rows_per_second) = (progress.elapsed().as_secs_f64(), progress.rate());
        let peak_memory_bytes = peak_memory();
        let summary =
            Summary { output, files, other_files, counts, seconds, rows_per_second, peak_memory_bytes, set_aside };
        let mut out = std::io::stdout().lock();
        if self.json {
            writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?;
        } else if !self.quiet {
            write!(out, "{}", summary.text())?;
        }
        Ok(code)
    }
}

/// What each input is labeled into.
fn targets(inputs: &[Input], format: Format, storage: &Storage) -> Result<Vec<Target>> {
    if let Some(name) = storage.file() {
        if inputs.len() > 1 {
            bail!("{} files cannot be labeled into the one file '{name}': name a folder with --output", inputs.len());
        }
        let compression = storage.file_type().filter(|file| file.format == format).and_then(|file| file.compression);
        return Ok(vec![Target { name: name.into(), file: FileType { format, compression } }]);
    }
    let targets: Vec<_> = inputs.iter().map(|input| Target::of(&input.name, input.file, format)).collect();
    for (at, target) in targets.iter().enumerate() {
        if let Some(other) = targets[..at].iter().position(|other| other.name == target.name) {
            let (one, two) = (&inputs[other].shown, &inputs[at].shown);
            bail!(
                "'{one}' and '{two}' would both be labeled into '{}': label them into different folders",
                target.name
            );
        }
    }
    Ok(targets)
}

fn encoding(name: &str) -> Result<&'static Encoding, String> {
    let found = Encoding::for_label(name.as_bytes());
    found.ok_or_else(|| format!("'{name}' is no known encoding: names are such as utf-8, utf-16le, windows-1252"))
}

/// Looks at every file before the work begins, so that it does not end in the middle for what could be seen before.
async fn plan(
    context: &SessionContext,
    journal: &Journal,
    labeler: &Labeler,
    choices: &Choices,
    files: impl Iterator<Item = (Input, Target)>,
) -> Result<Vec<Task>> {
    let look = |(input, target): (Input, Target)| async move {
        let state = journal.state(&input, &target.name).await?;
        let found = match &state {
            State::Done(_) => Content::Unread,
            State::New | State::Begun(_) => match Source::open(context, &input, target.file, choices, labeler).await {
                Ok(source) if source.is_cheap_to_open() => Content::RowGroups(source.row_groups),
                Ok(source) => Content::Open(Box::new(source)),
                Err(Failure::Input(_, error)) if choices.keep_going => Content::Unreadable(error),
                Err(Failure::Input(_, error)) => return Err(cure(&input.shown, None, error)),
                Err(Failure::Other(error)) => return Err(error),
                Err(Failure::Stopped) => bail!("stopped"),
            },
        };
        Ok(Task { input, target, state, content: found })
    };
    futures::stream::iter(files.map(look)).buffered(LOOKED_AT).try_collect().await
}

/// What a Parquet footer tells of the model, and of the threshold if one was given.
fn footer(classifier: &Classifier, threshold: Option<f32>) -> Vec<(String, String)> {
    let entries = [
        ("emotion.model", classifier.origin().to_string()),
        ("emotion.model_sha256", classifier.weights_sha256()),
        ("emotion.tokenizer_sha256", classifier.tokenizer_sha256()),
        ("emotion.labels", classifier.labels().join(",")),
        ("emotion.precision", classifier.precision().to_string()),
        ("emotion.max_length", classifier.max_length().to_string()),
        ("emotion.version", env!("CARGO_PKG_VERSION").to_string()),
    ];
    let threshold = threshold.map(|threshold| ("emotion.threshold", threshold.to_string()));
    entries.into_iter().chain(threshold).map(|(key, value)| (key.to_string(), value)).collect()
}

/// Writes down what was set aside, a JSON object a line; nothing if that is nothing.
async fn list_errors(storage: &Storage, set_aside: &[SetAside]) -> Result<()> {
    let name = match storage.file() {
        Some(file) => format!("{file}.errors.jsonl"),
        None => "_errors.jsonl".into(),
    };
    if set_aside.is_empty() {
        return storage.remove(&name).await;
    }
    let mut lines = Vec::new();
    for entry in set_aside {
        serde_json::to_writer(&mut lines, entry)?;
        lines.push(b'\n');
    }
    storage.write(&name, lines).await
}

/// Sets `stop` when the process is asked to end; when asked again, ends it.
fn stop_when_asked(stop: &Arc<AtomicBool>) {
    let stop = Arc::clone(stop);
    tokio::spawn(async move {
        while asked_to_end().await.is_ok() {
            if stop.swap(true, Relaxed) {
                std::process::exit(STOPPED.into());
            }
            eprintln!("Stopping; once more to stop at once.");
        }
    });
}

#[cfg(unix)]
async fn asked_to_end() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn asked_to_end() -> std::io::Result<()> {
    tokio::signal::ctrl_c().await
}
