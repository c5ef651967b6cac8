use std::ops::Range;

use crate::arithmetic::{Arithmetic, LANES, Lanes, gelu};
use crate::bfloat16::{self, Bfloat16Panels, Bfloat16Rows, Pair, PairProduct};
use crate::int8::{self, Int8Panels};
use crate::isa::dispatch;
use crate::lines::Line;
use crate::operand::Values;
use crate::tiles::{Multiples, tile_rows};
use crate::{Isa, Operand, OperandWorkspace, Precision, split};

/// Rows that go through all panels together, so that they stay in the second-level cache.
const BLOCK_ROWS: usize = 96;

/// A weight matrix of shape `[outputs, inputs]`, packed once for [`Matmul`].
///
/// Format: panels of 16 outputs; within a panel, for each input (in int8, for each four; in
/// bfloat16, for each two), its weights for the 16 outputs side by side. The last panel is filled
/// up with zeros.
pub struct PackedMatrix {
    isa: Isa,
    outputs: usize,
    inputs: usize,
    panels: Panels,
}

enum Panels {
    Float32(Vec<Lanes>),
    /// float32 as [`split`] has it.
    Split(Vec<Line<Pair>>),
    Bfloat16(Bfloat16Panels),
    Int8(Int8Panels),
}

impl PackedMatrix {
    /// The most inputs a matrix may have in [`Precision::Int8`]: with one more, a sum of products
    /// might leave 32 bits.
    pub const MAX_INT8_INPUTS: usize = int8::MAX_INPUTS;
    /// Columns that are computed together: two panels.
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
            Precision::Float32 if split::is_for(isa) => Panels::Split(split::pack(Multiples::of(isa), weight, inputs)),
            Precision::Float32 => Panels::Float32(pack(weight, inputs, 1, 1, |value| value)),
            Precision::Bfloat16 => Panels::Bfloat16(Bfloat16Panels::pack(isa, weight, inputs)),
            Precision::Int8 => Panels::Int8(Int8Panels::pack(isa, weight, inputs)),
        };
        Self { isa, outputs, inputs, panels }
    }

    /// Rows of the matrix: values in a row of the result.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.outputs
    }

    /// Columns of the matrix: values in a row of the argument.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.inputs
    }

    /// What products with the matrix are computed in.
    #[must_use]
    pub fn precision(&self) -> Precision {
        match self.panels {
            Panels::Float32(_) | Panels::Split(_) => Precision::Float32,
            Panels::Bfloat16(_) => Precision::Bfloat16,
            Panels::Int8(_) => Precision::Int8,
        }
    }

    /// Makes rows of activations, `x` of shape `[rows, inputs]`, ready for products with this matrix
    /// and with every other of as many inputs, the same precision and the same instruction set.
    ///
    /// # Panics
    /// If `x` is not of whole rows.
    pub fn operand<'a>(&self, x: &'a [f32], workspace: &'a mut OperandWorkspace) -> Operand<'a> {
        assert!(x.len().is_multiple_of(self.inputs));
        Operand::new(self.isa, self.precision(), x, self.inputs, workspace)
    }
}

/// Panels of 16 outputs: for each input, its 16 weights side by side. Zeros fill up what is no
/// multiple of `step` inputs, or of `group` panels.
pub(crate) fn pack<W: Copy + Default>(
    weight: &[f32],
    inputs: usize,
    step: usize,
    group: usize,
    convert: impl Fn(f32) -> W,
) -> Vec<[W; LANES]> {
    let (outputs, depth) = (weight.len() / inputs.max(1), inputs.next_multiple_of(step));
    let mut panels = vec![[W::default(); LANES]; outputs.div_ceil(LANES).next_multiple_of(group) * depth];
    for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
        let panel = &mut panels[output / LANES * depth..][..depth];
        for (lanes, value) in panel.iter_mut().zip(row) {
            lanes[output % LANES] = convert(*value);
        }
    }
    panels
}

