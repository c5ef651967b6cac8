//! Products in 8 bits: rows are rounded with a scale each, sums are exact.

use crate::Isa;
use crate::arithmetic::{Arithmetic, LANES, Lanes, Native};
use crate::dot::{Group, Layout, Portable, Quad, QuadDot};
use crate::isa::{Level, dispatch};
use crate::lines::{self, Line};
use crate::matmul::{Activation, Rows, RowsMut, lanes_at};
use crate::tiles::{self, Format, Multiples};
#[cfg(target_arch = "x86_64")]
use crate::{
    amx,
    arithmetic::Fused,
    dot::{Avx2, Vnni},
};

/// The largest 8-bit value in use: -128 is not, so that a value and its negative are both there.
const LARGEST: i32 = 127;
/// As many products of two values as 32 bits hold whatever they are.
pub(crate) const MAX_INPUTS: usize = (i32::MAX / (LARGEST * LARGEST)) as usize;

/// Rows of activations in 8 bits, filled up to [`Multiples`] of quads.
#[derive(Clone, Copy)]
pub(crate) struct Int8Rows<'a> {
    quads: &'a [Quad],
    stride: usize,
    /// What 1 stands for, a row.
    scales: &'a [f32],
}

impl<'a> Int8Rows<'a> {
    #[inline(always)]
    fn rows(self) -> Rows<'a, Quad> {
        Rows { values: self.quads, stride: self.stride, count: self.scales.len(), width: self.stride }
    }
}

/// Rounds each row of `x` to 8 bits.
pub(crate) fn quantize_rows<'a>(
    isa: Isa,
    x: &[f32],
    width: usize,
    quads: &'a mut Vec<Line<Quad>>,
    scales: &'a mut Vec<f32>,
) -> Int8Rows<'a> {
    let count = x.len() / width;
    let multiples = Multiples::of(isa);
    let stride = width.div_ceil(4).next_multiple_of(multiples.steps);
    // What an earlier use left at the end of a row meets weights that are zero; rows of it give results that nobody reads.
    let quads = lines::room(quads, count.next_multiple_of(multiples.rows) * stride);
    scales.resize(count, 0.0);
    let offset = layout(isa).offset;
    let (bytes, row_scales, row_bytes) = (quads.as_flattened_mut(), scales.as_mut_slice(), 4 * stride);
    dispatch!(
        isa,
        quantize_all(
            x: &[f32], width: usize, row_bytes: usize, offset: u8, bytes: &mut [u8], row_scales: &mut [f32],
        )
    );
    Int8Rows { quads, stride, scales }
}

/// How tiles take bytes: with a sign, both of them.
const AMX_LAYOUT: Layout = Layout { offset: 0, place: |output, input| output * 4 + input };

/// How the product of an instruction set takes its operands.
fn layout(isa: Isa) -> Layout {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => Avx2::LAYOUT,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni | Level::Avx512Bf16 => Vnni::LAYOUT,
        Level::Amx => AMX_LAYOUT,
        _ => Portable::LAYOUT,
    }
}

#[inline(always)]
fn quantize_all<A: Arithmetic>(
    x: &[f32],
    width: usize,
    row_bytes: usize,
    offset: u8,
    bytes: &mut [u8],
    row_scales: &mut [f32],
) {
    let rows = x.chunks_exact(width).zip(bytes.chunks_exact_mut(row_bytes));
    for ((row, bytes), scale) in rows.zip(row_scales) {
        *scale = quantize(row, offset, bytes);
    }
}

/// Rounds a row to whole multiples of its largest magnitude's 127th part, half to even, and gives
/// that part; every row of weights and of activations goes through here.
///
/// A row of zeros, or of values so small that the inverse of the scale overflows, gives zeros. A
/// row with an infinity or NaN gives a scale that is not finite, and so products that are not.
#[inline(always)]
fn quantize(row: &[f32], offset: u8, bytes: &mut [u8]) -> f32 {
    /// Adding it rounds to a whole number, which the low bits then hold.
    const ROUND: f32 = 12_582_912.0;
    let limit = LARGEST as f32;
    // The order of the bits is that of the magnitudes, with NaN the largest.
    let largest = row.iter().fold(0, |largest, value| (value.to_bits() & i32::MAX.cast_unsigned()).max(largest));
    let largest = f32::from_bits(largest);
    let inverse = limit / largest;
    if inverse == f32::INFINITY {
        bytes.fill(offset);
        return 0.0;
    }
    for (byte, value) in bytes.iter_mut().zip(row) {
        let value = value * inverse;
        let value = if value > -limit { value } else { -limit };
        let value = if value < limit { value } else { limit };
        let [low, ..] = (value + ROUND).to_bits().to_le_bytes();
        *byte = low.wrapping_add(offset);
    }
    largest / limit
}

