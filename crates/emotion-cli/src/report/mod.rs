//! `emotion report`: one page that shows what emotions a table of texts holds.

mod figures;
mod html;
mod palette;

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::datatypes::{DataType, TimeUnit};
use clap::Args;
use datafusion::common::{Column, ScalarValue};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Expr, cast, lit, try_cast, when};
use datafusion::prelude::{DataFrame, SessionContext, coalesce};
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;

use crate::atomic_file;
use crate::model::{ModelArguments, NO_LABEL};
use crate::numbers::counted;
use crate::session::session;
use crate::standard_error::say;
use crate::table::{TableArguments, check_column};
use figures::Figures;

/// Write an HTML page about the emotions in texts: counts, shares over time and by group, and scores
///
/// The labels are those of the column --label. Without it, the texts of --text are labeled; the options of the model,
/// --threshold included, apply only then. Texts with a score and no label, whose most probable label is below the
/// threshold, are shown as 'none'. The page is one file that needs no network.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    table: TableArguments,

    /// The column that holds the labels; without it, the texts of --text are labeled
    #[arg(long, value_name = "COLUMN", required_unless_present = "text")]
    label: Option<String>,

    /// The column that holds the scores of the labels, for the histogram
    #[arg(long, value_name = "COLUMN", requires = "label")]
    score: Option<String>,

    /// The column that holds the texts; the page shows those with the highest and the lowest scores
    #[arg(long, value_name = "COLUMN")]
    text: Option<String>,

    /// The column that holds times or dates, for the chart over time
    #[arg(long, value_name = "COLUMN")]
    time: Option<String>,

    /// The column to group by; the groups are shown side by side
    #[arg(long, value_name = "COLUMN")]
    by: Option<String>,

    /// The file to write
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,

    /// The title of the page
    #[arg(long, default_value = "Emotions")]
    title: String,

    #[command(flatten)]
    model: ModelArguments,
}

pub async fn run(arguments: Arguments) -> Result<()> {
    atomic_file::check(&arguments.output, arguments.table.files())?;
    let context = session(arguments.model.options(), Arc::new(InstrumentedObjectStoreRegistry::new())).await?;
    let table = arguments.table.union(&context).await?;
    let labeled = arguments.labeled(&context, table).await?;
    context.register_table("labeled", labeled.into_view())?;
    let figures = Figures::of(&context).await?;
    if let (Some(name), None, 1..) = (&arguments.time, &figures.over_time, figures.without_time) {
        bail!("no value of the column '{name}' is a time such as 2026-03-31 12:30 of the years 1678 to 2261");
    }
    let page = html::page(&arguments.title, arguments.table.files(), &figures);
    atomic_file::write(&arguments.output, arguments.table.files(), page.into_string().as_bytes())?;
    say(format_args!("{}: see {}", counted(figures.rows - figures.unlabeled, "text"), arguments.output.display()));
    Ok(())
}

impl Arguments {
    /// The columns that the figures are drawn from, by the names they know.
    async fn labeled(&self, context: &SessionContext, table: DataFrame) -> Result<DataFrame> {
        let chosen = [&self.label, &self.score, &self.text, &self.time, &self.by];
        for name in chosen.into_iter().flatten() {
            check_column(&table, name, &self.table.files().join(", "))?;
        }
        self.check_time(&table)?;
        let function = |name: &str| -> Result<Expr> {
            let text = self.text.as_deref().context("clap asks for --text where there is no --label")?;
            Ok(context.udf(name)?.call(vec![column(text)]))
        };
        let text = |name: &str| cast(column(name), DataType::Utf8);
        let mut columns = vec![match &self.label {
            Some(label) => text(label).alias("label"),
            None => function("emotion_classify")?.alias("label"),
        }];
        match (&self.score, &self.label) {
            (Some(score), _) => columns.push(cast(column(score), DataType::Float64).alias("score")),
            (None, None) => columns.push(cast(function("emotion_score")?, DataType::Float64).alias("score")),
            (None, Some(_)) => {}
        }
        columns.extend(self.text.as_deref().map(|name| text(name).alias("text")));
        if let Some(name) = &self.time {
            let time = time(name)?;
            columns.push(time.clone().is_null().and(column(name).is_not_null()).alias("no_time"));
            columns.push(time.alias("time"));
        }
        columns.extend(self.by.as_deref().map(|name| coalesce(vec![text(name), lit("(none)")]).alias("group")));
        let labeled = table.select(columns)?;
        if self.label.is_some() {
            return named(labeled);
        }
        named(labeled.cache().await.context("cannot label the texts")?)
    }

    fn check_time(&self, table: &DataFrame) -> Result<()> {
        let Some(name) = &self.time else { return Ok(()) };
        let data_type = table.schema().field_with_unqualified_name(name)?.data_type();
        if matches!(data_type, DataType::Time32(_) | DataType::Time64(_)) {
            bail!("the column '{name}' holds times of day without their dates: name another with --time");
        }
        if data_type.is_temporal() || data_type.is_string() {
            return Ok(());
        }
        bail!("the column '{name}' holds {data_type}, not times or dates: name another with --time")
    }
}

/// The table with a label for the texts whose most probable label does not hold: they have a score and no label.
fn named(labeled: DataFrame) -> Result<DataFrame> {
    if !labeled.schema().has_column_with_unqualified_name("score") {
        return Ok(labeled);
    }
    let is_none = column("label").is_null().and(column("score").is_not_null());
    let label = when(is_none, lit(NO_LABEL)).otherwise(column("label"))?;
    Ok(labeled.with_column("holds", column("label").is_not_null())?.with_column("label", label)?)
}

/// The column as times, NULL where a value is none or is beyond what nanoseconds of 64 bits express, as sentinels are.
fn time(name: &str) -> Result<Expr> {
    let limit = |nanoseconds: i64| lit(ScalarValue::TimestampMicrosecond(Some(nanoseconds / 1000), None));
    let time = try_cast(column(name), DataType::Timestamp(TimeUnit::Microsecond, None));
    Ok(when(time.clone().between(limit(i64::MIN), limit(i64::MAX)), time).end()?)
}

fn column(name: &str) -> Expr {
    Expr::Column(Column::new_unqualified(name))
}
