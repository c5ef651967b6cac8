//! The work: labels for each file, piece by piece, then the file.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use anyhow::{Context, Error, Result, anyhow};
use arrow::array::RecordBatch;
use arrow::compute::{cast, concat_batches};
use arrow::datatypes::{Schema, SchemaRef};
use datafusion::prelude::SessionContext;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt};
use tokio::task::spawn_blocking;

use super::cluster::{Cluster, FILES_UNDER_WAY, Work};
use super::counts::Counts;
use super::failure::Failure;
use super::format::{Encoder, WriteOptions};
use super::inputs::Input;
use super::journal::{Journal, Segment, State};
use super::labeler::Labeler;
use super::progress::Progress;
use super::source::{Source, Want};
use super::storage::Upload;
use super::summary::SetAside;

/// Rows that are read and labeled together, for each core.
const ROWS_A_CORE: usize = 64;

/// Batches under way at once, so that no core waits for the last text of one.
const BATCHES_UNDER_WAY: usize = 2;

/// Rows that are written together.
const WRITTEN_ROWS: usize = 8192;

/// Rows whose labels are kept in one piece at most.
const SEGMENT_ROWS: u64 = 1 << 16;

/// A file to label, and what is known of it.
pub struct Task {
    pub input: Input,
    /// The file to make of it.
    pub output: String,
    pub state: State,
    pub content: Content,
}

/// What a file holds, as far as it was looked at.
pub enum Content {
    /// Opening it again is cheap.
    RowGroups(Vec<u64>),
    Open(Box<Source>),
    /// It is done, so nobody looked.
    Unread,
    Unreadable(Error),
}

impl Task {
    pub fn rows(&self) -> u64 {
        match (&self.state, &self.content) {
            (State::Done(counts), _) => counts.rows,
            (_, Content::RowGroups(rows)) => rows.iter().sum(),
            (_, Content::Open(source)) => source.rows(),
            (_, Content::Unread | Content::Unreadable(_)) => 0,
        }
    }

    /// Rows whose labels are there.
    pub fn rows_done(&self) -> u64 {
        match &self.state {
            State::New => 0,
            State::Begun(segments) => segments.iter().map(|segment| segment.rows).sum(),
            State::Done(counts) => counts.rows,
        }
    }
}

/// How to read and write.
pub struct Choices {
    pub text: String,
    pub write: WriteOptions,
    pub keep_going: bool,
    /// Time after which labels are kept for good.
    pub commit_every: Duration,
    pub threads: usize,
}

impl Choices {
    /// Rows that are read and labeled together.
    pub fn batch_rows(&self) -> usize {
        self.threads * ROWS_A_CORE
    }
}

pub struct Job<'a> {
    pub context: &'a SessionContext,
    pub journal: &'a Journal,
    pub labeler: Arc<Labeler>,
    pub choices: &'a Choices,
    /// What a Parquet footer says of the model.
    pub model: Vec<(String, String)>,
    pub stop: Arc<AtomicBool>,
    pub progress: Progress,
    /// What labels; this process if there is none.
    pub cluster: Option<&'a Cluster>,
}

/// What a job came to.
#[derive(Default)]
pub struct Outcome {
    pub counts: Counts,
    pub set_aside: Vec<SetAside>,
    pub is_stopped: bool,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.counts.add(&other.counts);
        self.set_aside.extend(other.set_aside);
        self.is_stopped |= other.is_stopped;
    }
}

