//! What a job remembers of its work, so that none is done twice.
//!
//! ```text
//! OUTPUT/.emotion/job.json                       what the labels depend on
//! OUTPUT/.emotion/lock                           held by the run that works on it
//! OUTPUT/.emotion/files/NAME/source.json         the input file that the labels belong to
//! OUTPUT/.emotion/files/NAME/GROUP-FIRST-ROWS    labels of rows of a row group, as an Arrow IPC file
//! OUTPUT/.emotion/files/NAME/done.json           the file is labeled: what it holds
//! ```

use std::collections::BTreeMap;

use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use arrow::record_batch::RecordBatch;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::cancel::Cancel;
use crate::job::counts::Counts;
use crate::job::error::{Context, LabelError, Result};
use crate::job::inputs::Input;
use crate::job::lock::Lock;
use crate::job::observer::Observer;
use crate::job::storage::{Storage, Upload};

/// All that the labels and the files depend on, by names to tell people.
pub type JobKey = BTreeMap<String, String>;

pub struct Journal {
    storage: Storage,
    key: JobKey,
    /// None of a run that only looks.
    lock: Option<Lock>,
    restart: bool,
    /// What is there was made by another job.
    is_other: bool,
}

/// What tells one content of an input file from another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Fingerprint {
    bytes: u64,
    modified: String,
    tag: Option<String>,
}

impl Fingerprint {
    fn of(input: &Input, meta: &object_store::ObjectMeta) -> Self {
        // A local file's tag changes when it is moved.
        let tag = meta.e_tag.clone().filter(|_| input.url.scheme() != "file");
        Self { bytes: meta.size, modified: meta.last_modified.to_rfc3339(), tag }
    }
}

/// A file that is labeled.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    bytes: u64,
    counts: Counts,
}

/// How far a file is.
pub enum State {
    New,
    /// Which pieces of it are labeled.
    Begun(Vec<Segment>),
    Done(Counts),
}

/// Labels of rows that stand together in a row group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Segment {
    pub row_group: usize,
    pub first_row: u64,
    pub rows: u64,
}

impl Segment {
    fn name(self) -> String {
        format!("{:06}-{:012}-{:07}", self.row_group, self.first_row, self.rows)
    }

    fn parse(name: &str) -> Option<Self> {
        let mut parts = name.split('-');
        let mut number = || parts.next()?.parse::<u64>().ok();
        let segment = Self { row_group: usize::try_from(number()?).ok()?, first_row: number()?, rows: number()? };
        (segment.name() == name).then_some(segment)
    }
}

impl Journal {
    /// Makes sure that what is there was made by the same job, without touching it.
    pub async fn look(storage: Storage, key: JobKey, restart: bool) -> Result<Self> {
        let is_other = is_other(&storage, &key, restart).await?;
        Ok(Self { storage, key, lock: None, restart, is_other })
    }

    /// Takes the output for this run alone. What was read of the journal before may have changed.
    pub async fn lock(&mut self, observer: &dyn Observer, cancel: &Cancel) -> Result<()> {
        let lock = Lock::take(&self.storage, observer, cancel).await?;
        match is_other(&self.storage, &self.key, self.restart).await {
            Ok(is_other) => {
                self.is_other = is_other;
                self.lock = Some(lock);
                Ok(())
            }
            Err(error) => {
                lock.release().await;
                Err(error)
            }
        }
    }

