//! Labels from a cluster, whose executors read the texts themselves.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, BooleanArray, RecordBatch, StructArray};
use arrow::compute::concat_batches;
use arrow::datatypes::{Float32Type, Int32Type};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::Operator;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::expressions::{binary, col, lit};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::GlobalLimitExec;
use datafusion::physical_plan::projection::ProjectionExec;
use datafusion::prelude::SessionContext;
use datafusion_emotion::annotated;
use emotion_ballista::{connect, execute};
use emotion_classifier::{Classifier, Prediction};
use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};

use crate::job::counts::Counts;
use crate::job::error::{Context, LabelError, Result};
use crate::job::failure::Failure;
use crate::job::stop::Stop;
use crate::job::work::Work;

/// Queries under way at once for a row group.
const QUERIES_UNDER_WAY: usize = 16;

/// Rows that a query labels: some seconds of a core's work.
const QUERY_ROWS: u64 = 1 << 14;

/// How often a query is tried whose executors go away.
const ATTEMPTS: u32 = 3;

/// Columns of a query's result.
const ANNOTATION: &str = "annotation";
const IS_EMPTY: &str = "is_empty";

/// A cluster by its address.
#[derive(Clone)]
pub struct Cluster(pub String);

impl Cluster {
    /// Refuses an address at which no scheduler answers.
    pub async fn check(&self, context: &SessionContext) -> Result<()> {
        connect(&self.0, context.state()).await?;
        Ok(())
    }

    /// The columns to add to the rows of a row group from its `first_row`th, in the order of the rows.
    pub fn label<'a>(
        &'a self,
        work: Work<'a>,
        first_row: u64,
    ) -> BoxStream<'a, Result<(RecordBatch, Counts), Failure>> {
        let rows = work.source.row_groups[work.row_group];
        let starts = (first_row..rows).step_by(usize::try_from(QUERY_ROWS).unwrap_or(usize::MAX));
        let queries = starts.map(move |start| self.rows(work, start, QUERY_ROWS.min(rows - start)));
        futures::stream::iter(queries).buffered(QUERIES_UNDER_WAY).boxed()
    }

    async fn rows(&self, work: Work<'_>, start: u64, rows: u64) -> Result<(RecordBatch, Counts), Failure> {
        let mut attempt = 1;
        let annotations = loop {
            let answer = tokio::select! {
                answer = self.ask(work, start, rows) => answer,
                () = asked(work.stop) => return Err(Failure::Stopped),
            };
            match answer {
                Ok(annotations) => break annotations,
                Err(error) if attempt == ATTEMPTS => return Err(blame(work, error).await),
                Err(_) => tokio::time::sleep(Duration::from_secs(1 << attempt)).await,
            }
            attempt += 1;
        };
        let classifier = work.labeler.classifier();
        let (rows, counts) =
            read(classifier, &annotations).with_context(|| "the cluster's answer is none of this version")?;
        Ok(work.labeler.write(&rows, counts)?)
    }

    async fn ask(&self, work: Work<'_>, start: u64, rows: u64) -> Result<RecordBatch> {
        let texts = work.source.plan(work.row_group).await?;
        let plan = plan(texts, work.labeler.classifier(), start, rows)?;
        let schema = plan.schema();
        let stream = execute(&self.0, work.context, plan).await?;
        let batches: Vec<_> = stream.try_collect().await?;
        Ok(concat_batches(&schema, &batches)?)
    }
}

async fn asked(stop: Stop<'_>) {
    while !stop.is_asked() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Whose fault it is that the cluster failed: the file's if it cannot be read here either.
async fn blame(work: Work<'_>, error: LabelError) -> Failure {
    let read = async {
        let mut texts = work.source.texts(work.row_group, 0, 1 << 13).await?;
        while texts.next(work.row_group).await?.is_some() {}
        Ok(())
    };
    match read.await {
        Ok(()) => Failure::Other(LabelError::Failed { what: "the cluster cannot label".into(), source: error.into() }),
        Err(unreadable) => unreadable,
    }
}

/// The annotations of some of these texts, and which of the texts are empty.
fn plan(
    texts: Arc<dyn ExecutionPlan>,
    classifier: &Arc<Classifier>,
    start: u64,
    rows: u64,
) -> Result<Arc<dyn ExecutionPlan>> {
    let schema = texts.schema();
    let text = col(schema.field(0).name(), &schema)?;
    let count = |rows| usize::try_from(rows).unwrap_or(usize::MAX);
    let texts = GlobalLimitExec::new(texts, count(start), Some(count(rows)));
    let labeled = annotated(Arc::new(texts), Arc::clone(&text), ANNOTATION, classifier)?;
    let nothing = ScalarValue::from("").cast_to(schema.field(0).data_type())?;
    let is_empty = binary(text, Operator::Eq, lit(nothing), &schema)?;
    let annotation = col(ANNOTATION, &labeled.schema())?;
    let columns: [(Arc<dyn PhysicalExpr>, String); 2] = [(annotation, ANNOTATION.into()), (is_empty, IS_EMPTY.into())];
    Ok(Arc::new(ProjectionExec::try_new(columns, labeled)?))
}

/// The prediction of each row, and what only the texts tell of them.
fn read(classifier: &Classifier, answer: &RecordBatch) -> Result<(Vec<Option<Arc<Prediction>>>, Counts)> {
    let annotations = answer.column_by_name(ANNOTATION).and_then(|column| column.as_struct_opt());
    let annotations = annotations.ok_or_else(|| invalid("there is no annotation"))?;
    let rows = (0..answer.num_rows()).map(|row| {
        let prediction = || prediction(classifier, annotations, row).map(Arc::new);
        annotations.is_valid(row).then(prediction).transpose()
    });
    let rows = rows.collect::<Result<Vec<_>>>()?;
    let is_empty = answer.column_by_name(IS_EMPTY).and_then(|column| column.as_boolean_opt());
    let empty = is_empty.map_or(0, BooleanArray::true_count) as u64;
    let tokens = rows.iter().flatten().map(|prediction| prediction.tokens as u64).sum();
    Ok((rows, Counts { empty, tokens, ..Counts::default() }))
}

fn prediction(classifier: &Classifier, annotations: &StructArray, row: usize) -> Result<Prediction> {
    let field = |name: &str| annotations.column_by_name(name).ok_or_else(|| invalid(format!("there is no {name}")));
    let scores = field("scores")?.as_struct();
    let probabilities: Vec<f32> =
        scores.columns().iter().map(|column| column.as_primitive::<Float32Type>().value(row)).collect();
    if probabilities.len() != classifier.labels().len() {
        let (scores, labels) = (probabilities.len(), classifier.labels().len());
        return Err(invalid(format!("there are {scores} scores where the model has {labels} labels")));
    }
    let tokens = field("tokens")?.as_primitive::<Int32Type>().value(row);
    let tokens = usize::try_from(tokens).map_err(|_| invalid("a number of tokens is negative"))?;
    let truncated = field("truncated")?.as_boolean().value(row);
    let (labels, names) = (classifier.labels(), field("label")?.as_string::<i32>());
    if names.is_null(row) {
        return Ok(Prediction::from_probabilities(labels, probabilities, tokens, truncated));
    }
    let label_id = labels.iter().position(|label| **label == *names.value(row));
    let label_id = label_id.ok_or_else(|| invalid(format!("'{}' is not a label of the model", names.value(row))))?;
    Ok(Prediction::with_label(labels, label_id, probabilities, tokens, truncated))
}

fn invalid(what: impl Into<String>) -> LabelError {
    LabelError::Damaged(what.into())
}
