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
    /// let batch = emotion_classifier::Batch::pack([&[101, 7592, 102][..], &[101, 102]]);
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

    /// How many of `workers` the batch should have to itself when all of them have `total` tokens to do: at most
    /// [`MOST_WORKERS`].
    pub(crate) fn fair_workers(&self, total: usize, workers: usize) -> usize {
        let tokens = self.input_ids.len();
        ((2 * tokens * workers + total) / (2 * total).max(1)).clamp(1, workers.clamp(1, MOST_WORKERS))
    }
}

/// More would have fewer than 32 of a full micro-batch's 512 tokens each.
const MOST_WORKERS: usize = 16;

/// Fewer tokens than this are not worth a worker of their own, which would read all weights for them.
const LEAST_SHARE: usize = 64;

/// Splits texts into micro-batches of at most `token_budget` tokens (a longer text stands alone),
/// similar lengths together, longest first so that the last to run are the quickest.
///
/// They are made so small that all workers are busy to the end. Each micro-batch is a list of
/// indices into `texts`; every index occurs in exactly one.
pub(crate) fn micro_batches(texts: &[TokenIds], token_budget: usize, workers: usize) -> Vec<Vec<usize>> {
    let total: usize = texts.iter().map(|text| text.ids.len()).sum();
    let rounds = total.div_ceil(token_budget.saturating_mul(workers)).max(1);
    let share = total.div_ceil(rounds * workers).max(LEAST_SHARE);
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(texts[row].ids.len()));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut filled = 0;
    for row in order {
        let tokens = texts[row].ids.len();
        match batches.last_mut() {
            Some(batch) if filled < share && filled + tokens <= token_budget => batch.push(row),
            _ => {
                batches.push(vec![row]);
                filled = 0;
            }
        }
        filled += tokens;
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
            workers in 1_usize..20,
        ) {
            let texts: Vec<_> =
                lengths.iter().map(|&n| TokenIds { ids: vec![0; n], truncated: false }).collect();
            let batches = micro_batches(&texts, budget, workers);
            let mut rows: Vec<_> = batches.concat();
            rows.sort_unstable();
            prop_assert!(rows.into_iter().eq(0..lengths.len()));
            for batch in batches {
                let tokens: usize = batch.iter().map(|&row| lengths[row]).sum();
                prop_assert!(tokens <= budget || batch.len() == 1);
            }
        }
    }

    #[test]
    fn few_texts_are_shared_evenly() {
        let sizes = |texts: usize, workers| -> Vec<usize> {
            let texts = vec![TokenIds { ids: vec![0; 22], truncated: false }; texts];
            micro_batches(&texts, 512, workers).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(32, 2), [16, 16]);
        assert_eq!(sizes(64, 2), [16; 4]);
        assert_eq!(sizes(32, 1), [16, 16]);
        assert_eq!(sizes(2, 2), [2], "too little to share");
        assert!(sizes(0, 2).is_empty());
    }

    #[test]
    fn a_batch_has_the_workers_that_its_share_of_the_tokens_is_worth() {
        let workers = |tokens: usize, total, workers| {
            let ids = vec![7; tokens];
            Batch::pack([&ids[..]]).fair_workers(total, workers)
        };
        assert_eq!(workers(22, 22, 2), 2);
        assert_eq!(workers(512, 522, 2), 2);
        assert_eq!(workers(10, 522, 2), 1);
        assert_eq!(workers(500, 1000, 2), 1);
        assert_eq!(workers(512, 100_000, 16), 1);
        assert_eq!(workers(512, 1024, 16), 8);
        assert_eq!(workers(1, 1, 64), 16);
    }
}
