//! The work: labels for each file, piece by piece, then the file.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Instant;

use anyhow::{Context, Error, Result};
use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use futures::stream::BoxStream;
use futures::{StreamExt, TryFutureExt};
use tokio::task::spawn_blocking;

use super::choices::Choices;
use super::cluster::{Cluster, FILES_UNDER_WAY, Work};
use super::counts::Counts;
use super::failure::Failure;
use super::format::Target;
use super::inputs::Input;
use super::journal::{Journal, Segment, State};
use super::labeler::Labeler;
use super::progress::Progress;
use super::source::Source;
use super::summary::SetAside;
use super::texts::Texts;
use super::write::Writing;

/// Batches under way at once, so that no core waits for the last text of one.
const BATCHES_UNDER_WAY: usize = 2;

/// Rows whose labels are kept in one piece at most.
const SEGMENT_ROWS: u64 = 1 << 16;

/// A file to label, and what is known of it.
pub struct Task {
    pub input: Input,
    pub target: Target,
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

pub struct Job<'a> {
    pub context: &'a SessionContext,
    pub journal: &'a Journal,
    pub labeler: Arc<Labeler>,
    pub choices: &'a Choices,
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
        let Task { input, target, state, content } = task;
        if let State::Done(counts) = &state {
            outcome.counts.add(counts);
            return Ok(());
        }
        let source = match content {
            Content::Open(source) => *source,
            Content::Unreadable(error) => return Err(Failure::Input(None, error)),
            Content::RowGroups(_) | Content::Unread => {
                Source::open(self.context, &input, target.file, self.choices, &self.labeler).await?
            }
        };
        let mut segments = match state {
            State::Begun(segments) => segments,
            State::New | State::Done(_) => {
                self.journal.begin(&input).await?;
                Vec::new()
            }
        };
        let (mut bad, mut texts) = (BTreeMap::new(), None);
        for row_group in 0..source.row_groups.len() {
            let labeled = self.row_group(&source, &input, row_group, &mut segments, &mut texts).await;
            self.excuse(labeled, &source, &mut bad)?;
        }
        let (bytes, counts) = loop {
            if bad.len() == source.row_groups.len() && !bad.is_empty() {
                self.report(&input, &source, bad, outcome);
                return Ok(());
            }
            let left_out: Vec<usize> = bad.keys().copied().collect();
            let writing = Writing {
                journal: self.journal,
                choices: self.choices,
                added: self.labeler.schema(),
                source: &source,
                input: &input,
                target: &target,
                segments: &segments,
                left_out: &left_out,
                stop: &self.stop,
            };
            let written = writing.write().await;
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
            Err(Failure::Input(Some(row_group), error)) if self.choices.keep_going && !bad.contains_key(&row_group) => {
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
        texts: &mut Option<Texts>,
    ) -> Result<(), Failure> {
        let done = segments.iter().filter(|segment| segment.row_group == row_group).map(|segment| segment.rows).sum();
        let rows = source.row_groups[row_group];
        if done == rows {
            return Ok(());
        }
        let mut pending = Pending::new(row_group, done);
        let result = self.label(source, input, &mut pending, segments, texts).await;
        if !matches!(result, Err(Failure::Other(_))) {
            self.keep(input, &mut pending, segments).await?;
        }
        result?;
        if pending.first_row != rows {
            return Err(source.miscounted(row_group, pending.first_row));
        }
        Ok(())
    }

    async fn label(
        &self,
        source: &Source,
        input: &Input,
        pending: &mut Pending,
        segments: &mut Vec<Segment>,
        texts: &mut Option<Texts>,
    ) -> Result<(), Failure> {
        let (row_group, first_row) = (pending.row_group, pending.first_row);
        let mut pieces = if let Some(cluster) = self.cluster {
            let (context, labeler, stop) = (self.context, &*self.labeler, &*self.stop);
            cluster.label(Work { context, labeler, source, row_group, stop }, first_row)
        } else {
            let reader = match texts.take().filter(|texts| texts.is_at(row_group, first_row)) {
                Some(reader) => reader,
                None => source.texts(row_group, first_row, self.choices.batch_rows()).await?,
            };
            self.label_here(texts.insert(reader), row_group)
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

    /// The columns to add to the next rows of a row group.
    fn label_here<'a>(
        &'a self,
        texts: &'a mut Texts,
        row_group: usize,
    ) -> BoxStream<'a, Result<(RecordBatch, Counts), Failure>> {
        let batches = futures::stream::unfold(Some(texts), move |texts| async move {
            let texts = texts?;
            match texts.next(row_group).await.transpose()? {
                Ok(batch) => Some((Ok(batch), Some(texts))),
                Err(failure) => Some((Err(failure), None)),
            }
        });
        let pieces = batches.map(move |batch| {
            let (labeler, stop) = (Arc::clone(&self.labeler), Arc::clone(&self.stop));
            let work = batch.map(|texts| spawn_blocking(move || labeler.label(&texts, &stop)));
            async move {
                let piece = work?.await.context("the labeling thread is gone")??;
                Ok::<_, Failure>(piece)
            }
        });
        pieces.buffered(BATCHES_UNDER_WAY).boxed()
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
