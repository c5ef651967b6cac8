//! What a job came to.

use serde::Serialize;

use crate::job::counts::Counts;
use crate::job::error::{LabelError, message};

/// A file or a row group without labels, and why.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SetAside {
    /// The name of the file, as messages show it.
    pub file: String,
    /// The row group of a Parquet file, where only one is left out.
    pub row_group: Option<usize>,
    /// The number of rows that are left out, where it is known.
    pub rows: Option<u64>,
    /// What is wrong.
    pub error: String,
}

impl SetAside {
    pub(crate) fn new(file: &str, row_group: Option<usize>, rows: Option<u64>, error: &LabelError) -> Self {
        Self { file: file.into(), row_group, rows, error: message(error) }
    }
}

impl std::fmt::Display for SetAside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.row_group {
            Some(row_group) => write!(f, "row group {row_group} of '{}': {}", self.file, self.error),
            None => write!(f, "'{}': {}", self.file, self.error),
        }
    }
}

/// Figures of all the job's files, and the time of this run.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Summary {
    /// The output, as it was named.
    pub output: String,
    /// The number of labeled files, with those of earlier runs.
    pub files: usize,
    /// Files in the folders that are not tables.
    pub other_files: usize,
    /// What was found in the rows.
    #[serde(flatten)]
    pub counts: Counts,
    /// Seconds of this run, without its planning.
    pub seconds: f64,
    /// Rows that this run labeled in a second.
    pub rows_per_second: f64,
    /// What is left out for errors.
    pub set_aside: Vec<SetAside>,
}
