use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use arrow::array::{Array, ArrayRef, RecordBatch};
use arrow::datatypes::{Field, FieldRef, Schema, SchemaRef};
use datafusion::common::tree_node::TreeNodeRecursion;
use datafusion::common::{ColumnStatistics, Statistics};
use datafusion::config::ConfigOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{MemoryConsumer, MemoryReservation};
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
use futures::{StreamExt, TryStreamExt};

use super::annotation_groups;
use crate::annotation::{Output, data_type};
use crate::inference::Inference;
use crate::model::Model;
use crate::options::EmotionOptions;
use crate::shared::Shared;
use crate::text_column::{TextColumn, plain, text_at};
use crate::usage::Usage;

/// Rows of the first piece of a partition if the query may stop early: one with a limit of ten rows must not classify
/// thousands.
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
    let field = Arc::new(Field::new(column, annotation, text.nullable(&input.schema())?));
    Ok(Arc::new(InferenceExec::adding(input, vec![InferredColumn { text, model, field }], &Arc::default())))
}

/// What an [`InferenceExec`] adds: the annotation of a text by a model.
#[derive(Debug, Clone)]
pub(crate) struct InferredColumn {
    pub text: Arc<dyn PhysicalExpr>,
    pub model: Arc<Model>,
    pub field: FieldRef,
}

/// Adds the annotations of texts: see [`annotation_groups`].
///
/// Inference does not run on the runtime's worker threads, so that it does not block other queries. It stops within a
/// micro-batch when the stream is dropped. The memory of texts, tokens and predictions is reserved in the pool of the
/// session; a piece of the input has fewer rows if the pool is nearly exhausted.
#[derive(Debug)]
pub(crate) struct InferenceExec {
    input: Arc<dyn ExecutionPlan>,
    columns: Arc<[InferredColumn]>,
    begins_small: bool,
    shared: Arc<Shared>,
    properties: Arc<PlanProperties>,
    metrics: ExecutionPlanMetricsSet,
}

impl InferenceExec {
    /// The plan that adds `columns`. The caller passes their fields, so the models need not be loaded yet.
    pub(crate) fn adding(input: Arc<dyn ExecutionPlan>, columns: Vec<InferredColumn>, shared: &Arc<Shared>) -> Self {
        let schema = input.schema();
        let added = annotation_groups::fields(columns.iter().map(|column| Arc::clone(&column.field)).collect());
        let fields: Vec<FieldRef> = schema.fields().iter().cloned().chain(added).collect();
        let schema = Schema::new_with_metadata(fields, schema.metadata().clone());
        Self {
            properties: Arc::new(properties(&input, Arc::new(schema))),
            input,
            columns: columns.into(),
            begins_small: true,
            shared: Arc::clone(shared),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    fn over(&self, input: Arc<dyn ExecutionPlan>) -> Self {
        Self {
            properties: Arc::new(properties(&input, self.schema())),
            input,
            columns: Arc::clone(&self.columns),
            begins_small: self.begins_small,
            shared: Arc::clone(&self.shared),
            metrics: ExecutionPlanMetricsSet::new(),
        }
    }

    /// The plan as an [`InferenceExec`], if it is one.
    pub(crate) fn of(plan: &dyn ExecutionPlan) -> Option<&Self> {
        plan.downcast_ref()
    }

    /// Whether pieces grow from [`FIRST_ROWS`] on, so that little is classified in vain if the query stops early.
    pub(crate) fn begins_small(&self) -> bool {
        self.begins_small
    }

    /// The same plan, beginning with few rows or not.
    pub(crate) fn beginning_small(&self, begins_small: bool) -> Self {
        Self { begins_small, ..self.over(Arc::clone(&self.input)) }
    }
}

#[cfg(feature = "proto")]
impl InferenceExec {
    /// The columns that are added.
    pub(crate) fn columns(&self) -> &[InferredColumn] {
        &self.columns
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
        let (start, separator, end) = match format {
            DisplayFormatType::TreeRender => ("", "\n", "\n"),
            _ => ("InferenceExec: ", ", ", "; "),
        };
        f.write_str(start)?;
        for (index, InferredColumn { text, model, .. }) in self.columns.iter().enumerate() {
            let before = if index > 0 { end } else { "" };
            write!(f, "{before}text={text}{separator}model={}", model.name())?;
        }
        if self.begins_small {
            write!(f, "{separator}first_rows={FIRST_ROWS}")?;
        }
        Ok(())
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
        for column in self.columns.iter() {
            if f(&column.text)? == TreeNodeRecursion::Stop {
                return Ok(TreeNodeRecursion::Stop);
            }
        }
        Ok(TreeNodeRecursion::Continue)
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
        let mut statistics = inputs[0].as_ref().clone();
        for _ in self.input.schema().fields().len()..self.schema().fields().len() {
            statistics = statistics.add_column_statistics(ColumnStatistics::new_unknown());
        }
        Ok(Arc::new(statistics))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let options = EmotionOptions::of(context.session_config().options()).cloned();
        let (columns, usage) = (Arc::clone(&self.columns), Arc::clone(&self.shared.usage));
        let consumer = MemoryConsumer::new(format!("InferenceExec[{partition}]"));
        let reservation = consumer.register(context.memory_pool());
        let input = self.input.execute(partition, context)?;
        let (schema, metrics) = (self.schema(), InferenceMetrics::new(&self.metrics, partition));
        let piece_rows = if self.begins_small { FIRST_ROWS } else { MOST_ROWS };
        let pieces = async move {
            // Whoever drops the stream does not wait until large models are loaded.
            let loading = tokio::task::spawn_blocking(move || load(&columns, options.as_ref(), &usage));
            let columns = loading.await.map_err(|e| DataFusionError::External(Box::new(e)))??;
            let cancelled = CancelOnDrop::default();
            let pieces = Pieces { input, columns, schema, metrics, reservation, piece_rows, batch: None, cancelled };
            Ok::<_, DataFusionError>(futures::stream::try_unfold(pieces, Pieces::next))
        };
        let stream = futures::stream::once(pieces).try_flatten();
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), stream)))
    }
}

