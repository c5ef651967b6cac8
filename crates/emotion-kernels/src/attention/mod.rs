mod int8;

use std::fmt;

use self::int8::Int8Workspace;
use crate::arithmetic::{Arithmetic, LANES, dispatch, exp, maximum, total};
use crate::bf16::{Bfloat16, Pair, round_and_swap, round_and_swap_rows, round_to_pairs};
use crate::epilogue::{Activation, Epilogue};
use crate::formats::bfloat16::{PairProduct, has_pairs};
use crate::formats::float32;
use crate::isa::Isa;
use crate::layout::{Multiples, Rows, RowsMut};
use crate::lines::{self, Line, Word};
use crate::precision::Precision;
use crate::transpose::transpose;

/// The number of query rows whose scores are computed at a time, so that they stay in the second-level cache.
const QUERY_ROWS: usize = 48;

/// The number of tokens from which attention in int8 multiplies integers. In shorter sequences, rounding the operands
/// takes longer than the faster products save.
const INTEGER_TOKENS: usize = 64;

/// Multi-head attention within one sequence: `softmax(Q Kᵀ / √d) V` for each head of size `d`.
///
/// In bfloat16, queries, keys, values and the softmax are rounded before they are multiplied if `d` is even; if it is
/// odd, the operands are float32. In int8, they are float32 below 64 tokens. From 64 tokens on, a head's queries and
/// keys have a scale per token, its values a scale per column, and the softmax is rounded to integers; the result then
/// has the same bits on every instruction set.
///
/// Source: Vaswani et al., *Attention Is All You Need*, 2017. As a sequence is computed alone, there is no mask.
#[derive(Debug)]
pub struct Attention {
    /// The instruction set to run on.
    pub isa: Isa,
    /// The precision of the two products.
    pub precision: Precision,
    /// The number of heads, which divides the hidden size.
    pub heads: usize,
    /// The hidden size: the number of columns of queries, keys and values.
    pub hidden: usize,
}

/// The memory of an [`Attention`], which the next call reuses.
#[derive(Default)]
pub struct AttentionWorkspace {
    floats: Workspace<f32>,
    pairs: Workspace<Pair>,
    bytes: Int8Workspace,
    scores: Vec<Line<f32>>,
}

#[derive(Default)]
struct Workspace<V> {
    query: Vec<Line<V>>,
    key_value: Vec<Line<V>>,
    head: HeadWorkspace<V>,
}

#[derive(Default)]
struct HeadWorkspace<V> {
    keys: Vec<Line<V>>,
    values: Vec<Line<V>>,
    softmax: Vec<Line<V>>,
}

impl fmt::Debug for AttentionWorkspace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AttentionWorkspace").finish_non_exhaustive()
    }
}

impl Attention {
    /// Writes `context`, of shape `[queries, hidden]`, for `query`, of the same shape, and
    /// `key_value`, of shape `[tokens, 2 · hidden]`: a token's key, then its value.
    ///
    /// # Panics
    /// If the lengths do not match, or if there are no tokens.
    pub fn run(&self, query: &[f32], key_value: &[f32], context: &mut [f32], workspace: &mut AttentionWorkspace) {
        let Self { isa, precision, heads, hidden } = *self;
        assert!(query.len() == context.len() && query.len().is_multiple_of(hidden));
        assert!(key_value.len().is_multiple_of(2 * hidden) && hidden.is_multiple_of(heads));
        let AttentionWorkspace { floats, pairs, bytes, scores } = workspace;
        if precision == Precision::Int8 && key_value.len() >= 2 * hidden * INTEGER_TOKENS {
            return int8::attend(isa, hidden, self.size(), query, key_value, context, bytes);
        }
        if precision != Precision::Bfloat16 || !self.size().is_multiple_of(2) {
            let operands = Floats { isa, rounded: false };
            return self.attend(&operands, query, key_value, context, scores, &mut floats.head);
        }
        if !has_pairs(isa) {
            let rounded_query = lines::words(&mut floats.query, query.len());
            round_and_swap(isa, query, hidden, rounded_query);
            let rounded_key_value = lines::words(&mut floats.key_value, key_value.len());
            round_key_value(isa, key_value, hidden, rounded_key_value);
            let operands = Floats { isa, rounded: true };
            return self.attend(&operands, rounded_query, rounded_key_value, context, scores, &mut floats.head);
        }
        let operands = Pairs::new(isa, self.size());
        let rows = (query.len() / hidden).next_multiple_of(operands.multiples.rows);
        let rounded_query = lines::words(&mut pairs.query, rows * hidden / 2);
        round_to_pairs(isa, query, hidden, hidden / 2, rounded_query);
        let rounded_key_value = lines::words(&mut pairs.key_value, key_value.len() / 2);
        round_to_pairs(isa, key_value, 2 * hidden, hidden, rounded_key_value);
        self.attend(&operands, rounded_query, rounded_key_value, context, scores, &mut pairs.head);
    }

