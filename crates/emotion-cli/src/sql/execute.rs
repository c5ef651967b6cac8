//! The execution of SQL.

use std::io::{BufWriter, IsTerminal, Write, stdout};
use std::panic::AssertUnwindSafe;

use anyhow::{Context, Result, anyhow, bail};
use arrow::datatypes::Schema;
use datafusion::common::instant::Instant;
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::{ExecutionPlanProperties, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::{Dialect, dialect_from_str};
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use datafusion_cli::exec::exec_from_commands;
use datafusion_cli::print_format::PrintFormat;
use datafusion_cli::print_options::{MaxRows, PrintOptions};
use futures::{FutureExt, StreamExt};

use crate::escapes::Visible;
use crate::session::explain;
use crate::sql::depth;
use crate::sql::progress::Progress;
use crate::standard_output::{StandardOutput, of_printing};

/// Runs the statements of a script and prints their results. A panic is an error.
pub async fn execute(context: &SessionContext, script: &str, options: &PrintOptions) -> Result<()> {
    match AssertUnwindSafe(execute_statements(context, script, options)).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(anyhow!("a fault of the program: {}; please report the statement", message_of(&*panic))),
    }
}

/// The message of a panic.
fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has no message")
}

async fn execute_statements(context: &SessionContext, script: &str, options: &PrintOptions) -> Result<()> {
    let state = context.state();
    let name = state.config_options().sql_parser.dialect;
    let dialect = dialect_from_str(name).with_context(|| format!("there is no SQL dialect '{name}'"))?;
    // All are parsed before the first is run.
    let statements = DFParser::parse_sql_with_dialect(script, dialect.as_ref()).map_err(explain)?;
    for statement in &statements {
        depth::check(statement)?;
    }
    let texts = texts_of(script, dialect.as_ref());
    if texts.len() != statements.len() {
        return run_as_text(context, script, options).await;
    }
    for (statement, text) in statements.into_iter().zip(texts) {
        if is_query(&statement) {
            query(context, statement, text, options).await?;
        } else {
            run_as_text(context, text, options).await?;
        }
    }
    Ok(())
}

/// The text of each statement of a script.
fn texts_of<'a>(script: &'a str, dialect: &dyn Dialect) -> Vec<&'a str> {
    let Ok(tokens) = Tokenizer::new(dialect, script).tokenize_with_location() else { return Vec::new() };
    let ends = tokens.iter().filter(|token| token.token == Token::SemiColon).map(|token| token.span.start);
    let starts: Vec<usize> = std::iter::once(0).chain(line_starts(script)).collect();
    let offset = |line: u64, column: u64| -> Option<usize> {
        let start = *starts.get(usize::try_from(line).ok()?.checked_sub(1)?)?;
        let characters = script[start..].char_indices().map(|(offset, _)| offset);
        Some(start + characters.chain([script.len() - start]).nth(usize::try_from(column).ok()?.checked_sub(1)?)?)
    };
    let mut texts = Vec::new();
    let mut begin = 0;
    for end in ends.map(|end| offset(end.line, end.column)).chain([Some(script.len())]) {
        let Some(text) = end.and_then(|end| script.get(begin..end)) else { return Vec::new() };
        begin += text.len() + 1;
        texts.push(text);
    }
    texts.retain(|text| has_statement(text, dialect));
    texts
}

fn line_starts(script: &str) -> impl Iterator<Item = usize> {
    script.match_indices('\n').map(|(at, _)| at + 1)
}

/// Whether a text is more than spaces and comments.
fn has_statement(text: &str, dialect: &dyn Dialect) -> bool {
    let tokens = Tokenizer::new(dialect, text).tokenize().unwrap_or_default();
    tokens.iter().any(|token| !matches!(token, Token::Whitespace(_)))
}

fn is_query(statement: &Statement) -> bool {
    matches!(statement, Statement::Statement(statement) if matches!(**statement, ast::Statement::Query(_)))
}

/// Runs what is not a query as `datafusion-cli` does, which knows object stores and what else SQL names.
async fn run_as_text(context: &SessionContext, text: &str, options: &PrintOptions) -> Result<()> {
    let printed = exec_from_commands(context, vec![text.into()], options).await;
    printed.map_err(|error| of_printing(error).map_or_else(Into::into, explain))
}

