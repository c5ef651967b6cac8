//! Products in int8: rows are rounded with one scale each, and sums are exact.

use crate::arithmetic::{Arithmetic, LANES, Lanes, dispatch};
use crate::epilogue::Epilogue;
#[cfg(target_arch = "aarch64")]
use crate::gemm::aarch64::{Sdot, Smmla};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::gemm::amx;
use crate::gemm::dot::{ByteStep, Step};
use crate::gemm::portable::ByteLanes;
#[cfg(target_arch = "aarch64")]
use crate::gemm::row_pairs::RowPairs;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::gemm::tiles::TwoByTwo;
use crate::gemm::tiles::{self, Panel, Panels};
#[cfg(target_arch = "x86_64")]
use crate::gemm::x86_64::{Avx2, AvxVnni, Vnni};
use crate::isa::Isa;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::isa::Level;
use crate::layout::{ByteLayout, Group, Multiples, Quad, Rows};
use crate::lines::{self, Line};

/// The largest 8-bit value in use. -128 is not used, so that the negative of every value exists.
const LARGEST: i32 = 127;
/// The maximum number of products of two values whose sum always fits into 32 bits.
pub(crate) const MAX_INPUTS: usize = (i32::MAX / (LARGEST * LARGEST)) as usize;

/// Rows of activations in 8 bits, padded to [`Multiples`] and in the [`ByteLayout`] of the instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Int8Rows<'a> {
    quads: Rows<'a, Quad>,
    /// The value of 1 in each row.
    scales: &'a [f32],
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
    let (layout, multiples) = (layout(isa), Multiples::of(isa));
    let depth = depth(layout, multiples, width);
    // The padding of a row may hold earlier values: its weights are zero. Results of padding rows are not stored.
    let values = lines::words(quads, count.next_multiple_of(multiples.rows.max(layout.rows)) * depth);
    scales.resize(count, 0.0);
    let offset = layout.offset;
    let (bytes, row_scales, row_bytes) = (values.as_flattened_mut(), scales.as_mut_slice(), 4 * depth);
    dispatch!(
        isa,
        quantize_all(
            x: &[f32], width: usize, row_bytes: usize, offset: u8, bytes: &mut [u8], row_scales: &mut [f32],
        )
    );
    if layout.rows == 2 {
        interleave_pairs(values, depth);
    }
    Int8Rows { quads: Rows { values, stride: depth, count, width: depth }, scales }
}

/// Interleaves each two rows of `depth` quads: two quads of the first, two of the second, and so on.
fn interleave_pairs(quads: &mut [Quad], depth: usize) {
    let mut rows = vec![Quad::default(); 2 * depth];
    for pair in quads.chunks_exact_mut(2 * depth) {
        rows.copy_from_slice(pair);
        let (first, second) = rows.split_at(depth);
        let steps = first.as_chunks::<2>().0.iter().zip(second.as_chunks::<2>().0);
        for (out, ([a, b], [c, d])) in pair.as_chunks_mut::<4>().0.iter_mut().zip(steps) {
            *out = [*a, *b, *c, *d];
        }
    }
}

/// The byte layout of the dot step of an instruction set.
fn layout(isa: Isa) -> ByteLayout {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => Avx2::LAYOUT,
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => AvxVnni::LAYOUT,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni | Level::Avx512Bf16 => Vnni::LAYOUT,
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Amx => amx::Int8::LAYOUT,
        #[cfg(target_arch = "aarch64")]
        Level::Dotprod => Sdot::LAYOUT,
        #[cfg(target_arch = "aarch64")]
        Level::I8mm | Level::Bf16 => Smmla::LAYOUT,
        _ => ByteLanes::LAYOUT,
    }
}

