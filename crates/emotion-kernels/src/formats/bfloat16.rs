//! Products in bfloat16: with instructions for pairs if the machine has them, otherwise over widened values.

use crate::arithmetic::{Arithmetic, LANES, dispatch};
use crate::bf16::{self, Bfloat16, Pair};
use crate::epilogue::{Activation, Epilogue, Output};
#[cfg(target_arch = "aarch64")]
use crate::gemm::aarch64::{Bf16, Fmla as FloatStep};
#[cfg(not(target_arch = "aarch64"))]
use crate::gemm::portable::FloatLanes as FloatStep;
use crate::gemm::tiles::{self, FloatPanels};
#[cfg(target_arch = "x86_64")]
use crate::gemm::x86_64::Bf16;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::gemm::{amx, tiles::TwoByTwo};
use crate::isa::{Isa, Level};
use crate::layout::{self, Multiples, Rows, RowsMut};
use crate::lines::{self, AlignedBuffer, Line};

/// Whether the instruction set multiplies pairs.
pub(crate) fn has_pairs(isa: Isa) -> bool {
    matches!(isa.level(), Level::Avx512Bf16 | Level::Amx | Level::Bf16)
}

/// A weight matrix in bfloat16. An odd number of inputs is padded to an even one.
pub(crate) enum Bfloat16Panels {
    /// One input per step, with the inputs of each pair swapped.
    Swapped(Vec<[Bfloat16; LANES]>),
    /// One pair of inputs per step.
    Pairs(Vec<Line<Pair>>),
}

impl Bfloat16Panels {
    pub(crate) fn pack(isa: Isa, weight: &[f32], inputs: usize) -> Self {
        if has_pairs(isa) {
            return Self::Pairs(pack_pairs(Multiples::of(isa), weight, inputs));
        }
        Self::Swapped(pack_swapped(weight, inputs))
    }
}

fn pack_swapped(weight: &[f32], inputs: usize) -> Vec<[Bfloat16; LANES]> {
    let set = |pair: &mut [[Bfloat16; LANES]; 2], lane: usize, input: usize, value| {
        pair[input ^ 1][lane] = Bfloat16::round(value);
    };
    layout::pack(weight, inputs, 2, Multiples::ANY, set).into_flattened()
}

/// Panels of one pair of inputs per step.
pub(crate) fn pack_pairs(multiples: Multiples, weight: &[f32], inputs: usize) -> Vec<Line<Pair>> {
    let set = |line: &mut Line<Pair>, lane: usize, input: usize, value| line.0[lane][input] = Bfloat16::round(value);
    layout::pack(weight, inputs, 2, multiples, set)
}

/// Rows of activations rounded to bfloat16, padded with zeros to [`Multiples`].
#[derive(Clone, Copy)]
pub(crate) enum Bfloat16Rows<'a> {
    /// Held as float32, with the values of each pair swapped.
    Swapped(Rows<'a>),
    Pairs(Rows<'a, Pair>),
}

/// Rounds each row of `x` to bfloat16, in the representation of products on `isa`.
pub(crate) fn round_rows<'a>(
    isa: Isa,
    x: &[f32],
    width: usize,
    swapped: &'a mut AlignedBuffer,
    pairs: &'a mut Vec<Line<Pair>>,
) -> Bfloat16Rows<'a> {
    let count = x.len() / width.max(1);
    if has_pairs(isa) {
        let multiples = Multiples::of(isa);
        let depth = multiples.depth(width, 2);
        let stride = multiples.stride(depth);
        let values = lines::words(pairs, count.next_multiple_of(multiples.rows) * stride);
        bf16::round_to_pairs(isa, x, width, stride, values);
        return Bfloat16Rows::Pairs(Rows { values, stride, count, width: depth });
    }
    let even = width.next_multiple_of(2);
    let swapped = swapped.values(count * even);
    bf16::round_and_swap(isa, x, width, swapped);
    Bfloat16Rows::Swapped(Rows { values: swapped, stride: even, count, width: even })
}

/// The product of rows and panels, from panel `first` on. Both were prepared for the same instruction set.
pub(crate) fn product(isa: Isa, x: Bfloat16Rows<'_>, panels: &Bfloat16Panels, first: usize, epilogue: Epilogue<'_>) {
    match (x, panels) {
        (Bfloat16Rows::Swapped(x), Bfloat16Panels::Swapped(panels)) => {
            let panels = &panels[first * x.width..];
            dispatch!(isa, multiply_swapped(x: Rows<'_>, panels: &[[Bfloat16; LANES]], epilogue: Epilogue<'_>));
        }
        (Bfloat16Rows::Pairs(x), Bfloat16Panels::Pairs(panels)) => {
            PairProduct::of(isa).run(x, &panels[first * x.width..], epilogue);
        }
        _ => unreachable!("rows and panels were made for the same instruction set"),
    }
}

