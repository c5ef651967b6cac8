//! The work: labels for each file, piece by piece, then the file.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use arrow::array::RecordBatch;
use datafusion::prelude::SessionContext;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::spawn_blocking;

use crate::job::cancel::Cancel;
use crate::job::choices::Choices;
#[cfg(feature = "cluster")]
use crate::job::cluster::Cluster;
use crate::job::counts::Counts;
use crate::job::error::{LabelError, Result};
use crate::job::failure::{Failure, caught};
use crate::job::inputs::Input;
use crate::job::journal::{FileJournal, Journal, State};
use crate::job::labeler::Labeler;
#[cfg(not(feature = "cluster"))]
use crate::job::no_cluster::Cluster;
use crate::job::observer::Observer;
use crate::job::segment::Segment;
use crate::job::source::Source;
use crate::job::stop::{FirstFailed, Stop};
use crate::job::summary::SetAside;
use crate::job::task::{Content, Task};
use crate::job::texts::Texts;
use crate::job::work::Work;
use crate::job::write::Writing;

/// Files that a cluster labels side by side, so that many small ones are work enough.
const FILES_ON_A_CLUSTER: usize = 16;

/// Files that are labeled side by side here, for each core: small ones wait for the disk most of the time.
const FILES_A_CORE: usize = 32;

/// Files that are labeled side by side here at most. Each may have three descriptors open, and a process may have 256
/// on macOS and 1,024 on Linux by default.
const MOST_FILES: usize = 64;

/// Batches of rows that keep the cores busy while a file is opened or written.
const BATCHES_OF_A_FILE: usize = 8;

/// Batches under way at once, so that no core waits for the last text of one.
const BATCHES_UNDER_WAY: usize = 2;

/// Rows whose labels are kept in one piece at most.
const SEGMENT_ROWS: u64 = 1 << 16;

/// The work of a job.
pub struct Run<'a> {
    pub context: &'a SessionContext,
    pub journal: &'a Journal,
    pub labeler: Arc<Labeler>,
    pub choices: &'a Choices,
    pub cancel: &'a Cancel,
    pub observer: &'a dyn Observer,
    /// Rows that were labeled.
    pub labeled: AtomicU64,
    /// What labels; this process if there is none.
    pub cluster: Option<&'a Cluster>,
}

/// What a job came to.
#[derive(Default)]
pub struct Outcome {
    pub counts: Counts,
    pub set_aside: Vec<SetAside>,
    pub is_cancelled: bool,
}

impl Outcome {
    fn with(mut self, other: Self) -> Self {
        self.counts.add(&other.counts);
        self.set_aside.extend(other.set_aside);
        self.is_cancelled |= other.is_cancelled;
        self
    }
}