/// The number of quads in a row or a panel of `inputs` inputs.
fn depth(layout: ByteLayout, multiples: Multiples, inputs: usize) -> usize {
    multiples.depth(inputs, 4).next_multiple_of(layout.steps)
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

/// Rounds a row to integer multiples of its scale, ties to even, and returns the scale: the largest magnitude divided
/// by
/// 127. Every row of weights and of activations is rounded here.
///
/// A row of zeros, or of values so small that the inverse of the scale overflows, becomes zeros. A row with an infinity
/// or NaN has the scale NaN, and therefore products that are NaN: the sign of an infinity is not kept.
#[inline(always)]
fn quantize(row: &[f32], offset: u8, bytes: &mut [u8]) -> f32 {
    /// Adding it rounds to an integer, which the low bits of the sum hold.
    const ROUND: f32 = 12_582_912.0;
    let limit = LARGEST as f32;
    // The bit patterns have the order of the magnitudes, with NaN the largest.
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
    if largest < f32::INFINITY { largest / limit } else { f32::NAN }
}

/// A weight matrix in 8 bits.
pub(crate) struct Int8Panels {
    groups: Vec<Group>,
    /// The number of groups in a panel.
    depth: usize,
    /// The value of 1 in each output.
    scales: Vec<Lanes>,
    /// The start values of the sums, which cancel the offset of the inputs.
    starts: Vec<[i32; LANES]>,
}

impl Int8Panels {
    /// # Panics
    /// If there are more than [`MAX_INPUTS`] inputs.
    pub(crate) fn pack(isa: Isa, weight: &[f32], inputs: usize) -> Self {
        Self::pack_as(layout(isa), Multiples::of(isa), weight, inputs)
    }

    fn pack_as(layout: ByteLayout, multiples: Multiples, weight: &[f32], inputs: usize) -> Self {
        assert!(inputs <= MAX_INPUTS, "{inputs} inputs, of which int8 takes at most {MAX_INPUTS}");
        let panels = multiples.panels(weight.len() / inputs.max(1));
        let depth = depth(layout, multiples, inputs);
        let ByteLayout { offset, steps, place, .. } = layout;
        let mut groups = vec![Group::default(); panels * depth];
        let mut scales = vec![Lanes::default(); panels];
        let mut starts = vec![[0; LANES]; panels];
        let mut quads = vec![Quad::default(); depth];
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let (panel, lane) = (output / LANES, output % LANES);
            scales[panel][lane] = quantize(row, 0, quads.as_flattened_mut());
            let groups = groups[panel * depth..][..depth].chunks_exact_mut(steps);
            for (groups, quads) in groups.zip(quads.chunks_exact(steps)) {
                let weights = lines::as_words(groups).as_flattened_mut();
                for (input, byte) in quads.as_flattened().iter().enumerate() {
                    weights[place(lane, input)] = byte.cast_signed();
                }
            }
            let sum: i32 = quads.as_flattened().iter().map(|byte| i32::from(byte.cast_signed())).sum();
            starts[panel][lane] = sum.wrapping_mul(-i32::from(offset));
        }
        Self { groups, depth, scales, starts }
    }
}

/// Panels from `first` on, for rows with the given scales.
#[derive(Clone, Copy)]
struct ScaledPanels<'a> {
    panels: &'a Int8Panels,
    first: usize,
    row_scales: &'a [f32],
}

struct ScaledPanel<'a> {
    groups: &'a [Group],
    start: &'a [i32; LANES],
    scales: &'a Lanes,
    row_scales: &'a [f32],
    bias: Lanes,
}

impl<'a, S: Step<Weights = Group, Element = i32>> Panels<S> for ScaledPanels<'a> {
    type Panel = ScaledPanel<'a>;

    #[inline(always)]
    fn panel(&self, index: usize, bias: Lanes) -> ScaledPanel<'a> {
        let (Int8Panels { groups, depth, scales, starts }, index) = (self.panels, self.first + index);
        ScaledPanel {
            groups: &groups[index * depth..][..*depth],
            start: &starts[index],
            scales: &scales[index],
            row_scales: self.row_scales,
            bias,
        }
    }
}

impl<S: Step<Weights = Group, Element = i32>> Panel<S> for ScaledPanel<'_> {
    #[inline(always)]
    fn weights(&self) -> &[Group] {
        self.groups
    }

    #[inline(always)]
    fn start(&self) -> &[i32; LANES] {
        self.start
    }

    /// Two products and a sum, never fused: the same roundings on every instruction set.
    #[inline(always)]
    fn finish(&self, row: usize, sums: [i32; LANES]) -> Lanes {
        let row_scale = self.row_scales[row];
        // A closure would be a call in a function with a target feature.
        let mut values = [0.0; LANES];
        for lane in 0..LANES {
            values[lane] = sums[lane] as f32 * (row_scale * self.scales[lane]) + self.bias[lane];
        }
        values
    }
}