/// What is applied to each value of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// The Gaussian error linear unit with the exact error function, to within 1e-6.
    Gelu,
    /// `max(x, 0)`.
    Relu,
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
    /// In float32 each value is the bias plus the products in the order of the inputs, one after the
    /// other; in bfloat16 likewise, but of each pair of inputs the second comes first; in int8 it is
    /// the exact sum of the products, scaled, plus the bias. AMX sums in its own order (`KERNELS.md`), and
    /// takes float32 apart into three products of bfloat16.
    ///
    /// # Panics
    /// If `x` was made for another kind of matrix, or if the lengths of `x`, `y` and the bias do
    /// not fit the weight.
    pub fn run(&self, x: Operand<'_>, y: &mut [f32]) {
        self.run_columns(x, 0..self.weight.outputs, y);
    }

    /// As [`Self::run`], but gives the result ready for products with matrices of [`PackedMatrix::outputs`] inputs, the
    /// same precision and the same instruction set.
    ///
    /// Where the processor multiplies bfloat16, each value is rounded before it is written; elsewhere `buffer` has the
    /// result first, and grows if it must.
    ///
    /// # Panics
    /// As [`Self::run`].
    pub fn run_to_operand<'a>(
        &self,
        x: Operand<'_>,
        buffer: &'a mut Vec<f32>,
        workspace: &'a mut OperandWorkspace,
    ) -> Operand<'a> {
        let PackedMatrix { isa, outputs, .. } = *self.weight;
        if let (
            Panels::Bfloat16(Bfloat16Panels::Pairs(panels)),
            Values::Bfloat16(Bfloat16Rows::Pairs { steps, depth }),
        ) = (&self.weight.panels, x.values)
        {
            assert!(x.isa == isa && x.width == self.weight.inputs && self.bias.len() == outputs);
            let x = Rows { values: steps, stride: depth, count: x.count, width: depth };
            let rows = bfloat16::product_to_pairs(isa, x, panels, self.bias, self.activation, &mut workspace.pairs);
            return Operand { isa, width: outputs, count: x.count, values: Values::Bfloat16(rows) };
        }
        let len = x.count * outputs;
        if buffer.len() < len {
            buffer.resize(len, 0.0);
        }
        let y = &mut buffer[..len];
        self.run(x, y);
        Operand::new(isa, self.weight.precision(), y, outputs, workspace)
    }

    /// Writes some columns alone, `y` of shape `[rows, columns.len()]`; they begin at a multiple of
    /// [`PackedMatrix::COLUMNS`]. What they hold does not depend on which others are computed.
    ///
    /// # Panics
    /// As [`Self::run`], or if there are no such columns.
    pub fn run_columns(&self, x: Operand<'_>, columns: Range<usize>, y: &mut [f32]) {
        let Self { weight, bias, activation } = *self;
        let PackedMatrix { isa, outputs, inputs, .. } = *weight;
        assert!(x.isa == isa && x.width == inputs && bias.len() == outputs);
        assert!(columns.start.is_multiple_of(PackedMatrix::COLUMNS) && columns.end <= outputs);
        let (first, bias) = (columns.start / LANES, &bias[columns]);
        assert_eq!(y.len(), x.count * bias.len());
        let y = RowsMut { values: y, stride: bias.len(), width: bias.len() };
        match (&weight.panels, x.values) {
            (Panels::Float32(panels), Values::Float32(values)) => {
                product(isa, x.matrix(values), &panels[first * inputs..], bias, activation, y);
            }
            (Panels::Split(panels), Values::Split(values, width)) => {
                let x = Rows { values, stride: width, count: x.count, width };
                PairProduct::of(isa).run(x, &panels[first * width..], bias, activation, y);
            }
            (Panels::Bfloat16(panels), Values::Bfloat16(rows)) => {
                bfloat16::product(isa, rows, x.count, panels, first, bias, activation, y);
            }
            (Panels::Int8(panels), Values::Int8(rows)) => int8::product(isa, rows, panels, first, bias, activation, y),
            _ => panic!("the operand was made for a matrix of another precision"),
        }
    }
}

/// The product over panels of shape `[y.width / 16, x.width, 16]`, rounded up; an empty `bias` is zero.
pub(crate) fn product(isa: Isa, x: Rows<'_>, panels: &[Lanes], bias: &[f32], activation: Activation, y: RowsMut<'_>) {
    dispatch!(isa, multiply_lanes(x: Rows<'_>, panels: &[Lanes], bias: &[f32], activation: Activation, y: RowsMut<'_>));
}

