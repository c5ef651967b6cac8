//! What a job remembers of its work, so that none is done twice.
//!
//! ```text
//! OUTPUT/.emotion/job.json                       what the labels depend on
//! OUTPUT/.emotion/lock                           held by the run that works on it
//! OUTPUT/.emotion/files/NAME/source.json         the input file that the labels belong to
//! OUTPUT/.emotion/files/NAME/GROUP-FIRST-ROWS    labels of rows of a row group, as an Arrow IPC file
//! OUTPUT/.emotion/files/NAME/done.json           the file is labeled: its digest and what it holds
//! ```
//!
//! Each file but the lock is [sealed](crate::job::seal) with its job, its name and, if it holds labels, its input, so
//! that damage is noticed, and labels of other rows are not taken for those of these.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use arrow::ipc::reader::FileReader;
use arrow::ipc::writer::FileWriter;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::job::cancel::Cancel;
use crate::job::counts::Counts;
use crate::job::error::{Context, LabelError, Result};
use crate::job::fingerprint::Fingerprint;
use crate::job::inputs::Input;
use crate::job::lock::Lock;
use crate::job::observer::Observer;
use crate::job::seal::Seal;
use crate::job::segment::{Segment, contiguous};
use crate::job::storage::{Storage, Upload, Written};

/// All that the labels and the files depend on, by names to tell people.
pub type JobKey = BTreeMap<String, String>;

pub struct Journal {
    storage: Storage,
    key: JobKey,
    seal: Seal,
    /// None of a run that only looks.
    lock: Option<Lock>,
    restart: bool,
    /// What is there was made by another job.
    is_other: bool,
    /// Outputs whose digests this run has computed, by their records.
    verified: Mutex<BTreeSet<String>>,
}

/// What is remembered of one input, whose labels are computed or written.
pub struct FileJournal<'a> {
    journal: &'a Journal,
    input: &'a Input,
    source: Fingerprint,
    seal: Seal,
}

/// A file that is labeled.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Done {
    output: Written,
    counts: Counts,
}

/// How far a file is.
pub enum State {
    New,
    Begun(Begun),
    Done(Counts),
}

/// A file of which pieces are labeled.
pub struct Begun {
    source: Fingerprint,
    /// The pieces, from the start of each row group.
    pub segments: Vec<Segment>,
}

/// A file of the journal.
enum Entry<T> {
    Absent,
    /// It was changed, or belongs to another place or job.
    Damaged,
    Intact(T),
}

impl Journal {
    /// Makes sure that what is there was made by the same job, without touching it.
    pub async fn look(storage: Storage, key: JobKey, restart: bool) -> Result<Self> {
        let is_other = is_other(&storage, &key, restart).await?;
        let seal = Seal::of(b"job").at(&serde_json::to_vec(&key)?);
        Ok(Self { storage, key, seal, lock: None, restart, is_other, verified: Mutex::default() })
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
        let key = job_seal().close(serde_json::to_vec_pretty(&self.key)?);
        self.storage.write(&self.storage.journal("job.json"), key).await
    }

    pub fn storage(&self) -> &Storage {
        &self.storage
    }

    /// How far this file is; refuses what was made from something else.
    pub async fn state(&self, input: &Input, output: &str) -> Result<State> {
        if self.is_other {
            return Ok(State::New);
        }
        let shown = || self.storage.shown_file(output);
        let is_there = self.storage.size(output).await?.is_some();
        let refusal = match self.read::<Fingerprint>(&self.seal_of(input), input, "source.json").await? {
            Entry::Absent | Entry::Damaged if !is_there => return Ok(State::New),
            Entry::Absent => format!("'{}' already exists, and was not written by this job", shown()),
            Entry::Damaged => self.damage(input, "source.json"),
            Entry::Intact(source) if source != Fingerprint::of(input).await? => {
                format!("'{}' has changed since labels were made of it", input.shown)
            }
            Entry::Intact(source) => {
                match self.read::<Done>(&self.seal_of(input).at(&source.bytes()?), input, "done.json").await? {
                    Entry::Absent => {
                        let segments = self.file(input, source.clone())?.segments().await?;
                        return Ok(State::Begun(Begun { source, segments }));
                    }
                    // Somebody took the output away: it is made again.
                    _ if !is_there => return Ok(State::New),
                    Entry::Intact(done) if self.verify(output, &done.output).await? => {
                        return Ok(State::Done(done.counts));
                    }
                    Entry::Intact(_) => format!("'{}' has changed since it was written", shown()),
                    Entry::Damaged => self.damage(input, "done.json"),
                }
            }
        };
        if self.restart {
            return Ok(State::New);
        }
        Err(LabelError::Conflict(format!("{refusal}. Label it again with --restart, or choose another --output")))
    }

