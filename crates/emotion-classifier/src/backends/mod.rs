//! Backends: batches of token ids in, logits out.

#[cfg(feature = "candle")]
pub(crate) mod candle;
pub(crate) mod packed;

use std::sync::atomic::AtomicBool;

use crate::batch::Batch;
use crate::error::Result;

/// What computes a model's forward pass.
///
/// Unless it pads, an implementation must give a sequence the same bits whatever other sequences the batch holds: the
/// classification of rows in SQL relies on it.
pub(crate) trait Backend: Send + Sync {
    /// The logits of every sequence, row-major, of shape `[batch.len(), labels]`.
    ///
    /// Every sequence has between one token and the model's `max_tokens`, and every id is below its
    /// `vocab_size`. Up to `workers` threads of the current rayon pool may share the work, which does not change the
    /// result.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`](crate::error::Error::Cancelled) soon after the flag is set: a layer of a large model takes
    /// a fraction of the time of a forward pass.
    fn logits(&self, batch: &Batch, workers: usize, cancelled: &AtomicBool) -> Result<Vec<f32>>;

    /// The most tokens of a sequence that is computed in parallel with other batches. The memory of a longer one is so
    /// large that batches with such a sequence run one after another.
    fn most_parallel_tokens(&self) -> usize {
        usize::MAX
    }

    /// Whether the sequences of a batch are padded to the length of the longest, which then should not be much longer
    /// than the others.
    fn pads(&self) -> bool {
        false
    }
}
