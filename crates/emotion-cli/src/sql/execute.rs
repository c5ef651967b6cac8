//! The execution of SQL.

use std::io::{BufWriter, Write};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use arrow::array::RecordBatch;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::memory_pool::MemoryConsumer;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::physical_plan::execution_plan::EmissionType;
use datafusion::physical_plan::spill::get_record_batch_memory_size;
use datafusion::physical_plan::{ExecutionPlan, ExecutionPlanProperties, execute_stream};
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::dialect::dialect_from_str;
use futures::{FutureExt, StreamExt};

use crate::session::explain;
use crate::sql::copy::CopyTarget;
use crate::sql::depth;
use crate::sql::output::{MaxRows, Output, RowWriter, summary, write_table};
use crate::sql::progress::Progress;
use crate::sql::standard_input;
use crate::stores::{Settings, connect, connect_with};

/// Runs the statements of a script and prints their results. A panic is an error.
pub async fn execute(context: &SessionContext, script: &str, output: &Output) -> Result<()> {
    match AssertUnwindSafe(execute_statements(context, script, output)).catch_unwind().await {
        Ok(result) => result,
        Err(panic) => Err(anyhow!("a fault of the program: {}; please report the statement", message_of(&*panic))),
    }
}

/// The message of a panic.
fn message_of(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it has no message")
}

async fn execute_statements(context: &SessionContext, script: &str, output: &Output) -> Result<()> {
    let state = context.state();
    let name = state.config_options().sql_parser.dialect;
    let dialect = dialect_from_str(name).with_context(|| format!("there is no SQL dialect '{name}'"))?;
    // All are parsed before the first is run.
    let statements = DFParser::parse_sql_with_dialect(script, dialect.as_ref()).map_err(explain)?;
    for statement in &statements {
        depth::check(statement)?;
    }
    for statement in statements {
        run(context, statement, output).await?;
    }
    Ok(())
}

async fn run(context: &SessionContext, statement: Statement, output: &Output) -> Result<()> {
    let begin = Instant::now();
    let progress = Progress::begin(output.is_quiet);
    let is_setting =
        matches!(&statement, Statement::Statement(of_sql) if matches!(**of_sql, ast::Statement::ShowVariable { .. }));
    let mut plan = logical_plan(context, statement).await?;
    let target = CopyTarget::redirect(context, &mut plan)?;
    let output = if is_setting || is_description(&plan) {
        &Output { max_rows: MaxRows::UNLIMITED, ..output.clone() }
    } else {
        output
    };
    let frame = context.execute_logical_plan(plan).await.map_err(explain)?;
    let plan = frame.create_physical_plan().await.map_err(explain)?;
    output.check(&plan.schema())?;
    let shown = print(context, plan, output, progress).await?;
    if let Some(target) = target {
        target.finish()?;
    }
    if output.has_summary() {
        writeln!(output.open(), "{}", summary(shown, output.max_rows, begin))?;
    }
    Ok(())
}

/// Whether a plan describes a plan or a table; such a result is printed as a whole.
fn is_description(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::Explain(_) | LogicalPlan::Analyze(_) | LogicalPlan::DescribeTable(_))
}

/// Plans a statement and connects the session to the object stores that it names.
async fn logical_plan(context: &SessionContext, statement: Statement) -> Result<LogicalPlan> {
    let state = context.state();
    for table in state.resolve_table_references(&statement).map_err(explain)? {
        connect(context, table.table()).await?;
    }
    let mut plan = state.statement_to_plan(statement).await.map_err(explain)?;
    match &mut plan {
        LogicalPlan::Ddl(DdlStatement::CreateExternalTable(table)) => {
            let settings = Settings::taken_from(&mut table.options);
            for location in &mut table.locations {
                *location = standard_input::address_of(context, location, &table.file_type).await?;
                connect_with(context, location, settings.clone()).await?;
            }
        }
        LogicalPlan::Copy(copy) => {
            connect_with(context, &copy.output_url, Settings::taken_from(&mut copy.options)).await?;
        }
        _ => {}
    }
    Ok(plan)
}