impl Job<'_> {
    /// Labels file after file; on a cluster some side by side.
    pub async fn run(&self, tasks: Vec<Task>) -> Result<Outcome> {
        let under_way = if self.cluster.is_some() { FILES_UNDER_WAY } else { 1 };
        // After an error the others keep what they have.
        let stop = |_: &Error| self.stop.store(true, Relaxed);
        let files = futures::stream::iter(tasks).map(|task| self.outcome(task).inspect_err(stop));
        let mut files = files.buffered(under_way);
        let (mut outcome, mut first_error) = (Outcome::default(), None);
        while let Some(file) = files.next().await {
            match file {
                Ok(file) => outcome.add(file),
                Err(error) => {
                    first_error.get_or_insert(error);
                }
            }
        }
        self.progress.finish();
        first_error.map_or(Ok(outcome), Err)
    }

    async fn outcome(&self, task: Task) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if self.stop.load(Relaxed) {
            outcome.is_stopped = true;
            return Ok(outcome);
        }
        self.progress.next_file();
        let file = task.input.shown.clone();
        match self.file(task, &mut outcome).await {
            Ok(()) => {}
            Err(Failure::Input(row_group, error)) if self.choices.keep_going => {
                self.set_aside(&mut outcome, SetAside::new(&file, row_group, None, &error));
            }
            Err(Failure::Input(row_group, error)) => return Err(cure(&file, row_group, error)),
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::Stopped) => outcome.is_stopped = true,
        }
        Ok(outcome)
    }

    async fn file(&self, task: Task, outcome: &mut Outcome) -> Result<(), Failure> {
        let Task { input, output, state, content } = task;
        if let State::Done(counts) = &state {
            outcome.counts.add(counts);
            return Ok(());
        }
        let source = match content {
            Content::Open(source) => *source,
            Content::Unreadable(error) => return Err(Failure::Input(None, error)),
            Content::RowGroups(_) | Content::Unread => open(self.context, &input, self.choices, &self.labeler).await?,
        };
        let mut segments = match state {
            State::Begun(segments) => segments,
            State::New | State::Done(_) => {
                self.journal.begin(&input).await?;
                Vec::new()
            }
        };
        let mut bad = BTreeMap::new();
        for row_group in 0..source.row_groups.len() {
            let labeled = self.row_group(&source, &input, row_group, &mut segments).await;
            self.excuse(labeled, &source, &mut bad)?;
        }
        let (bytes, counts) = loop {
            if bad.len() == source.row_groups.len() && !bad.is_empty() {
                self.report(&input, &source, bad, outcome);
                return Ok(());
            }
            let written = self.write(&source, &input, &output, &segments, &bad).await;
            if let Some(written) = self.excuse(written, &source, &mut bad)? {
                break written;
            }
        };
        outcome.counts.add(&counts);
        if bad.is_empty() {
            self.journal.done(&input, bytes, &counts).await?;
        }
        self.report(&input, &source, bad, outcome);
        Ok(())
    }

    /// Passes on what went well; remembers a bad row group if others may go on.
    fn excuse<T>(
        &self,
        result: Result<T, Failure>,
        source: &Source,
        bad: &mut BTreeMap<usize, Error>,
    ) -> Result<Option<T>, Failure> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(Failure::Input(Some(row_group), error)) if self.choices.keep_going => {
                self.progress.drop_rows(source.row_groups[row_group]);
                bad.insert(row_group, error);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn report(&self, input: &Input, source: &Source, bad: BTreeMap<usize, Error>, outcome: &mut Outcome) {
        for (row_group, error) in bad {
            let rows = source.row_groups[row_group];
            self.set_aside(outcome, SetAside::new(&input.shown, Some(row_group), Some(rows), &error));
        }
    }

    fn set_aside(&self, outcome: &mut Outcome, what: SetAside) {
        self.progress.say(&format!("Set aside: {what}"));
        outcome.set_aside.push(what);
    }

    /// Labels the rows of a row group that are not labeled yet.
    async fn row_group(
        &self,
        source: &Source,
        input: &Input,
        row_group: usize,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Failure> {
        let done = segments.iter().filter(|segment| segment.row_group == row_group).map(|segment| segment.rows).sum();
        let rows = source.row_groups[row_group];
        if done == rows {
            return Ok(());
        }
        let mut pending = Pending::new(row_group, done);
        let result = self.label(source, input, &mut pending, segments).await;
        if !matches!(result, Err(Failure::Other(_))) {
            self.keep(input, &mut pending, segments).await?;
        }
        result?;
        if pending.first_row != rows {
            let error = anyhow!("it has {} rows where {rows} were announced", pending.first_row);
            return Err(Failure::Input(Some(row_group), error));
        }
        Ok(())
    }

    async fn label(
        &self,
        source: &Source,
        input: &Input,
        pending: &mut Pending,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Failure> {
        let (row_group, first_row) = (pending.row_group, pending.first_row);
        let mut pieces = match self.cluster {
            Some(cluster) => {
                let (context, labeler, stop) = (self.context, &*self.labeler, &*self.stop);
                cluster.label(Work { context, labeler, source, row_group, stop }, first_row)
            }
            None => self.label_here(source, row_group, first_row).await?,
        };
        while let Some(piece) = pieces.next().await {
            let (batch, counts) = piece?;
            self.progress.add(counts.rows, counts.tokens);
            pending.add(batch, &counts);
            if pending.counts.rows >= SEGMENT_ROWS || pending.since.elapsed() >= self.choices.commit_every {
                self.keep(input, pending, segments).await?;
            }
        }
        Ok(())
    }

    /// The columns to add to the rows of a row group from its `first_row`th.
    async fn label_here(
        &self,
        source: &Source,
        row_group: usize,
        first_row: u64,
    ) -> Result<BoxStream<'static, Result<(RecordBatch, Counts), Failure>>, Failure> {
        let unreadable = move |error| Failure::Input(Some(row_group), error);
        let batches = source.read(row_group, first_row, self.choices.batch_rows(), Want::Text).await;
        let batches = batches.map_err(unreadable)?;
        let (labeler, stop) = (Arc::clone(&self.labeler), Arc::clone(&self.stop));
        let pieces = batches.map(move |batch| {
            let (labeler, stop) = (Arc::clone(&labeler), Arc::clone(&stop));
            let work = batch.map(|batch| spawn_blocking(move || labeler.label(&batch, &stop)));
            async move {
                let piece = work.map_err(unreadable)?.await.context("the labeling thread is gone")??;
                Ok::<_, Failure>(piece)
            }
        });
        Ok(pieces.buffered(BATCHES_UNDER_WAY).boxed())
    }

    async fn keep(&self, input: &Input, pending: &mut Pending, segments: &mut Vec<Segment>) -> Result<(), Failure> {
        let segment = Segment { row_group: pending.row_group, first_row: pending.first_row, rows: pending.counts.rows };
        if segment.rows > 0 {
            self.journal.keep(input, segment, &pending.batches, &pending.counts).await?;
            segments.push(segment);
        }
        *pending = Pending::new(segment.row_group, segment.first_row + segment.rows);
        Ok(())
    }

    /// Writes the file: the rows of the input with their labels.
    async fn write(
        &self,
        source: &Source,
        input: &Input,
        output: &str,
        segments: &[Segment],
        bad: &BTreeMap<usize, Error>,
    ) -> Result<(u64, Counts), Failure> {
        let schema = self.labeler.format().schema(&joined(&source.schema, self.labeler.schema()), input.format);
        let schema = Arc::new(schema);
        let ours = |key: &String| self.model.iter().any(|(other, _)| other == key);
        let theirs = source.metadata.iter().filter(|(key, _)| !ours(key));
        let metadata = theirs.chain(&self.model).cloned().collect();
        let encoder = Encoder::new(self.labeler.format(), &schema, &self.choices.write, metadata)?;
        let mut upload = self.journal.upload(output)?;
        let rows = Rows { source, input, segments, bad, schema: &schema };
        match self.write_rows(rows, encoder, &mut upload).await {
            Ok(counts) => Ok((self.journal.publish(input, upload).await?, counts)),
            Err(failure) => {
                upload.abort().await;
                Err(failure)
            }
        }
    }

    async fn write_rows(&self, rows: Rows<'_>, mut encoder: Encoder, upload: &mut Upload) -> Result<Counts, Failure> {
        let mut counts = Counts::default();
        // A file without rows has a line of names, too.
        upload.write(encoder.encode(&RecordBatch::new_empty(Arc::clone(rows.schema)))?).await?;
        for row_group in 0..rows.source.row_groups.len() {
            if rows.bad.contains_key(&row_group) {
                continue;
            }
            let segments = rows.segments.iter().filter(|segment| segment.row_group == row_group).copied();
            let mut labels = Labels::new(self.journal, rows.input, self.labeler.schema(), segments.collect());
            let unreadable = |error| Failure::Input(Some(row_group), error);
            let batches = rows.source.read(row_group, 0, WRITTEN_ROWS, Want::All).await;
            let mut batches = batches.map_err(unreadable)?;
            while let Some(batch) = batches.next().await {
                if self.stop.load(Relaxed) {
                    return Err(Failure::Stopped);
                }
                let batch = batch.map_err(unreadable)?;
                let labels = labels.take(batch.num_rows()).await?;
                upload.write(encoder.encode(&stored(rows.schema, &batch, &labels)?)?).await?;
            }
            upload.write(encoder.end_row_group()?).await?;
            counts.add(&labels.counts);
        }
        upload.write(encoder.finish()?).await?;
        Ok(counts)
    }
}

/// Opens a file to label.
pub async fn open(
    context: &SessionContext,
    input: &Input,
    choices: &Choices,
    labeler: &Labeler,
) -> Result<Source, Failure> {
    let source = Source::open(context, input, &choices.text, choices.write.delimiter, labeler.format()).await;
    let checked = source.and_then(|source| {
        labeler.columns().check(labeler.schema(), &source.schema, &input.shown)?;
        Ok(source)
    });
    checked.map_err(|error| Failure::Input(None, error))
}

/// What to do about a file that cannot be labeled.
pub fn cure(file: &str, row_group: Option<usize>, error: Error) -> Error {
    match row_group {
        Some(row_group) => error.context(format!(
            "cannot read row group {row_group} of '{file}': write the file again, or label the rest with --keep-going"
        )),
        None => error
            .context(format!("cannot label '{file}': mend it, take it away, or label the others with --keep-going")),
    }
}

/// How many cores there are to work on.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// What to write.
#[derive(Clone, Copy)]
struct Rows<'a> {
    source: &'a Source,
    input: &'a Input,
    segments: &'a [Segment],
    bad: &'a BTreeMap<usize, Error>,
    schema: &'a SchemaRef,
}

