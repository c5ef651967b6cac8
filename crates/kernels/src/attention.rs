use crate::Isa;
use crate::arithmetic::{Arithmetic, LANES, Lanes, exp, total};
use crate::isa::dispatch;
use crate::matmul::{Activation, Rows, RowsMut, product};
use crate::transpose::transpose;

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
        let size = hidden / heads;
        let tokens = key_value.len() / (2 * hidden);
        // Rows of scores are whole panels, so that no part of a row is stored or summed by itself.
        let stride = tokens.next_multiple_of(LANES);
        let scale = 1.0 / (size as f32).sqrt();
        let AttentionWorkspace { keys, values, scores } = workspace;
        for offset in (0..hidden).step_by(size) {
            let rows = Rows { values: &key_value[offset..], stride: 2 * hidden, count: tokens, width: size };
            transpose(isa, rows, keys);
            pack_values(values, Rows { values: &key_value[hidden + offset..], ..rows });
            let blocks = query.chunks(QUERY_ROWS * hidden).zip(context.chunks_mut(QUERY_ROWS * hidden));
            for (query, context) in blocks {
                let count = query.len() / hidden;
                scores.resize(count * stride, 0.0);
                let x = Rows { values: &query[offset..], stride: hidden, count, width: size };
                let y = RowsMut { values: scores, stride, width: stride };
                product(isa, x, keys, &[], Activation::None, y);
                dispatch!(isa, softmax(scores: &mut [f32], stride: usize, tokens: usize, scale: f32));
                let x = Rows { values: scores, stride, count, width: tokens };
                let y = RowsMut { values: &mut context[offset..], stride: hidden, width: size };
                product(isa, x, values, &[], Activation::None, y);
            }
        }
    }
}

/// Panels of 16 places in the head: for each token, its values at 16 places side by side.
fn pack_values(panels: &mut Vec<Lanes>, x: Rows<'_>) {
    panels.resize(x.width.div_ceil(LANES) * x.count, Lanes::default());
    for token in 0..x.count {
        let (whole, rest) = x.row(token).as_chunks::<LANES>();
        for (panel, lanes) in whole.iter().enumerate() {
            panels[panel * x.count + token] = *lanes;
        }
        if !rest.is_empty() {
            panels[whole.len() * x.count + token][..rest.len()].copy_from_slice(rest);
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