/// The expression of a text and the inference of its annotation.
type LoadedColumn = (Arc<dyn PhysicalExpr>, Arc<Inference>);

/// The text and the model of each column, computing as the options ask for.
#[expect(clippy::mutable_key_type, reason = "the loaded classifier of a model is no part of its hash")]
fn load(columns: &[InferredColumn], options: Option<&EmotionOptions>, usage: &Arc<Usage>) -> Result<Vec<LoadedColumn>> {
    let mut inferences: HashMap<&Arc<Model>, Arc<Inference>> = HashMap::new();
    let columns = columns.iter().map(|InferredColumn { text, model, .. }| {
        let inference = match inferences.entry(model) {
            Entry::Occupied(known) => Arc::clone(known.get()),
            Entry::Vacant(new) => Arc::clone(new.insert(Arc::new(Inference::new(model, options, usage)?))),
        };
        Ok((Arc::clone(text), inference))
    });
    columns.collect()
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
    /// The text and the model of each column that is added.
    columns: Vec<LoadedColumn>,
    schema: SchemaRef,
    metrics: InferenceMetrics,
    reservation: MemoryReservation,
    piece_rows: usize,
    batch: Option<Batch>,
    cancelled: CancelOnDrop,
}

/// A batch with the texts of each column, whose first `done` rows are classified.
struct Batch {
    input: RecordBatch,
    texts: Vec<Texts>,
    done: usize,
}

/// The texts of a batch for a column that is added.
struct Texts {
    column: ArrayRef,
    /// For each row, the index of its text among the distinct texts; `None` for NULL.
    rows: Vec<Option<usize>>,
    /// The first row of each distinct text.
    first_rows: Vec<usize>,
    predictions: Vec<Option<Arc<Prediction>>>,
    /// The bytes of all of this, and of the predictions to come.
    bytes: usize,
}

impl Texts {
    /// The distinct texts of these rows that no earlier piece contained.
    fn wanted(&self, rows: Range<usize>) -> Vec<usize> {
        let mut wanted: Vec<usize> = self.rows[rows].iter().flatten().copied().collect();
        wanted.sort_unstable();
        wanted.dedup();
        wanted.retain(|&text| self.predictions[text].is_none());
        wanted
    }
}

