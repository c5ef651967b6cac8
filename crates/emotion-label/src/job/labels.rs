//! Labels of a row group, as the journal keeps them.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::job::counts::Counts;
use crate::job::error::{LabelError, Result};
use crate::job::inputs::Input;
use crate::job::journal::{Journal, Segment};

/// The labels of a row group, in the order of its rows.
pub struct Labels<'a> {
    journal: &'a Journal,
    input: &'a Input,
    schema: &'a SchemaRef,
    segments: VecDeque<Segment>,
    batches: VecDeque<RecordBatch>,
    pub counts: Counts,
}

impl<'a> Labels<'a> {
    /// `segments` are those of all row groups.
    pub fn new(
        journal: &'a Journal,
        input: &'a Input,
        schema: &'a SchemaRef,
        segments: &[Segment],
        row_group: usize,
    ) -> Self {
        let segments = segments.iter().filter(|segment| segment.row_group == row_group).copied().collect();
        Self { journal, input, schema, segments, batches: VecDeque::new(), counts: Counts::default() }
    }

    pub async fn take(&mut self, rows: usize) -> Result<RecordBatch> {
        let (mut pieces, mut wanted) = (Vec::new(), rows);
        while wanted > 0 {
            let Some(batch) = self.batches.pop_front() else {
                let segment = self.segments.pop_front();
                let segment = segment.ok_or_else(|| LabelError::Damaged("there are more rows than labels".into()))?;
                let (batches, counts) = self.journal.labels(self.input, segment, self.schema).await?;
                self.counts.add(&counts);
                self.batches.extend(batches);
                continue;
            };
            let taken = wanted.min(batch.num_rows());
            pieces.push(batch.slice(0, taken));
            if taken < batch.num_rows() {
                self.batches.push_front(batch.slice(taken, batch.num_rows() - taken));
            }
            wanted -= taken;
        }
        Ok(concat_batches(self.schema, &pieces)?)
    }
}