/// Labels that are not kept yet.
struct Pending {
    row_group: usize,
    first_row: u64,
    batches: Vec<RecordBatch>,
    counts: Counts,
    since: Instant,
}

impl Pending {
    fn new(row_group: usize, first_row: u64) -> Self {
        Self { row_group, first_row, batches: Vec::new(), counts: Counts::default(), since: Instant::now() }
    }

    fn add(&mut self, batch: RecordBatch, counts: &Counts) {
        self.batches.push(batch);
        self.counts.add(counts);
    }
}

/// The labels of a row group, in the order of its rows.
struct Labels<'a> {
    journal: &'a Journal,
    input: &'a Input,
    schema: &'a SchemaRef,
    segments: VecDeque<Segment>,
    batches: VecDeque<RecordBatch>,
    counts: Counts,
}

impl<'a> Labels<'a> {
    fn new(journal: &'a Journal, input: &'a Input, schema: &'a SchemaRef, segments: VecDeque<Segment>) -> Self {
        Self { journal, input, schema, segments, batches: VecDeque::new(), counts: Counts::default() }
    }

    async fn take(&mut self, rows: usize) -> Result<RecordBatch> {
        let (mut pieces, mut wanted) = (Vec::new(), rows);
        while wanted > 0 {
            let Some(batch) = self.batches.pop_front() else {
                let segment = self.segments.pop_front().context("there are more rows than labels")?;
                let (batches, counts) = self.journal.labels(self.input, segment, self.schema).await?;
                self.counts.add(&counts);
                self.batches.extend(batches);
                continue;
            };
            let taken = wanted.min(batch.num_rows());
            pieces.push(batch.slice(0, taken));
            if taken < batch.num_rows() {
                self.batches.push_front(batch.slice(taken, batch.num_rows() - taken));
            }
            wanted -= taken;
        }
        Ok(concat_batches(self.schema, &pieces)?)
    }
}

fn joined(input: &Schema, added: &Schema) -> Schema {
    let fields = input.fields().iter().chain(added.fields()).cloned();
    Schema::new_with_metadata(fields.collect::<Vec<_>>(), input.metadata().clone())
}

/// Rows with their labels, in the types that the output has for them.
fn stored(schema: &SchemaRef, rows: &RecordBatch, labels: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().chain(labels.columns()).zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?)
}
