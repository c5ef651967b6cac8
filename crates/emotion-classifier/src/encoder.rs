use crate::{Batch, Result};

/// A transformer encoder: token ids in, hidden states of `[CLS]` out.
///
/// The seam between texts and matrices. An implementation must give a sequence the same bits
/// whatever other sequences the batch holds; the classification of rows in SQL relies on it.
pub trait Encoder: Send + Sync {
    /// Runs the encoder over a packed batch.
    ///
    /// Returns the last layer's hidden state of each sequence's first token, row-major, of shape
    /// `[batch.len(), hidden size]`. Every sequence has between one token and the model's
    /// `max_position_embeddings`, and every id is below its `vocab_size`. Up to `workers` threads of the current rayon
    /// pool may share the work, which changes nothing in the result.
    fn encode(&self, batch: &Batch, workers: usize) -> Result<Vec<f32>>;
}
