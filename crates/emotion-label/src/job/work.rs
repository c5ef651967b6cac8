//! A part of a job that can be labeled anywhere.

use datafusion::prelude::SessionContext;

use crate::job::labeler::Labeler;
use crate::job::source::Source;
use crate::job::stop::Stop;

/// A row group to label.
#[derive(Clone, Copy)]
#[cfg_attr(not(feature = "cluster"), expect(dead_code, reason = "only a cluster reads it"))]
pub struct Work<'a> {
    pub context: &'a SessionContext,
    pub labeler: &'a Labeler,
    pub source: &'a Source,
    pub row_group: usize,
    pub stop: Stop<'a>,
}