async fn query(context: &SessionContext, statement: Statement, text: &str, options: &PrintOptions) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::begin(options.quiet);
    let plan = context.state().statement_to_plan(statement).await.map_err(explain)?;
    let frame = context.execute_logical_plan(plan).await.map_err(explain)?;
    let plan = frame.create_physical_plan().await.map_err(explain)?;
    if plan.boundedness().is_unbounded() {
        drop(progress);
        return run_as_text(context, text, options).await;
    }
    let task = context.task_ctx();
    let schema = plan.schema();
    check_format(&schema, options.format)?;
    let mut stream = execute_stream(plan, task.clone()).map_err(explain)?;
    let reservation = MemoryConsumer::new("emotion sql").register(task.memory_pool());
    let (mut batches, mut rows) = (Vec::new(), 0_usize);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(explain)?;
        let is_shown = match options.maxrows {
            MaxRows::Unlimited => true,
            MaxRows::Limited(most) => rows <= most,
        };
        rows += batch.num_rows();
        progress.add(batch.num_rows());
        if is_shown {
            reservation.try_grow(get_record_batch_memory_size(&batch)).map_err(explain)?;
            batches.push(batch);
        }
    }
    drop(progress);
    let format = &task.session_config().options().format;
    let mut out = output(options.format);
    let printed = options.format.print_batches(&mut out, schema, &batches, options.maxrows, true, format);
    printed.map_err(|error: DataFusionError| of_printing(error).map_or_else(Into::into, explain))?;
    if !options.quiet {
        writeln!(out, "{}", summary(rows, options, begin))?;
    }
    out.flush()?;
    Ok(())
}

/// An error if a format of one line per row cannot hold a column.
fn check_format(schema: &Schema, format: PrintFormat) -> Result<()> {
    let format = match format {
        PrintFormat::Csv => "CSV",
        PrintFormat::Tsv => "TSV",
        _ => return Ok(()),
    };
    let Some(field) = schema.fields().iter().find(|field| field.data_type().is_nested()) else { return Ok(()) };
    let name = field.name();
    bail!(
        "the column '{name}' is a struct or a list, which {format} cannot hold: use --format json, or select its fields"
    );
}

/// The standard output; without control characters where it is to be read, which is what tables are for.
fn output(format: PrintFormat) -> BufWriter<Box<dyn Write>> {
    let out = StandardOutput::open();
    let is_read = matches!(format, PrintFormat::Table | PrintFormat::Automatic) || stdout().is_terminal();
    BufWriter::new(if is_read { Box::new(Visible::new(out)) } else { Box::new(out) })
}

/// The number of rows and the time, as `datafusion-cli` shows them.
fn summary(rows: usize, options: &PrintOptions, begin: Instant) -> String {
    let shown = match options.maxrows {
        MaxRows::Limited(most) if most < rows && matches!(options.format, PrintFormat::Table) => {
            format!("(First {most} displayed. Use --maxrows to adjust)")
        }
        _ => String::new(),
    };
    format!("{rows} row(s) fetched. {shown}\nElapsed {:.3} seconds.\n", begin.elapsed().as_secs_f64())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::datatypes::DataType;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};
    use datafusion::sql::sqlparser::dialect::GenericDialect;

    use super::*;

    /// A session with the function `fails()`, which panics when it is folded to a constant.
    fn session() -> SessionContext {
        let context = SessionContext::new();
        let panic = Arc::new(|_: &[ColumnarValue]| panic!("out of luck"));
        context.register_udf(create_udf("fails", vec![], DataType::Int64, Volatility::Immutable, panic));
        context
    }

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_session_goes_on() {
        let (context, options) = (
            session(),
            PrintOptions {
                format: PrintFormat::Csv,
                quiet: true,
                maxrows: MaxRows::Unlimited,
                color: false,
                instrumented_registry: Arc::default(),
            },
        );
        for script in ["SELECT fails()", "EXPLAIN SELECT fails()", "SELECT fails() + value FROM range(3)"] {
            let error = execute(&context, script, &options).await.unwrap_err();
            assert!(error.to_string().contains("out of luck"), "{error}");
        }
        execute(&context, "SELECT 1", &options).await.unwrap();
    }

    #[test]
    fn a_script_is_split_at_the_ends_of_statements() {
        let script = "-- a; comment\nSELECT ';é' AS \"a;b\";\n\n SELECT 2 /* ; */;; -- the end;\n";
        let texts = texts_of(script, &GenericDialect {});
        assert_eq!(texts, ["-- a; comment\nSELECT ';é' AS \"a;b\"", "\n\n SELECT 2 /* ; */"]);
        assert_eq!(texts_of("SELECT 1", &GenericDialect {}), ["SELECT 1"]);
        assert_eq!(texts_of(" ", &GenericDialect {}), [""; 0]);
    }
}
