//! `emotion sql`.

mod command;
mod copy;
mod depth;
mod execute;
mod helper;
mod output;
mod progress;
mod prompt;
mod script;
mod sizes;
mod standard_input;

use std::io::IsTerminal;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;

use crate::model::ModelArguments;
use crate::session::{Resources, session_on};
use execute::execute;
use output::{MaxRows, Output, OutputFormat};
use script::{read_script, without_mark};
use sizes::size;

/// Run SQL over files, with emotion_classify(text) and related functions
///
/// A file is a table: SELECT emotion_classify(text), count(*) FROM 'data/reviews.parquet' GROUP BY 1.
/// Without -c or -f, SQL is read from the terminal, with history and completion, or from a pipe.
#[derive(Args)]
#[expect(clippy::doc_markdown, reason = "shown as the program's help")]
pub struct Arguments {
    /// Run this SQL, then exit; may be given several times
    #[arg(short, long, value_name = "SQL")]
    command: Vec<String>,

    /// Run the SQL in this file, then exit; may be given several times
    #[arg(short, long, value_name = "FILE")]
    file: Vec<PathBuf>,

    /// How to print results
    #[arg(long, value_enum, default_value_t = OutputFormat::Table)]
    format: OutputFormat,

    /// The number of rows to print of a table, or 'inf' for all; other formats print all
    #[arg(long, default_value = "40")]
    maxrows: MaxRows,

    /// Print only results: no row counts, times or progress
    #[arg(short, long)]
    quiet: bool,

    /// The memory limit of a query, such as 4g; beyond it, the query uses the disk or fails [default: no limit]
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<usize>,

    /// The disk space for data that does not fit into memory, such as 50g [default: 100g]
    #[arg(short, long, value_name = "SIZE", value_parser = size)]
    disk_limit: Option<usize>,

    /// The number of rows per record batch [default: 8192]
    #[arg(short, long, value_name = "ROWS")]
    batch_size: Option<NonZeroUsize>,

    /// Run the SQL in this file, instead of ~/.datafusionrc, before the prompt; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with_all = ["command", "file"])]
    rc: Vec<PathBuf>,

    /// Run queries over files on the cluster of an emotion-scheduler, such as df://localhost:50050, whose executors see
    /// the files under the same names
    #[arg(long, value_name = "df://HOST:PORT")]
    cluster: Option<String>,

    #[command(flatten)]
    model: ModelArguments,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let scripts = scripts(&arguments)?;
    let mut output = Output { format: arguments.format, max_rows: arguments.maxrows, is_quiet: arguments.quiet };
    let batch_size = arguments.batch_size.map(|rows| ("datafusion.execution.batch_size", rows.to_string()));
    let of_session = arguments.model.options().chain(batch_size);
    let resources = Resources { memory: arguments.memory_limit, disk: arguments.disk_limit };
    let context = session_on(arguments.cluster.as_deref(), of_session, resources).await?;
    let is_asking = scripts.is_none();
    for script in scripts.map_or_else(|| start_scripts(&arguments), Ok)? {
        execute(&context, &script, &output).await?;
    }
    if is_asking { prompt::run(&context, &mut output, has_color()).await } else { Ok(()) }
}

/// Whether the standard output takes colors; source: <https://no-color.org>.
fn has_color() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

/// The SQL to run before the prompt.
fn start_scripts(arguments: &Arguments) -> Result<Vec<String>> {
    if !arguments.rc.is_empty() {
        return arguments.rc.iter().map(|file| read_script(file)).collect();
    }
    let file = std::env::home_dir().map(|home| home.join(".datafusionrc"));
    file.iter().filter(|file| file.is_file()).map(|file| read_script(file)).collect()
}

/// The SQL to run without asking, or `None` if it is to be typed at a prompt.
fn scripts(arguments: &Arguments) -> Result<Option<Vec<String>>> {
    let mut scripts = arguments.command.clone();
    for file in &arguments.file {
        scripts.push(read_script(file)?);
    }
    if scripts.is_empty() && !std::io::stdin().is_terminal() {
        let script = String::from_utf8(standard_input::take()?).context("the SQL on standard input is not UTF-8")?;
        scripts.push(without_mark(&script));
    }
    Ok(Some(scripts).filter(|scripts| !scripts.is_empty()))
}
