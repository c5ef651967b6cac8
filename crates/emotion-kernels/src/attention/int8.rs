//! Attention in int8: both products are exact integers.

use crate::arithmetic::{Arithmetic, LANES, dispatch, maximum};
use crate::epilogue::{Activation, Epilogue};
use crate::formats::int8::{self, Int8Buffer, Int8Panels, UnsignedRows};
use crate::isa::Isa;
use crate::layout::{Quad, Rows, RowsMut};
use crate::lines::{self, Line};
use crate::quantization::{LARGEST, ROUND};

/// The number of query rows whose scores are computed at a time, so that they stay in the second-level cache.
const QUERY_ROWS: usize = 32;

#[derive(Default)]
pub(super) struct Int8Workspace {
    query: Int8Buffer,
    key: Vec<Line<Quad>>,
    keys: Int8Panels,
    values: Int8Panels,
    scores: Vec<Line<f32>>,
    softmax: Vec<Line<Quad>>,
    softmax_scales: Vec<f32>,
}

/// Fills `context` as [`Attention::run`](super::Attention::run) does, with heads of `size` columns.
pub(super) fn attend(
    isa: Isa,
    hidden: usize,
    size: usize,
    query: &[f32],
    key_value: &[f32],
    context: &mut [f32],
    workspace: &mut Int8Workspace,
) {
    let (count, tokens) = (query.len() / hidden, key_value.len() / (2 * hidden));
    let stride = tokens.next_multiple_of(LANES);
    let unsigned = UnsignedRows::new(isa, stride);
    let row_bytes = unsigned.row_bytes();
    let Int8Workspace { query: rounded, key, keys, values, scores, softmax, softmax_scales } = workspace;
    let scores = lines::words(scores, QUERY_ROWS.min(count) * stride);
    // Scores are exponents of 2.
    let factor = std::f32::consts::LOG2_E / (size as f32).sqrt();
    for offset in (0..hidden).step_by(size) {
        let rows = Rows { values: &key_value[offset..], stride: 2 * hidden, count: tokens, width: size };
        keys.pack_rows(isa, rows, factor, key);
        values.pack_columns(isa, Rows { values: &key_value[hidden + offset..], ..rows });
        // The largest magnitude of a score of a row whose scale is 1.
        let bound = keys.total_scale() * (LARGEST * LARGEST) as f32 * size as f32;
        let rows = Rows { values: &query[offset..], stride: hidden, count, width: size };
        let query = int8::quantize_rows(isa, rows, rounded);
        for first in (0..count).step_by(QUERY_ROWS) {
            let rows = query.part(first, QUERY_ROWS.min(count - first));
            let scores = &mut scores[..rows.scales().len() * stride];
            let out = RowsMut { values: scores, stride, width: stride };
            int8::product(isa, rows, keys, 0, Epilogue { bias: &[], activation: Activation::None, out });

            let bytes = unsigned.bytes(rows.scales().len(), softmax);
            softmax_scales.clear();
            softmax_scales.extend(rows.scales().iter().map(|scale| scale * bound));
            let scales = softmax_scales.as_mut_slice();
            dispatch!(
                isa,
                softmax_rows(scores: &mut [f32], stride: usize, tokens: usize, bytes: &mut [u8], row_bytes: usize, scales: &mut [f32])
            );
            let weights = unsigned.rows(softmax, softmax_scales);
            let out = RowsMut { values: &mut context[first * hidden + offset..], stride: hidden, width: size };
            int8::product(isa, weights, values, 0, Epilogue { bias: &[], activation: Activation::None, out });
        }
    }
}

/// Rounds 2 to the power of each score, divided by the largest of its row, to multiples of 1/127, and replaces the scale
/// of the row, which is the largest magnitude that its scores may have, by the inverse of their sum; by NaN if scores may
/// not be finite.
///
/// No operation is fused, so that the bits are the same on every instruction set.
#[inline(always)]
fn softmax_rows<A: Arithmetic>(
    scores: &mut [f32],
    stride: usize,
    tokens: usize,
    bytes: &mut [u8],
    row_bytes: usize,
    scales: &mut [f32],
) {
    let rows = scores.chunks_exact_mut(stride).zip(bytes.chunks_exact_mut(row_bytes));
    for ((row, bytes), scale) in rows.zip(scales) {
        row[tokens..].fill(f32::NEG_INFINITY);
        let max = maximum(row.as_chunks::<LANES>().0);
        for (byte, score) in bytes.iter_mut().zip(row.iter()) {
            let [low, ..] = power(*score - max).to_le_bytes();
            *byte = low;
        }
        let total: u32 = bytes[..tokens].iter().map(|byte| u32::from(*byte)).sum();
        *scale = if scale.is_finite() { 1.0 / total as f32 } else { f32::NAN };
    }
}

