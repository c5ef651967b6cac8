//! Record batches that are handed out in pieces of other sizes.

use std::collections::VecDeque;

use arrow::array::RecordBatch;
use arrow::compute::concat_batches;
use arrow::datatypes::SchemaRef;

use crate::job::error::Result;

/// Rows in the order in which they came.
pub struct BatchQueue {
    schema: SchemaRef,
    batches: VecDeque<RecordBatch>,
    rows: usize,
}

impl BatchQueue {
    pub fn new(schema: &SchemaRef) -> Self {
        Self { schema: schema.clone(), batches: VecDeque::new(), rows: 0 }
    }

    pub fn rows(&self) -> usize {
        self.rows
    }

    pub fn push(&mut self, batch: RecordBatch) {
        self.rows += batch.num_rows();
        self.batches.push_back(batch);
    }

    /// The next `rows` rows, or all if there are fewer.
    pub fn take(&mut self, rows: usize) -> Result<RecordBatch> {
        let (mut pieces, mut wanted) = (Vec::new(), rows.min(self.rows));
        self.rows -= wanted;
        while wanted > 0
            && let Some(batch) = self.batches.pop_front()
        {
            let taken = wanted.min(batch.num_rows());
            pieces.push(batch.slice(0, taken));
            if taken < batch.num_rows() {
                self.batches.push_front(batch.slice(taken, batch.num_rows() - taken));
            }
            wanted -= taken;
        }
        Ok(concat_batches(&self.schema, &pieces)?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::Int32Array;
    use arrow::datatypes::{DataType, Field, Schema};

    use super::*;

    #[test]
    fn rows_come_out_in_their_order() {
        let schema = Arc::new(Schema::new(vec![Field::new("n", DataType::Int32, false)]));
        let batch = |rows: std::ops::Range<i32>| {
            RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(Int32Array::from_iter_values(rows))]).unwrap()
        };
        let mut queue = BatchQueue::new(&schema);
        queue.push(batch(0..3));
        queue.push(batch(3..10));
        let taken = [2, 3, 0, 9].map(|rows| queue.take(rows).unwrap());
        assert_eq!(taken, [batch(0..2), batch(2..5), batch(0..0), batch(5..10)]);
        assert_eq!(queue.rows(), 0);
    }
}
