//! `emotion label`: the arguments of a labeling job, its progress and its summary.

mod estimate;
mod formats;
mod progress;
mod stream;
mod summary;

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use datafusion::prelude::SessionContext;
use emotion_classifier::LongText;
use emotion_label::format::{FileType, Format};
use emotion_label::job::{Cancel, Columns, LabelError, LabelJob, Summary};
use encoding_rs::Encoding;

use crate::character::ascii;
use crate::cluster;
use crate::escapes::visible;
use crate::model::ModelArguments;
use crate::session::session;
use crate::set_aside::SET_ASIDE;
use crate::standard_error::say;
use crate::standard_output::StandardOutput;
use crate::stores::connect;
use formats::{Compression, OutputFormat};
use progress::Progress;
use stream::{Sink, is_direct, is_pipe, shown};

/// Exit code of a job that was asked to stop, as shells have it.
const STOPPED: u8 = 130;

/// Label the texts of whole files: every column, type and row is kept, and labels are added
///
/// An interrupted job continues where it stopped when the same command is run again, and its output has the same
/// bytes as that of an uninterrupted job. A finished job that is run again labels only files that are new.
///
/// Exit codes: 0 everything is labeled; 1 an error, after which the same command continues the job; 2 invalid
/// arguments; 3 everything is labeled except what --keep-going skipped; 130 stopped by Ctrl-C.
#[derive(Args)]
#[expect(clippy::doc_markdown, reason = "shown as the program's help")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Arguments {
    /// Files, folders (with everything in them) or patterns; also at s3://, gs://, az:// and https://; or - for
    /// standard input, in the format of --format or of the output's extension
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<String>,

    /// The column that holds the texts
    #[arg(long, value_name = "COLUMN")]
    text: String,

    /// The folder to write to, which gets one file per input; for one input, also a file, or - for standard output;
    /// also at s3://, gs:// and az://
    #[arg(short, long)]
    output: String,

    /// The columns to add, and their names: label, labels (all that hold), score, scores (of all labels), truncated
    #[arg(long, value_name = "COLUMN[=NAME],…", default_value = "label,score")]
    columns: Columns,

    /// The format to write [default: that of the output's extension, or of the input]
    #[arg(long, value_enum)]
    format: Option<OutputFormat>,

    /// How to compress Parquet [default: as in the input; when converting from another format, zstd]
    #[arg(long, value_enum)]
    compression: Option<Compression>,

    /// The number of rows per Parquet row group [default: as in the input; when converting, at most 1,048,576 rows and
    /// 128 MiB]
    #[arg(long, value_name = "ROWS")]
    row_group_rows: Option<NonZeroUsize>,

    /// Read the files as CSV with this character between fields, whatever their extensions; \t is a tab
    #[arg(long, value_name = "CHARACTER", value_parser = ascii)]
    delimiter: Option<u8>,

    /// The character before a quote within a quoted field of a CSV file, such as \ [default: quotes are doubled]
    #[arg(long, value_name = "CHARACTER", value_parser = ascii)]
    escape: Option<u8>,

    /// The encoding of CSV files, such as windows-1252 or utf-16le [default: as the byte order mark says, or UTF-8]
    #[arg(long, value_name = "NAME", value_parser = encoding)]
    encoding: Option<&'static Encoding>,

    /// For texts longer than the maximum of the model: cut them, or average over windows
    #[arg(long, value_name = "truncate|window", default_value_t)]
    long_text: LongText,

    /// Skip files and row groups that cannot be read, and list them in an errors file
    #[arg(long)]
    keep_going: bool,

    /// Label files again that were labeled with other options, or that have changed
    #[arg(long)]
    restart: bool,

    /// Print what would be done and an estimate of the time, and write nothing
    #[arg(long)]
    dry_run: bool,

    /// The number of seconds after which labels are saved; a kill costs at most this much work
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
    match &arguments.inputs[..] {
        [input] if is_pipe(input) || arguments.is_streamed(input) => {
            unless_asked_to_end(Box::pin(arguments.filter(input))).await
        }
        [input] if is_direct(&arguments.output) => unless_asked_to_end(Box::pin(arguments.print(input))).await,
        _ if is_direct(&arguments.output) => {
            bail!("'{}' takes one file: name a folder with --output", arguments.output)
        }
        inputs => match inputs.iter().find(|input| is_pipe(input)) {
            Some(pipe) => bail!("'{}' cannot be labeled together with other inputs: label it alone", shown(pipe)),
            None => arguments.label().await,
        },
    }
}

impl Arguments {
    async fn job(&self, inputs: impl IntoIterator<Item = impl Into<String>>, output: &str) -> Result<LabelJob> {
        let session = self.session().await?;
        let classifier = self.model.load()?;
        let mut job = LabelJob::builder(classifier, inputs, &self.text, output)
            .session(session)
            .columns(self.columns.clone())
            .long_text(self.long_text)
            .keep_going(self.keep_going)
            .restart(self.restart)
            .commit_every(Duration::from_secs(self.commit_every));
        if let Some(format) = self.format {
            job = job.format(format.into());
        }
        if let Some(compression) = self.compression {
            job = job.codec(compression.into());
        }
        if let Some(rows) = self.row_group_rows {
            job = job.row_group_rows(rows);
        }
        if let Some(threshold) = self.model.threshold() {
            job = job.threshold(threshold);
        }
        if let Some(delimiter) = self.delimiter {
            job = job.delimiter(delimiter);
        }
        if let Some(escape) = self.escape {
            job = job.escape(escape);
        }
        if let Some(encoding) = self.encoding {
            job = job.encoding(encoding);
        }
        #[cfg(feature = "cluster")]
        if let Some(address) = &self.cluster {
            job = job.cluster(address);
        }
        Ok(job.build())
    }