    fn size(&self) -> usize {
        self.hidden / self.heads
    }

    /// The algorithm, generic over the representation of queries, keys and values.
    fn attend<O: Operands>(
        &self,
        operands: &O,
        query: &[O::Input],
        key_value: &[O::Input],
        context: &mut [f32],
        scores: &mut Vec<Line<f32>>,
        workspace: &mut HeadWorkspace<O::Input>,
    ) {
        let Self { isa, hidden, .. } = *self;
        let (size, scale) = (self.size(), 1.0 / (self.size() as f32).sqrt());
        let (hidden_steps, size_steps) = (hidden / O::VALUES, size / O::VALUES);
        let (count, tokens) = (context.len() / hidden, key_value.len() / (2 * hidden_steps));
        // Rows of scores are whole panels, so that no part of a row is stored or summed separately.
        let stride = tokens.next_multiple_of(operands.token_multiple().max(LANES));
        let depth = tokens.next_multiple_of(operands.token_multiple()) / O::VALUES;
        let HeadWorkspace { keys, values, softmax } = workspace;
        keys.resize(stride / LANES * size_steps, Line::default());
        values.resize(operands.multiples().panels(size) * depth, Line::default());
        for offset in (0..hidden_steps).step_by(size_steps) {
            let rows =
                Rows { values: &key_value[offset..], stride: 2 * hidden_steps, count: tokens, width: size_steps };
            transpose(isa, rows, keys);
            operands.pack_values(values, depth, Rows { values: &key_value[hidden_steps + offset..], ..rows });
            for first in (0..count).step_by(QUERY_ROWS) {
                let count = QUERY_ROWS.min(count - first);
                let query = &query[first * hidden_steps + offset..];
                let x = Rows { values: query, stride: hidden_steps, count, width: size_steps };
                let scores = lines::words(scores, count * stride);
                operands.multiply(x, keys, RowsMut { values: scores, stride, width: stride });
                dispatch!(isa, softmax_rows(scores: &mut [f32], stride: usize, tokens: usize, scale: f32));
                let weights = operands.round(scores, stride, softmax);
                let x = Rows { values: weights, stride: stride / O::VALUES, count, width: depth };
                let context = &mut context[first * hidden + offset * O::VALUES..];
                operands.multiply(x, values, RowsMut { values: context, stride: hidden, width: size });
            }
        }
    }
}

/// The representation of the operands of both products.
trait Operands {
    /// The inputs of one step of a row.
    type Input: Word;
    /// The number of values in an [`Input`](Self::Input).
    const VALUES: usize;

    /// The multiples to which the operands are padded.
    fn multiples(&self) -> Multiples;

    /// The multiple of tokens over which the second product sums.
    fn token_multiple(&self) -> usize;

    /// Packs the values of a head, one row per token, into panels of 16 columns and `depth` steps.
    fn pack_values(&self, panels: &mut [Line<Self::Input>], depth: usize, x: Rows<'_, Self::Input>);

    /// The softmax, whose rows have `width` values, in this representation; `buffer` may hold it.
    fn round<'a>(&self, softmax: &'a [f32], width: usize, buffer: &'a mut Vec<Line<Self::Input>>) -> &'a [Self::Input];

    fn multiply(&self, x: Rows<'_, Self::Input>, panels: &[Line<Self::Input>], out: RowsMut<'_>);
}

/// float32. If `rounded`, the values are rounded to bfloat16, and the values of each summed pair are swapped: pairs of
/// columns in queries and keys, pairs of tokens in the softmax and the values.
struct Floats {
    isa: Isa,
    rounded: bool,
}

impl Operands for Floats {
    type Input = f32;
    const VALUES: usize = 1;

    fn multiples(&self) -> Multiples {
        Multiples::ANY
    }

    fn token_multiple(&self) -> usize {
        if self.rounded { 2 } else { 1 }
    }

