//! A job whose files have been looked at.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use datafusion::prelude::SessionContext;
use futures::{StreamExt, TryStreamExt};

use crate::job::cancel::Cancel;
use crate::job::choices::Choices;
#[cfg(feature = "cluster")]
use crate::job::cluster::Cluster;
use crate::job::error::{LabelError, Result};
use crate::job::error_list;
use crate::job::estimate::{self, Estimate};
use crate::job::failure::{Failure, caught};
use crate::job::inputs::{Input, LeftOut};
use crate::job::journal::{Journal, State};
use crate::job::labeler::Labeler;
#[cfg(not(feature = "cluster"))]
use crate::job::no_cluster::Cluster;
use crate::job::observer::Observer;
use crate::job::run::{Outcome, Run};
use crate::job::source::Source;
use crate::job::summary::Summary;
use crate::job::target::Target;
use crate::job::task::{Content, Task};

/// Files that are looked at side by side before the work begins.
const LOOKED_AT: usize = 16;

/// A job whose files have been looked at, ready to run.
pub struct Plan {
    session: SessionContext,
    labeler: Arc<Labeler>,
    choices: Choices,
    cluster: Option<Cluster>,
    journal: Journal,
    tasks: Vec<Task>,
    left_out: LeftOut,
}

impl Plan {
    /// Looks at the files.
    pub(crate) async fn of(
        session: SessionContext,
        labeler: Labeler,
        choices: Choices,
        cluster: Option<Cluster>,
        journal: Journal,
        files: impl Iterator<Item = (Input, Target)>,
        left_out: LeftOut,
    ) -> Result<Self> {
        let look = |(input, target): (Input, Target)| {
            let (session, journal, labeler, choices) = (&session, &journal, &labeler, &choices);
            async move {
                let state = journal.state(&input, &target.name).await?;
                let content = match &state {
                    State::Done(_) => Content::Unread,
                    State::New | State::Begun(_) => content(session, &input, &target, labeler, choices).await?,
                };
                Ok::<_, LabelError>(Task { input, target, state, content })
            }
        };
        let tasks = futures::stream::iter(files.map(look)).buffered(LOOKED_AT).try_collect().await?;
        Ok(Self { labeler: Arc::new(labeler), session, choices, cluster, journal, tasks, left_out })
    }

    /// What the job would do, and how long it would take. Some rows are labeled to measure the time, and of many files
    /// a few small ones are written beside the output and removed again.
    ///
    /// # Errors
    ///
    /// The rows cannot be read or labeled.
    pub async fn estimate(&self) -> Result<Estimate> {
        let storage = self.journal.storage();
        estimate::estimate(&self.session, &self.tasks, &self.labeler, &self.choices, storage).await
    }

    /// Labels the files, or what an earlier run has left of them.
    ///
    /// `observer` follows the work, and `cancel` stops it. What was labeled is kept in a journal beside the output, so
    /// that the same job continues there after an error, a cancellation or the end of the process, and ends with the
    /// same bytes. After an error the files before the one that failed are completed; those after it are not.
    ///
    /// # Errors
    ///
    /// [`LabelError::Conflict`], if another run works on the output; [`LabelError::Cancelled`], if the job was
    /// cancelled; [`LabelError::Stopped`] with the reason, if it failed after the work had begun.
    pub async fn run(mut self, observer: &dyn Observer, cancel: &Cancel) -> Result<Summary> {
        self.journal.lock(observer, cancel).await?;
        let result = self.label(observer, cancel).await;
        self.journal.close().await;
        result
    }

    async fn label(&mut self, observer: &dyn Observer, cancel: &Cancel) -> Result<Summary> {
        self.look_again().await?;
        self.journal.claim().await?;
        let tasks = std::mem::take(&mut self.tasks);
        let files = tasks.len();
        let (rows, before) = (tasks.iter().map(Task::rows).sum(), tasks.iter().map(Task::rows_done).sum());
        observer.started(files, rows, before);
        self.left_out.unlisted.iter().for_each(|what| observer.set_aside(what));
        let run = Run {
            context: &self.session,
            journal: &self.journal,
            labeler: Arc::clone(&self.labeler),
            choices: &self.choices,
            cancel,
            observer,
            labeled: AtomicU64::new(0),
            cluster: self.cluster.as_ref(),
        };
        let started = Instant::now();
        let outcome = run.run(tasks).await;
        observer.finished();
        let Outcome { counts, set_aside: failed, is_cancelled } =
            outcome.map_err(|error| LabelError::Stopped(error.into()))?;
        let seconds = started.elapsed().as_secs_f64();
        let set_aside: Vec<_> = std::mem::take(&mut self.left_out.unlisted).into_iter().chain(failed).collect();
        error_list::write(self.journal.storage(), &set_aside).await?;
        if is_cancelled {
            return Err(LabelError::Cancelled);
        }
        Ok(Summary {
            output: self.journal.storage().shown().to_string(),
            files,
            other_files: self.left_out.others,
            counts,
            seconds,
            rows_per_second: run.labeled.load(Relaxed) as f64 / seconds.max(1e-3),
            set_aside,
        })
    }

    /// Another run may have worked on the output before this one locked it.
    async fn look_again(&mut self) -> Result<()> {
        let journal = &self.journal;
        let states = self.tasks.iter().map(|task| journal.state(&task.input, &task.target.name));
        let states: Vec<_> = futures::stream::iter(states).buffered(LOOKED_AT).try_collect().await?;
        for (task, state) in self.tasks.iter_mut().zip(states) {
            task.state = state;
        }
        Ok(())
    }
}

async fn content(
    session: &SessionContext,
    input: &Input,
    target: &Target,
    labeler: &Labeler,
    choices: &Choices,
) -> Result<Content> {
    let source = caught(None, Source::open(session, input, target.file, choices, labeler)).await;
    match source.map_err(Failure::without_descriptors) {
        Ok(source) if source.is_cheap_to_open() => Ok(Content::RowGroups(source.row_groups)),
        Ok(source) => Ok(Content::Open(Box::new(source))),
        Err(Failure::Input(_, error)) if choices.keep_going => Ok(Content::Unreadable(error)),
        Err(Failure::Input(row_group, error)) => {
            Err(LabelError::Input { file: input.shown.clone(), row_group, source: error.into() })
        }
        Err(Failure::Other(error)) => Err(error),
        Err(Failure::Stopped) => Err(LabelError::Cancelled),
    }
}