impl Run<'_> {
    /// Labels as many files concurrently as keep all cores busy.
    pub async fn run(&self, tasks: Vec<Task>) -> Result<Outcome> {
        let (budget, failed) = (RowBudget::new(self.choices.batch_rows()), FirstFailed::none());
        let here = MOST_FILES.min(self.choices.threads * FILES_A_CORE);
        let under_way = if self.cluster.is_some() { FILES_ON_A_CLUSTER } else { here };
        let files = tasks.into_iter().enumerate().map(|(at, task)| {
            let failed = &failed;
            let budget = (self.cluster.is_none() && !task.is_done()).then_some(&budget);
            async move {
                let _permit = match budget {
                    Some(budget) => budget.acquire(task.rows_left()).await,
                    None => None,
                };
                let outcome = self.outcome(task, Stop::new(self.cancel, failed, at)).await;
                if outcome.is_err() {
                    failed.report(at);
                }
                (at, outcome)
            }
        });
        let mut files = futures::stream::iter(files).buffer_unordered(under_way);
        let mut outcomes = BTreeMap::new();
        while let Some((at, outcome)) = files.next().await {
            outcomes.insert(at, outcome);
        }
        outcomes.into_values().try_fold(Outcome::default(), |sum, outcome| Ok(sum.with(outcome?)))
    }

    async fn outcome(&self, task: Task, stop: Stop<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        if stop.is_asked() {
            outcome.is_cancelled = true;
            return Ok(outcome);
        }
        let file = task.input.shown.clone();
        self.observer.file_started(&file);
        log::info!("labeling {file}");
        match caught(None, self.file(task, stop, &mut outcome)).await.map_err(Failure::without_descriptors) {
            Ok(()) => {}
            Err(Failure::Input(row_group, error)) if self.choices.keep_going => {
                self.set_aside(&mut outcome, SetAside::new(&file, row_group, None, &error));
            }
            Err(Failure::Input(row_group, error)) => {
                return Err(LabelError::Input { file, row_group, source: Box::new(error) });
            }
            Err(Failure::Other(error)) => return Err(error),
            Err(Failure::Stopped) => outcome.is_cancelled = true,
        }
        Ok(outcome)
    }

    async fn file(&self, task: Task, stop: Stop<'_>, outcome: &mut Outcome) -> Result<(), Failure> {
        let Task { input, target, state, content } = task;
        if let State::Done(counts) = &state {
            outcome.counts.add(counts);
            self.journal.clean(&input).await?;
            return Ok(());
        }
        let source = match content {
            Content::Open(source) => *source,
            Content::Unreadable(error) => return Err(Failure::Input(None, error)),
            Content::RowGroups(_) | Content::Unread => {
                Source::open(self.context, &input, target.file, self.choices, &self.labeler).await?
            }
        };
        let (journal, mut segments) = match state {
            State::Begun(begun) => (self.journal.resume(&input, &begun).await?, begun.segments),
            State::New | State::Done(_) => (self.journal.begin(&input).await?, Vec::new()),
        };
        let (mut bad, mut texts) = (BTreeMap::new(), None);
        for row_group in 0..source.row_groups.len() {
            let work = self.row_group(&source, &journal, row_group, stop, &mut segments, &mut texts);
            let labeled = caught(Some(row_group), work).await;
            if labeled.is_err() {
                // Whatever state it is in after a panic.
                texts = None;
            }
            self.excuse(labeled, &source, &mut bad)?;
        }
        // Closes the input, which the writer opens again.
        drop(texts);
        let (output, counts) = loop {
            if bad.len() == source.row_groups.len() && !bad.is_empty() {
                self.report(&input, &source, bad, outcome);
                return Ok(());
            }
            let left_out: Vec<usize> = bad.keys().copied().collect();
            let writing = Writing {
                journal: &journal,
                choices: self.choices,
                added: self.labeler.schema(),
                source: &source,
                target: &target,
                segments: &segments,
                left_out: &left_out,
                stop,
            };
            let written = caught(None, writing.write()).await;
            if let Some(written) = self.excuse(written, &source, &mut bad)? {
                break written;
            }
        };
        outcome.counts.add(&counts);
        if bad.is_empty() {
            journal.done(&output, &counts).await?;
        }
        self.report(&input, &source, bad, outcome);
        Ok(())
    }

    /// Passes on what went well; remembers a bad row group if others may go on.
    fn excuse<T>(
        &self,
        result: Result<T, Failure>,
        source: &Source,
        bad: &mut BTreeMap<usize, LabelError>,
    ) -> Result<Option<T>, Failure> {
        match result.map_err(Failure::without_descriptors) {
            Ok(value) => Ok(Some(value)),
            Err(Failure::Input(Some(row_group), error)) if self.choices.keep_going && !bad.contains_key(&row_group) => {
                self.observer.rows_dropped(source.row_groups[row_group]);
                bad.insert(row_group, error);
                Ok(None)
            }
            Err(other) => Err(other),
        }
    }

    fn report(&self, input: &Input, source: &Source, bad: BTreeMap<usize, LabelError>, outcome: &mut Outcome) {
        for (row_group, error) in bad {
            let rows = source.row_groups[row_group];
            self.set_aside(outcome, SetAside::new(&input.shown, Some(row_group), Some(rows), &error));
        }
    }

    fn set_aside(&self, outcome: &mut Outcome, what: SetAside) {
        self.observer.set_aside(&what);
        outcome.set_aside.push(what);
    }

    /// Labels the rows of a row group that are not labeled yet.
    async fn row_group(
        &self,
        source: &Source,
        journal: &FileJournal<'_>,
        row_group: usize,
        stop: Stop<'_>,
        segments: &mut Vec<Segment>,
        texts: &mut Option<Texts>,
    ) -> Result<(), Failure> {
        let done = segments.iter().filter(|segment| segment.row_group == row_group).map(|segment| segment.rows).sum();
        let rows = source.row_groups[row_group];
        if done == rows {
            return Ok(());
        }
        let mut pending = Pending::new(row_group, done);
        let result = self.label(source, journal, stop, &mut pending, segments, texts).await;
        if !matches!(result, Err(Failure::Other(_))) {
            self.keep(journal, &mut pending, segments).await?;
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
        journal: &FileJournal<'_>,
        stop: Stop<'_>,
        pending: &mut Pending,
        segments: &mut Vec<Segment>,
        texts: &mut Option<Texts>,
    ) -> Result<(), Failure> {
        let (row_group, first_row) = (pending.row_group, pending.first_row);
        let mut pieces = if let Some(cluster) = self.cluster {
            let (context, labeler) = (self.context, &*self.labeler);
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
            self.labeled.fetch_add(counts.rows, Relaxed);
            self.observer.rows_labeled(counts.rows, counts.tokens);
            pending.add(batch, &counts);
            if pending.counts.rows >= SEGMENT_ROWS || pending.since.elapsed() >= self.choices.commit_every {
                self.keep(journal, pending, segments).await?;
            }
            if stop.is_asked() {
                return Err(Failure::Stopped);
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
            let (labeler, cancel) = (Arc::clone(&self.labeler), self.cancel.clone());
            let work = batch.map(|texts| spawn_blocking(move || labeler.label(&texts, &cancel)));
            async move {
                let piece = work?.await.map_err(LabelError::from)?;
                Ok(piece?)
            }
        });
        pieces.buffered(BATCHES_UNDER_WAY).boxed()
    }

    async fn keep(
        &self,
        journal: &FileJournal<'_>,
        pending: &mut Pending,
        segments: &mut Vec<Segment>,
    ) -> Result<(), Failure> {
        let segment = Segment { row_group: pending.row_group, first_row: pending.first_row, rows: pending.counts.rows };
        if segment.rows > 0 {
            journal.keep(segment, &pending.batches, &pending.counts).await?;
            segments.push(segment);
            log::info!(
                "committed {} rows from row {} of row group {} on",
                segment.rows,
                segment.first_row,
                segment.row_group
            );
        }
        *pending = Pending::new(segment.row_group, segment.first_row + segment.rows);
        Ok(())
    }
}

