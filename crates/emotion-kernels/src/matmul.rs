use std::fmt;
use std::ops::Range;

use crate::arithmetic::LANES;
use crate::epilogue::{Activation, Epilogue};
use crate::formats::bfloat16::{self, Bfloat16Panels, Bfloat16Rows};
use crate::formats::float32;
use crate::formats::int8::{self, Int8Panels};
use crate::isa::Isa;
use crate::layout::RowsMut;
use crate::lines::{AlignedBuffer, Line};
use crate::operand::{Operand, OperandWorkspace, Values};
use crate::precision::Precision;

/// A weight matrix of shape `[outputs, inputs]`, packed once for [`Matmul`].
///
/// It consists of panels of 16 outputs. For each input (in bfloat16 for each pair, in int8 for each quad of inputs), a
/// panel holds the weights of its 16 outputs side by side. The last panel is padded with zeros.
pub struct PackedMatrix {
    isa: Isa,
    outputs: usize,
    inputs: usize,
    panels: Panels,
}

enum Panels {
    Float32(Vec<Line<f32>>),
    Bfloat16(Bfloat16Panels),
    Int8(Int8Panels),
}

impl PackedMatrix {
    /// The maximum number of inputs in [`Precision::Int8`]: with one more, a sum of products could exceed 32 bits.
    pub const MAX_INT8_INPUTS: usize = int8::MAX_INPUTS;
    /// The number of columns that are computed together: two panels.
    pub const COLUMNS: usize = 2 * LANES;

    /// Packs a row-major matrix of shape `[outputs, inputs]`, as Hugging Face stores weights.
    ///
    /// # Panics
    /// If `weight` does not have `outputs · inputs` values, or if in [`Precision::Int8`] there are
    /// more than [`Self::MAX_INT8_INPUTS`].
    #[must_use]
    pub fn pack(isa: Isa, precision: Precision, weight: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weight.len(), outputs * inputs);
        let panels = match precision {
            Precision::Float32 => Panels::Float32(float32::pack(weight, inputs)),
            Precision::Bfloat16 => Panels::Bfloat16(Bfloat16Panels::pack(isa, weight, inputs)),
            Precision::Int8 => Panels::Int8(Int8Panels::pack(isa, weight, inputs)),
        };
        Self { isa, outputs, inputs, panels }
    }

    /// The number of rows of the matrix, which is the number of values in a row of the result.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// The number of columns of the matrix, which is the number of values in a row of the argument.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// The precision of products with the matrix.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self.panels {
            Panels::Float32(_) => Precision::Float32,
            Panels::Bfloat16(_) => Precision::Bfloat16,
            Panels::Int8(_) => Precision::Int8,
        }
    }

    /// Prepares rows of activations, `x` of shape `[rows, inputs]`, for products with this matrix and with every other
    /// matrix that has the same number of inputs, precision and instruction set.
    ///
    /// # Panics
    /// If the length of `x` is not a multiple of `inputs`.
    pub fn operand<'a>(&self, x: &'a [f32], workspace: &'a mut OperandWorkspace) -> Operand<'a> {
        assert!(x.len().is_multiple_of(self.inputs));
        Operand::new(self.isa, self.precision(), x, self.inputs, workspace)
    }
}

impl fmt::Debug for PackedMatrix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("PackedMatrix");
        debug.field("isa", &self.isa).field("precision", &self.precision());
        debug.field("outputs", &self.outputs).field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// `y = activation(x Wᵀ + b)`.
pub struct Matmul<'a> {
    /// `W`, of shape `[outputs, inputs]`.
    pub weight: &'a PackedMatrix,
    /// `b`, of length `outputs`.
    pub bias: &'a [f32],
    /// Applied last.
    pub activation: Activation,
}