#[inline(always)]
fn multiply_lanes<A: Arithmetic>(x: Rows<'_>, panels: &[Lanes], bias: &[f32], activation: Activation, y: RowsMut<'_>) {
    multiply::<A, f32>(x, panels, bias, activation, y);
}

/// A weight as panels hold it.
pub(crate) trait Weight: Copy {
    fn widen(self) -> f32;
}

impl Weight for f32 {
    #[inline(always)]
    fn widen(self) -> f32 {
        self
    }
}

/// A matrix inside a larger one: row `i` is `values[i · stride..][..width]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T = f32> {
    pub values: &'a [T],
    pub stride: usize,
    pub count: usize,
    pub width: usize,
}

impl<'a, T: Copy> Rows<'a, T> {
    #[inline(always)]
    pub(crate) fn row(self, index: usize) -> &'a [T] {
        &self.values[index * self.stride..][..self.width]
    }
}

/// As [`Rows`], to be written.
pub(crate) struct RowsMut<'a, T = f32> {
    pub values: &'a mut [T],
    pub stride: usize,
    pub width: usize,
}

#[inline(always)]
pub(crate) fn multiply<A: Arithmetic, W: Weight>(
    x: Rows<'_>,
    panels: &[[W; LANES]],
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_>,
) {
    const { assert!(A::TILE_ROWS <= 8, "there are no larger tiles below") };
    let inputs = x.width;
    let RowsMut { values, stride, width } = y;
    for block in (0..x.count).step_by(BLOCK_ROWS) {
        let end = x.count.min(block + BLOCK_ROWS);
        for first in (0..width).step_by(LANES) {
            let panel = &panels[first / LANES * inputs..][..inputs];
            let columns = LANES.min(width - first);
            let start = lanes_at(bias, first);
            let mut row = block;
            while row < end {
                let count = tile_rows(end - row, A::TILE_ROWS);
                let out = &mut values[row * stride + first..];
                match count {
                    8 => tile::<A, W, 8>(x, row, panel, start, activation, out, stride, columns),
                    7 => tile::<A, W, 7>(x, row, panel, start, activation, out, stride, columns),
                    6 => tile::<A, W, 6>(x, row, panel, start, activation, out, stride, columns),
                    5 => tile::<A, W, 5>(x, row, panel, start, activation, out, stride, columns),
                    4 => tile::<A, W, 4>(x, row, panel, start, activation, out, stride, columns),
                    3 => tile::<A, W, 3>(x, row, panel, start, activation, out, stride, columns),
                    2 => tile::<A, W, 2>(x, row, panel, start, activation, out, stride, columns),
                    _ => tile::<A, W, 1>(x, row, panel, start, activation, out, stride, columns),
                }
                row += count;
            }
        }
    }
}

/// `ROWS` rows by one panel. The sums stay in registers from the first input to the last.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the innermost loop, inlined into its one caller")]
fn tile<A: Arithmetic, W: Weight, const ROWS: usize>(
    x: Rows<'_>,
    first_row: usize,
    panel: &[[W; LANES]],
    start: Lanes,
    activation: Activation,
    out: &mut [f32],
    stride: usize,
    columns: usize,
) {
    let rows: [&[f32]; ROWS] = std::array::from_fn(|i| x.row(first_row + i));
    let mut sums = [start; ROWS];
    for (input, weights) in panel.iter().enumerate() {
        let weights: Lanes = std::array::from_fn(|lane| weights[lane].widen());
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: `row` has `x.width` values, and so many inputs has `panel`.
            let value = unsafe { *row.get_unchecked(input) };
            for lane in 0..LANES {
                sum[lane] = A::multiply_add(value, weights[lane], sum[lane]);
            }
        }
    }
    for (index, sum) in sums.into_iter().enumerate() {
        store::<A, f32>(sum, activation, &mut out[index * stride..], columns);
    }
}

