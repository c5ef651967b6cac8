use std::ops::Range;

/// Token ids of several sequences laid end to end, with no padding between them.
///
/// This is the layout of text-embeddings-inference and of flash-attention kernels: sequence `i` is
/// `input_ids[offsets[i]..offsets[i + 1]]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Batch {
    input_ids: Vec<u32>,
    offsets: Vec<usize>,
}

impl Batch {
    /// Packs sequences in the order given.
    pub(crate) fn pack<'a>(sequences: impl IntoIterator<Item = &'a [u32]>) -> Self {
        let mut input_ids = Vec::new();
        let mut offsets = vec![0];
        for sequence in sequences {
            input_ids.extend_from_slice(sequence);
            offsets.push(input_ids.len());
        }
        Self { input_ids, offsets }
    }

    /// The number of sequences.
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// The number of tokens of all sequences.
    pub(crate) fn tokens(&self) -> usize {
        self.input_ids.len()
    }

    /// The token ids of each sequence, in order.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = &[u32]> {
        self.ranges().map(|range| &self.input_ids[range])
    }

    /// The position of each sequence among the tokens of the batch.
    pub(crate) fn ranges(&self) -> impl Iterator<Item = Range<usize>> {
        self.offsets.windows(2).map(|pair| pair[0]..pair[1])
    }

    /// How many of `workers` the batch should occupy when `total` tokens are to be shared among all of them: at most
    /// [`MOST_WORKERS`].
    pub(crate) fn fair_workers(&self, total: usize, workers: usize) -> usize {
        let tokens = self.tokens();
        ((2 * tokens * workers + total) / (2 * total).max(1)).clamp(1, workers.clamp(1, MOST_WORKERS))
    }
}

/// More would have fewer than 32 of a full micro-batch's 512 tokens each.
const MOST_WORKERS: usize = 16;

/// Fewer tokens than this do not occupy a worker of their own, which would read all weights for them.
const LEAST_SHARE: usize = 64;

/// Splits sequences of these lengths into micro-batches of at most `token_budget` tokens (a longer sequence is
/// alone in its own), similar lengths together, longest first so that the last to run are the quickest.
///
/// Micro-batches are small enough that all workers are busy to the end. Each is a list of indices into `lengths`;
/// every index occurs in exactly one.
pub(crate) fn micro_batches(lengths: &[usize], token_budget: usize, workers: usize) -> Vec<Vec<usize>> {
    let total: usize = lengths.iter().sum();
    let rounds = total.div_ceil(token_budget.saturating_mul(workers).max(1)).max(1);
    let share = total.div_ceil(rounds.saturating_mul(workers)).max(LEAST_SHARE);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut filled = 0;
    for row in order {
        let tokens = lengths[row];
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

/// Splits sequences of these lengths into batches of at most `token_budget` tokens when each is padded to the longest
/// of its batch (a longer sequence is alone in its own), similar lengths together, longest first.
///
/// Each is a list of indices into `lengths`; every index occurs in exactly one.
pub(crate) fn padded_batches(lengths: &[usize], token_budget: usize) -> Vec<Vec<usize>> {
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&row| std::cmp::Reverse(lengths[row]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    for row in order {
        match batches.last_mut() {
            Some(batch) if (batch.len() + 1).saturating_mul(lengths[batch[0]]) <= token_budget => batch.push(row),
            _ => batches.push(vec![row]),
        }
    }
    batches
}

/// Groups batches of sequences of these lengths: groups run in parallel, the batches of a group one after another.
///
/// The batches with a sequence of more than `most_parallel_tokens` are one group, the first, and each other batch is a
/// group of its own.
pub(crate) fn groups(batches: Vec<Vec<usize>>, lengths: &[usize], most_parallel_tokens: usize) -> Vec<Vec<Vec<usize>>> {
    let is_long = |batch: &Vec<usize>| batch.iter().any(|&row| lengths[row] > most_parallel_tokens);
    let (long, short): (Vec<_>, Vec<_>) = batches.into_iter().partition(is_long);
    let long = Some(long).filter(|long| !long.is_empty());
    long.into_iter().chain(short.into_iter().map(|batch| vec![batch])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn micro_batches_hold_every_text_once_within_the_budget(
            lengths in prop::collection::vec(1_usize..600, 0..200),
            budget in prop_oneof![Just(0), 1_usize..4096],
            workers in 1_usize..20,
        ) {
            let batches = micro_batches(&lengths, budget, workers);
            let mut rows: Vec<_> = batches.concat();
            rows.sort_unstable();
            prop_assert!(rows.into_iter().eq(0..lengths.len()));
            for batch in batches {
                let tokens: usize = batch.iter().map(|&row| lengths[row]).sum();
                prop_assert!(tokens <= budget || batch.len() == 1);
            }
        }

        #[test]
        fn padded_batches_hold_every_text_once_within_the_budget(
            lengths in prop::collection::vec(1_usize..600, 0..200),
            budget in prop_oneof![Just(0), 1_usize..4096],
        ) {
            let batches = padded_batches(&lengths, budget);
            let mut rows: Vec<_> = batches.concat();
            rows.sort_unstable();
            prop_assert!(rows.into_iter().eq(0..lengths.len()));
            for batch in batches {
                let longest = batch.iter().map(|&row| lengths[row]).max().unwrap();
                prop_assert!(batch.len() * longest <= budget || batch.len() == 1);
            }
        }
    }

    #[test]
    fn sequences_are_packed_end_to_end() {
        let batch = Batch::pack([&[101, 7592, 102][..], &[101, 102]]);
        assert_eq!((batch.len(), batch.tokens()), (2, 5));
        assert_eq!(batch.sequences().last(), Some(&[101, 102][..]));
        assert_eq!(Batch::pack([]).len(), 0);
    }

    #[test]
    fn batches_of_long_sequences_are_one_group() {
        let batches = vec![vec![0], vec![1], vec![2], vec![3, 4]];
        let lengths = [30, 21, 20, 10, 10];
        assert_eq!(groups(batches.clone(), &lengths, 20), [vec![vec![0], vec![1]], vec![vec![2]], vec![vec![3, 4]]]);
        assert_eq!(groups(batches, &lengths, 30), [[vec![0]], [vec![1]], [vec![2]], [vec![3, 4]]]);
    }

    #[test]
    fn few_texts_are_shared_evenly() {
        let sizes = |texts: usize, workers| -> Vec<usize> {
            micro_batches(&vec![22; texts], 512, workers).iter().map(Vec::len).collect()
        };
        assert_eq!(sizes(32, 2), [16, 16]);
        assert_eq!(sizes(64, 2), [16; 4]);
        assert_eq!(sizes(32, 1), [16, 16]);
        assert_eq!(sizes(2, 2), [2], "too little to share");
        assert_eq!(sizes(0, 2), [0; 0]);
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
