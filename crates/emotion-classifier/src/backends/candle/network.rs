use candle_core::{DType, Result, Tensor};

use crate::backends::candle::target::Target;

/// A network in candle tensors.
pub(super) trait Network: Send + Sync {
    /// The logits of every sequence, of shape `[sequences, labels]`.
    fn logits(&self, input: &Input) -> Result<Tensor>;
}

/// The layers of an encoder.
pub(super) trait Encoder: Send + Sync {
    /// The hidden states after the last layer, from embeddings of the same shape, `[sequences, tokens, hidden]`.
    fn states(&self, embedded: Tensor, input: &Input) -> Result<Tensor>;
}

/// Sequences of token ids, padded at the end to the length of the longest.
pub(super) struct Input {
    /// Of shape `[sequences, tokens]`.
    pub ids: Tensor,
    /// 1.0 for a token and 0.0 for padding, of the same shape.
    pub mask: Tensor,
    /// The number of tokens of each sequence, without its padding.
    pub lengths: Vec<u32>,
    /// The ids of each sequence, with its padding.
    pub rows: Vec<Vec<u32>>,
}

/// The id of padding, which every vocabulary has. The mask alone tells padding apart: a text may hold any id.
const PADDING: u32 = 0;

impl Input {
    /// Sequences of which each has a token.
    pub(super) fn pad<'a>(sequences: impl IntoIterator<Item = &'a [u32]>, target: &Target) -> Result<Self> {
        let device = &target.device;
        let mut rows: Vec<Vec<u32>> = sequences.into_iter().map(<[u32]>::to_vec).collect();
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let shape = (rows.len(), longest);
        for row in &mut rows {
            row.resize(longest, PADDING);
        }
        let mask: Vec<f32> = lengths
            .iter()
            .flat_map(|&length| (0..longest).map(move |at| if at < length { 1.0 } else { 0.0 }))
            .collect();
        Ok(Self {
            ids: Tensor::from_vec(rows.concat(), shape, device)?,
            mask: Tensor::from_vec(mask, shape, device)?.to_dtype(target.dtype)?,
            lengths: lengths.into_iter().map(|length| u32::try_from(length).expect("a position")).collect(),
            rows,
        })
    }
    /// What attention adds to the score of each token, of shape `[sequences, 1, 1, tokens]`: 0 for a token, and the
    /// least number for padding, whose weight becomes 0. None if there is no padding.
    pub(super) fn padding_bias(&self) -> Result<Option<Tensor>> {
        let (_, tokens) = self.mask.dims2()?;
        if self.lengths.iter().all(|&length| length as usize == tokens) {
            return Ok(None);
        }
        let least = match self.mask.dtype() {
            DType::BF16 => half::bf16::MIN.to_f64(),
            DType::F16 => half::f16::MIN.to_f64(),
            _ => f64::from(f32::MIN),
        };
        let bias = ((1.0 - &self.mask)? * least)?;
        bias.unsqueeze(1)?.unsqueeze(1).map(Some)
    }
}
