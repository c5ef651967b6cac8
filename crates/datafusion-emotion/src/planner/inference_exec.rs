use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_expr::{EquivalenceProperties, PhysicalExpr};
use datafusion::physical_plan::execution_plan::CardinalityEffect;
use datafusion::physical_plan::filter_pushdown::{FilterDescription, FilterPushdownPhase};
use datafusion::physical_plan::metrics::{
    BaselineMetrics, Count, ExecutionPlanMetricsSet, MetricBuilder, MetricsSet, RecordOutput, Time,
};
use datafusion::physical_plan::statistics::{ChildStats, StatisticsArgs};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{DisplayAs, DisplayFormatType, ExecutionPlan, ExecutionPlanProperties, PlanProperties};
use emotion_classifier::{Classifier, Counts, Prediction};
use futures::StreamExt;

use crate::annotation::{Output, data_type};
use crate::inference::Inference;
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::shared::Shared;
use crate::text_column::{TextColumn, plain, text_at};

/// Rows of the first piece of a partition: a query with a limit of ten rows must not classify thousands.
const FIRST_ROWS: usize = 32;

/// Most rows of a piece, which are enough work for all cores.
const MOST_ROWS: usize = 2048;

/// A physical plan that adds the column `column` to `input`: the annotation of `text` by a model.
///
/// [`EmotionExt::with_emotion`](crate::EmotionExt::with_emotion) plans `emotion_annotate(text)` in the same way; this
/// function is for engines that build physical plans themselves. The options are those of the session that executes the
/// plan.
///
/// # Errors
///
/// The error of DataFusion if `text` cannot be evaluated over the schema of `input`.
pub fn annotated(
    input: Arc<dyn ExecutionPlan>,
    text: Arc<dyn PhysicalExpr>,
    column: &str,
    classifier: &Arc<Classifier>,
) -> Result<Arc<dyn ExecutionPlan>> {
    let model = Model::given(column, Arc::clone(classifier));
    let annotation = data_type(Output::Annotation, classifier);
    let column = Arc::new(Field::new(column, annotation, text.nullable(&input.schema())?));
    Ok(Arc::new(InferenceExec::adding(input, text, column, &model, &Arc::default())))
}

