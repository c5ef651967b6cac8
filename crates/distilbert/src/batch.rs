use std::ops::Range;

use crate::TokenIds;

/// Token ids of several sequences laid end to end, with no padding between them.
///
/// The layout that text-embeddings-inference and flash-attention kernels use: sequence `i` is
/// `input_ids[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    input_ids: Vec<u32>,
    offsets: Vec<usize>,
}

impl Batch {
    /// Packs sequences in the order given.
    ///
    /// ```
    /// let batch = distilbert::Batch::pack([&[101, 7592, 102][..], &[101, 102]]);
    /// assert_eq!(batch.len(), 2);
    /// assert_eq!(batch.sequences().last(), Some(&[101, 102][..]));
    /// ```
    pub fn pack<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut input_ids = Vec::new();
        let mut offsets = vec![0];
        for sequence in sequences {
            input_ids.extend_from_slice(sequence);
            offsets.push(input_ids.len());
        }
        Self { input_ids, offsets }
    }

    /// The number of sequences.
    #[must_use]
    pub fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Whether there is no sequence.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The token ids of each sequence, in order.
    pub fn sequences(&self) -> impl Iterator<Item = &[u32]> {
        self.ranges().map(|range| &self.input_ids[range])
    }

    /// Where each sequence lies among the tokens of the batch.
    pub fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }
}

/// Splits texts into micro-batches of at most `token_budget` tokens (a longer text stands alone),
/// similar lengths together, longest first so that the last to run are the quickest.
///
/// Each micro-batch is a list of indices into `texts`; every index occurs in exactly one.
pub(crate) fn micro_batches(texts: &[TokenIds], token_budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(texts[row].ids.len()));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for row in order {
        let tokens = texts[row].ids.len();
        match batches.last_mut() {
            Some(batch) if tokens <= room => batch.push(row),
            _ => {
                batches.push(vec![row]);
                room = token_budget;
            }
        }
        room = room.saturating_sub(tokens);
    }
    batches
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn micro_batches_hold_every_text_once_within_the_budget(
            lengths in prop::collection::vec(1_usize..600, 0..200),
            budget in 1_usize..4096,
        ) {
            let texts: Vec<_> =
                lengths.iter().map(|&n| TokenIds { ids: vec![0; n], truncated: false }).collect();
            let batches = micro_batches(&texts, budget);
            let mut rows: Vec<_> = batches.concat();
            rows.sort_unstable();
            prop_assert!(rows.into_iter().eq(0..lengths.len()));
            for batch in batches {
                let tokens: usize = batch.iter().map(|&row| lengths[row]).sum();
                prop_assert!(tokens <= budget || batch.len() == 1);
            }
        }
    }
}
