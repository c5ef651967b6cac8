use candle_core::{Device, Result, Tensor};

/// A network in candle tensors.
pub(super) trait Network: Send + Sync {
    /// The logits of every sequence, of shape `[sequences, labels]`.
    fn logits(&self, input: &Input) -> Result<Tensor>;
}

/// Sequences of token ids, padded at the end to the length of the longest.
pub(super) struct Input {
    /// Of shape `[sequences, tokens]`.
    pub ids: Tensor,
    /// 1.0 for a token and 0.0 for padding, of the same shape.
    pub mask: Tensor,
    /// The ids of each sequence, with its padding.
    pub rows: Vec<Vec<u32>>,
}

/// The id of padding, which every vocabulary has. The mask alone tells padding apart: a text may hold any id.
const PADDING: u32 = 0;

impl Input {
    /// Sequences of which each has a token.
    pub(super) fn pad<'a>(sequences: impl IntoIterator<Item = &'a [u32]>, device: &Device) -> Result<Self> {
        let mut rows: Vec<Vec<u32>> = sequences.into_iter().map(<[u32]>::to_vec).collect();
        let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
        let longest = lengths.iter().copied().max().unwrap_or(0);
        let shape = (rows.len(), longest);
        for row in &mut rows {
            row.resize(longest, PADDING);
        }
        let mask: Vec<f32> = lengths
            .into_iter()
            .flat_map(|length| (0..longest).map(move |at| if at < length { 1.0 } else { 0.0 }))
            .collect();
        Ok(Self {
            ids: Tensor::from_vec(rows.concat(), shape, device)?,
            mask: Tensor::from_vec(mask, shape, device)?,
            rows,
        })
    }
}