    /// Makes the output this job's, now that there is work to do.
    pub async fn claim(&mut self) -> Result<()> {
        if self.is_other {
            self.storage.remove_folder(&self.storage.journal("files")).await?;
            self.is_other = false;
        }
        self.storage.clear().await?;
        self.storage.write(&self.storage.journal("job.json"), serde_json::to_vec_pretty(&self.key)?).await
    }

    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// How far this file is; refuses what was made from something else.
    pub async fn state(&self, input: &Input, output: &str) -> Result<State> {
        if self.is_other {
            return Ok(State::New);
        }
        let there = read::<Fingerprint>(&self.storage, &self.name(input, "source.json")).await?;
        let size = self.storage.size(output).await?;
        let refusal = match there {
            None if size.is_none() => return Ok(State::New),
            None => format!("'{}' is there already, and was not made by this job", self.storage.shown_file(output)),
            Some(there) if there != Fingerprint::of(input, &input.meta) => {
                format!("'{}' has changed since labels were made of it", input.shown)
            }
            Some(_) => match (read::<Done>(&self.storage, &self.name(input, "done.json")).await?, size) {
                (Some(done), Some(size)) if done.bytes == size => return Ok(State::Done(done.counts)),
                (Some(_), Some(_)) => {
                    format!("'{}' has changed since it was written", self.storage.shown_file(output))
                }
                // Somebody took it away: it is made again.
                (Some(_), None) => return Ok(State::New),
                (None, _) => return Ok(State::Begun(self.segments(input).await?)),
            },
        };
        if self.restart {
            return Ok(State::New);
        }
        Err(LabelError::Conflict(format!("{refusal}. Label it again with --restart, or choose another --output")))
    }

    /// Remembers which content of a file the labels to come belong to.
    pub async fn begin(&self, input: &Input) -> Result<()> {
        self.storage.remove_folder(&self.name(input, "")).await?;
        let fingerprint = Fingerprint::of(input, &input.meta);
        self.storage.write(&self.name(input, "source.json"), serde_json::to_vec(&fingerprint)?).await
    }

    /// The pieces that are labeled, from the start of each row group.
    async fn segments(&self, input: &Input) -> Result<Vec<Segment>> {
        let names = self.storage.list(&self.name(input, "")).await?;
        let mut segments: Vec<Segment> = names.iter().filter_map(|name| Segment::parse(name)).collect();
        segments.sort_unstable();
        let mut next = (0, 0);
        segments.retain(|segment| {
            if segment.row_group != next.0 {
                next = (segment.row_group, 0);
            }
            let follows = segment.first_row == next.1;
            next.1 += if follows { segment.rows } else { 0 };
            follows
        });
        Ok(segments)
    }

    /// Keeps the labels of a piece for good.
    pub async fn keep(&self, input: &Input, segment: Segment, batches: &[RecordBatch], counts: &Counts) -> Result<()> {
        self.check_lock()?;
        let Some(first) = batches.first() else { return Ok(()) };
        let mut writer = FileWriter::try_new(Vec::new(), first.schema_ref())?;
        writer.write_metadata("counts", serde_json::to_string(counts)?);
        for batch in batches {
            writer.write(batch)?;
        }
        let bytes = writer.into_inner()?;
        self.storage.write(&self.name(input, &segment.name()), bytes).await
    }

    /// The labels of a piece.
    pub async fn labels(
        &self,
        input: &Input,
        segment: Segment,
        schema: &SchemaRef,
    ) -> Result<(Vec<RecordBatch>, Counts)> {
        let name = self.name(input, &segment.name());
        let damaged =
            || format!("'{}' is damaged: remove it and run the same command again", self.storage.shown_file(&name));
        let absent = || LabelError::Damaged(damaged());
        let bytes = self.storage.read(&name).await?.ok_or_else(absent)?;
        let reader = FileReader::try_new(std::io::Cursor::new(bytes), None).with_context(damaged)?;
        let counts = reader.custom_metadata().get("counts").ok_or_else(absent)?;
        let counts = serde_json::from_str(counts).with_context(damaged)?;
        if same_types(&reader.schema(), schema) {
            return Ok((reader.collect::<Result<_, _>>().with_context(damaged)?, counts));
        }
        Err(absent())
    }

    /// Begins the output file.
    pub async fn upload(&self, output: &str) -> Result<Upload> {
        self.storage.upload(output).await
    }

