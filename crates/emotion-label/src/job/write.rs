//! The labeled file: the input copied or encoded anew, with the labels that the journal keeps.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::compute::cast;
use arrow::datatypes::SchemaRef;
use futures::StreamExt;
use parquet::basic::{Compression, ZstdLevel};

use crate::job::choices::Choices;
use crate::job::codec::Codec;
use crate::job::compressor::Compressor;
use crate::job::counts::Counts;
use crate::job::encoder::{Encoder, WriteOptions};
use crate::job::error::{LabelError, Result};
use crate::job::failure::Failure;
use crate::job::journal::FileJournal;
use crate::job::labels::Labels;
use crate::job::segment::Segment;
use crate::job::source::Source;
use crate::job::stop::Stop;
use crate::job::storage::{Upload, Written};
use crate::job::target::Target;
use crate::job::typed::Typed;
use crate::metadata::extended;
use crate::step::CopyStep;

/// Rows that are written together.
const WRITTEN_ROWS: usize = 8192;

/// What to write.
#[derive(Clone, Copy)]
pub struct Writing<'a> {
    pub journal: &'a FileJournal<'a>,
    pub choices: &'a Choices,
    /// Names and types of the added columns.
    pub added: &'a SchemaRef,
    pub source: &'a Source,
    pub target: &'a Target,
    pub segments: &'a [Segment],
    /// Row groups that are left out.
    pub left_out: &'a [usize],
    pub stop: Stop<'a>,
}

impl Writing<'_> {
    /// Writes the file and gives it its name; returns what was written, and what its rows are.
    pub async fn write(self) -> Result<(Written, Counts), Failure> {
        let mut upload = self.journal.upload(&self.target.name).await?;
        let written = match self.source.typed() {
            Some((typed, schema)) => self.encode(typed, schema, &mut upload).await,
            None => self.copy(&mut upload).await,
        };
        match written {
            Ok(counts) => Ok((self.journal.publish(&self.target.name, upload).await?, counts)),
            Err(failure) => {
                upload.abort().await;
                Err(failure)
            }
        }
    }

    fn labels(&self, row_group: usize) -> Labels<'_> {
        Labels::new(self.journal, self.added, self.segments, row_group)
    }

    fn check_stop(&self) -> Result<(), Failure> {
        if self.stop.is_asked() { Err(Failure::Stopped) } else { Ok(()) }
    }

    async fn copy(&self, upload: &mut Upload) -> Result<Counts, Failure> {
        let mut copier = self.source.copier(self.target.file, self.left_out.iter().copied().collect())?;
        let at_fault = |error| self.source.failure(error);
        let mut object = self.source.object.open();
        let (mut counts, mut out) = (Counts::default(), Vec::new());
        let mut labels: Option<(usize, Labels<'_>)> = None;
        loop {
            self.check_stop()?;
            let step = copier.step(&mut out).map_err(at_fault)?;
            upload.write(std::mem::take(&mut out)).await?;
            match step {
                CopyStep::Need(need) => {
                    let bytes = object.fetch(&need).await.map_err(|error| Failure::Input(None, error.into()))?;
                    copier.supply(bytes).map_err(at_fault)?;
                }
                CopyStep::Rows { row_group, rows } => {
                    let labels = match &mut labels {
                        Some((current, labels)) if *current == row_group => labels,
                        last => {
                            if let Some((row_group, labels)) = last {
                                self.end_row_group(*row_group, labels, &mut counts)?;
                            }
                            &mut last.insert((row_group, self.labels(row_group))).1
                        }
                    };
                    copier.add(&labels.take(rows).await?).map_err(at_fault)?;
                }
                CopyStep::Output => {}
                CopyStep::End => break,
            }
        }
        if let Some((row_group, labels)) = labels {
            self.end_row_group(row_group, &labels, &mut counts)?;
        }
        Ok(counts)
    }

    /// Counts the rows of a row group, all of whose labels must have been written.
    fn end_row_group(&self, row_group: usize, labels: &Labels<'_>, counts: &mut Counts) -> Result<(), Failure> {
        if labels.rows_taken != self.source.row_groups[row_group] {
            return Err(self.source.miscounted(row_group, labels.rows_taken));
        }
        counts.add(&labels.counts);
        Ok(())
    }

    async fn encode(&self, typed: &Typed, schema: &SchemaRef, upload: &mut Upload) -> Result<Counts, Failure> {
        let mut encoder = self.encoder(typed, schema)?;
        let unwritable = |error: std::io::Error| LabelError::from(error);
        let mut compressor = Compressor::new(self.target.file.compression).map_err(unwritable)?;
        let mut counts = Counts::default();
        // A file without rows has a line of names, too.
        let names = encoder.encode(&RecordBatch::new_empty(Arc::clone(schema)))?;
        upload.write(compressor.write(names).map_err(unwritable)?).await?;
        for row_group in 0..self.source.row_groups.len() {
            if self.left_out.contains(&row_group) {
                continue;
            }
            let mut labels = self.labels(row_group);
            let unreadable = |error| Failure::Input(Some(row_group), error);
            let mut batches = typed.read(row_group, WRITTEN_ROWS).await.map_err(unreadable)?;
            while let Some(batch) = batches.next().await {
                self.check_stop()?;
                let batch = batch.map_err(unreadable)?;
                let labels = labels.take(batch.num_rows()).await?;
                // Values that cannot be written are the input's fault.
                let rows = in_types(schema, &batch, &labels).map_err(unreadable)?;
                let bytes = encoder.encode(&rows).map_err(unreadable)?;
                upload.write(compressor.write(bytes).map_err(unwritable)?).await?;
            }
            upload.write(compressor.write(encoder.end_row_group()?).map_err(unwritable)?).await?;
            self.end_row_group(row_group, &labels, &mut counts)?;
        }
        upload.write(compressor.write(encoder.finish()?).map_err(unwritable)?).await?;
        upload.write(compressor.finish().map_err(unwritable)?).await?;
        Ok(counts)
    }

    fn encoder(&self, typed: &Typed, schema: &SchemaRef) -> Result<Encoder> {
        let format = self.target.file.format;
        let options = WriteOptions {
            compression: self.compression(typed),
            row_group_rows: self.choices.row_group_rows,
            delimiter: self.choices.delimiter_of(format),
        };
        let ours = |key: &String| self.choices.model.iter().any(|(other, _)| other == key);
        let theirs = typed.metadata.iter().filter(|(key, _)| !ours(key));
        let theirs = theirs.filter_map(|(key, value)| Some((key.clone(), extended(key, value, self.added)?)));
        let metadata = theirs.chain(self.choices.model.iter().cloned()).collect();
        Encoder::new(format, schema, &options, metadata)
    }

    /// How Parquet is compressed: as was asked for, or as in the input.
    fn compression(&self, typed: &Typed) -> Compression {
        let asked = self.choices.codec.map(Codec::compression);
        asked.or_else(|| typed.codec()).unwrap_or(Compression::ZSTD(ZstdLevel::default()))
    }
}

/// Rows with their labels, in the types that the output has for them.
fn in_types(schema: &SchemaRef, rows: &RecordBatch, labels: &RecordBatch) -> Result<RecordBatch> {
    let columns = rows.columns().iter().chain(labels.columns()).zip(schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()));
    Ok(RecordBatch::try_new(Arc::clone(schema), columns.collect::<Result<_, _>>()?)?)
}
