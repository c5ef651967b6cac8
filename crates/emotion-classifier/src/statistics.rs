use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// Live counters of what requests do; any number of threads may add to them at once.
///
/// ```
/// let total = emotion_classifier::Statistics::default();
/// assert_eq!(total.snapshot().forward_passes, 0);
/// ```
#[derive(Debug, Default)]
pub struct Statistics {
    cache_hits: AtomicU64,
    repeated: AtomicU64,
    forward_passes: AtomicU64,
    tokens: AtomicU64,
    unknown_tokens: AtomicU64,
    truncated: AtomicU64,
    busy_nanos: AtomicU64,
}

/// The values of [`Statistics`] at one moment, or those of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Counts {
    /// Distinct texts whose prediction was in the cache, or was inferred by another thread meanwhile.
    pub cache_hits: u64,
    /// Texts that are equal to an earlier one of the same request, whose prediction they share.
    pub repeated: u64,
    /// Sequences that passed through the model: each is a text or a window of one.
    pub forward_passes: u64,
    /// Tokens of those sequences, special tokens included.
    pub tokens: u64,
    /// Of those tokens, the number that stand for a word outside the vocabulary.
    pub unknown_tokens: u64,
    /// Inferred texts that were truncated.
    pub truncated: u64,
    /// Time in forward passes, summed over threads.
    pub busy: Duration,
}

/// What all requests of this process do.
static PROCESS: Statistics = Statistics::zero();

impl Statistics {
    const fn zero() -> Self {
        Self {
            cache_hits: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            forward_passes: AtomicU64::new(0),
            tokens: AtomicU64::new(0),
            unknown_tokens: AtomicU64::new(0),
            truncated: AtomicU64::new(0),
            busy_nanos: AtomicU64::new(0),
        }
    }

    /// The counters of all requests of this process.
    #[must_use]
    pub fn of_process() -> &'static Self {
        &PROCESS
    }

    /// The current values.
    #[must_use]
    pub fn snapshot(&self) -> Counts {
        Counts {
            cache_hits: self.cache_hits.load(Relaxed),
            repeated: self.repeated.load(Relaxed),
            forward_passes: self.forward_passes.load(Relaxed),
            tokens: self.tokens.load(Relaxed),
            unknown_tokens: self.unknown_tokens.load(Relaxed),
            truncated: self.truncated.load(Relaxed),
            busy: Duration::from_nanos(self.busy_nanos.load(Relaxed)),
        }
    }

    /// Adds `counts` to the counters.
    pub fn add(&self, counts: &Counts) {
        self.cache_hits.fetch_add(counts.cache_hits, Relaxed);
        self.repeated.fetch_add(counts.repeated, Relaxed);
        self.forward_passes.fetch_add(counts.forward_passes, Relaxed);
        self.tokens.fetch_add(counts.tokens, Relaxed);
        self.unknown_tokens.fetch_add(counts.unknown_tokens, Relaxed);
        self.truncated.fetch_add(counts.truncated, Relaxed);
        self.busy_nanos.fetch_add(u64::try_from(counts.busy.as_nanos()).unwrap_or(u64::MAX), Relaxed);
    }

    /// Sets all counters to zero.
    pub fn reset(&self) {
        let Self { cache_hits, repeated, forward_passes, tokens, unknown_tokens, truncated, busy_nanos } = self;
        for counter in [cache_hits, repeated, forward_passes, tokens, unknown_tokens, truncated, busy_nanos] {
            counter.store(0, Relaxed);
        }
    }
}