/// A budget of rows for the files that are labeled concurrently.
///
/// It takes two large files, so that one is labeled while the other is opened or written, or many small ones. Memory is
/// therefore that of two files, whatever their size.
struct RowBudget {
    rows: Semaphore,
    /// Rows as which a large file counts.
    most: u32,
}

impl RowBudget {
    fn new(batch_rows: usize) -> Self {
        let most = u32::try_from(batch_rows * BATCHES_OF_A_FILE).unwrap_or(u32::MAX >> 4);
        Self { rows: Semaphore::new(2 * most as usize), most }
    }

    /// Takes the share of a file with this many rows; dropping the permit returns it.
    async fn acquire(&self, rows: u64) -> Option<SemaphorePermit<'_>> {
        let rows = u32::try_from(rows).unwrap_or(u32::MAX).clamp(1, self.most);
        self.rows.acquire_many(rows).await.ok()
    }
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

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    #[tokio::test]
    async fn two_large_files_or_many_small_ones_fit() {
        let budget = RowBudget::new(1);
        let (one, _two) = (budget.acquire(1_000).await, budget.acquire(1_000).await);
        assert!(budget.acquire(1).now_or_never().is_none());
        drop(one);
        let _small: Vec<_> = (0..BATCHES_OF_A_FILE).map(|_| budget.acquire(0).now_or_never().unwrap()).collect();
        assert!(budget.acquire(1).now_or_never().is_none());
    }
}