impl Pieces {
    async fn next(mut self) -> Result<Option<(RecordBatch, Self)>> {
        let mut batch = match self.batch.take() {
            Some(batch) => batch,
            None => match self.input.next().await.transpose()? {
                Some(batch) => self.read(batch)?,
                None => return Ok(None),
            },
        };
        let rows = self.reserve(&batch)?;
        for index in 0..self.columns.len() {
            self.infer(index, &mut batch.texts[index], rows.clone()).await?;
        }
        let piece = self.annotated(&batch, rows.clone())?;
        self.piece_rows = (self.piece_rows * 2).min(MOST_ROWS);
        batch.done = rows.end;
        self.batch = Some(batch).filter(|batch| batch.done < batch.input.num_rows());
        if self.batch.is_none() {
            self.reservation.free();
        }
        Ok(Some((piece.record_output(&self.metrics.baseline), self)))
    }

    fn read(&self, batch: RecordBatch) -> Result<Batch> {
        let texts = self.columns.iter().map(|(text, inference)| {
            let column = plain(text.evaluate(&batch)?.into_array(batch.num_rows())?)?;
            let Some(texts) = TextColumn::read(&column) else {
                return Err(DataFusionError::Internal(format!("{} is not a text type", column.data_type())));
            };
            inference.usage().add_column(texts.rows.len(), texts.null_count(), texts.distinct.len());
            self.metrics.distinct_texts.add(texts.distinct.len());
            let TextColumn { rows, first_rows, .. } = texts;
            let bytes = column.get_array_memory_size()
                + rows.len() * size_of::<Option<usize>>()
                + first_rows.len() * (size_of::<usize>() + inference.prediction_bytes());
            Ok(Texts { predictions: vec![None; first_rows.len()], rows, first_rows, column, bytes })
        });
        Ok(Batch { texts: texts.collect::<Result<_>>()?, input: batch, done: 0 })
    }

    /// Reserves the memory of a batch and of the tokens of its next piece, and returns the rows of this piece.
    fn reserve(&self, batch: &Batch) -> Result<Range<usize>> {
        let texts: usize = batch.texts.iter().map(|texts| texts.bytes).sum();
        let mut rows = batch.done..batch.input.num_rows().min(batch.done + self.piece_rows);
        loop {
            // One column after another is tokenized.
            let columns = self.columns.iter().zip(&batch.texts);
            let tokens = columns.map(|((_, inference), texts)| {
                let wanted = texts.wanted(rows.clone()).into_iter();
                let texts = wanted.filter_map(|text| text_at(&texts.column, texts.first_rows[text]));
                texts.map(|text| inference.token_bytes(text)).sum::<usize>()
            });
            match self.reservation.try_resize(texts + tokens.max().unwrap_or(0)) {
                Ok(()) => return Ok(rows),
                Err(_) if rows.len() > 1 => rows.end = rows.start + rows.len() / 2,
                Err(error) => return Err(error),
            }
        }
    }

    /// Classifies the texts of these rows that no earlier piece of the batch contained.
    async fn infer(&mut self, index: usize, texts: &mut Texts, rows: Range<usize>) -> Result<()> {
        let wanted = texts.wanted(rows);
        if wanted.is_empty() {
            return Ok(());
        }
        let first_rows: Vec<usize> = wanted.iter().map(|&text| texts.first_rows[text]).collect();
        let (inference, column) = (Arc::clone(&self.columns[index].1), Arc::clone(&texts.column));
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

    fn annotated(&self, batch: &Batch, rows: Range<usize>) -> Result<RecordBatch> {
        let _timer = self.metrics.baseline.elapsed_compute().timer();
        let piece = batch.input.slice(rows.start, rows.len());
        let annotations = self.columns.iter().zip(&batch.texts).map(|((_, inference), texts)| {
            let predictions: Vec<_> = texts.rows[rows.clone()]
                .iter()
                .map(|row| row.and_then(|text| texts.predictions[text].as_deref()))
                .collect();
            inference.write(Output::Annotation, &predictions)
        });
        let added = &self.schema.fields()[piece.num_columns()..];
        let annotations = annotation_groups::arrays(added, annotations.collect::<Result<_>>()?)?;
        let columns = piece.columns().iter().cloned().chain(annotations).collect();
        Ok(RecordBatch::try_new(Arc::clone(&self.schema), columns)?)
    }
}
