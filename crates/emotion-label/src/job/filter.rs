//! Labels of a stream, as it comes.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::{ArrayRef, RecordBatch};
use bytes::Bytes;
use futures::{Stream, StreamExt};
use tokio::task::spawn_blocking;

use crate::format::{Compression, FileType};
use crate::job::batch_queue::BatchQueue;
use crate::job::cancel::Cancel;
use crate::job::counts::Counts;
use crate::job::error::{Context, LabelError, Result};
use crate::job::labeler::Labeler;
use crate::open;
use crate::options::Options;
use crate::step::{CopyStep, TextReader, TextStep};

/// Batches that are labeled at once, so that no core waits for the last text of one.
const BATCHES_UNDER_WAY: usize = 2;

/// A stream to label into the same format.
pub struct Filter {
    pub labeler: Arc<Labeler>,
    pub file: FileType,
    /// Compression of the output as a whole.
    pub compression: Option<Compression>,
    pub options: Options,
}

impl Filter {
    /// Copies the stream with labels; rows are written as soon as they are labeled.
    pub async fn run<S>(self, input: S, output: &mut (impl Write + Send)) -> Result<Counts>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + Unpin,
    {
        let reader = open::texts(self.file, None, &self.options)?;
        let mut copier = open::copier(self.file, None, self.compression, &self.options)?;
        let chunks = Chunks::default();
        let texts = Texts { reader, input, chunks: &chunks, file: &self.options.file };
        let texts = futures::stream::unfold(Some(texts), |texts| async move {
            let mut texts = texts?;
            match texts.next().await.transpose()? {
                Ok(batch) => Some((Ok(batch), Some(texts))),
                Err(error) => Some((Err(error), None)),
            }
        });
        let labels = texts.map(|texts| self.label(texts)).buffered(BATCHES_UNDER_WAY);
        let mut labels = std::pin::pin!(labels);
        let (mut counts, mut queue, mut out) = (Counts::default(), BatchQueue::new(self.labeler.schema()), Vec::new());
        loop {
            let step = copier.step(&mut out)?;
            write(output, &out)?;
            out.clear();
            let wanted = match step {
                CopyStep::Need(_) => 0,
                CopyStep::Rows { rows, .. } if queue.rows() >= rows => {
                    copier.add(&queue.take(rows)?)?;
                    continue;
                }
                CopyStep::Rows { rows, .. } => rows,
                CopyStep::Output => continue,
                CopyStep::End => return Ok(counts),
            };
            if wanted == 0
                && let Some(chunk) = chunks.take()
            {
                copier.supply(chunk)?;
                continue;
            }
            match labels.next().await.transpose()? {
                Some((batch, these)) => {
                    counts.add(&these);
                    queue.push(batch);
                }
                None if wanted == 0 => copier.supply(chunks.take().unwrap_or_default())?,
                None => return Err(LabelError::Damaged("there are more rows than texts".into())),
            }
        }
    }

    async fn label(&self, texts: Result<ArrayRef>) -> Result<(RecordBatch, Counts)> {
        let (texts, labeler) = (texts?, Arc::clone(&self.labeler));
        spawn_blocking(move || labeler.label(&texts, &Cancel::default())).await?
    }
}

/// Writes rows that others may be waiting for.
fn write(output: &mut impl Write, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    output.write_all(bytes).and_then(|()| output.flush()).with_context(|| "cannot write the labeled rows")
}

/// What was supplied for the texts and is to be copied, step by step.
#[derive(Default)]
struct Chunks(Mutex<VecDeque<Vec<Bytes>>>);

impl Chunks {
    fn add(&self, chunk: Vec<Bytes>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push_back(chunk);
    }

    fn take(&self) -> Option<Vec<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

struct Texts<'a, S> {
    reader: Box<dyn TextReader>,
    input: S,
    chunks: &'a Chunks,
    file: &'a str,
}

impl<S: Stream<Item = io::Result<Bytes>> + Unpin> Texts<'_, S> {
    async fn next(&mut self) -> Result<Option<ArrayRef>> {
        loop {
            match self.reader.step()? {
                TextStep::Need(_) => {
                    let chunk = self.input.next().await.transpose();
                    let chunk = chunk.with_context(|| format!("cannot read '{}'", self.file))?;
                    let chunk: Vec<_> = chunk.into_iter().collect();
                    self.chunks.add(chunk.clone());
                    self.reader.supply(chunk)?;
                }
                TextStep::Texts(batch) => return Ok(Some(batch.texts)),
                TextStep::End => return Ok(None),
            }
        }
    }
}