/// A weight matrix in 8 bits: panels of 16 outputs, of four inputs at a time.
pub(crate) struct Int8Panels {
    groups: Vec<Group>,
    /// What 1 stands for, an output.
    scales: Vec<Lanes>,
    /// Where sums start: what takes away the offset of the inputs.
    starts: Vec<[i32; LANES]>,
}

impl Int8Panels {
    pub(crate) fn pack(isa: Isa, weight: &[f32], inputs: usize) -> Self {
        Self::pack_as(layout(isa), Multiples::of(isa), weight, inputs)
    }

    fn pack_as(layout: Layout, multiples: Multiples, weight: &[f32], inputs: usize) -> Self {
        assert!(inputs <= MAX_INPUTS, "{inputs} inputs, of which int8 takes at most {MAX_INPUTS}");
        let outputs = weight.len() / inputs.max(1);
        let panels = outputs.div_ceil(LANES).next_multiple_of(multiples.panels);
        let depth = inputs.div_ceil(4).next_multiple_of(multiples.steps);
        let Layout { offset, place } = layout;
        let mut groups = vec![Group::default(); panels * depth];
        let mut scales = vec![Lanes::default(); panels];
        let mut starts = vec![[0; LANES]; panels];
        let mut quads = vec![Quad::default(); depth];
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let (panel, lane) = (output / LANES, output % LANES);
            scales[panel][lane] = quantize(row, 0, quads.as_flattened_mut());
            for (group, quad) in groups[panel * depth..].iter_mut().zip(&quads) {
                for (input, byte) in quad.iter().enumerate() {
                    group.0.as_flattened_mut()[place(lane, input)] = byte.cast_signed();
                }
            }
            let sum: i32 = quads.as_flattened().iter().map(|byte| i32::from(byte.cast_signed())).sum();
            starts[panel][lane] = sum.wrapping_mul(-i32::from(offset));
        }
        Self { groups, scales, starts }
    }
}

/// Panels from `first` on.
#[derive(Clone, Copy)]
struct Int8Slice<'a> {
    panels: &'a Int8Panels,
    first: usize,
}

impl<'a> Int8Slice<'a> {
    /// `bias` begins where the slice does.
    #[inline(always)]
    fn panel(self, index: usize, x: Int8Rows<'a>, bias: &[f32]) -> Panel<'a> {
        let (Int8Panels { groups, scales, starts }, at) = (self.panels, self.first + index);
        Panel {
            groups: &groups[at * x.stride..][..x.stride],
            start: &starts[at],
            scales: &scales[at],
            row_scales: x.scales,
            bias: lanes_at(bias, index * LANES),
        }
    }
}

/// What 16 outputs need.
struct Panel<'a> {
    groups: &'a [Group],
    start: &'a [i32; LANES],
    scales: &'a Lanes,
    row_scales: &'a [f32],
    bias: Lanes,
}

impl<'a, D: Format<Weights = Group, Element = i32>> tiles::Panel<'a, D> for Panel<'a> {
    #[inline(always)]
    fn weights(&self) -> &'a [Group] {
        self.groups
    }

    #[inline(always)]
    fn start(&self) -> &[i32; LANES] {
        self.start
    }

    /// Two products and a sum, never fused: the same roundings on every instruction set.
    #[inline(always)]
    fn finish(&self, row: usize, sums: [i32; LANES]) -> Lanes {
        let scale = self.row_scales[row];
        std::array::from_fn(|lane| sums[lane] as f32 * (scale * self.scales[lane]) + self.bias[lane])
    }
}

