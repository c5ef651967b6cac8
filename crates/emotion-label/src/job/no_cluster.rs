//! The type of a cluster where the feature `cluster` is off: it has no value.

use arrow::array::RecordBatch;
use futures::stream::BoxStream;

use crate::job::counts::Counts;
use crate::job::failure::Failure;
use crate::job::work::Work;

#[derive(Clone)]
pub enum Cluster {}

impl Cluster {
    pub fn label<'a>(&'a self, _: Work<'a>, _: u64) -> BoxStream<'a, Result<(RecordBatch, Counts), Failure>> {
        match *self {}
    }
}
