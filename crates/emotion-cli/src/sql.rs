use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use clap::Args;
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::ExplainFormat;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_cli::catalog::DynamicObjectStoreCatalog;
use datafusion_cli::exec::{exec_from_commands, exec_from_repl};
use datafusion_cli::functions::ParquetMetadataFunc;
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::{MaxRows, PrintOptions};
use datafusion_emotion::EmotionExt;

use crate::model::ModelArguments;

/// Endings of files that are tables.
const EXTENSIONS: &str = ".parquet, .csv, .json, .arrow or .avro";

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
    let context = session(&arguments.model, Arc::clone(&options.instrumented_registry)).await?;
    match scripts {
        Some(scripts) => Ok(exec_from_commands(&context, scripts, &options).await.map_err(explain)?),
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
        scripts.push(script);
    }
    Ok(Some(scripts).filter(|scripts| !scripts.is_empty()))
}

fn read_script(file: &Path) -> Result<String> {
    std::fs::read_to_string(file).with_context(|| format!("cannot read the SQL file '{}'", file.display()))
}

/// A session in which file names and object-store addresses are tables.
async fn session(
    model: &ModelArguments,
    object_stores: Arc<InstrumentedObjectStoreRegistry>,
) -> Result<SessionContext> {
    let mut options = ConfigOptions::from_env()?;
    if std::env::var_os("DATAFUSION_EXPLAIN_FORMAT").is_none() {
        options.explain.format = ExplainFormat::Tree;
    }
    if std::env::var_os("DATAFUSION_FORMAT_NULL").is_none() {
        options.format.null = "NULL".into();
    }
    let config = SessionConfig::from(options).with_information_schema(true);
    let runtime = RuntimeEnvBuilder::new().with_object_store_registry(object_stores).build_arc()?;
    let mut builder =
        SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().with_emotion();
    for (option, value) in model.options() {
        builder.config().get_or_insert_default().options_mut().set(option, &value)?;
    }
    let context = SessionContext::new_with_state(builder.build()).enable_url_table();
    context.refresh_catalogs().await?;
    context.register_catalog_list(Arc::new(DynamicObjectStoreCatalog::new(
        Arc::clone(context.state().catalog_list()),
        context.state_weak_ref(),
    )));
    context.register_udtf("parquet_metadata", Arc::new(ParquetMetadataFunc {}));
    Ok(context)
}

/// Says what to do about a table that is not there although its name is that of a file.
fn explain(error: DataFusionError) -> anyhow::Error {
    let message = error.to_string();
    let path = missing_table(&message).filter(|table| table.contains(['/', '.'])).map(Path::new);
    let Some(path) = path else { return error.into() };
    let name = path.display();
    if path.is_dir() {
        anyhow!("'{name}' is a folder in which no file is of a known type: its files must end in {EXTENSIONS}")
    } else if path.exists() {
        anyhow!("'{name}' is not a table: the name of a file must end in {EXTENSIONS}")
    } else {
        anyhow!("there is no file '{name}': check the path, which starts from the current folder")
    }
}

/// The name of the table that an error of DataFusion says is not there.
fn missing_table(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("table '")?;
    let (table, rest) = rest.split_once('\'')?;
    let table = table.strip_prefix("datafusion.public.").unwrap_or(table);
    rest.starts_with(" not found").then_some(table)
}
