use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use emotion_classifier::Statistics;

/// What a session's functions did since it began, or since the last reset.
#[derive(Debug, Default)]
pub(crate) struct Usage {
    pub rows: AtomicU64,
    pub nulls: AtomicU64,
    pub distinct: AtomicU64,
    pub inference: Statistics,
}

impl Usage {
    /// Counts a column whose rows hold so many NULLs and distinct texts.
    pub(crate) fn add_column(&self, rows: usize, nulls: usize, distinct: usize) {
        self.rows.fetch_add(rows as u64, Relaxed);
        self.nulls.fetch_add(nulls as u64, Relaxed);
        self.distinct.fetch_add(distinct as u64, Relaxed);
    }

    pub(crate) fn reset(&self) {
        for counter in [&self.rows, &self.nulls, &self.distinct] {
            counter.store(0, Relaxed);
        }
        self.inference.reset();
    }
}