    /// The session that holds the object stores of the inputs and the output.
    async fn session(&self) -> Result<SessionContext> {
        let long_text = ("emotion.long_text", self.long_text.to_string());
        // A model that is not the session's travels with each query.
        let of_model = self.model.options().filter(|(option, _)| *option != "emotion.model");
        let context = session(of_model.chain([long_text])).await?;
        if let Some(address) = &self.cluster {
            cluster::connect(address, context.state()).await?;
        }
        for address in self.inputs.iter().chain([&self.output]) {
            connect(&context, address).await?;
        }
        Ok(context)
    }

    /// Labels files, with a journal.
    async fn label(&self) -> Result<ExitCode> {
        let plan = self.job(&self.inputs, &self.output).await?.plan().await?;
        if self.dry_run {
            write!(StandardOutput::open(), "{}", visible(&estimate::text(&plan.estimate().await?)))?;
            return Ok(ExitCode::SUCCESS);
        }
        match plan.run(&Progress::new(self.quiet), &cancel_when_asked()).await {
            Err(error @ LabelError::Cancelled) => {
                say(error);
                Ok(ExitCode::from(STOPPED))
            }
            summary => self.conclude(&summary?, StandardOutput::open()),
        }
    }

    /// The type of a file, by its name and the options; `None` if it is unknown.
    fn file_type(&self, input: &str) -> Option<FileType> {
        if self.delimiter.is_some() { Some(FileType::of_separated(input)) } else { FileType::of(input) }
    }

    /// Whether a file goes to the standard output as it is read; only text has no footer.
    fn is_streamed(&self, input: &str) -> bool {
        let Some(file) = self.file_type(input) else { return false };
        let is_same = self.format.is_none_or(|format| Format::from(format) == file.format);
        is_direct(&self.output) && file.format.is_text() && is_same && self.is_plain() && Path::new(input).is_file()
    }

    /// Whether no option needs more than one pass over the input.
    fn is_plain(&self) -> bool {
        self.cluster.is_none() && !self.keep_going && !self.restart && !self.dry_run
    }

    /// Labels an input as it is read, without a journal.
    async fn filter(&self, input: &str) -> Result<ExitCode> {
        if !self.is_plain() {
            bail!("--cluster, --keep-going, --restart and --dry-run need files: write '{}' to one", shown(input));
        }
        let file = stream::file_type(input, self.format.map(Format::from), self.delimiter, &self.output)?;
        let (mut sink, compression) = Sink::open(&self.output, input, file)?;
        let job = self.job([shown(input)], sink.shown()).await?;
        let summary = job.filter(stream::chunks(input), file, compression, &mut sink).await?;
        self.conclude(&summary, sink.finish()?)
    }

    /// Labels a file into a temporary one, and writes that to the standard output or to a named pipe.
    async fn print(&self, input: &str) -> Result<ExitCode> {
        if self.dry_run {
            bail!("--dry-run needs a file or a folder as --output");
        }
        let known =
            self.file_type(input).with_context(|| format!("'{input}' is no file that '{}' could take", self.output))?;
        let of_output = || FileType::of(&self.output).map(|file| file.format);
        let format = self.format.map(Format::from).or_else(of_output).unwrap_or(known.format.output());
        let folder = tempfile::tempdir()?;
        let path = folder.path().join(format!("labeled.{}", format.name().to_lowercase()));
        let plan = self.job(&self.inputs, &path.to_string_lossy()).await?.plan().await?;
        let mut summary = plan.run(&Progress::new(self.quiet), &Cancel::default()).await?;
        let written = FileType { format, compression: None };
        let (mut sink, _) = Sink::open(&self.output, input, written)?;
        io::copy(&mut File::open(path)?, &mut sink)?;
        summary.output = sink.shown().into();
        self.conclude(&summary, sink.finish()?)
    }

    /// Says how it ended.
    fn conclude(&self, summary: &Summary, mut out: impl Write) -> Result<ExitCode> {
        if self.json {
            writeln!(out, "{}", summary::json(summary)?)?;
        } else if !self.quiet {
            write!(out, "{}", visible(&summary::text(summary)))?;
        }
        Ok(if summary.set_aside.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(SET_ASIDE) })
    }
}

fn encoding(name: &str) -> Result<&'static Encoding, String> {
    let found = Encoding::for_label(name.as_bytes());
    found.ok_or_else(|| format!("'{name}' is no known encoding: names are such as utf-8, utf-16le, windows-1252"))
}

/// A request that the process makes of the job when it is asked to end; when asked again, the process ends.
fn cancel_when_asked() -> Cancel {
    let request = Cancel::default();
    let cancel = request.clone();
    tokio::spawn(async move {
        while asked_to_end().await.is_ok() {
            if cancel.is_cancelled() {
                std::process::exit(STOPPED.into());
            }
            cancel.cancel();
            say("Stopping; once more to stop at once.");
        }
    });
    request
}

/// Runs what keeps nothing, until the process is asked to end.
async fn unless_asked_to_end(work: impl Future<Output = Result<ExitCode>>) -> Result<ExitCode> {
    tokio::select! {
        code = work => code,
        asked = asked_to_end() => {
            asked?;
            Ok(ExitCode::from(STOPPED))
        }
    }
}

#[cfg(unix)]
async fn asked_to_end() -> io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    }
}

#[cfg(not(unix))]
async fn asked_to_end() -> io::Result<()> {
    tokio::signal::ctrl_c().await
}
