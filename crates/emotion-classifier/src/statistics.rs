use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// What inference did, counted as it goes; shared by the threads that do it.
///
/// ```
/// let total = emotion_classifier::Statistics::default();
/// assert_eq!(total.snapshot().forward_passes, 0);
/// ```
#[derive(Debug, Default)]
pub struct Statistics {
    cache_hits: AtomicU64,
    forward_passes: AtomicU64,
    tokens: AtomicU64,
    unknown_tokens: AtomicU64,
    truncated: AtomicU64,
    busy_nanos: AtomicU64,
}

/// [`Statistics`] at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Texts whose prediction was there already.
    pub cache_hits: u64,
    /// Sequences that went through the model: a text each, or a window of one.
    pub forward_passes: u64,
    /// Tokens of those sequences, special tokens included.
    pub tokens: u64,
    /// How many of those tokens stand for a word that the vocabulary cannot spell.
    pub unknown_tokens: u64,
    /// Texts that were cut.
    pub truncated: u64,
    /// Time that threads spent in forward passes, added up.
    pub busy: Duration,
}

impl Statistics {
    /// The counts so far.
    #[must_use]
    pub fn snapshot(&self) -> Counts {
        Counts {
            cache_hits: self.cache_hits.load(Relaxed),
            forward_passes: self.forward_passes.load(Relaxed),
            tokens: self.tokens.load(Relaxed),
            unknown_tokens: self.unknown_tokens.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Relaxed)),
        }
    }

    /// Adds what was counted elsewhere.
    pub fn add(&self, counts: &Counts) {
        self.cache_hits.fetch_add(counts.cache_hits, Relaxed);
        self.forward_passes.fetch_add(counts.forward_passes, Relaxed);
        self.tokens.fetch_add(counts.tokens, Relaxed);
        self.unknown_tokens.fetch_add(counts.unknown_tokens, Relaxed);
        self.truncated.fetch_add(counts.truncated, Relaxed);
        self.busy_nanos.fetch_add(u64::try_from(counts.busy.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Starts again from nothing.
    pub fn reset(&self) {
        let Self { cache_hits, forward_passes, tokens, unknown_tokens, truncated, busy_nanos } = self;
        for counter in [cache_hits, forward_passes, tokens, unknown_tokens, truncated, busy_nanos] {
            counter.store(0, Relaxed);
        }
    }
}
