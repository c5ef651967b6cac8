use crate::Isa;
use crate::arithmetic::{Arithmetic, LANES, Lanes, gelu};
use crate::isa::dispatch;

/// Rows of a tile: with two registers a row and one for the broadcast, what AVX2's sixteen hold.
const TILE_ROWS: usize = 6;
/// Rows that go through all panels together, so that they stay in the second-level cache.
const BLOCK_ROWS: usize = 16 * TILE_ROWS;

/// A weight matrix of shape `[outputs, inputs]`, packed once for [`Matmul`].
///
/// Format: panels of 16 outputs; within a panel, for each input, its 16 weights side by side. The
/// last panel is filled up with zeros.
pub struct PackedMatrix {
    isa: Isa,
    outputs: usize,
    inputs: usize,
    panels: Vec<Lanes>,
}

impl PackedMatrix {
    /// Packs a row-major matrix of shape `[outputs, inputs]`, as Hugging Face stores weights.
    ///
    /// # Panics
    /// If `weight` does not have `outputs · inputs` values.
    #[must_use]
    pub fn pack(isa: Isa, weight: &[f32], outputs: usize, inputs: usize) -> Self {
        assert_eq!(weight.len(), outputs * inputs);
        let mut panels = vec![[0.0; LANES]; outputs.div_ceil(LANES) * inputs];
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let panel = &mut panels[output / LANES * inputs..][..inputs];
            for (lanes, value) in panel.iter_mut().zip(row) {
                lanes[output % LANES] = *value;
            }
        }
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
    /// Writes `y`, of shape `[rows, outputs]`, for `x`, of shape `[rows, inputs]`; both row-major.
    ///
    /// Each value is the bias plus the products in the order of the inputs, one after the other.
    ///
    /// # Panics
    /// If the lengths of `x`, `y` and the bias do not fit the weight.
    pub fn run(&self, x: &[f32], y: &mut [f32]) {
        let Self { weight, bias, activation } = *self;
        let rows = y.len() / weight.outputs.max(1);
        assert_eq!((x.len(), y.len()), (rows * weight.inputs, rows * weight.outputs));
        assert_eq!(bias.len(), weight.outputs);
        let x = Rows { values: x, stride: weight.inputs, count: rows, width: weight.inputs };
        let y = RowsMut { values: y, stride: weight.outputs, width: weight.outputs };
        product(weight.isa, x, &weight.panels, bias, activation, y);
    }
}

/// The product over panels of shape `[y.width / 16, x.width, 16]`, rounded up; an empty `bias` is zero.
pub(crate) fn product(isa: Isa, x: Rows<'_>, panels: &[Lanes], bias: &[f32], activation: Activation, y: RowsMut<'_>) {
    dispatch!(isa, multiply(x: Rows<'_>, panels: &[Lanes], bias: &[f32], activation: Activation, y: RowsMut<'_>));
}

/// A matrix inside a larger one: row `i` is `values[i · stride..][..width]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub values: &'a [f32],
    pub stride: usize,
    pub count: usize,
    pub width: usize,
}

impl<'a> Rows<'a> {
    #[inline(always)]
    fn row(self, index: usize) -> &'a [f32] {
        &self.values[index * self.stride..][..self.width]
    }
}

/// As [`Rows`], to be written.
pub(crate) struct RowsMut<'a> {
    pub values: &'a mut [f32],
    pub stride: usize,
    pub width: usize,
}

#[inline(always)]
fn multiply<A: Arithmetic>(x: Rows<'_>, panels: &[Lanes], bias: &[f32], activation: Activation, y: RowsMut<'_>) {
    let inputs = x.width;
    let RowsMut { values, stride, width } = y;
    for block in (0..x.count).step_by(BLOCK_ROWS) {
        let end = x.count.min(block + BLOCK_ROWS);
        for first in (0..width).step_by(LANES) {
            let panel = &panels[first / LANES * inputs..][..inputs];
            let columns = LANES.min(width - first);
            let mut start = [0.0; LANES];
            if !bias.is_empty() {
                start[..columns].copy_from_slice(&bias[first..first + columns]);
            }
            let mut row = block;
            while row < end {
                let count = TILE_ROWS.min(end - row);
                let out = &mut values[row * stride + first..];
                match count {
                    6 => tile::<A, 6>(x, row, panel, start, activation, out, stride, columns),
                    5 => tile::<A, 5>(x, row, panel, start, activation, out, stride, columns),
                    4 => tile::<A, 4>(x, row, panel, start, activation, out, stride, columns),
                    3 => tile::<A, 3>(x, row, panel, start, activation, out, stride, columns),
                    2 => tile::<A, 2>(x, row, panel, start, activation, out, stride, columns),
                    _ => tile::<A, 1>(x, row, panel, start, activation, out, stride, columns),
                }
                row += count;
            }
        }
    }
}

/// `ROWS` rows by one panel. The sums stay in registers from the first input to the last.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the innermost loop, inlined into its one caller")]
fn tile<A: Arithmetic, const ROWS: usize>(
    x: Rows<'_>,
    first_row: usize,
    panel: &[Lanes],
    start: Lanes,
    activation: Activation,
    out: &mut [f32],
    stride: usize,
    columns: usize,
) {
    let rows: [&[f32]; ROWS] = std::array::from_fn(|i| x.row(first_row + i));
    let mut sums = [start; ROWS];
    for (input, weights) in panel.iter().enumerate() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: `row` has `x.width` values, and so many inputs has `panel`.
            let value = unsafe { *row.get_unchecked(input) };
            for lane in 0..LANES {
                sum[lane] = A::multiply_add(value, weights[lane], sum[lane]);
            }
        }
    }
    for (index, sum) in sums.iter_mut().enumerate() {
        match activation {
            Activation::None => {}
            Activation::Gelu => sum.iter_mut().for_each(|value| *value = gelu::<A>(*value)),
            Activation::Relu => sum.iter_mut().for_each(|value| *value = value.max(0.0)),
        }
        let out = &mut out[index * stride..];
        match out.first_chunk_mut() {
            Some(whole) if columns == LANES => *whole = *sum,
            _ => out[..columns].copy_from_slice(&sum[..columns]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::Fused;

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
        let packed = PackedMatrix::pack(isa, weight, bias.len(), inputs);
        let mut y = vec![f32::NAN; x.len() / inputs * bias.len()];
        Matmul { weight: &packed, bias, activation }.run(x, &mut y);
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
            let packed = PackedMatrix::pack(Isa::available()[0], &weight, outputs, inputs);
            for activation in [Activation::None, Activation::Gelu, Activation::Relu] {
                // The fused path compiled without its instructions: the oracle of those that have them.
                let mut oracle = vec![0.0; rows * outputs];
                multiply::<Fused>(
                    Rows { values: &x, stride: inputs, count: rows, width: inputs },
                    &packed.panels,
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
                    if isa != Isa::available()[0] || cfg!(not(target_arch = "x86_64")) {
                        prop_assert_eq!(bits(&together), bits(&oracle), "{}", isa.name());
                    }
                }
            }
        }
    }
}