/// Bits whose lowest byte is `127 · 2ˣ` for `x` of at most 0, rounded: 2 to the nearest integer, by a polynomial with a
/// relative error below 8e-5 for the rest (the least that a polynomial of degree 3 has). 127 · 2⁻⁸ rounds to 0.
#[inline(always)]
fn power(x: f32) -> u32 {
    const LEAST: f32 = -8.0;
    let x = if x > LEAST { x } else { LEAST };
    let shifted = x + ROUND;
    let rest = x - (shifted - ROUND);
    let power = ((7.006_761 * rest + 30.811_514) * rest + 88.044_14) * rest + 126.990_87;
    (f32::from_bits(power.to_bits().wrapping_add(shifted.to_bits() << 23)) + ROUND).to_bits()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attention::{Attention, AttentionWorkspace};
    use crate::precision::Precision;
    use crate::quantization::quantize;

    fn integers(row: &[f32]) -> (Vec<i32>, f32) {
        let mut bytes = vec![0; row.len()];
        let scale = quantize(row, 0, &mut bytes);
        (bytes.into_iter().map(|byte| i32::from(byte.cast_signed())).collect(), scale)
    }

    fn dot(a: &[i32], b: &[i32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum::<i32>() as f32
    }

    /// The context of each query, one head and one product after the other.
    fn naive(query: &[f32], key_value: &[f32], hidden: usize, heads: usize) -> Vec<f32> {
        let size = hidden / heads;
        let factor = std::f32::consts::LOG2_E / (size as f32).sqrt();
        let mut context = vec![0.0; query.len()];
        for head in (0..hidden).step_by(size) {
            let part = |row: &[f32]| integers(&row[head..][..size]);
            let keys: Vec<_> = key_value.chunks_exact(2 * hidden).map(part).collect();
            let column = |column| key_value.iter().skip(hidden + head + column).step_by(2 * hidden).copied();
            let columns: Vec<_> = (0..size).map(|at| integers(&column(at).collect::<Vec<_>>())).collect();
            for (query, context) in query.chunks_exact(hidden).zip(context.chunks_exact_mut(hidden)) {
                let (query, scale) = part(query);
                let score = |(key, key_scale): &(Vec<i32>, f32)| dot(&query, key) * (scale * (key_scale * factor));
                let scores: Vec<f32> = keys.iter().map(score).collect();
                let most = scores.iter().copied().reduce(f32::max).unwrap();
                let weight = |score: &f32| i32::from(power(score - most).to_le_bytes()[0]);
                let weights: Vec<i32> = scores.iter().map(weight).collect();
                let inverse = 1.0 / weights.iter().sum::<i32>() as f32;
                for (value, (column, scale)) in context[head..].iter_mut().zip(&columns) {
                    *value = dot(&weights, column) * (inverse * scale);
                }
            }
        }
        context
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn every_isa_has_the_bits_of_the_naive_attention(
            tokens in 1_usize..110,
            heads in 1_usize..4,
            size in prop_oneof![3 => 1_usize..40, 1 => Just(32), 1 => Just(64)],
            seed in 1_u32..1000,
        ) {
            let hidden = heads * size;
            let value = |i: u32| (i.wrapping_mul(seed).wrapping_mul(2_654_435_761) >> 16) as f32 / 8192.0 - 4.0;
            let query: Vec<f32> = (0..).map(value).take(tokens * hidden).collect();
            let key_value: Vec<f32> = (17..).map(value).take(tokens * 2 * hidden).collect();
            let expected = naive(&query, &key_value, hidden, heads);
            let mut workspace = Int8Workspace::default();
            for isa in Isa::available() {
                let mut context = vec![f32::NAN; query.len()];
                attend(isa, hidden, size, &query, &key_value, &mut context, &mut workspace);
                prop_assert_eq!(&context, &expected, "{}", isa.name());
            }
        }
    }

    #[test]
    fn long_sequences_are_multiplied_in_integers() {
        let (hidden, size) = (32, 16);
        let value = |i: u32| (i.wrapping_mul(2_654_435_761) >> 16) as f32 / 8192.0 - 4.0;
        for (tokens, integers) in [(63, false), (64, true)] {
            let query: Vec<f32> = (0..).map(value).take(hidden).collect();
            let key_value: Vec<f32> = (17..).map(value).take(tokens * 2 * hidden).collect();
            let expected = naive(&query, &key_value, hidden, hidden / size);
            for isa in Isa::available() {
                let mut context = vec![f32::NAN; hidden];
                let attention = Attention { isa, precision: Precision::Int8, heads: hidden / size, hidden };
                attention.run(&query, &key_value, &mut context, &mut AttentionWorkspace::default());
                assert_eq!(context == expected, integers, "{tokens} tokens on {}", isa.name());
            }
        }
    }

    #[test]
    fn powers_are_rounded_to_the_nearest_integer() {
        for i in 0..=100_000 {
            let x = -10.0 * i as f32 / 100_000.0;
            let exact = 127.0 * f64::from(x).exp2();
            let ours = f64::from(power(x).to_le_bytes()[0]);
            assert!((ours - exact).abs() < 0.51, "{x}: {ours}, not {exact}");
        }
        for (x, expected) in [(0.0, 127), (-1e30, 0), (f32::NEG_INFINITY, 0)] {
            assert_eq!(power(x).to_le_bytes()[0], expected, "{x}");
        }
    }
}
