use crate::arithmetic::{Arithmetic, LANES, Lanes, exp, total};
use crate::bfloat16::{
    Bfloat16, Pair, PairProduct, has_pairs, round_and_turn, round_and_turn_in_place, round_and_turn_rows,
    round_rows_to_pairs,
};
use crate::isa::dispatch;
use crate::lines::{self, Line};
use crate::matmul::{Activation, Rows, RowsMut, Weight, product};
use crate::tiles::Multiples;
use crate::transpose::transpose;
use crate::{Isa, Precision};

/// Query rows whose scores are held at a time, so that they stay in the second-level cache.
const QUERY_ROWS: usize = 48;

/// Multi-head attention within one sequence: `softmax(Q Kᵀ / √d) V` for each head of size `d`.
///
/// In bfloat16, queries, keys, values and the softmax are rounded to it before they are multiplied, if `d` is even; in
/// any other case all is float32.
///
/// Source: Vaswani et al., *Attention Is All You Need*, 2017. As the sequence stands alone, there is
/// no mask.
pub struct Attention {
    /// The instruction set to run on.
    pub isa: Isa,
    /// What its two products are computed in; in int8, float32.
    pub precision: Precision,
    /// Heads; divides the hidden size.
    pub heads: usize,
    /// Hidden size: values in a row of queries, of keys and of values.
    pub hidden: usize,
}

/// Memory that [`Attention`] uses and leaves to the next call.
#[derive(Default)]
pub struct AttentionWorkspace {
    keys: Vec<Lanes>,
    values: Vec<Lanes>,
    scores: Vec<f32>,
    turned_query: Vec<f32>,
    turned_key_value: Vec<f32>,
    pairs: PairsWorkspace,
}

#[derive(Default)]
struct PairsWorkspace {
    query: Vec<Line<Pair>>,
    key_value: Vec<Line<Pair>>,
    keys: Vec<Line<Pair>>,
    values: Vec<Line<Pair>>,
    softmax: Vec<Line<Pair>>,
}

impl Attention {
    /// Writes `context`, of shape `[queries, hidden]`, for `query`, of the same shape, and
    /// `key_value`, of shape `[tokens, 2 · hidden]`: a token's key, then its value.
    ///
    /// # Panics
    /// If the lengths do not fit one another.
    pub fn run(&self, query: &[f32], key_value: &[f32], context: &mut [f32], workspace: &mut AttentionWorkspace) {
        let Self { isa, precision, heads, hidden } = *self;
        assert!(query.len() == context.len() && query.len().is_multiple_of(hidden));
        assert!(key_value.len().is_multiple_of(2 * hidden) && hidden.is_multiple_of(heads));
        if precision != Precision::Bfloat16 || !self.size().is_multiple_of(2) {
            return self.run_floats(query, key_value, false, context, workspace);
        }
        if has_pairs(isa) {
            return self.run_pairs(query, key_value, context, &mut workspace.pairs, &mut workspace.scores);
        }
        let [mut turned_query, mut turned_key_value] =
            [&mut workspace.turned_query, &mut workspace.turned_key_value].map(std::mem::take);
        round_and_turn_rows(isa, query, hidden, &mut turned_query);
        turned_key_value.resize(key_value.len(), 0.0);
        let out = turned_key_value.as_mut_slice();
        dispatch!(isa, round_and_turn_keys(key_value: &[f32], hidden: usize, out: &mut [f32]));
        self.run_floats(&turned_query, &turned_key_value, true, context, workspace);
        (workspace.turned_query, workspace.turned_key_value) = (turned_query, turned_key_value);
    }

    fn size(&self) -> usize {
        self.hidden / self.heads
    }

    fn scale(&self) -> f32 {
        1.0 / (self.size() as f32).sqrt()
    }