#[inline(always)]
fn multiply_swapped<A: Arithmetic>(x: Rows<'_>, panels: &[[Bfloat16; LANES]], epilogue: Epilogue<'_>) {
    let dot = FloatStep::<A, [Bfloat16; LANES]>::NEW;
    tiles::multiply(dot, x, FloatPanels { steps: panels, depth: x.width }, epilogue);
}

/// The product as rows of pairs, padded for further products. `x` and `panels` are padded to [`Multiples`].
pub(crate) fn product_to_pairs<'a>(
    isa: Isa,
    x: Rows<'_, Pair>,
    panels: &[Line<Pair>],
    bias: &[f32],
    activation: Activation,
    pairs: &'a mut Vec<Line<Pair>>,
) -> Bfloat16Rows<'a> {
    let multiples = Multiples::of(isa);
    let width = bias.len();
    let depth = multiples.depth(width, 2);
    let stride = multiples.stride(depth);
    let steps = lines::words(pairs, x.count.next_multiple_of(multiples.rows) * stride);
    let values = steps.as_flattened_mut();
    for row in values.chunks_exact_mut((2 * stride).max(1)) {
        row[width..2 * depth].fill(Bfloat16::default());
    }
    let out = RowsMut { values, stride: 2 * stride, width };
    PairProduct::of(isa).run(x, panels, Epilogue { bias, activation, out });
    Bfloat16Rows::Pairs(Rows { values: steps, stride, count: x.count, width: depth })
}

/// The product of pairs with instructions of this machine. The dot step proves that the machine has them.
pub(crate) enum PairProduct {
    #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
    Vectors(Bf16),
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Tiles(amx::Bf16),
    /// No processor of the target has instructions for pairs, so no value is constructed.
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    #[expect(dead_code, reason = "it keeps the type inhabited, so that callers compile alike on every target")]
    Absent,
}

impl PairProduct {
    /// # Panics
    /// If [`has_pairs`] is false; on AMX also if the tiles of this thread are in use.
    pub(crate) fn of(isa: Isa) -> Self {
        match isa.level() {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Level::Amx => Self::Tiles(amx::Bf16::new(isa)),
            // SAFETY: an `Isa` exists only if this machine has its instructions.
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Bf16 => Self::Vectors(unsafe { Bf16::new() }),
            // SAFETY: as above.
            #[cfg(target_arch = "aarch64")]
            Level::Bf16 => Self::Vectors(unsafe { Bf16::new() }),
            _ => unreachable!("the caller asked `has_pairs`"),
        }
    }