    fn pack_values(&self, panels: &mut [Line<f32>], depth: usize, x: Rows<'_>) {
        let swap = usize::from(self.rounded);
        for (panel, first) in panels.chunks_exact_mut(depth).zip((0..x.width).step_by(LANES)) {
            // The token that completes the last pair.
            if depth > x.count {
                panel[x.count ^ swap] = Line::default();
            }
            for token in 0..x.count {
                let Line(lanes) = &mut panel[token ^ swap];
                let values = &x.row(token)[first..];
                match values.first_chunk() {
                    Some(whole) => *lanes = *whole,
                    None => lanes[..values.len()].copy_from_slice(values),
                }
            }
        }
    }

    fn round<'a>(&self, softmax: &'a [f32], width: usize, buffer: &'a mut Vec<Line<f32>>) -> &'a [f32] {
        if !self.rounded {
            return softmax;
        }
        let rounded = lines::words(buffer, softmax.len());
        round_and_swap(self.isa, softmax, width, rounded);
        rounded
    }

    fn multiply(&self, x: Rows<'_>, panels: &[Line<f32>], out: RowsMut<'_>) {
        float32::product(self.isa, x, panels, 0, Epilogue { bias: &[], activation: Activation::None, out });
    }
}

/// Pairs of bfloat16: pairs of columns in queries and keys, pairs of tokens in the softmax and the values.
struct Pairs {
    isa: Isa,
    multiples: Multiples,
    product: PairProduct,
}

impl Pairs {
    fn new(isa: Isa, size: usize) -> Self {
        // Heads that do not fill tile registers are multiplied in vector registers.
        let fits = size.is_multiple_of(2 * Multiples::of(isa).steps);
        let isa = if fits { isa } else { isa.vector() };
        Self { isa, multiples: Multiples::of(isa), product: PairProduct::of(isa) }
    }
}

impl Operands for Pairs {
    type Input = Pair;
    const VALUES: usize = 2;

    fn multiples(&self) -> Multiples {
        self.multiples
    }

    fn token_multiple(&self) -> usize {
        2 * self.multiples.steps
    }

    /// Missing tokens are zero.
    fn pack_values(&self, panels: &mut [Line<Pair>], depth: usize, x: Rows<'_, Pair>) {
        let zeros = [Pair::default(); LANES / 2];
        for (panel, first) in panels.chunks_exact_mut(depth).zip((0..x.width).step_by(LANES / 2)) {
            let columns = (LANES / 2).min(x.width - first);
            for (step, line) in panel.iter_mut().enumerate() {
                let token = |token| if token < x.count { &x.row(token)[first..][..columns] } else { &zeros[..columns] };
                let lines = line.0.as_chunks_mut::<2>().0.iter_mut();
                for ((line, a), b) in lines.zip(token(2 * step)).zip(token(2 * step + 1)) {
                    *line = [[a[0], b[0]], [a[1], b[1]]];
                }
            }
        }
    }

    fn round<'a>(&self, softmax: &'a [f32], width: usize, buffer: &'a mut Vec<Line<Pair>>) -> &'a [Pair] {
        let rows = (softmax.len() / width).next_multiple_of(self.multiples.rows);
        let rounded = lines::words(buffer, rows * width / 2);
        round_to_pairs(self.isa, softmax, width, width / 2, rounded);
        rounded
    }