    /// Gives the output file its name, unless the input has changed meanwhile.
    pub async fn publish(&self, input: &Input, upload: Upload) -> Result<u64> {
        let now = object_store::ObjectStoreExt::head(&input.store, &input.meta.location).await;
        let now = now.with_context(|| format!("cannot look at '{}'", input.shown))?;
        self.check_lock()?;
        if Fingerprint::of(input, &now) != Fingerprint::of(input, &input.meta) {
            upload.abort().await;
            let what = format!("'{}' has changed while it was read: label it again with --restart", input.shown);
            return Err(LabelError::Conflict(what));
        }
        upload.finish().await
    }

    /// Remembers that a file is labeled, and forgets its labels.
    pub async fn done(&self, input: &Input, bytes: u64, counts: &Counts) -> Result<()> {
        let done = Done { bytes, counts: counts.clone() };
        self.storage.write(&self.name(input, "done.json"), serde_json::to_vec(&done)?).await?;
        for name in self.storage.list(&self.name(input, "")).await? {
            if Segment::parse(&name).is_some() {
                self.storage.remove(&self.name(input, &name)).await?;
            }
        }
        Ok(())
    }

    fn check_lock(&self) -> Result<()> {
        if self.lock.as_ref().is_some_and(Lock::is_lost) {
            let what = format!("another run has taken over '{}'", self.storage.shown());
            return Err(LabelError::Conflict(what));
        }
        Ok(())
    }

    /// Leaves the output to other runs.
    pub async fn close(&mut self) {
        if let Some(lock) = self.lock.take() {
            lock.release().await;
        }
    }

    fn name(&self, input: &Input, name: &str) -> String {
        self.storage.journal(&format!("files/{}/{name}", input.name))
    }
}

/// Whether what is there was made by another job, which `restart` allows.
async fn is_other(storage: &Storage, key: &JobKey, restart: bool) -> Result<bool> {
    let there = read::<JobKey>(storage, &storage.journal("job.json")).await?;
    match there.filter(|there| there != key) {
        None => Ok(false),
        Some(_) if restart => Ok(true),
        Some(there) => Err(LabelError::Conflict(format!(
            "'{}' was begun by another job: {}. Choose another --output, or begin again with --restart",
            storage.shown(),
            differences(&there, key)
        ))),
    }
}

async fn read<T: DeserializeOwned>(storage: &Storage, name: &str) -> Result<Option<T>> {
    let Some(bytes) = storage.read(name).await? else { return Ok(None) };
    let value = serde_json::from_slice(&bytes);
    let shown = storage.shown_file(name);
    Ok(Some(value.with_context(|| format!("'{shown}' is damaged: remove it and begin again with --restart"))?))
}

fn differences(there: &JobKey, here: &JobKey) -> String {
    let names = there.keys().chain(here.keys().filter(|name| !there.contains_key(*name)));
    let differing = names.filter(|name| there.get(*name) != here.get(*name));
    let value = |job: &JobKey, name| job.get(name).cloned().unwrap_or_else(|| "not there".into());
    differing
        .map(|name| format!("{name} was {}, is {}", value(there, name), value(here, name)))
        .collect::<Vec<_>>()
        .join("; ")
}

fn same_types(one: &Schema, other: &Schema) -> bool {
    one.fields() == other.fields()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_known_by_their_names() {
        let segment = Segment { row_group: 3, first_row: 2048, rows: 512 };
        assert_eq!(Segment::parse(&segment.name()), Some(segment));
        assert_eq!(Segment::parse("done.json"), None);
        assert_eq!(Segment::parse("3-2048-512"), None);
    }

    #[test]
    fn differences_are_named() {
        let key = |precision: &str| JobKey::from([("precision".into(), precision.into()), ("text".into(), "t".into())]);
        assert_eq!(differences(&key("float32"), &key("int8")), "precision was float32, is int8");
    }
}