    /// The product of rows and panels of `x.width` steps, both padded to [`Multiples`].
    #[cfg_attr(
        not(any(target_arch = "x86_64", target_arch = "aarch64")),
        expect(unused_variables, reason = "no machine of the target has pairs")
    )]
    pub(crate) fn run<T: Output>(&self, x: Rows<'_, Pair>, panels: &[Line<Pair>], epilogue: Epilogue<'_, T>) {
        match *self {
            // SAFETY: the dot step exists only if this machine has its instructions.
            #[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
            Self::Vectors(dot) => unsafe { multiply_in_vectors(dot, x, panels, epilogue) },
            // SAFETY: the dot step exists only if this machine has AMX, for which `Isa` requires AVX-512.
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Tiles(ref dot) => unsafe { multiply_in_tiles(dot, x, panels, epilogue) },
            #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
            Self::Absent => unreachable!("no value is made"),
        }
    }
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[cfg_attr(target_arch = "x86_64", target_feature(enable = "avx512f,avx512bf16,avx2,fma"))]
#[cfg_attr(target_arch = "aarch64", target_feature(enable = "neon,bf16"))]
fn multiply_in_vectors<T: Output>(dot: Bf16, x: Rows<'_, Pair>, panels: &[Line<Pair>], epilogue: Epilogue<'_, T>) {
    tiles::multiply(dot, x, FloatPanels { steps: panels, depth: x.width }, epilogue);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f,avx2,fma")]
fn multiply_in_tiles<T: Output>(dot: &amx::Bf16, x: Rows<'_, Pair>, panels: &[Line<Pair>], epilogue: Epilogue<'_, T>) {
    tiles::multiply(TwoByTwo::new(dot), x, FloatPanels { steps: panels, depth: x.width }, epilogue);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::Fused;
    use crate::bf16::{round_and_swap_rows, round_rows_to_pairs};
    use crate::gemm::emulated::{Vdpbf16ps, multiply_pairs, operands};
    use crate::matmul::{Matmul, PackedMatrix};
    use crate::operand::OperandWorkspace;
    use crate::precision::Precision;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// The loop around the emulated `vdpbf16ps` has the same bits as the product of widened values.
        #[test]
        fn pairs_have_the_bits_of_widened_values(
            (inputs, x, weight, bias) in operands(1..40, 1..30, 1..40),
        ) {
            let (count, outputs) = (x.len() / inputs, weight.len() / inputs);
            let (mut pairs, mut swapped) = (vec![Pair::default(); count * inputs.div_ceil(2)], Vec::new());
            round_rows_to_pairs::<Fused>(&x, inputs, inputs.div_ceil(2), &mut pairs);
            swapped.resize(2 * pairs.len(), 0.0);
            round_and_swap_rows::<Fused>(&x, inputs, &mut swapped);
            let panels = pack_pairs(Multiples::ANY, &weight, inputs);
            let swapped_panels = pack_swapped(&weight, inputs);
            let depth = inputs.div_ceil(2);
            for activation in [Activation::None, Activation::Gelu] {
                let (mut y, mut expected) = (vec![f32::NAN; count * outputs], vec![f32::NAN; count * outputs]);
                let out = RowsMut { values: &mut y, stride: outputs, width: outputs };
                let x = Rows { values: &pairs, stride: depth, count, width: depth };
                let panels = FloatPanels { steps: &panels, depth };
                tiles::multiply(Vdpbf16ps, x, panels, Epilogue { bias: &bias, activation, out });
                let out = RowsMut { values: &mut expected, stride: outputs, width: outputs };
                let x = Rows { values: &swapped, stride: 2 * depth, count, width: 2 * depth };
                multiply_swapped::<Fused>(x, &swapped_panels, Epilogue { bias: &bias, activation, out });
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&y), bits(&expected));
            }
        }
    }

    /// The order of `TDPBF16PS`: of 32 inputs, the products at even indices and those at odd indices have separate
    /// sums.
    fn naive_tiles(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) -> Vec<f32> {
        let sum = |row: &[f32], weights: &[f32], first: usize| {
            let products = row.iter().zip(weights).skip(first).step_by(2);
            products.fold(0.0_f32, |sum, (a, b)| rounded(*a).mul_add(rounded(*b), sum))
        };
        let value = |row: &[f32], weights: &[f32], bias: f32| {
            let parts = row.chunks(32).zip(weights.chunks(32));
            parts.fold(bias, |total, (row, weights)| total + (sum(row, weights, 0) + sum(row, weights, 1)))
        };
        let rows = x.chunks_exact(inputs);
        rows.flat_map(|row| weight.chunks_exact(inputs).zip(bias).map(move |(w, b)| value(row, w, *b))).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Tests the loop around the emulated `TDPBF16PS` and, on machines with AMX, the emulation against the
        /// instruction.
        #[test]
        fn tiles_have_the_bits_of_the_manual(
            (inputs, x, weight, bias) in operands(1..140, 1..70, 1..70),
        ) {
            let (count, outputs) = (x.len() / inputs, weight.len() / inputs);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            let expected = bits(&naive_tiles(&x, &weight, &bias, inputs));

            let depth = Multiples::AMX.depth(inputs, 2);
            let stride = Multiples::AMX.stride(depth);
            let rows = count.next_multiple_of(Multiples::AMX.rows);
            let mut pairs = vec![[Bfloat16::round(f32::NAN); 2]; rows * stride];
            round_rows_to_pairs::<Fused>(&x, inputs, stride, &mut pairs);
            let panels = pack_pairs(Multiples::AMX, &weight, inputs);
            let mut y = vec![f32::NAN; count * outputs];
            let out = RowsMut { values: &mut y, stride: outputs, width: outputs };
            let rows = Rows { values: &pairs, stride, count, width: depth };
            multiply_pairs(rows, &panels, Epilogue { bias: &bias, activation: Activation::None, out });
            prop_assert_eq!(bits(&y), &expected[..]);

            for isa in Isa::available().into_iter().filter(|isa| isa.level() == Level::Amx) {
                let packed = PackedMatrix::pack(isa, Precision::Bfloat16, &weight, outputs, inputs);
                let mut workspace = OperandWorkspace::default();
                let matmul = Matmul { weight: &packed, bias: &bias, activation: Activation::None };
                matmul.run(packed.operand(&x, &mut workspace), &mut y);
                prop_assert_eq!(bits(&y), &expected[..], "by the instruction");
            }
        }
    }

    fn rounded(value: f32) -> f32 {
        Bfloat16::round(value).widen()
    }
}
