//! Labels of a row group, as the journal keeps them.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;

use crate::job::batch_queue::BatchQueue;
use crate::job::counts::Counts;
use crate::job::error::{LabelError, Result};
use crate::job::journal::FileJournal;
use crate::job::segment::Segment;

/// The labels of a row group, in the order of its rows.
pub struct Labels<'a> {
    journal: &'a FileJournal<'a>,
    schema: &'a SchemaRef,
    segments: VecDeque<Segment>,
    queue: BatchQueue,
    pub counts: Counts,
    /// Rows whose labels were taken.
    pub rows_taken: u64,
}

impl<'a> Labels<'a> {
    /// `segments` are those of all row groups.
    pub fn new(journal: &'a FileJournal<'a>, schema: &'a SchemaRef, segments: &[Segment], row_group: usize) -> Self {
        let segments = segments.iter().filter(|segment| segment.row_group == row_group).copied().collect();
        Self { journal, schema, segments, queue: BatchQueue::new(schema), counts: Counts::default(), rows_taken: 0 }
    }

    pub async fn take(&mut self, rows: usize) -> Result<RecordBatch> {
        while self.queue.rows() < rows {
            let segment = self.segments.pop_front();
            let segment = segment.ok_or_else(|| LabelError::Damaged("there are more rows than labels".into()))?;
            let (batches, counts) = self.journal.labels(segment, self.schema).await?;
            self.counts.add(&counts);
            for batch in batches {
                self.queue.push(batch);
            }
        }
        self.rows_taken += rows as u64;
        self.queue.take(rows)
    }
}