    fn damage(&self, input: &Input, name: &str) -> String {
        format!("'{}' is damaged, or of another job", self.storage.shown_file(&self.name(input, name)))
    }

    /// Whether an output is what was written. Its digest is computed once in a run.
    async fn verify(&self, output: &str, written: &Written) -> Result<bool> {
        let record = format!("{output} {written:?}");
        let verified = || self.verified.lock().unwrap_or_else(PoisonError::into_inner);
        if verified().contains(&record) && self.storage.size(output).await? == Some(written.bytes) {
            return Ok(true);
        }
        let is_same = self.storage.holds_what_was_written(output, written).await?;
        if is_same {
            verified().insert(record);
        }
        Ok(is_same)
    }

    /// Remembers which content of a file the labels to come belong to.
    pub async fn begin<'a>(&'a self, input: &'a Input) -> Result<FileJournal<'a>> {
        self.storage.remove_folder(&self.name(input, "")).await?;
        let source = Fingerprint::of(input).await?;
        self.write(&self.seal_of(input), input, "source.json", source.bytes()?).await?;
        self.file(input, source)
    }

    /// Goes on with a file, without the segments that are not among its labels.
    pub async fn resume<'a>(&'a self, input: &'a Input, begun: &Begun) -> Result<FileJournal<'a>> {
        self.remove_segments(input, &begun.segments).await?;
        self.file(input, begun.source.clone())
    }

    /// Removes the labels of a file that is done, which a kill may have left.
    pub async fn clean(&self, input: &Input) -> Result<()> {
        self.remove_segments(input, &[]).await
    }