/// Sixteen values of `bias` from `first` on, with zeros for those that it does not have.
#[inline(always)]
pub(crate) fn lanes_at(bias: &[f32], first: usize) -> Lanes {
    let mut lanes = [0.0; LANES];
    for (lane, value) in lanes.iter_mut().zip(bias.get(first..).unwrap_or_default()) {
        *lane = *value;
    }
    lanes
}

/// A value as a product writes it.
pub(crate) trait Output: Copy {
    fn of(value: f32) -> Self;
}

impl Output for f32 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }
}

/// Applies the activation to a row of a tile and writes its first `columns` values.
#[inline(always)]
pub(crate) fn store<A: Arithmetic, T: Output>(
    mut values: Lanes,
    activation: Activation,
    out: &mut [T],
    columns: usize,
) {
    match activation {
        Activation::None => {}
        Activation::Gelu => values.iter_mut().for_each(|value| *value = gelu::<A>(*value)),
        Activation::Relu => values.iter_mut().for_each(|value| *value = value.max(0.0)),
    }
    match out.first_chunk_mut::<LANES>() {
        Some(whole) if columns == LANES => {
            for (out, value) in whole.iter_mut().zip(values) {
                *out = T::of(value);
            }
        }
        _ => store_part(&values, &mut out[..columns]),
    }
}

/// Not inlined, because the compiler would make one copy of variable length, a call, of both ways to store.
#[cold]
#[inline(never)]
fn store_part<T: Output>(values: &Lanes, out: &mut [T]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = T::of(*value);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::Fused;
    use crate::bfloat16::Bfloat16;
    use crate::isa::Level;

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
            let panels = pack(&weight, inputs, 1, 1, |value| value);
            for activation in [Activation::None, Activation::Gelu, Activation::Relu] {
                // The fused path compiled without its instructions: the oracle of those that have them.
                let mut oracle = vec![0.0; rows * outputs];
                multiply::<Fused, f32>(
                    Rows { values: &x, stride: inputs, count: rows, width: inputs },
                    &panels,
                    &bias,
                    activation,
                    RowsMut { values: &mut oracle, stride: outputs, width: outputs },
                );
                for isa in Isa::available() {
                    let together = run(isa, &x, &weight, &bias, inputs, activation);
                    for (row, expected) in x.chunks_exact(inputs).zip(together.chunks_exact(outputs)) {
                        let alone = run(isa, row, &weight, &bias, inputs, activation);
                        prop_assert_eq!(bits(&alone), bits(expected));
                    }
                    let fused = isa != Isa::available()[0] || cfg!(not(target_arch = "x86_64"));
                    if fused && isa.level() != Level::Amx {
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

        /// Whatever the workspace held before.
        #[test]
        fn a_result_made_an_operand_has_the_bits_of_one_made_from_it(
            rows in 1_usize..40, inputs in 1_usize..40, between in 1_usize..80, outputs in 1_usize..40, seed: u32,
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
                    let mut buffer = Vec::new();
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
        fn bfloat16_has_the_bits_of_float32_over_rounded_and_turned_pairs(
            rows in 1_usize..130, inputs in 1_usize..80, outputs in 1_usize..70, seed: u32,
        ) {
            let (x, weight) = (values(rows * inputs, seed), values(outputs * inputs, !seed));
            let bias = values(outputs, seed ^ 5);
            let even = inputs.next_multiple_of(2);
            let turned = |values: &[f32]| -> Vec<f32> {
                let mut out = vec![0.0; values.len() / inputs * even];
                for (row, out) in values.chunks_exact(inputs).zip(out.chunks_exact_mut(even)) {
                    for (at, value) in row.iter().enumerate() {
                        out[at ^ 1] = Bfloat16::round(*value).widen();
                    }
                }
                out
            };
            // Tiles have an order of their own.
            for isa in Isa::available().into_iter().filter(|isa| isa.level() != Level::Amx) {
                for activation in [Activation::None, Activation::Gelu, Activation::Relu] {
                    let y = run_in(Precision::Bfloat16, isa, &x, &weight, &bias, inputs, activation);
                    let expected = run(isa, &turned(&x), &turned(&weight), &bias, even, activation);
                    prop_assert_eq!(bits(&y), bits(&expected), "{}", isa.name());
                }
            }
        }
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
