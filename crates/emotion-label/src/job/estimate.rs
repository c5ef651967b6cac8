//! What a job would do and how long it would take, from a timed sample.

use std::time::{Duration, Instant};

use datafusion::prelude::SessionContext;

use crate::job::cancel::Cancel;
use crate::job::choices::Choices;
use crate::job::error::{LabelError, Result, message};
use crate::job::failure::{Failure, caught};
use crate::job::journal::State;
use crate::job::labeler::Labeler;
use crate::job::source::Source;
use crate::job::storage::Storage;
use crate::job::task::{Content, Task};

/// Files of which rows are labeled for the estimate, from all over the job.
const SAMPLED_FILES: usize = 8;

/// Time after which the sample is large enough.
const SAMPLED_FOR: Duration = Duration::from_secs(5);

/// Files whose own time does not matter beside that of their rows.
const FEW_FILES: usize = 16;

/// Files that are written for each input: what the journal says of it, its labels, the output, and its record.
const WRITES_A_FILE: u32 = 4;

/// Files that are written side by side to measure the time.
const WRITTEN_AT_ONCE: u32 = 16;

/// What a job would do, and how long it would take.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Estimate {
    /// The files, in the order of their names.
    pub files: Vec<FileEstimate>,
    /// The number of rows that were labeled to measure the time.
    pub sampled_rows: u64,
    /// The time that these rows took.
    pub sampled_time: Duration,
    /// The time that a file takes besides its rows, to write its journal and itself; zero where it is not known, or
    /// does not matter.
    pub time_per_file: Duration,
}

/// What a job would do with a file.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FileEstimate {
    /// The name of the input, as messages show it.
    pub input: String,
    /// The name of the labeled file.
    pub output: String,
    /// The number of its rows.
    pub rows: u64,
    /// How many of them are labeled.
    pub rows_labeled: u64,
    /// How far the file is.
    pub progress: FileProgress,
}

/// How far a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum FileProgress {
    /// Nothing is labeled.
    New,
    /// Some rows are labeled.
    Begun,
    /// The labeled file is there.
    Done,
    /// The file cannot be labeled, for this reason.
    Unreadable(String),
}

impl Estimate {
    /// The number of rows that are to be labeled.
    #[must_use]
    pub fn rows_left(&self) -> u64 {
        self.files.iter().map(|file| file.rows.saturating_sub(file.rows_labeled)).sum()
    }

    /// Rows per second of the sample; `None` without a sample.
    #[must_use]
    pub fn rows_per_second(&self) -> Option<f64> {
        (self.sampled_rows > 0).then(|| self.sampled_rows as f64 / self.sampled_time.as_secs_f64())
    }

    /// The number of files that are to be labeled or completed.
    #[must_use]
    pub fn files_left(&self) -> usize {
        let is_left = |file: &&FileEstimate| matches!(file.progress, FileProgress::New | FileProgress::Begun);
        self.files.iter().filter(is_left).count()
    }

    /// The time that the rows and files left would take; `None` without a sample.
    #[must_use]
    pub fn time_left(&self) -> Option<Duration> {
        let rows = self.rows_left() as f64 / self.rows_per_second()?;
        let files = self.files_left() as f64 * self.time_per_file.as_secs_f64();
        Duration::try_from_secs_f64(rows + files).ok()
    }
}

/// What is known of these files; labels a sample of their rows.
pub(crate) async fn estimate(
    context: &SessionContext,
    tasks: &[Task],
    labeler: &Labeler,
    choices: &Choices,
    storage: &Storage,
) -> Result<Estimate> {
    let files = tasks.iter().map(|task| FileEstimate {
        input: task.input.shown.clone(),
        output: storage.shown_file(&task.target.name),
        rows: task.rows(),
        rows_labeled: task.rows_done(),
        progress: match (&task.state, &task.content) {
            (_, Content::Unreadable(error)) => FileProgress::Unreadable(message(error)),
            (State::Done(_), _) => FileProgress::Done,
            (State::Begun(_), _) => FileProgress::Begun,
            (State::New, _) => FileProgress::New,
        },
    });
    let files = files.collect();
    let (sampled_rows, sampled_time) = sample(context, tasks, labeler, choices).await?;
    let mut estimate = Estimate { files, sampled_rows, sampled_time, time_per_file: Duration::ZERO };
    if estimate.files_left() > FEW_FILES {
        let a_write = storage.write_time(WRITTEN_AT_ONCE).await.unwrap_or_default();
        estimate.time_per_file = a_write * WRITES_A_FILE;
    }
    Ok(estimate)
}

/// Labels a few rows of files from all over the job: how many, and in what time.
async fn sample(
    context: &SessionContext,
    tasks: &[Task],
    labeler: &Labeler,
    choices: &Choices,
) -> Result<(u64, Duration)> {
    let tasks: Vec<&Task> = tasks.iter().filter(|task| task.rows_left() > 0).collect();
    let (mut rows, mut time) = (0, Duration::ZERO);
    for task in tasks.iter().step_by(tasks.len().div_ceil(SAMPLED_FILES).max(1)) {
        let sampled = caught(None, sample_of(context, task, labeler, choices)).await;
        let (these, took) = match sampled.map_err(Failure::without_descriptors) {
            Err(Failure::Input(..)) if choices.keep_going => continue,
            sampled => sampled.map_err(cause)?,
        };
        rows += these;
        time += took;
        if time > SAMPLED_FOR {
            break;
        }
    }
    Ok((rows, time))
}

fn cause(failure: Failure) -> LabelError {
    match failure {
        Failure::Input(_, error) | Failure::Other(error) => error,
        Failure::Stopped => LabelError::Cancelled,
    }
}

/// Labels the first rows of a file's middle row group.
async fn sample_of(
    context: &SessionContext,
    task: &Task,
    labeler: &Labeler,
    choices: &Choices,
) -> Result<(u64, Duration), Failure> {
    let opened;
    let source = if let Content::Open(source) = &task.content {
        source
    } else {
        opened = Source::open(context, &task.input, task.target.file, choices, labeler).await?;
        &opened
    };
    let nothing = (0, Duration::ZERO);
    let Some(row_group) = source.row_groups.len().checked_sub(1).map(|last| last / 2) else { return Ok(nothing) };
    let mut texts = source.texts(row_group, 0, choices.batch_rows()).await?;
    let Some(texts) = texts.next(row_group).await? else { return Ok(nothing) };
    let started = Instant::now();
    let (_, counts) = labeler.label(&texts, &Cancel::default())?;
    Ok((counts.rows, started.elapsed()))
}