/// Adds a column with the annotation of a text.
///
/// Inference does not run on the runtime's worker threads, so that it does not block other queries. It stops within a
/// micro-batch when the stream is dropped.
#[derive(Debug)]
pub(crate) struct InferenceExec {
    input: Arc<dyn ExecutionPlan>,
    text: Arc<dyn PhysicalExpr>,
    model: Arc<Model>,
    shared: Arc<Shared>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl InferenceExec {
    /// The plan that adds `column`. The caller passes the field, so the model need not be loaded yet.
    pub(crate) fn adding(
        input: Arc<dyn ExecutionPlan>,
        text: Arc<dyn PhysicalExpr>,
        column: FieldRef,
        model: &Arc<Model>,
        shared: &Arc<Shared>,
    ) -> Self {
        let schema = input.schema();
        let fields = schema.fields().iter().cloned().chain([column]);
        let schema = Schema::new_with_metadata(fields.collect::<Vec<_>>(), schema.metadata().clone());
        Self {
            properties: Arc::new(properties(&input, Arc::new(schema))),
            input,
            text,
            model: Arc::clone(model),
            shared: Arc::clone(shared),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The column that is added.
    #[cfg(feature = "proto")]
    pub(crate) fn column(&self) -> &Field {
        let schema = self.properties.eq_properties.schema();
        schema.field(schema.fields().len() - 1)
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            properties: Arc::new(properties(&input, self.schema())),
            input,
            text: Arc::clone(&self.text),
            model: Arc::clone(&self.model),
            shared: Arc::clone(&self.shared),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }
}

#[cfg(feature = "proto")]
impl InferenceExec {
    /// The plan as an [`InferenceExec`], if it is one.
    pub(crate) fn of(plan: &dyn ExecutionPlan) -> Option<&Self> {
        plan.downcast_ref()
    }

    pub(crate) fn text(&self) -> &Arc<dyn PhysicalExpr> {
        &self.text
    }

    pub(crate) fn model(&self) -> &Model {
        &self.model
    }
}

/// The properties of the input: its columns keep their indices, and its rows their order.
fn properties(input: &Arc<dyn ExecutionPlan>, schema: SchemaRef) -> PlanProperties {
    PlanProperties::new(
        EquivalenceProperties::new_with_orderings(schema, input.output_ordering().cloned()),
        input.output_partitioning().clone(),
        input.pipeline_behavior(),
        input.boundedness(),
    )
}

impl DisplayAs for InferenceExec {
    fn fmt_as(&self, format: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (text, model) = (&self.text, self.model.name());
        match format {
            DisplayFormatType::TreeRender => write!(f, "text={text}\nmodel={model}"),
            _ => write!(f, "InferenceExec: text={text}, model={model}"),
        }
    }
}

impl ExecutionPlan for InferenceExec {
    fn name(&self) -> &'static str {
        "InferenceExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn apply_expressions(
        &self,
        f: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        f(&self.text)
    }

    fn with_new_children(self: Arc<Self>, mut children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        Ok(Arc::new(self.over(children.swap_remove(0))))
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn supports_limit_pushdown(&self) -> bool {
        true
    }

    fn cardinality_effect(&self) -> CardinalityEffect {
        CardinalityEffect::Equal
    }

    fn gather_filters_for_pushdown(
        &self,
        _phase: FilterPushdownPhase,
        parent_filters: Vec<Arc<dyn PhysicalExpr>>,
        _config: &ConfigOptions,
    ) -> Result<FilterDescription> {
        FilterDescription::from_children(parent_filters, &self.children())
    }

    fn metrics(&self) -> Option<MetricsSet> {
        Some(self.metrics.clone_inner())
    }

    fn child_stats_requests(&self, partition: Option<usize>) -> Vec<ChildStats> {
        vec![ChildStats::At(partition)]
    }

    /// The statistics of the input. The row count prevents DataFusion from repartitioning a small output, which would
    /// collect pieces in large batches before a limit receives them.
    fn statistics_from_inputs(&self, inputs: &[Arc<Statistics>], _args: &StatisticsArgs) -> Result<Arc<Statistics>> {
        let statistics = inputs[0].as_ref().clone();
        Ok(Arc::new(statistics.add_column_statistics(ColumnStatistics::new_unknown())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let options = EmotionOptions::of(context.session_config().options());
        let inference = Inference::new(&self.model, options, &self.shared.usage)?;
        let pieces = Pieces {
            input: self.input.execute(partition, context)?,
            text: Arc::clone(&self.text),
            inference: Arc::new(inference),
            schema: self.schema(),
            metrics: InferenceMetrics::new(&self.metrics, partition),
            piece_rows: FIRST_ROWS,
            batch: None,
            cancelled: CancelOnDrop::default(),
        };
        let stream = futures::stream::try_unfold(pieces, Pieces::next);
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }
}

/// Sets a flag on drop, which stops the threads that infer.
#[derive(Default)]
struct CancelOnDrop(Arc<AtomicBool>);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

struct InferenceMetrics {
    baseline: BaselineMetrics,
    distinct_texts: Count,
    cache_hits: Count,
    forward_passes: Count,
    tokens: Count,
    inference_time: Time,
}

impl InferenceMetrics {
    fn new(set: &ExecutionPlanMetricsSet, partition: usize) -> Self {
        let count = |name| MetricBuilder::new(set).counter(name, partition);
        Self {
            baseline: BaselineMetrics::new(set, partition),
            distinct_texts: count("distinct_texts"),
            cache_hits: count("cache_hits"),
            forward_passes: count("forward_passes"),
            tokens: count("tokens"),
            inference_time: MetricBuilder::new(set).subset_time("inference_time", partition),
        }
    }

    fn add(&self, counts: &Counts) {
        let count = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
        self.cache_hits.add(count(counts.cache_hits));
        self.forward_passes.add(count(counts.forward_passes));
        self.tokens.add(count(counts.tokens));
        self.inference_time.add_duration(counts.busy);
    }
}

/// The batches of the input in pieces; each piece is classified when it is polled.
struct Pieces {
    input: SendableRecordBatchStream,
    text: Arc<dyn PhysicalExpr>,
    inference: Arc<Inference>,
    schema: SchemaRef,
    metrics: InferenceMetrics,
    piece_rows: usize,
    batch: Option<Texts>,
    cancelled: CancelOnDrop,
}

/// A batch with its texts, whose first `done` rows are classified.
struct Texts {
    batch: RecordBatch,
    column: ArrayRef,
    /// For each row, the index of its text among the distinct texts; `None` for NULL.
    rows: Vec<Option<usize>>,
    /// The first row of each distinct text.
    first_rows: Vec<usize>,
    predictions: Vec<Option<Arc<Prediction>>>,
    done: usize,
}

impl Pieces {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let mut texts = match self.batch.take() {
            Some(texts) => texts,
            None => match self.input.next().await.transpose()? {
                Some(batch) => self.read(batch)?,
                None => return Ok(None),
            },
        };
        let rows = texts.done..texts.batch.num_rows().min(texts.done + self.piece_rows);
        self.infer(&mut texts, rows.clone()).await?;
        let piece = self.annotated(&texts, rows.clone())?;
        self.piece_rows = (self.piece_rows * 2).min(MOST_ROWS);
        texts.done = rows.end;
        self.batch = Some(texts).filter(|texts| texts.done < texts.batch.num_rows());
        Ok(Some((piece.record_output(&self.metrics.baseline), self)))
    }

    fn read(&self, batch: RecordBatch) -> Result<Texts> {
        let column = plain(self.text.evaluate(&batch)?.into_array(batch.num_rows())?)?;
        let Some(texts) = TextColumn::read(&column) else {
            return Err(DataFusionError::Internal(format!("{} is not a text type", column.data_type())));
        };
        self.inference.usage().add_column(texts.rows.len(), texts.null_count(), texts.distinct.len());
        self.metrics.distinct_texts.add(texts.distinct.len());
        let TextColumn { rows, first_rows, .. } = texts;
        Ok(Texts { predictions: vec![None; first_rows.len()], rows, first_rows, batch, column, done: 0 })
    }

    /// Classifies the texts of these rows that no earlier piece of the batch contained.
    async fn infer(&mut self, texts: &mut Texts, rows: std::ops::Range<usize>) -> Result<()> {
        let mut wanted: Vec<usize> = texts.rows[rows].iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|&text| texts.predictions[text].is_none());
        if wanted.is_empty() {
            return Ok(());
        }
        let first_rows: Vec<usize> = wanted.iter().map(|&text| texts.first_rows[text]).collect();
        let (inference, column) = (Arc::clone(&self.inference), Arc::clone(&texts.column));
        let cancelled = Arc::clone(&self.cancelled.0);
        let work = tokio::task::spawn_blocking(move || {
            let texts: Vec<&str> = first_rows.iter().filter_map(|&row| text_at(&column, row)).collect();
            inference.run(&texts, &cancelled)
        });
        let (predictions, counts) = work.await.map_err(|e| DataFusionError::External(Box::new(e)))?;
        self.metrics.add(&counts);
        for (text, prediction) in wanted.into_iter().zip(predictions?) {
            texts.predictions[text] = Some(prediction);
        }
        Ok(())
    }

    fn annotated(&self, texts: &Texts, rows: std::ops::Range<usize>) -> Result<RecordBatch> {
        let _timer = self.metrics.baseline.elapsed_compute().timer();
        let piece = texts.batch.slice(rows.start, rows.len());
        let predictions: Vec<_> =
            texts.rows[rows].iter().map(|row| row.and_then(|text| texts.predictions[text].as_deref())).collect();
        let annotations = self.inference.write(Output::Annotation, &predictions)?;
        let columns = piece.columns().iter().cloned().chain([annotations]).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
