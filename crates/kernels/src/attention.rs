use crate::Isa;
use crate::arithmetic::{Arithmetic, LANES, Lanes, exp, sum};
use crate::isa::dispatch;
use crate::matmul::{Activation, Rows, RowsMut, multiply};

/// Query rows whose scores are held at a time, so that they stay in the second-level cache.
const QUERY_ROWS: usize = 48;

/// Multi-head attention within one sequence: `softmax(Q Kᵀ / √d) V` for each head of size `d`.
///
/// Source: Vaswani et al., *Attention Is All You Need*, 2017. As the sequence stands alone, there is
/// no mask.
pub struct Attention {
    /// The instruction set to run on.
    pub isa: Isa,
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
}

impl Attention {
    /// Writes `context`, of shape `[queries, hidden]`, for `query`, of the same shape, and
    /// `key_value`, of shape `[tokens, 2 · hidden]`: a token's key, then its value.
    ///
    /// # Panics
    /// If the lengths do not fit one another.
    pub fn run(&self, query: &[f32], key_value: &[f32], context: &mut [f32], workspace: &mut AttentionWorkspace) {
        let Self { isa, heads, hidden } = *self;
        assert!(query.len() == context.len() && query.len().is_multiple_of(hidden));
        assert!(key_value.len().is_multiple_of(2 * hidden) && hidden.is_multiple_of(heads));
        for head in 0..heads {
            dispatch!(
                isa,
                attend(
                    query: &[f32],
                    key_value: &[f32],
                    context: &mut [f32],
                    hidden: usize,
                    heads: usize,
                    head: usize,
                    workspace: &mut AttentionWorkspace,
                )
            );
        }
    }
}

/// One head.
#[inline(always)]
fn attend<A: Arithmetic>(
    query: &[f32],
    key_value: &[f32],
    context: &mut [f32],
    hidden: usize,
    heads: usize,
    head: usize,
    workspace: &mut AttentionWorkspace,
) {
    let size = hidden / heads;
    let offset = head * size;
    let tokens = key_value.len() / (2 * hidden);
    pack_keys(&mut workspace.keys, key_value, 2 * hidden, offset, size);
    pack_values(&mut workspace.values, key_value, 2 * hidden, hidden + offset, size);
    let queries = query.len() / hidden;
    let scale = 1.0 / (size as f32).sqrt();
    for first in (0..queries).step_by(QUERY_ROWS) {
        let count = QUERY_ROWS.min(queries - first);
        workspace.scores.resize(count * tokens, 0.0);
        let rows = Rows { values: &query[first * hidden + offset..], stride: hidden, count, width: size };
        let scores = RowsMut { values: &mut workspace.scores, stride: tokens, width: tokens };
        multiply::<A>(rows, &workspace.keys, &[], Activation::None, scores);
        for row in workspace.scores.chunks_exact_mut(tokens) {
            softmax::<A>(row, scale);
        }
        let rows = Rows { values: &workspace.scores, stride: tokens, count, width: tokens };
        let out = RowsMut { values: &mut context[first * hidden + offset..], stride: hidden, width: size };
        multiply::<A>(rows, &workspace.values, &[], Activation::None, out);
    }
}

/// Panels of 16 tokens: for each place in the head, the keys of 16 tokens side by side.
#[inline(always)]
fn pack_keys(panels: &mut Vec<Lanes>, key_value: &[f32], stride: usize, offset: usize, size: usize) {
    let tokens = key_value.len() / stride;
    panels.clear();
    panels.resize(tokens.div_ceil(LANES) * size, [0.0; LANES]);
    for (token, row) in key_value.chunks_exact(stride).enumerate() {
        let panel = &mut panels[token / LANES * size..][..size];
        for (lanes, value) in panel.iter_mut().zip(&row[offset..]) {
            lanes[token % LANES] = *value;
        }
    }
}

/// Panels of 16 places in the head: for each token, its values at 16 places side by side.
#[inline(always)]
fn pack_values(panels: &mut Vec<Lanes>, key_value: &[f32], stride: usize, offset: usize, size: usize) {
    let tokens = key_value.len() / stride;
    panels.clear();
    panels.resize(size.div_ceil(LANES) * tokens, [0.0; LANES]);
    for (token, row) in key_value.chunks_exact(stride).enumerate() {
        for (panel, values) in row[offset..][..size].chunks(LANES).enumerate() {
            panels[panel * tokens + token][..values.len()].copy_from_slice(values);
        }
    }
}

/// Softmax of `scale · row`, shifted by the maximum so that no exponential overflows.
#[inline(always)]
fn softmax<A: Arithmetic>(row: &mut [f32], scale: f32) {
    let (chunks, rest) = row.as_chunks_mut::<LANES>();
    let mut max = [f32::NEG_INFINITY; LANES];
    for chunk in chunks.iter() {
        for lane in 0..LANES {
            max[lane] = if chunk[lane] > max[lane] { chunk[lane] } else { max[lane] };
        }
    }
    let max = max.iter().chain(rest.iter()).copied().fold(f32::NEG_INFINITY, f32::max);
    let mut totals = [0.0; LANES];
    for chunk in chunks.iter_mut() {
        for lane in 0..LANES {
            chunk[lane] = exp::<A>((chunk[lane] - max) * scale);
            totals[lane] += chunk[lane];
        }
    }
    for (total, value) in totals.iter_mut().zip(rest) {
        *value = exp::<A>((*value - max) * scale);
        *total += *value;
    }
    let inverse = 1.0 / sum(totals);
    for value in row {
        *value *= inverse;
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

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_isa_agrees_with_the_naive_attention(
            tokens in 1_usize..110, heads in 1_usize..5, size in 1_usize..40, seed in 1_u32..1000,
        ) {
            let hidden = heads * size;
            let value = |i: u32| (i.wrapping_mul(seed).wrapping_mul(2_654_435_761) >> 16) as f32 / 32768.0 - 1.0;
            let query: Vec<f32> = (0..).map(value).take(tokens * hidden).collect();
            let key_value: Vec<f32> = (17..).map(value).take(tokens * 2 * hidden).collect();
            let exact = naive(&query, &key_value, hidden, heads);
            let mut workspace = AttentionWorkspace::default();
            for isa in Isa::available() {
                let attention = Attention { isa, heads, hidden };
                let mut context = vec![f32::NAN; query.len()];
                attention.run(&query, &key_value, &mut context, &mut workspace);
                for (ours, exact) in context.iter().zip(&exact) {
                    prop_assert!((f64::from(*ours) - exact).abs() < 2e-5, "{}", isa.name());
                }
                let mut first = vec![f32::NAN; hidden];
                attention.run(&query[..hidden], &key_value, &mut first, &mut workspace);
                prop_assert_eq!(&first[..], &context[..hidden]);
            }
        }
    }
}
