//! float32 where tiles of bfloat16 are so fast that three products of those take less time than one in float32.
//!
//! Each value is the sum of two bfloat16 numbers, `high + low`, to within 2⁻¹⁷ of it. Of the product of two sums all but
//! `low · low` is computed: `high · high + low · high + high · low`, as one product of three times the depth.
//!
//! Source: Henry, Tang and Heinecke, *Leveraging the bfloat16 Artificial Intelligence Datatype For Higher-Precision
//! Computations*, 2019.

use super::bfloat16::{PairProduct, pack_pairs};
use crate::arithmetic::{Arithmetic, dispatch};
use crate::bf16::{Bfloat16, Pair};
use crate::epilogue::Epilogue;
use crate::isa::{Isa, Level};
use crate::layout::{Multiples, Rows};
use crate::lines::{self, Line};

/// Whether float32 products are computed in this way.
pub(crate) fn is_for(isa: Isa) -> bool {
    isa.level() == Level::Amx
}

/// `high` and `low` of a value.
#[inline(always)]
fn split(value: f32) -> [Bfloat16; 2] {
    let high = Bfloat16::round(value);
    [high, Bfloat16::round(value - high.widen())]
}

/// Panels for rows of [`split_rows`]: of each output `high`, `high`, `low`.
pub(crate) fn pack(multiples: Multiples, weight: &[f32], inputs: usize) -> Vec<Line<Pair>> {
    let part = 2 * multiples.depth(inputs, 2);
    let mut parts = vec![0.0; weight.len() / inputs.max(1) * 3 * part];
    for (row, parts) in weight.chunks_exact(inputs.max(1)).zip(parts.chunks_exact_mut(3 * part)) {
        for (at, value) in row.iter().enumerate() {
            let [high, low] = split(*value).map(Bfloat16::widen);
            (parts[at], parts[part + at], parts[2 * part + at]) = (high, high, low);
        }
    }
    pack_pairs(multiples, &parts, 3 * part)
}

/// Rows of activations, each as `high`, `low`, `high`.
pub(crate) fn split_rows<'a>(isa: Isa, x: &[f32], width: usize, pairs: &'a mut Vec<Line<Pair>>) -> Rows<'a, Pair> {
    let multiples = Multiples::of(isa);
    let (count, part) = (x.len() / width.max(1), multiples.depth(width, 2));
    let values = lines::words(pairs, count.next_multiple_of(multiples.rows) * 3 * part);
    let out = &mut *values;
    dispatch!(isa, split_to_pairs(x: &[f32], width: usize, part: usize, out: &mut [Pair]));
    Rows { values, stride: 3 * part, count, width: 3 * part }
}

#[inline(always)]
fn split_to_pairs<A: Arithmetic>(x: &[f32], width: usize, part: usize, out: &mut [Pair]) {
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(3 * part)) {
        let (high, rest) = out.as_flattened_mut().split_at_mut(2 * part);
        let (low, again) = rest.split_at_mut(2 * part);
        for ((value, high), low) in row.iter().zip(&mut *high).zip(&mut *low) {
            [*high, *low] = split(*value);
        }
        high[width..].fill(Bfloat16::default());
        low[width..].fill(Bfloat16::default());
        again.copy_from_slice(high);
    }
}

/// The product of rows and panels, from panel `first` on.
pub(crate) fn product(isa: Isa, x: Rows<'_, Pair>, panels: &[Line<Pair>], first: usize, epilogue: Epilogue<'_>) {
    PairProduct::of(isa).run(x, &panels[first * x.width..], epilogue);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::Fused;
    use crate::epilogue::Activation;
    use crate::gemm::emulated::{multiply_pairs, operands};
    use crate::layout::RowsMut;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_product_is_float32_s_to_five_digits(
            (inputs, x, weight, bias) in operands(1..140, 1..40, 1..40),
        ) {
            let (count, outputs) = (x.len() / inputs, weight.len() / inputs);
            let part = Multiples::AMX.depth(inputs, 2);
            let panels = pack(Multiples::AMX, &weight, inputs);
            let nan = Bfloat16::round(f32::NAN);
            let mut pairs = vec![[nan; 2]; count.next_multiple_of(Multiples::AMX.rows) * 3 * part];
            split_to_pairs::<Fused>(&x, inputs, part, &mut pairs);
            let mut y = vec![f32::NAN; count * outputs];
            let out = RowsMut { values: &mut y, stride: outputs, width: outputs };
            let rows = Rows { values: &pairs, stride: 3 * part, count, width: 3 * part };
            multiply_pairs(rows, &panels, Epilogue { bias: &bias, activation: Activation::None, out });
            for (row, y) in x.chunks_exact(inputs).zip(y.chunks_exact(outputs)) {
                for ((weights, bias), y) in weight.chunks_exact(inputs).zip(&bias).zip(y) {
                    let products = || row.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b));
                    let exact = products().sum::<f64>() + f64::from(*bias);
                    // 2⁻¹⁷ of each factor, 2⁻¹⁸ for `low · low`, and the rounding of float32 itself.
                    let bound = products().map(f64::abs).sum::<f64>() * 2.0 / 65536.0 + 2e-6;
                    prop_assert!((f64::from(*y) - exact).abs() < bound, "{} not {}", y, exact);
                }
            }
        }
    }

    #[test]
    fn a_value_is_its_two_parts_to_the_seventeenth_bit() {
        for i in 1..10_000_u16 {
            let value = f32::from(i).sqrt() * if i % 2 == 0 { 1.0 } else { -1e-3 };
            let [high, low] = split(value).map(|part| f64::from(part.widen()));
            let error = (high + low - f64::from(value)).abs() / f64::from(value.abs());
            assert!(error < 2.0_f64.powi(-17), "{value}: {high} + {low}");
        }
    }
}
