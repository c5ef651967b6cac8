//! What was found in rows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What was found in rows.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Counts {
    /// All rows.
    pub rows: u64,
    /// Rows without a text, which have no label.
    pub null: u64,
    /// Texts of no character.
    pub empty: u64,
    /// Texts that were cut.
    pub truncated: u64,
    /// Rows whose text had occurred before, so that its prediction was reused.
    pub repeated: u64,
    /// Tokens of the texts that were inferred.
    pub tokens: u64,
    /// Rows of each label.
    pub labels: BTreeMap<String, u64>,
}

impl Counts {
    pub(crate) fn add(&mut self, other: &Self) {
        self.rows += other.rows;
        self.null += other.null;
        self.empty += other.empty;
        self.truncated += other.truncated;
        self.repeated += other.repeated;
        self.tokens += other.tokens;
        for (label, rows) in &other.labels {
            *self.labels.entry(label.clone()).or_default() += rows;
        }
    }
}