    fn multiply(&self, x: Rows<'_, Pair>, panels: &[Line<Pair>], out: RowsMut<'_>) {
        self.product.run(x, panels, Epilogue { bias: &[], activation: Activation::None, out });
    }
}

/// Rounds keys and values to bfloat16, and swaps the values of each pair of the keys.
fn round_key_value(isa: Isa, key_value: &[f32], hidden: usize, out: &mut [f32]) {
    dispatch!(isa, round_key_value_rows(key_value: &[f32], hidden: usize, out: &mut [f32]));
}

#[inline(always)]
fn round_key_value_rows<A: Arithmetic>(key_value: &[f32], hidden: usize, out: &mut [f32]) {
    for (row, out) in key_value.chunks_exact(2 * hidden).zip(out.chunks_exact_mut(2 * hidden)) {
        let ((key, value), (out_key, out_value)) = (row.split_at(hidden), out.split_at_mut(hidden));
        round_and_swap_rows::<A>(key, hidden, out_key);
        for (out, value) in out_value.iter_mut().zip(value) {
            *out = Bfloat16::round(*value).widen();
        }
    }
}

/// Replaces the first `tokens` scores of each row by the softmax of `scale` times these scores, and the rest of the row
/// by zeros. The scores are shifted by their maximum, so that no exponential overflows.
#[inline(always)]
fn softmax_rows<A: Arithmetic>(scores: &mut [f32], stride: usize, tokens: usize, scale: f32) {
    for row in scores.chunks_exact_mut(stride) {
        row[tokens..].fill(f32::NEG_INFINITY);
        let (lanes, _) = row.as_chunks_mut::<LANES>();
        let max = maximum(lanes);
        for value in lanes.as_flattened_mut() {
            *value = exp::<A>((*value - max) * scale);
        }
        let inverse = 1.0 / total(lanes.as_flattened(), |value| value);
        for value in lanes.as_flattened_mut() {
            *value *= inverse;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn naive(query: &[f32], key_value: &[f32], hidden: usize, heads: usize) -> Vec<f64> {
        let size = hidden / heads;
        let mut context = Vec::new();
        for query in query.chunks_exact(hidden) {
            for head in 0..heads {
                let range = head * size..(head + 1) * size;
                let scores: Vec<f64> = key_value
                    .chunks_exact(2 * hidden)
                    .map(|row| {
                        let products = query[range.clone()].iter().zip(&row[range.clone()]);
                        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>() / (size as f64).sqrt()
                    })
                    .map(f64::exp)
                    .collect();
                let total: f64 = scores.iter().sum();
                for place in range {
                    let rows = key_value.chunks_exact(2 * hidden).zip(&scores);
                    let sum: f64 = rows.map(|(row, score)| f64::from(row[hidden + place]) * score).sum();
                    context.push(sum / total);
                }
            }
        }
        context
    }

    /// The workspace keeps values of earlier sequences, which must not reach the padding of a later one.
    #[test]
    fn an_earlier_sequence_of_nan_leaves_no_trace() {
        let (heads, hidden) = (2, 64);
        let value = |i: usize| (i * 37 % 101) as f32 * 0.02 - 1.0;
        for isa in Isa::available() {
            for precision in Precision::ALL {
                let attention = Attention { isa, precision, heads, hidden };
                let run = |query: &[f32], key_value: &[f32], workspace: &mut AttentionWorkspace| {
                    let mut context = vec![0.0; query.len()];
                    attention.run(query, key_value, &mut context, workspace);
                    context
                };
                for tokens in [1, 5, 16, 33] {
                    let query: Vec<f32> = (0..tokens * hidden).map(value).collect();
                    let key_value: Vec<f32> = (0..tokens * 2 * hidden).map(value).collect();
                    let expected = run(&query, &key_value, &mut AttentionWorkspace::default());
                    let mut workspace = AttentionWorkspace::default();
                    run(&vec![f32::NAN; 40 * 64], &vec![f32::NAN; 40 * 128], &mut workspace);
                    assert_eq!(run(&query, &key_value, &mut workspace), expected, "{precision} on {}", isa.name());
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_isa_agrees_with_the_naive_attention(
            tokens in 1_usize..110,
            heads in 1_usize..5,
            size in prop_oneof![3 => 1_usize..40, 1 => Just(32), 1 => Just(64)],
            seed in 1_u32..1000,
        ) {
            let hidden = heads * size;
            let value = |i: u32| (i.wrapping_mul(seed).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
            let query: Vec<f32> = (0..).map(value).take(tokens * hidden).collect();
            let key_value: Vec<f32> = (17..).map(value).take(tokens * 2 * hidden).collect();
            let exact = naive(&query, &key_value, hidden, heads);
            let mut workspace = AttentionWorkspace::default();
            // Queries and keys are at most 1, so those rounded to 8 bits give a score that is wrong by at most √size / 127;
            // the rounding of values adds 1 / 127.
            let of_int8 = ((size as f64).sqrt() + 1.0) / 127.0;
            for (precision, tolerance) in Precision::ALL.into_iter().zip([2e-5, 2e-2, of_int8]) {
                let mut contexts = Vec::new();
                for isa in Isa::available() {
                    let attention = Attention { isa, precision, heads, hidden };
                    let mut context = vec![f32::NAN; query.len()];
                    attention.run(&query, &key_value, &mut context, &mut workspace);
                    for (ours, exact) in context.iter().zip(&exact) {
                        prop_assert!((f64::from(*ours) - exact).abs() < tolerance, "{} on {}", precision, isa.name());
                    }
                    let mut first = vec![f32::NAN; hidden];
                    attention.run(&query[..hidden], &key_value, &mut first, &mut workspace);
                    prop_assert_eq!(&first[..], &context[..hidden]);
                    if precision != Precision::Bfloat16 || isa.vector() == isa {
                        contexts.push(context);
                    }
                }
                // All have the same bits, except the first if it lacks the fused multiply-add.
                for pair in contexts[1..].windows(2) {
                    prop_assert_eq!(&pair[0], &pair[1], "{}", precision);
                }
            }
        }
    }
}