    /// `turned`: all is rounded to bfloat16, and of each pair that is summed over the second comes first: of places in
    /// queries and keys, of tokens in the softmax and the values.
    fn run_floats(
        &self,
        query: &[f32],
        key_value: &[f32],
        turned: bool,
        context: &mut [f32],
        workspace: &mut AttentionWorkspace,
    ) {
        let Self { isa, hidden, .. } = *self;
        let (size, scale) = (self.size(), self.scale());
        let tokens = key_value.len() / (2 * hidden);
        // Rows of scores are whole panels, so that no part of a row is stored or summed by itself.
        let stride = tokens.next_multiple_of(LANES);
        let summed = if turned { tokens.next_multiple_of(2) } else { tokens };
        let AttentionWorkspace { keys, values, scores, .. } = workspace;
        keys.resize(stride / LANES * size, Lanes::default());
        for offset in (0..hidden).step_by(size) {
            let rows = Rows { values: &key_value[offset..], stride: 2 * hidden, count: tokens, width: size };
            transpose(isa, rows, keys);
            pack_values(values, Rows { values: &key_value[hidden + offset..], ..rows }, summed, turned);
            let blocks = query.chunks(QUERY_ROWS * hidden).zip(context.chunks_mut(QUERY_ROWS * hidden));
            for (query, context) in blocks {
                let count = query.len() / hidden;
                scores.resize(count * stride, 0.0);
                let x = Rows { values: &query[offset..], stride: hidden, count, width: size };
                let y = RowsMut { values: scores, stride, width: stride };
                product(isa, x, keys, &[], Activation::None, y);
                dispatch!(isa, softmax(scores: &mut [f32], stride: usize, tokens: usize, scale: f32));
                if turned {
                    dispatch!(isa, round_and_turn_in_place(scores: &mut [f32]));
                }
                let x = Rows { values: scores, stride, count, width: summed };
                let y = RowsMut { values: &mut context[offset..], stride: hidden, width: size };
                product(isa, x, values, &[], Activation::None, y);
            }
        }
    }

    fn run_pairs(
        &self,
        query: &[f32],
        key_value: &[f32],
        context: &mut [f32],
        workspace: &mut PairsWorkspace,
        scores: &mut Vec<f32>,
    ) {
        let Self { hidden, .. } = *self;
        let (size, scale) = (self.size(), self.scale());
        // Tiles are for heads that fill them.
        let fits = size.is_multiple_of(2 * Multiples::of(self.isa).steps);
        let isa = if fits { self.isa } else { self.isa.vector() };
        let Multiples { rows, steps, panels } = Multiples::of(isa);
        let product = PairProduct::of(isa);
        let (count, tokens) = (query.len() / hidden, key_value.len() / (2 * hidden));
        let stride = tokens.next_multiple_of(LANES.max(2 * steps));
        let depth = tokens.div_ceil(2).next_multiple_of(steps);

        let PairsWorkspace { query: query_pairs, key_value: key_value_pairs, keys, values, softmax: softmax_pairs } =
            workspace;
        let query_pairs = lines::room(query_pairs, count.next_multiple_of(rows) * hidden / 2);
        round_rows_to_pairs(isa, query, hidden, hidden / 2, query_pairs);
        let key_value_pairs = lines::room(key_value_pairs, tokens * hidden);
        round_rows_to_pairs(isa, key_value, 2 * hidden, hidden, key_value_pairs);
        values.resize(size.div_ceil(LANES).next_multiple_of(panels) * depth, Line::default());

        for offset in (0..hidden).step_by(size) {
            let of = |first: usize| Rows {
                values: &key_value_pairs[first / 2..],
                stride: hidden,
                count: tokens,
                width: size / 2,
            };
            transpose(isa, of(offset), lines::room(keys, stride * size / 2).as_chunks_mut().0);
            pack_pairs_of_values(values, of(hidden + offset), depth);
            for first in (0..count).step_by(QUERY_ROWS) {
                let count = QUERY_ROWS.min(count - first);
                scores.resize(count * stride, 0.0);
                let x = Rows {
                    values: &query_pairs[first * (hidden / 2) + offset / 2..],
                    stride: hidden / 2,
                    count,
                    width: size / 2,
                };
                product.run(x, keys, &[], Activation::None, RowsMut { values: scores, stride, width: stride });
                dispatch!(isa, softmax(scores: &mut [f32], stride: usize, tokens: usize, scale: f32));
                let softmax = lines::room(softmax_pairs, count.next_multiple_of(rows) * stride / 2);
                round_rows_to_pairs(isa, scores, stride, stride / 2, softmax);
                let x = Rows { values: softmax, stride: stride / 2, count, width: depth };
                let y = RowsMut { values: &mut context[first * hidden + offset..], stride: hidden, width: size };
                product.run(x, values, &[], Activation::None, y);
            }
        }
    }
}