/// The product of rows and panels, from `first` on, that were made for the same instruction set.
pub(crate) fn product(
    isa: Isa,
    x: Int8Rows<'_>,
    panels: &Int8Panels,
    first: usize,
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_>,
) {
    let panels = Int8Slice { panels, first };
    match isa.level() {
        // SAFETY: an `Isa` exists only if this machine has its instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { avx2(x, panels, bias, activation, y) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni | Level::Avx512Bf16 => unsafe { vnni(x, panels, bias, activation, y) },
        // SAFETY: as above.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Amx => unsafe { amx(x, panels, bias, activation, y) },
        _ => multiply::<_, Native>(Portable, x, panels, bias, activation, y),
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(x: Int8Rows<'_>, panels: Int8Slice<'_>, bias: &[f32], activation: Activation, y: RowsMut<'_>) {
    multiply::<_, Fused>(Avx2::new(), x, panels, bias, activation, y);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
fn vnni(x: Int8Rows<'_>, panels: Int8Slice<'_>, bias: &[f32], activation: Activation, y: RowsMut<'_>) {
    multiply::<_, Fused>(Vnni::new(), x, panels, bias, activation, y);
}

/// # Safety
/// The machine must have AMX.
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f,avx2,fma")]
unsafe fn amx(x: Int8Rows<'_>, panels: Int8Slice<'_>, bias: &[f32], activation: Activation, y: RowsMut<'_>) {
    // SAFETY: as the caller promises.
    let dot = unsafe { amx::Int8::new() };
    amx::multiply::<_, Fused, _, f32>(&dot, x.rows(), |index| panels.panel(index, x, bias), activation, y);
}

#[inline(always)]
fn multiply<D: QuadDot, A: Arithmetic>(
    dot: D,
    x: Int8Rows<'_>,
    panels: Int8Slice<'_>,
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_>,
) {
    tiles::multiply::<D, A, _, f32>(dot, x.rows(), |index| panels.panel(index, x, bias), activation, y);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::amx;
    use crate::arithmetic::{Fused, gelu};
    use crate::{Matmul, OperandWorkspace, PackedMatrix, Precision};

    /// The same rounding, written otherwise: the 8-bit values and their scale.
    fn naive_row(row: &[f32]) -> (Vec<i64>, f32) {
        let largest = row.iter().copied().map(f32::abs).fold(0.0, f32::max);
        let inverse = 127.0 / largest;
        if inverse.is_infinite() {
            return (vec![0; row.len()], 0.0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        let round = |value: f32| (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i64;
        (row.iter().copied().map(round).collect(), largest / 127.0)
    }

    fn naive(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) -> Vec<f32> {
        let weights: Vec<_> = weight.chunks_exact(inputs).map(naive_row).collect();
        let rows = x.chunks_exact(inputs).map(naive_row);
        rows.flat_map(|(row, scale)| {
            let outputs = weights.iter().zip(bias).map(move |((weights, weight_scale), bias)| {
                let sum: i64 = row.iter().zip(weights).map(|(a, b)| a * b).sum();
                sum as f32 * (scale * weight_scale) + bias
            });
            outputs.collect::<Vec<_>>()
        })
        .collect()
    }

    fn run(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32], inputs: usize, activation: Activation) -> Vec<f32> {
        let packed = PackedMatrix::pack(isa, Precision::Int8, weight, bias.len(), inputs);
        let mut y = vec![f32::NAN; x.len() / inputs * bias.len()];
        let mut workspace = OperandWorkspace::default();
        Matmul { weight: &packed, bias, activation }.run(packed.operand(x, &mut workspace), &mut y);
        y
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    /// Rows that are hard to round: of zeros, of one magnitude, of halves, huge, tiny, with a single peak.
    fn row(width: usize) -> impl Strategy<Value = Vec<f32>> {
        let of = |value: BoxedStrategy<f32>| prop::collection::vec(value, width).boxed();
        prop_oneof![
            4 => of((-1.0_f32..1.0).boxed()),
            1 => of(Just(0.0).boxed()),
            1 => of(prop_oneof![Just(3.5_f32), Just(-3.5)].boxed()),
            1 => of((-254_i16..=254).prop_map(|halves| f32::from(halves) / 2.0).boxed()),
            1 => of((-1e18_f32..1e18).boxed()),
            1 => of((-1e-38_f32..1e-38).boxed()),
            1 => of((-1e-30_f32..1e-30).boxed()),
            1 => (of((-0.01_f32..0.01).boxed()), 0..width).prop_map(|(mut row, at)| {
                row[at] = 100.0;
                row
            }),
        ]
    }

    fn matrix(rows: impl Strategy<Value = usize>, width: usize) -> impl Strategy<Value = Vec<f32>> {
        rows.prop_flat_map(move |rows| prop::collection::vec(row(width), rows)).prop_map(|rows| rows.concat())
    }

    fn operands() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>, Vec<f32>)> {
        (1_usize..80, prop_oneof![4 => Just(30_usize), 1 => Just(130)]).prop_flat_map(|(inputs, rows)| {
            (Just(inputs), matrix(1..rows, inputs), matrix(1..70_usize, inputs)).prop_map(|(inputs, x, weight)| {
                let outputs = weight.len() / inputs;
                (inputs, x, weight, (0_i16..).map(|i| f32::from(i % 7) - 3.0).take(outputs).collect())
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_isa_has_the_bits_of_the_naive_product((inputs, x, weight, bias) in operands()) {
            let exact = naive(&x, &weight, &bias, inputs);
            let relu: Vec<f32> = exact.iter().map(|value| value.max(0.0)).collect();
            for isa in Isa::available() {
                let y = run(isa, &x, &weight, &bias, inputs, Activation::None);
                prop_assert_eq!(bits(&y), bits(&exact), "{}", isa.name());
                let y = run(isa, &x, &weight, &bias, inputs, Activation::Relu);
                prop_assert_eq!(bits(&y), bits(&relu), "{}", isa.name());
                let y = run(isa, &x, &weight, &bias, inputs, Activation::Gelu);
                let portable = isa == Isa::available()[0];
                let gelu: Vec<f32> =
                    exact.iter().map(|x| if portable { gelu::<Native>(*x) } else { gelu::<Fused>(*x) }).collect();
                prop_assert_eq!(bits(&y), bits(&gelu), "{}", isa.name());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// The way of AMX holds where there is none.
        #[test]
        fn tiles_have_the_bits_of_the_naive_product((inputs, x, weight, bias) in operands()) {
            let count = x.len() / inputs;
            let panels = Int8Panels::pack_as(AMX_LAYOUT, amx::MULTIPLES, &weight, inputs);
            let stride = inputs.div_ceil(4).next_multiple_of(amx::MULTIPLES.steps);
            let mut quads = vec![[0x80; 4]; count.next_multiple_of(amx::MULTIPLES.rows) * stride];
            let mut scales = vec![0.0; count];
            quantize_all::<Fused>(&x, inputs, 4 * stride, 0, quads.as_flattened_mut(), &mut scales);
            let rows = Int8Rows { quads: &quads, stride, scales: &scales };
            let mut y = vec![f32::NAN; count * bias.len()];
            let out = RowsMut { values: &mut y, stride: bias.len(), width: bias.len() };
            let panel = |index| Int8Slice { panels: &panels, first: 0 }.panel(index, rows, &bias);
            amx::multiply::<_, Fused, _, f32>(&amx::emulated::Int8, rows.rows(), panel, Activation::None, out);
            prop_assert_eq!(bits(&y), bits(&naive(&x, &weight, &bias, inputs)));
        }
    }

    #[test]
    fn as_many_inputs_as_there_may_be_do_not_overflow() {
        let (inputs, limit) = (MAX_INPUTS, LARGEST as f32);
        let sum = (LARGEST * LARGEST) as f32 * inputs as f32;
        let (up, down) = (vec![limit; inputs], vec![-limit; inputs]);
        for isa in Isa::available() {
            for (x, weight, expected) in [(&up, &up, sum), (&up, &down, -sum), (&down, &down, sum)] {
                assert_eq!(run(isa, x, weight, &[0.0], inputs, Activation::None), [expected], "{}", isa.name());
            }
        }
    }

    #[test]
    #[should_panic(expected = "133145 inputs")]
    fn one_input_more_is_refused() {
        let inputs = MAX_INPUTS + 1;
        let _ = PackedMatrix::pack(Isa::detected(), Precision::Int8, &vec![1.0; inputs], 1, inputs);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for isa in Isa::available() {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let x = [1.0, value, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0];
                let y =
                    run(isa, &x, &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[1.0, 1.0], 5, Activation::None);
                assert!(y[..2].iter().all(|value| !value.is_finite()), "{value} on {}: {y:?}", isa.name());
                assert_eq!(y[2..], [4.0, 1.0], "{}", isa.name());
            }
        }
    }
}