/// Prints the result of a plan, and returns its number of rows.
async fn print(
    context: &SessionContext,
    plan: Arc<dyn ExecutionPlan>,
    output: &Output,
    progress: Progress,
) -> Result<usize> {
    let is_endless = plan.boundedness().is_unbounded();
    if is_endless && plan.pipeline_behavior() == EmissionType::Final {
        bail!("the query has a result only after the end of its source, which has none: add a LIMIT, or use windows");
    }
    let has_result = !plan.schema().fields().is_empty();
    let stream = execute_stream(plan, context.task_ctx()).map_err(explain)?;
    // A statement such as CREATE has no result.
    match RowWriter::new(output.open(), output.format) {
        _ if !has_result => count(stream).await,
        Some(writer) => print_rows(stream, writer, progress).await,
        None if is_endless => {
            bail!("a table is printed once all of its rows are known, and the source has no end: use --format csv")
        }
        None => print_table(context, stream, output, progress).await,
    }
}

async fn count(mut stream: SendableRecordBatchStream) -> Result<usize> {
    let mut rows = 0;
    while let Some(batch) = stream.next().await {
        rows += batch.map_err(explain)?.num_rows();
    }
    Ok(rows)
}

/// Prints each record batch as it comes, in place of the progress.
async fn print_rows(
    mut stream: SendableRecordBatchStream,
    mut writer: RowWriter<Box<dyn Write>>,
    progress: Progress,
) -> Result<usize> {
    let (mut rows, mut progress) = (0, Some(progress));
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(explain)?;
        drop(progress.take());
        writer.write(&batch)?;
        rows += batch.num_rows();
    }
    // The header is printed even if there are no rows.
    writer.write(&RecordBatch::new_empty(stream.schema()))?;
    writer.finish()?;
    Ok(rows)
}

/// Prints the rows up to the limit, once all are known, since the widths of the columns depend on them.
async fn print_table(
    context: &SessionContext,
    mut stream: SendableRecordBatchStream,
    output: &Output,
    progress: Progress,
) -> Result<usize> {
    let task = context.task_ctx();
    let reservation = MemoryConsumer::new("emotion sql").register(task.memory_pool());
    let (mut batches, mut rows) = (Vec::new(), 0);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(explain)?;
        // One row more than the limit shows that there are more.
        let is_kept = rows <= output.max_rows.0;
        rows += batch.num_rows();
        progress.add(batch.num_rows());
        if is_kept {
            reservation.try_grow(get_record_batch_memory_size(&batch)).map_err(explain)?;
            batches.push(batch);
        }
    }
    drop(progress);
    let format = &task.session_config().options().format;
    write_table(BufWriter::new(output.open()), stream.schema(), &batches, output.max_rows, format)?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use arrow::datatypes::DataType;
    use datafusion::logical_expr::{ColumnarValue, Volatility, create_udf};

    use super::*;
    use crate::sql::output::OutputFormat;

    /// A session with the function `fails()`, which panics when it is folded to a constant.
    fn session() -> SessionContext {
        let context = SessionContext::new();
        let panic = Arc::new(|_: &[ColumnarValue]| panic!("out of luck"));
        context.register_udf(create_udf("fails", vec![], DataType::Int64, Volatility::Immutable, panic));
        context
    }

    const OUTPUT: Output = Output { format: OutputFormat::Csv, is_quiet: true, max_rows: MaxRows::UNLIMITED };

    #[tokio::test]
    async fn a_panic_is_an_error_and_the_session_goes_on() {
        let context = session();
        for script in ["SELECT fails()", "EXPLAIN SELECT fails()", "SELECT fails() + value FROM range(3)"] {
            let error = execute(&context, script, &OUTPUT).await.unwrap_err();
            assert!(error.to_string().contains("out of luck"), "{error}");
        }
        execute(&context, "SELECT 1", &OUTPUT).await.unwrap();
    }
}