    async fn remove_segments(&self, input: &Input, but_for: &[Segment]) -> Result<()> {
        for name in self.storage.list(&self.name(input, "")).await? {
            if Segment::parse(&name).is_some_and(|segment| !but_for.contains(&segment)) {
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

    fn seal_of(&self, input: &Input) -> Seal {
        self.seal.at(input.name.as_bytes())
    }

    fn file<'a>(&'a self, input: &'a Input, source: Fingerprint) -> Result<FileJournal<'a>> {
        let seal = self.seal_of(input).at(&source.bytes()?);
        Ok(FileJournal { journal: self, input, source, seal })
    }

    async fn read<T: DeserializeOwned>(&self, seal: &Seal, input: &Input, name: &str) -> Result<Entry<T>> {
        let sealed = self.storage.read(&self.name(input, name)).await?;
        let Some(sealed) = sealed else { return Ok(Entry::Absent) };
        let content = seal.at(name.as_bytes()).open(sealed);
        Ok(match content.and_then(|content| serde_json::from_slice(&content).ok()) {
            Some(value) => Entry::Intact(value),
            None => Entry::Damaged,
        })
    }

    async fn write(&self, seal: &Seal, input: &Input, name: &str, content: Vec<u8>) -> Result<()> {
        self.storage.write(&self.name(input, name), seal.at(name.as_bytes()).close(content)).await
    }
}

impl FileJournal<'_> {
    /// The intact pieces that are labeled, from the start of each row group.
    async fn segments(&self) -> Result<Vec<Segment>> {
        let names = self.journal.storage.list(&self.journal.name(self.input, "")).await?;
        let mut segments = Vec::new();
        for segment in contiguous(names.iter().filter_map(|name| Segment::parse(name)).collect()) {
            if self.content(segment).await?.is_some() {
                segments.push(segment);
            }
        }
        Ok(contiguous(segments))
    }

    /// The content of a segment; `None` if it is absent or damaged.
    async fn content(&self, segment: Segment) -> Result<Option<Vec<u8>>> {
        let name = segment.name();
        let sealed = self.journal.storage.read(&self.journal.name(self.input, &name)).await?;
        Ok(sealed.and_then(|sealed| self.seal.at(name.as_bytes()).open(sealed)))
    }

    /// Keeps the labels of a piece for good.
    pub async fn keep(&self, segment: Segment, batches: &[RecordBatch], counts: &Counts) -> Result<()> {
        self.journal.check_lock()?;
        let Some(first) = batches.first() else { return Ok(()) };
        let mut writer = FileWriter::try_new(Vec::new(), first.schema_ref())?;
        writer.write_metadata("counts", serde_json::to_string(counts)?);
        for batch in batches {
            writer.write(batch)?;
        }
        self.journal.write(&self.seal, self.input, &segment.name(), writer.into_inner()?).await
    }

    /// The labels of a piece.
    pub async fn labels(&self, segment: Segment, schema: &SchemaRef) -> Result<(Vec<RecordBatch>, Counts)> {
        let name = self.journal.storage.shown_file(&self.journal.name(self.input, &segment.name()));
        let damaged = || format!("'{name}' is damaged: run the same command again, which labels its rows anew");
        let absent = || LabelError::Damaged(damaged());
        let content = self.content(segment).await?.ok_or_else(absent)?;
        let reader = FileReader::try_new(std::io::Cursor::new(content), None).with_context(damaged)?;
        let counts = reader.custom_metadata().get("counts").ok_or_else(absent)?;
        let counts = serde_json::from_str(counts).with_context(damaged)?;
        if same_types(&reader.schema(), schema) {
            return Ok((reader.collect::<Result<_, _>>().with_context(damaged)?, counts));
        }
        Err(absent())
    }

    /// Begins the output file.
    pub async fn upload(&self, output: &str) -> Result<Upload> {
        self.journal.storage.upload(output).await
    }

    /// Gives the output file its name, unless the input has changed meanwhile.
    pub async fn publish(&self, output: &str, upload: Upload) -> Result<Written> {
        self.journal.check_lock()?;
        if Fingerprint::now(self.input).await? != self.source {
            upload.abort().await;
            let shown = &self.input.shown;
            let what = format!("'{shown}' has changed while it was read: label it again with --restart");
            return Err(LabelError::Conflict(what));
        }
        let written = upload.finish().await?;
        self.journal.storage.tagged(output, written).await
    }

    /// Remembers that a file is labeled, and forgets its labels.
    pub async fn done(&self, output: &Written, counts: &Counts) -> Result<()> {
        let done = Done { output: output.clone(), counts: counts.clone() };
        self.journal.write(&self.seal, self.input, "done.json", serde_json::to_vec(&done)?).await?;
        self.journal.clean(self.input).await
    }
}

/// The seal of what a job depends on, which is read before it is known which job that is.
fn job_seal() -> Seal {
    Seal::of(b"job.json")
}

/// Whether what is there was made by another job, which `restart` allows.
async fn is_other(storage: &Storage, key: &JobKey, restart: bool) -> Result<bool> {
    let name = storage.journal("job.json");
    let Some(sealed) = storage.read(&name).await? else { return Ok(false) };
    let there = job_seal().open(sealed).and_then(|there| serde_json::from_slice::<JobKey>(&there).ok());
    let refusal = match there {
        Some(there) if there == *key => return Ok(false),
        _ if restart => return Ok(true),
        Some(there) => format!("'{}' was started by another job: {}", storage.shown(), differences(&there, key)),
        None => format!("'{}' is damaged, or of an earlier version", storage.shown_file(&name)),
    };
    let what = format!("{refusal}. Choose another --output, or begin again with --restart");
    Err(LabelError::Conflict(what))
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
    fn differences_are_named() {
        let key = |precision: &str| JobKey::from([("precision".into(), precision.into()), ("text".into(), "t".into())]);
        assert_eq!(differences(&key("float32"), &key("int8")), "precision was float32, is int8");
    }
}