/// Rounds keys and values to bfloat16, and turns the pairs of the keys round.
#[inline(always)]
fn round_and_turn_keys<A: Arithmetic>(key_value: &[f32], hidden: usize, out: &mut [f32]) {
    for (row, out) in key_value.chunks_exact(2 * hidden).zip(out.chunks_exact_mut(2 * hidden)) {
        let ((key, value), (out_key, out_value)) = (row.split_at(hidden), out.split_at_mut(hidden));
        round_and_turn::<A>(key, hidden, out_key);
        for (out, value) in out_value.iter_mut().zip(value) {
            *out = Bfloat16::round(*value).widen();
        }
    }
}

/// Panels of 16 places in the head: for each of `depth` tokens, its values at 16 places side by side; if `turned`, of
/// each pair of tokens the second first.
fn pack_values(panels: &mut Vec<Lanes>, x: Rows<'_>, depth: usize, turned: bool) {
    panels.resize(x.width.div_ceil(LANES) * depth, Lanes::default());
    for (panel, first) in (0..x.width).step_by(LANES).enumerate() {
        let panel = &mut panels[panel * depth..][..depth];
        // A token that is missing to a pair.
        if depth > x.count {
            panel[x.count ^ 1] = Lanes::default();
        }
        for token in 0..x.count {
            let lanes = &mut panel[token ^ usize::from(turned)];
            let values = &x.row(token)[first..];
            match values.first_chunk() {
                Some(whole) => *lanes = *whole,
                None => lanes[..values.len()].copy_from_slice(values),
            }
        }
    }
}

/// As [`pack_values`], for `depth` pairs of tokens: the values of both at a place side by side. Zeros fill it up.
fn pack_pairs_of_values(panels: &mut [Line<Pair>], x: Rows<'_, Pair>, depth: usize) {
    let none = [Pair::default(); LANES / 2];
    for (panel, first) in panels.chunks_exact_mut(depth).zip((0..x.width).step_by(LANES / 2)) {
        let places = (LANES / 2).min(x.width - first);
        for (step, line) in panel.iter_mut().enumerate() {
            let token = |token| if token < x.count { &x.row(token)[first..][..places] } else { &none[..places] };
            let lines = line.0.as_chunks_mut::<2>().0.iter_mut();
            for ((line, a), b) in lines.zip(token(2 * step)).zip(token(2 * step + 1)) {
                *line = [[a[0], b[0]], [a[1], b[1]]];
            }
        }
    }
}

/// Replaces the first `tokens` scores of each row by the softmax of `scale` times them, shifted by the
/// maximum so that no exponential overflows, and the rest of the row by zeros.
#[inline(always)]
fn softmax<A: Arithmetic>(scores: &mut [f32], stride: usize, tokens: usize, scale: f32) {
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

#[inline(always)]
fn maximum(row: &[Lanes]) -> f32 {
    let mut most = [f32::NEG_INFINITY; LANES];
    for lanes in row {
        for (most, value) in most.iter_mut().zip(lanes) {
            *most = if value > most { *value } else { *most };
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            most[lane] = most[lane].max(most[lane + width]);
        }
        width /= 2;
    }
    most[0]
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
            for (precision, tolerance) in Precision::ALL.into_iter().zip([2e-5, 2e-2, 2e-5]) {
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
                    if isa.vector() == isa {
                        contexts.push(context);
                    }
                }
                // All but the first, which may lack the fused multiply-add, have the same bits.
                for pair in contexts[1..].windows(2) {
                    prop_assert_eq!(&pair[0], &pair[1], "{}", precision);
                }
            }
        }
    }
}
