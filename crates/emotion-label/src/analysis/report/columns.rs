use arrow::datatypes::{DataType, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{Expr, cast, lit, try_cast, when};
use datafusion::prelude::{DataFrame, SessionContext, coalesce};

use crate::analysis::columns::{NO_LABEL, check_column, column};
use crate::analysis::error::{AnalysisError, Context, Result, refused};

/// The columns of a table that a report is drawn from; `label` or `text` is needed.
#[derive(Debug, Clone, Default)]
pub struct ReportColumns {
    /// The labels; without them, the texts are labeled.
    pub label: Option<String>,
    /// The scores of the labels, for the histogram; without labels, they are computed.
    pub score: Option<String>,
    /// The texts, of which those with the highest and the lowest scores are shown.
    pub text: Option<String>,
    /// Times or dates, for the chart over time.
    pub time: Option<String>,
    /// Values by which the texts are grouped.
    pub by: Option<String>,
}

impl ReportColumns {
    /// The columns that the figures are drawn from, by the names that [`Figures`](super::figures::Figures) knows.
    pub(crate) async fn select(&self, context: &SessionContext, table: DataFrame, files: &str) -> Result<DataFrame> {
        let chosen = [&self.label, &self.score, &self.text, &self.time, &self.by];
        for name in chosen.into_iter().flatten() {
            check_column(&table, name, files)?;
        }
        self.check_time(&table)?;
        let mut columns = self.labels(context)?;
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
        named(labeled.cache().await.with_context(|| "cannot label the texts")?)
    }

    /// The labels and their scores, of the table or computed.
    fn labels(&self, context: &SessionContext) -> Result<Vec<Expr>> {
        let score = |score: Expr| cast(score, DataType::Float64).alias("score");
        if let Some(label) = &self.label {
            let scores = self.score.as_deref().map(|name| score(column(name)));
            return Ok([text(label).alias("label")].into_iter().chain(scores).collect());
        }
        if self.score.is_some() {
            return refused("--score names the scores of labels, without --label: name their column, too");
        }
        let text = self.text.as_deref().ok_or_else(|| {
            AnalysisError::Refused("no column is named: name that of the labels with --label, or --text".into())
        })?;
        let function = |name: &str| -> Result<Expr> { Ok(context.udf(name)?.call(vec![column(text)])) };
        Ok(vec![function("emotion_classify")?.alias("label"), score(function("emotion_score")?)])
    }

    fn check_time(&self, table: &DataFrame) -> Result<()> {
        let Some(name) = &self.time else { return Ok(()) };
        let data_type = table.schema().field_with_unqualified_name(name)?.data_type();
        if matches!(data_type, DataType::Time32(_) | DataType::Time64(_)) {
            return refused(format!(
                "the column '{name}' holds times of day without their dates: name another with --time"
            ));
        }
        if data_type.is_temporal() || data_type.is_string() {
            return Ok(());
        }
        refused(format!("the column '{name}' holds {data_type}, not times or dates: name another with --time"))
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

fn text(name: &str) -> Expr {
    cast(column(name), DataType::Utf8)
}