impl Matmul<'_> {
    /// Writes `y`, of shape `[rows, outputs]`, for the rows of `x`; both row-major.
    ///
    /// In float32, each value is the bias plus the products in the order of the inputs, one after the other. In
    /// bfloat16, the order is the same, except that the second input of each pair comes first; AMX has a different
    /// order (see `KERNELS.md`). In int8, a value is the exact sum of the products, scaled, plus the bias.
    ///
    /// # Panics
    /// If `x` was prepared for another kind of matrix, or if the lengths of `x`, `y` and the bias do not match the
    /// weight.
    pub fn run(&self, x: Operand<'_>, y: &mut [f32]) {
        self.run_columns(x, 0..self.weight.outputs, y);
    }

    /// Like [`Self::run`], but returns the result as the operand of products with matrices of [`PackedMatrix::outputs`]
    /// inputs, the same precision and the same instruction set.
    ///
    /// If the processor multiplies bfloat16, each value is rounded before it is written. Otherwise the result, in int8 a
    /// part of it at a time, is written to `buffer`, which grows if necessary, before it is rounded.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_to_operand<'a>(
        &self,
        x: Operand<'_>,
        buffer: &'a mut AlignedBuffer,
        workspace: &'a mut OperandWorkspace,
    ) -> Operand<'a> {
        let Self { weight, bias, activation } = *self;
        let PackedMatrix { isa, outputs, inputs, .. } = *weight;
        assert!(x.isa == isa && x.width == inputs && bias.len() == outputs);
        let values = match (&weight.panels, x.values) {
            (Panels::Float32(panels), Values::Float32(rows)) => {
                Values::Float32(float32::product_to_rows(isa, rows, panels, bias, activation, buffer))
            }
            (Panels::Bfloat16(Bfloat16Panels::Pairs(panels)), Values::Bfloat16(Bfloat16Rows::Pairs(rows))) => {
                let pairs = &mut workspace.pairs;
                Values::Bfloat16(bfloat16::product_to_pairs(isa, rows, panels, bias, activation, pairs))
            }
            (Panels::Int8(panels), Values::Int8(rows)) => {
                let rounded = &mut workspace.rounded;
                Values::Int8(int8::product_to_rows(isa, rows, panels, bias, activation, buffer, rounded))
            }
            _ => {
                let y = buffer.values(x.count * outputs);
                self.run(x, y);
                return Operand::new(isa, weight.precision(), y, outputs, workspace);
            }
        };
        Operand { isa, width: outputs, count: x.count, values }
    }

    /// Writes a range of columns, `y` of shape `[rows, columns.len()]`. The range starts at a multiple of
    /// [`PackedMatrix::COLUMNS`]. The values do not depend on which other columns are computed.
    ///
    /// For few rows, reading the weights dominates the time, so several cores can each read a part of the weights.
    ///
    /// # Panics
    /// As [`Self::run`], or if the range starts elsewhere or exceeds the outputs.
    pub fn run_columns(&self, x: Operand<'_>, columns: Range<usize>, y: &mut [f32]) {
        let Self { weight, bias, activation } = *self;
        let PackedMatrix { isa, outputs, inputs, .. } = *weight;
        assert!(x.isa == isa && x.width == inputs && bias.len() == outputs);
        assert!(columns.start.is_multiple_of(PackedMatrix::COLUMNS) && columns.end <= outputs);
        let (first, bias) = (columns.start / LANES, &bias[columns]);
        assert_eq!(y.len(), x.count * bias.len());
        let out = RowsMut { values: y, stride: bias.len(), width: bias.len() };
        let epilogue = Epilogue { bias, activation, out };
        match (&weight.panels, x.values) {
            (Panels::Float32(panels), Values::Float32(x)) => float32::product(isa, x, panels, first, epilogue),
            (Panels::Bfloat16(panels), Values::Bfloat16(x)) => bfloat16::product(isa, x, panels, first, epilogue),
            (Panels::Int8(panels), Values::Int8(x)) => int8::product(isa, x, panels, first, epilogue),
            _ => panic!("the operand was made for a matrix of another precision"),
        }
    }
}

