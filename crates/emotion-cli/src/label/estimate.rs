//! What a job would do and how long it would take, from a timed sample.

use std::fmt::Write as _;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use anyhow::Result;
use datafusion::prelude::SessionContext;

use super::choices::Choices;
use super::failure::Failure;
use super::job::{Content, Task};
use super::journal::State;
use super::labeler::Labeler;
use super::progress::remaining;
use super::source::Source;
use super::storage::Storage;
use crate::message::message;
use crate::numbers::{duration, files, grouped, whole};

/// Files of which rows are labeled for the estimate, from all over the job.
const SAMPLED_FILES: usize = 8;

/// Time after which the sample is large enough.
const SAMPLED_FOR: Duration = Duration::from_secs(5);

pub async fn describe(
    context: &SessionContext,
    tasks: &[Task],
    labeler: &Labeler,
    choices: &Choices,
    storage: &Storage,
) -> Result<String> {
    let mut text = String::new();
    for task in tasks {
        let output = storage.shown_file(&task.target.name);
        let state = match (&task.state, &task.content) {
            (_, Content::Unreadable(error)) => format!("set aside: {}", message(error)),
            (State::Done(_), _) => "done".into(),
            (State::Begun(_), _) => format!("{} rows done", grouped(task.rows_done())),
            (State::New, _) => "new".into(),
        };
        let _ = writeln!(text, "{} -> {output}: {} rows, {state}", task.input.shown, grouped(task.rows()));
    }
    let left: u64 = tasks.iter().map(|task| task.rows() - task.rows_done()).sum();
    let _ = write!(text, "{}, {} rows to label", files(tasks.len()), grouped(left));
    let (rows, time) = sample(context, tasks, labeler, choices).await?;
    if rows == 0 {
        text.push('\n');
        return Ok(text);
    }
    let rate = rows as f64 / time.as_secs_f64();
    let _ = writeln!(
        text,
        ": about {} at {} rows/s, as measured over {} of them (repeated texts take no time)",
        duration(remaining(left, rate)),
        grouped(whole(rate)),
        grouped(rows)
    );
    Ok(text)
}

/// Labels a few rows of files from all over the job: how many, and in what time.
async fn sample(
    context: &SessionContext,
    tasks: &[Task],
    labeler: &Labeler,
    choices: &Choices,
) -> Result<(u64, Duration)> {
    let tasks: Vec<&Task> = tasks.iter().filter(|task| task.rows() > task.rows_done()).collect();
    let (mut rows, mut time) = (0, Duration::ZERO);
    for task in tasks.iter().step_by(tasks.len().div_ceil(SAMPLED_FILES).max(1)) {
        let opened;
        let source = match &task.content {
            Content::Open(source) => source,
            _ => match Source::open(context, &task.input, task.target.file, choices, labeler).await {
                Ok(source) => {
                    opened = source;
                    &opened
                }
                Err(Failure::Input(_, error) | Failure::Other(error)) => return Err(error),
                Err(Failure::Stopped) => return Ok((rows, time)),
            },
        };
        let (these, took) = match sample_of(source, labeler, choices).await {
            Ok(sample) => sample,
            Err(Failure::Input(_, error) | Failure::Other(error)) => return Err(error),
            Err(Failure::Stopped) => return Ok((rows, time)),
        };
        rows += these;
        time += took;
        if time > SAMPLED_FOR {
            break;
        }
    }
    Ok((rows, time))
}

/// Labels the first rows of a file's middle row group.
async fn sample_of(source: &Source, labeler: &Labeler, choices: &Choices) -> Result<(u64, Duration), Failure> {
    let batch_rows = choices.batch_rows();
    let Some(row_group) = source.row_groups.len().checked_sub(1).map(|last| last / 2) else {
        return Ok((0, Duration::ZERO));
    };
    let mut texts = source.texts(row_group, 0, batch_rows).await?;
    let Some(texts) = texts.next(row_group).await? else { return Ok((0, Duration::ZERO)) };
    let started = Instant::now();
    let (_, counts) = labeler.label(&texts, &AtomicBool::new(false))?;
    Ok((counts.rows, started.elapsed()))
}