/// The product of rows and panels, from panel `first` on. Both were prepared for the same instruction set.
pub(crate) fn product(isa: Isa, x: Int8Rows<'_>, panels: &Int8Panels, first: usize, epilogue: Epilogue<'_>) {
    let Int8Rows { quads, scales } = x;
    let panels = ScaledPanels { panels, first, row_scales: scales };
    match isa.level() {
        // SAFETY: an `Isa` exists only if this machine has its instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { avx2(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => unsafe { avx_vnni(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni | Level::Avx512Bf16 => unsafe { vnni(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Amx => unsafe { amx(&amx::Int8::new(isa), quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Level::Dotprod => unsafe { dotprod(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Level::I8mm | Level::Bf16 => unsafe { i8mm(quads, panels, epilogue) },
        _ => tiles::multiply(ByteLanes, quads, panels, epilogue),
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
fn dotprod(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(Sdot::new(), x, panels, epilogue);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,i8mm")]
fn i8mm(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(RowPairs(Smmla::new()), x, panels, epilogue);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(Avx2::new(), x, panels, epilogue);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma")]
fn avx_vnni(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(AvxVnni::new(), x, panels, epilogue);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
fn vnni(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(Vnni::new(), x, panels, epilogue);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f,avx2,fma")]
fn amx(dot: &amx::Int8, x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(TwoByTwo::new(dot), x, panels, epilogue);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::{Fused, Native, gelu};
    use crate::epilogue::Activation;
    use crate::gemm::emulated::{Smmla, Tdpbssd};
    use crate::gemm::row_pairs::RowPairs;
    use crate::gemm::tiles::TwoByTwo;
    use crate::layout::RowsMut;
    use crate::matmul::{Matmul, PackedMatrix};
    use crate::operand::OperandWorkspace;
    use crate::precision::Precision;

    /// The same rounding, written differently: the 8-bit values and their scale.
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

    /// Rows that are hard to round: zeros, equal magnitudes, halves, huge or tiny values, a single peak.
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
        /// Tests the loop around the emulated `TDPBSSD`.
        #[test]
        fn tiles_have_the_bits_of_the_naive_product((inputs, x, weight, bias) in operands()) {
            let count = x.len() / inputs;
            let panels = Int8Panels::pack_as(Tdpbssd::LAYOUT, Multiples::AMX, &weight, inputs);
            let stride = Multiples::AMX.depth(inputs, 4);
            let mut quads = vec![[0x80; 4]; count.next_multiple_of(Multiples::AMX.rows) * stride];
            let mut scales = vec![0.0; count];
            quantize_all::<Fused>(&x, inputs, 4 * stride, 0, quads.as_flattened_mut(), &mut scales);
            let rows = Rows { values: &quads, stride, count, width: stride };
            let mut y = vec![f32::NAN; count * bias.len()];
            let out = RowsMut { values: &mut y, stride: bias.len(), width: bias.len() };
            let panels = ScaledPanels { panels: &panels, first: 0, row_scales: &scales };
            let epilogue = Epilogue { bias: &bias, activation: Activation::None, out };
            tiles::multiply(TwoByTwo::new(&Tdpbssd), rows, panels, epilogue);
            prop_assert_eq!(bits(&y), bits(&naive(&x, &weight, &bias, inputs)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Tests the loop around the emulated `smmla`.
        #[test]
        fn row_pairs_have_the_bits_of_the_naive_product((inputs, x, weight, bias) in operands()) {
            let count = x.len() / inputs;
            let panels = Int8Panels::pack_as(Smmla::LAYOUT, Multiples::ANY, &weight, inputs);
            let stride = depth(Smmla::LAYOUT, Multiples::ANY, inputs);
            let (mut quads, mut scales) = (vec![[0x80; 4]; count.next_multiple_of(2) * stride], vec![0.0; count]);
            quantize_all::<Fused>(&x, inputs, 4 * stride, 0, quads.as_flattened_mut(), &mut scales);
            interleave_pairs(&mut quads, stride);
            let rows = Rows { values: &quads, stride, count, width: stride };
            let mut y = vec![f32::NAN; count * bias.len()];
            let out = RowsMut { values: &mut y, stride: bias.len(), width: bias.len() };
            let panels = ScaledPanels { panels: &panels, first: 0, row_scales: &scales };
            let epilogue = Epilogue { bias: &bias, activation: Activation::None, out };
            tiles::multiply(RowPairs(Smmla), rows, panels, epilogue);
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