impl fmt::Debug for Matmul<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Matmul");
        debug.field("weight", &self.weight).field("activation", &self.activation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::Fused;
    use crate::bf16::Bfloat16;
    use crate::isa::Level;
    use crate::layout::Rows;

    const ACTIVATIONS: [Activation; 6] = [
        Activation::None,
        Activation::Gelu,
        Activation::Relu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Tanh,
    ];

    fn values(count: usize, seed: u32) -> Vec<f32> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut next = || {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            state as f32 / u32::MAX as f32 * 2.0 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    fn naive(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) -> Vec<f64> {
        let dot = |row: &[f32], weights: &[f32]| -> f64 {
            row.iter().zip(weights).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
        };
        x.chunks_exact(inputs)
            .flat_map(|row| {
                weight.chunks_exact(inputs).zip(bias).map(move |(weights, b)| dot(row, weights) + f64::from(*b))
            })
            .collect()
    }

    fn run(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32], inputs: usize, activation: Activation) -> Vec<f32> {
        run_in(Precision::Float32, isa, x, weight, bias, inputs, activation)
    }

    fn run_in(
        precision: Precision,
        isa: Isa,
        x: &[f32],
        weight: &[f32],
        bias: &[f32],
        inputs: usize,
        activation: Activation,
    ) -> Vec<f32> {
        let packed = PackedMatrix::pack(isa, precision, weight, bias.len(), inputs);
        let mut y = vec![f32::NAN; x.len() / inputs * bias.len()];
        let mut workspace = OperandWorkspace::default();
        Matmul { weight: &packed, bias, activation }.run(packed.operand(x, &mut workspace), &mut y);
        y
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn every_isa_agrees_with_the_naive_product(
            rows in 1_usize..130, inputs in 1_usize..80, outputs in 1_usize..70, seed: u32,
        ) {
            let (x, weight) = (values(rows * inputs, seed), values(outputs * inputs, !seed));
            let bias = values(outputs, seed ^ 5);
            let exact = naive(&x, &weight, &bias, inputs);
            for isa in Isa::available() {
                let y = run(isa, &x, &weight, &bias, inputs, Activation::None);
                for (ours, exact) in y.iter().zip(&exact) {
                    prop_assert!((f64::from(*ours) - exact).abs() < 1e-5 * inputs as f64, "{}", isa.name());
                }
            }
        }

        #[test]
        fn a_row_has_the_same_bits_alone_and_on_every_fused_isa(
            rows in 1_usize..20, inputs in 1_usize..80, outputs in 1_usize..70, seed: u32,
        ) {
            let (x, weight) = (values(rows * inputs, seed), values(outputs * inputs, !seed));
            let bias = values(outputs, seed ^ 5);
            let panels = float32::pack(&weight, inputs);
            for activation in ACTIVATIONS {
                // The fused arithmetic compiled without its instructions is the reference for the fused instruction
                // sets.
                let mut oracle = vec![0.0; rows * outputs];
                let out = RowsMut { values: &mut oracle, stride: outputs, width: outputs };
                float32::multiply::<Fused>(
                    Rows { values: &x, stride: inputs, count: rows, width: inputs },
                    &panels,
                    Epilogue { bias: &bias, activation, out },
                );
                for isa in Isa::available() {
                    let together = run(isa, &x, &weight, &bias, inputs, activation);
                    for (row, expected) in x.chunks_exact(inputs).zip(together.chunks_exact(outputs)) {
                        let alone = run(isa, row, &weight, &bias, inputs, activation);
                        prop_assert_eq!(bits(&alone), bits(expected));
                    }
                    let fused = isa != Isa::available()[0] || cfg!(not(target_arch = "x86_64"));
                    if fused {
                        prop_assert_eq!(bits(&together), bits(&oracle), "{}", isa.name());
                    }
                }
            }
        }

        #[test]
        fn a_row_has_the_same_bits_alone_in_every_precision(
            rows in 1_usize..40, inputs in 1_usize..80, outputs in 1_usize..70, seed: u32,
        ) {
            let (x, weight) = (values(rows * inputs, seed), values(outputs * inputs, !seed));
            let bias = values(outputs, seed ^ 5);
            for precision in Precision::ALL {
                for isa in Isa::available() {
                    let together = run_in(precision, isa, &x, &weight, &bias, inputs, Activation::Gelu);
                    for (row, expected) in x.chunks_exact(inputs).zip(together.chunks_exact(outputs)) {
                        let alone = run_in(precision, isa, row, &weight, &bias, inputs, Activation::Gelu);
                        prop_assert_eq!(bits(&alone), bits(expected), "{} on {}", precision, isa.name());
                    }
                }
            }
        }

        #[test]
        fn columns_have_the_same_bits_alone(
            rows in 1_usize..20, inputs in 1_usize..80, outputs in 33_usize..130, from in 0_usize..4, seed: u32,
        ) {
            let (x, weight) = (values(rows * inputs, seed), values(outputs * inputs, !seed));
            let bias = values(outputs, seed ^ 5);
            let columns = (from * 32).min(outputs / 32 * 32)..outputs.min(from * 32 + 40).max(outputs / 32 * 32);
            for precision in Precision::ALL {
                for isa in Isa::available() {
                    let whole = run_in(precision, isa, &x, &weight, &bias, inputs, Activation::Gelu);
                    let packed = PackedMatrix::pack(isa, precision, &weight, outputs, inputs);
                    let mut y = vec![f32::NAN; rows * columns.len()];
                    let mut workspace = OperandWorkspace::default();
                    let matmul = Matmul { weight: &packed, bias: &bias, activation: Activation::Gelu };
                    matmul.run_columns(packed.operand(&x, &mut workspace), columns.clone(), &mut y);
                    let expected: Vec<f32> =
                        whole.chunks_exact(outputs).flat_map(|row| row[columns.clone()].to_vec()).collect();
                    prop_assert_eq!(bits(&y), bits(&expected), "{} on {}", precision, isa.name());
                }
            }
        }

        /// The result does not depend on the previous content of the workspace.
        #[test]
        fn a_result_made_an_operand_has_the_bits_of_one_made_from_it(
            rows in 1_usize..130, inputs in 1_usize..40, between in 1_usize..80, outputs in 1_usize..40, seed: u32,
        ) {
            let (x, weight) = (values(rows * inputs, seed), values(between * inputs, !seed));
            let (bias, next) = (values(between, seed ^ 5), values(outputs * between, seed ^ 6));
            for precision in Precision::ALL {
                for isa in Isa::available() {
                    let y = run_in(precision, isa, &x, &weight, &bias, inputs, Activation::Gelu);
                    let expected = run_in(precision, isa, &y, &next, &bias[..1].repeat(outputs), between, Activation::None);

                    let packed = PackedMatrix::pack(isa, precision, &weight, between, inputs);
                    let next = PackedMatrix::pack(isa, precision, &next, outputs, between);
                    let (mut first, mut second) = (OperandWorkspace::default(), OperandWorkspace::default());
                    let mut buffer = AlignedBuffer::default();
                    let matmul = Matmul { weight: &packed, bias: &bias, activation: Activation::Gelu };
                    let wider = PackedMatrix::pack(isa, precision, &vec![1.0; (between + 1) * inputs], between + 1, inputs);
                    let undefined = Matmul { weight: &wider, bias: &vec![f32::NAN; between + 1], ..matmul };
                    undefined.run_to_operand(wider.operand(&x, &mut first), &mut buffer, &mut second);
                    let between = matmul.run_to_operand(packed.operand(&x, &mut first), &mut buffer, &mut second);
                    let mut y = vec![f32::NAN; rows * outputs];
                    let bias = bias[..1].repeat(outputs);
                    Matmul { weight: &next, bias: &bias, activation: Activation::None }.run(between, &mut y);
                    prop_assert_eq!(bits(&y), bits(&expected), "{} on {}", precision, isa.name());
                }
            }
        }

        #[test]
        fn bfloat16_has_the_bits_of_float32_over_rounded_and_swapped_pairs(
            rows in 1_usize..130, inputs in 1_usize..80, outputs in 1_usize..70, seed: u32,
        ) {
            let (x, weight) = (values(rows * inputs, seed), values(outputs * inputs, !seed));
            let bias = values(outputs, seed ^ 5);
            let even = inputs.next_multiple_of(2);
            let swapped = |values: &[f32]| -> Vec<f32> {
                let mut out = vec![0.0; values.len() / inputs * even];
                for (row, out) in values.chunks_exact(inputs).zip(out.chunks_exact_mut(even)) {
                    for (at, value) in row.iter().enumerate() {
                        out[at ^ 1] = Bfloat16::round(*value).widen();
                    }
                }
                out
            };
            // AMX adds in a different order.
            for isa in Isa::available().into_iter().filter(|isa| isa.level() != Level::Amx) {
                for activation in ACTIVATIONS {
                    let y = run_in(Precision::Bfloat16, isa, &x, &weight, &bias, inputs, activation);
                    let expected = run(isa, &swapped(&x), &swapped(&weight), &bias, even, activation);
                    prop_assert_eq!(bits(&y), bits(&expected), "{}", isa.name());
                }
            }
        }
    }

    #[test]
    fn debug_output_shows_sizes_and_no_weights() {
        let weight = PackedMatrix::pack(Isa::available()[0], Precision::Int8, &[1.0; 6], 2, 3);
        let expected = "PackedMatrix { isa: Isa(Portable), precision: Int8, outputs: 2, inputs: 3, .. }";
        assert_eq!(format!("{weight:?}"), expected);
        let matmul = Matmul { weight: &weight, bias: &[0.0; 2], activation: Activation::Relu };
        assert_eq!(format!("{matmul:?}"), format!("Matmul {{ weight: {expected}, activation: Relu, .. }}"));
        let mut workspace = OperandWorkspace::default();
        let x = weight.operand(&[1.0; 12], &mut workspace);
        assert_eq!(format!("{x:?}"), "Operand { isa: Isa(Portable), width: 3, rows: 4, .. }");
        assert_eq!(format!("{workspace:?}"), "OperandWorkspace { .. }");
    }

    #[test]
    #[should_panic(expected = "another precision")]
    fn an_operand_of_another_precision_is_refused() {
        let of = |precision| PackedMatrix::pack(Isa::detected(), precision, &[1.0], 1, 1);
        let (weight, other) = (of(Precision::Int8), of(Precision::Float32));
        let mut workspace = OperandWorkspace::default();
        let x = other.operand(&[1.0], &mut workspace);
        Matmul { weight: &weight, bias: &[0.0], activation: Activation::None }.run(x, &mut [0.0]);
    }
}
