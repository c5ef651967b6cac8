use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use clap::Args;
use datafusion_cli::exec::{exec_from_commands, exec_from_repl};
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::{MaxRows, PrintOptions};

use crate::model::ModelArguments;
use crate::session::{explain, session_on};
use crate::standard_output::of_printing;

/// Run SQL over files, with emotion_classify(text) and its like
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
    #[arg(long, value_enum, default_value_t = PrintFormat::Table)]
    format: PrintFormat,

    /// Rows to show of a table: a number, or 'inf' for all; other formats show all
    #[arg(long, default_value = "40")]
    maxrows: MaxRows,

    /// Print results alone: no row counts or times
    #[arg(short, long)]
    quiet: bool,

    /// Run queries over files on the cluster of an emotion-scheduler, such as df://localhost:50050, whose executors see
    /// the files under the same names
    #[arg(long, value_name = "df://HOST:PORT")]
    cluster: Option<String>,

    #[command(flatten)]
    model: ModelArguments,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    let scripts = scripts(&arguments)?;
    let is_table = matches!(arguments.format, PrintFormat::Table);
    let mut options = PrintOptions {
        maxrows: if is_table { arguments.maxrows } else { MaxRows::Unlimited },
        // Row counts go to the standard output, where they would spoil csv and json.
        quiet: arguments.quiet || !is_table,
        color: std::io::stdout().is_terminal(),
        instrumented_registry: Arc::new(InstrumentedObjectStoreRegistry::new()),
        format: arguments.format,
    };
    let stores = Arc::clone(&options.instrumented_registry);
    let context = session_on(arguments.cluster.as_deref(), arguments.model.options(), stores).await?;
    match scripts {
        Some(scripts) => {
            let printed = exec_from_commands(&context, scripts, &options).await;
            printed.map_err(|error| of_printing(error).map_or_else(Into::into, explain))
        }
        None => Ok(exec_from_repl(&context, &mut options).await?),
    }
}

/// The SQL to run without asking, or `None` if it is to be typed at a prompt.
fn scripts(arguments: &Arguments) -> Result<Option<Vec<String>>> {
    let mut scripts = arguments.command.clone();
    for file in &arguments.file {
        scripts.push(read_script(file)?);
    }
    if scripts.is_empty() && !std::io::stdin().is_terminal() {
        let mut script = String::new();
        std::io::stdin().read_to_string(&mut script).context("cannot read SQL from standard input")?;
        scripts.push(without_mark(&script));
    }
    Ok(Some(scripts).filter(|scripts| !scripts.is_empty()))
}

/// The script without the byte order mark that some editors begin a file with.
fn without_mark(script: &str) -> String {
    script.strip_prefix('\u{feff}').unwrap_or(script).into()
}

fn read_script(file: &Path) -> Result<String> {
    let script = std::fs::read_to_string(file);
    let script = script.with_context(|| format!("cannot read the SQL file '{}'", file.display()))?;
    Ok(without_mark(&script))
}
