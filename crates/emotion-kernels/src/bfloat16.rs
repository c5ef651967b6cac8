//! bfloat16: the upper half of a float32, so that widening is a shift on every instruction set.
//!
//! Inputs go in pairs, of which the second is multiplied first: the order of `vdpbf16ps`. Where there
//! is no such instruction, values are widened and stored with each pair turned round, and the
//! product is float32's.

use crate::Isa;
use crate::arithmetic::{Arithmetic, LANES, Lanes};
use crate::dot::Dot;
use crate::isa::{Level, dispatch};
use crate::lines::{self, Line};
use crate::matmul::{Activation, Output, Rows, RowsMut, Weight, lanes_at, multiply, pack};
use crate::tiles::{self, Format, Multiples};
#[cfg(target_arch = "x86_64")]
use crate::{amx, arithmetic::Fused, dot::Bf16};

/// Two inputs side by side, or the weights that they meet.
pub(crate) type Pair = [Bfloat16; 2];

/// A value rounded to bfloat16, by its bits.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bfloat16(u16);

impl Bfloat16 {
    /// To the nearest, of two equally near to the one whose last bit is 0; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn round(value: f32) -> Self {
        let bits = value.to_bits();
        let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
        let quiet = bits | 0x0040_0000;
        Self(((if value.is_nan() { quiet } else { nearest }) >> 16) as u16)
    }
}

impl Output for Bfloat16 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        Self::round(value)
    }
}

impl Weight for Bfloat16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// A weight matrix in bfloat16: panels of 16 outputs. An odd number of inputs is made even.
pub(crate) enum Bfloat16Panels {
    /// For each input, its 16 weights; of each pair of inputs, the second's first.
    Turned(Vec<[Bfloat16; LANES]>),
    /// For each pair of inputs, its 16 pairs of weights.
    Pairs(Vec<Line<Pair>>),
}

impl Bfloat16Panels {
    pub(crate) fn pack(isa: Isa, weight: &[f32], inputs: usize) -> Self {
        if has_pairs(isa) {
            return Self::Pairs(pack_pairs(Multiples::of(isa), weight, inputs));
        }
        let panels = pack(weight, inputs, 2, 1, Bfloat16::round);
        let (pairs, _) = panels.as_chunks::<2>();
        Self::Turned(pairs.iter().flat_map(|[first, second]| [*second, *first]).collect())
    }
}

/// Panels of pairs.
pub(crate) fn pack_pairs(multiples: Multiples, weight: &[f32], inputs: usize) -> Vec<Line<Pair>> {
    let panels = pack(weight, inputs, 2 * multiples.steps, multiples.panels, Bfloat16::round);
    panels.as_chunks::<2>().0.iter().map(side_by_side).collect()
}

fn side_by_side([first, second]: &[[Bfloat16; LANES]; 2]) -> Line<Pair> {
    Line(std::array::from_fn(|lane| [first[lane], second[lane]]))
}

/// Rows of activations rounded to bfloat16, filled up with zeros to [`Multiples`] of pairs.
#[derive(Clone, Copy)]
pub(crate) enum Bfloat16Rows<'a> {
    /// Held as float32; of each pair, the second first.
    Turned(&'a [f32]),
    /// `depth` to a row.
    Pairs { steps: &'a [Pair], depth: usize },
}

/// Rounds each row of `x` to bfloat16, as `isa` wants it.
pub(crate) fn round_rows<'a>(
    isa: Isa,
    x: &[f32],
    width: usize,
    turned: &'a mut Vec<f32>,
    pairs: &'a mut Vec<Line<Pair>>,
) -> Bfloat16Rows<'a> {
    let count = x.len() / width.max(1);
    if has_pairs(isa) {
        let multiples = Multiples::of(isa);
        let depth = width.div_ceil(2).next_multiple_of(multiples.steps);
        let steps = lines::room(pairs, count.next_multiple_of(multiples.rows) * depth);
        round_rows_to_pairs(isa, x, width, depth, steps);
        return Bfloat16Rows::Pairs { steps, depth };
    }
    round_and_turn_rows(isa, x, width, turned);
    Bfloat16Rows::Turned(turned)
}

/// Rows of pairs, `depth` to a row, filled up with zeros.
pub(crate) fn round_rows_to_pairs(isa: Isa, x: &[f32], width: usize, depth: usize, out: &mut [Pair]) {
    dispatch!(isa, round_to_pairs(x: &[f32], width: usize, depth: usize, out: &mut [Pair]));
}

/// Rows held as float32, of an even width, with each pair turned round.
pub(crate) fn round_and_turn_rows(isa: Isa, x: &[f32], width: usize, turned: &mut Vec<f32>) {
    turned.resize(x.len() / width.max(1) * width.next_multiple_of(2), 0.0);
    let out = turned.as_mut_slice();
    dispatch!(isa, round_and_turn(x: &[f32], width: usize, out: &mut [f32]));
}

/// As [`round_and_turn_rows`], for an even number of values.
#[inline(always)]
pub(crate) fn round_and_turn_in_place<A: Arithmetic>(values: &mut [f32]) {
    for pair in values.as_chunks_mut::<2>().0 {
        let [first, second] = *pair;
        *pair = [second, first].map(|value| Bfloat16::round(value).widen());
    }
}

#[inline(always)]
fn round_to_pairs<A: Arithmetic>(x: &[f32], width: usize, depth: usize, out: &mut [Pair]) {
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(depth)) {
        let (out, rest) = out.as_flattened_mut().split_at_mut(width);
        for (out, value) in out.iter_mut().zip(row) {
            *out = Bfloat16::round(*value);
        }
        rest.fill(Bfloat16::default());
    }
}

#[inline(always)]
pub(crate) fn round_and_turn<A: Arithmetic>(x: &[f32], width: usize, out: &mut [f32]) {
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(width.next_multiple_of(2))) {
        let ((whole, rest), (out, _)) = (row.as_chunks::<2>(), out.as_chunks_mut::<2>());
        for (out, [first, second]) in out.iter_mut().zip(whole) {
            *out = [*second, *first].map(|value| Bfloat16::round(value).widen());
        }
        if let ([value], Some(last)) = (rest, out.last_mut()) {
            *last = [0.0, Bfloat16::round(*value).widen()];
        }
    }
}

/// The product of `count` rows and panels, from `first` on, that were made for the same instruction set.
#[expect(clippy::too_many_arguments, reason = "it takes a product apart")]
pub(crate) fn product(
    isa: Isa,
    x: Bfloat16Rows<'_>,
    count: usize,
    panels: &Bfloat16Panels,
    first: usize,
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_>,
) {
    match (x, panels) {
        (Bfloat16Rows::Turned(values), Bfloat16Panels::Turned(panels)) => {
            let width = values.len() / count.max(1);
            let (x, panels) = (Rows { values, stride: width, count, width }, &panels[first * width..]);
            dispatch!(
                isa,
                multiply_widened(
                    x: Rows<'_>,
                    panels: &[[Bfloat16; LANES]],
                    bias: &[f32],
                    activation: Activation,
                    y: RowsMut<'_>,
                )
            );
        }
        (Bfloat16Rows::Pairs { steps, depth }, Bfloat16Panels::Pairs(panels)) => {
            let x = Rows { values: steps, stride: depth, count, width: depth };
            PairProduct::of(isa).run(x, &panels[first * depth..], bias, activation, y);
        }
        _ => unreachable!("rows and panels were made for the same instruction set"),
    }
}

#[inline(always)]
fn multiply_widened<A: Arithmetic>(
    x: Rows<'_>,
    panels: &[[Bfloat16; LANES]],
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_>,
) {
    multiply::<A, Bfloat16>(x, panels, bias, activation, y);
}

/// The product as rows of pairs; as they are for products with it, rows and panels are filled up to [`Multiples`].
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
    let depth = width.div_ceil(2).next_multiple_of(multiples.steps);
    let steps = lines::room(pairs, x.count.next_multiple_of(multiples.rows) * depth);
    let values = steps.as_flattened_mut();
    for row in values.chunks_exact_mut((2 * depth).max(1)) {
        row[width..].fill(Bfloat16::default());
    }
    PairProduct::of(isa).run(x, panels, bias, activation, RowsMut { values, stride: 2 * depth, width });
    Bfloat16Rows::Pairs { steps, depth }
}

/// Whether there is an instruction for pairs.
pub(crate) fn has_pairs(isa: Isa) -> bool {
    matches!(isa.level(), Level::Avx512Bf16 | Level::Amx)
}

/// The product of pairs by this machine's instructions, ready to run.
pub(crate) enum PairProduct {
    Vectors,
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Tiles(amx::Bf16),
}

impl PairProduct {
    /// # Panics
    /// If [`has_pairs`] says that there are none.
    pub(crate) fn of(isa: Isa) -> Self {
        match isa.level() {
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            // SAFETY: an `Isa` exists only if this machine has its instructions.
            Level::Amx => Self::Tiles(unsafe { amx::Bf16::new() }),
            Level::Avx512Bf16 => Self::Vectors,
            _ => unreachable!("asked for where there are pairs"),
        }
    }

    /// Rows and panels are filled up to [`Multiples`].
    #[cfg_attr(not(target_arch = "x86_64"), expect(unused_variables, reason = "no machine of the target has pairs"))]
    pub(crate) fn run<T: Output>(
        &self,
        x: Rows<'_, Pair>,
        panels: &[Line<Pair>],
        bias: &[f32],
        activation: Activation,
        y: RowsMut<'_, T>,
    ) {
        match *self {
            // SAFETY: a value of this type is made only where there are the instructions.
            #[cfg(target_arch = "x86_64")]
            Self::Vectors => unsafe { vectors(x, panels, bias, activation, y) },
            // SAFETY: as above.
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Tiles(ref dot) => unsafe { tiles(dot, x, panels, bias, activation, y) },
            #[cfg(not(target_arch = "x86_64"))]
            Self::Vectors => unreachable!("no machine of the target has pairs"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512bf16,avx2,fma")]
fn vectors<T: Output>(
    x: Rows<'_, Pair>,
    panels: &[Line<Pair>],
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_, T>,
) {
    multiply_pairs::<_, Fused, T>(Bf16::new(), x, panels, bias, activation, y);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f,avx2,fma")]
fn tiles<T: Output>(
    dot: &amx::Bf16,
    x: Rows<'_, Pair>,
    panels: &[Line<Pair>],
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_, T>,
) {
    amx::multiply::<_, Fused, _, T>(dot, x, |index| Panel::at(panels, index, x.width, bias), activation, y);
}

#[inline(always)]
fn multiply_pairs<D: PairDot, A: Arithmetic, T: Output>(
    dot: D,
    x: Rows<'_, Pair>,
    panels: &[Line<Pair>],
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_, T>,
) {
    tiles::multiply::<D, A, _, T>(dot, x, |index| Panel::at(panels, index, x.width, bias), activation, y);
}

/// A [`Dot`] of bfloat16.
trait PairDot: Dot<Input = Pair, Weights = Line<Pair>, Element = f32> {}
impl<D: Dot<Input = Pair, Weights = Line<Pair>, Element = f32>> PairDot for D {}

/// What 16 outputs need.
struct Panel<'a> {
    weights: &'a [Line<Pair>],
    bias: Lanes,
}

impl<'a> Panel<'a> {
    #[inline(always)]
    fn at(panels: &'a [Line<Pair>], index: usize, depth: usize, bias: &[f32]) -> Self {
        Self { weights: &panels[index * depth..][..depth], bias: lanes_at(bias, index * LANES) }
    }
}

impl<'a, D: Format<Weights = Line<Pair>, Element = f32>> tiles::Panel<'a, D> for Panel<'a> {
    #[inline(always)]
    fn weights(&self) -> &'a [Line<Pair>] {
        self.weights
    }

    #[inline(always)]
    fn start(&self) -> &Lanes {
        &self.bias
    }

    #[inline(always)]
    fn finish(&self, _row: usize, sums: Lanes) -> Lanes {
        sums
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::ops::Range;

    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::Fused;
    use crate::{Matmul, OperandWorkspace, PackedMatrix, Precision, amx};

    /// `vdpbf16ps` in plain Rust, for values whose products and sums are normal numbers or zero.
    #[derive(Clone, Copy)]
    struct Emulated;

    impl Format for Emulated {
        type Input = Pair;
        type Weights = Line<Pair>;
        type Element = f32;
    }

    impl Dot for Emulated {
        type Sums = Lanes;
        const TILE_ROWS: usize = 12;

        fn load(self, sums: &Lanes) -> Lanes {
            *sums
        }

        fn add(self, mut sums: Lanes, weights: &Line<Pair>, [first, second]: Pair) -> Lanes {
            for (sum, weights) in sums.iter_mut().zip(&weights.0) {
                *sum = second.widen().mul_add(weights[1].widen(), *sum);
                *sum = first.widen().mul_add(weights[0].widen(), *sum);
            }
            sums
        }

        fn store(self, sums: Lanes) -> Lanes {
            sums
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// The way of `vdpbf16ps` holds where there is none, and has the bits of widened values.
        #[test]
        fn pairs_have_the_bits_of_widened_values(
            (inputs, x, weight, bias) in operands(1..40, 1..30, 1..40),
        ) {
            let (count, outputs) = (x.len() / inputs, weight.len() / inputs);
            let (mut pairs, mut turned) = (vec![Pair::default(); count * inputs.div_ceil(2)], Vec::new());
            round_to_pairs::<Fused>(&x, inputs, inputs.div_ceil(2), &mut pairs);
            turned.resize(2 * pairs.len(), 0.0);
            round_and_turn::<Fused>(&x, inputs, &mut turned);
            let panels = pack_pairs(Multiples::ANY, &weight, inputs);
            let Bfloat16Panels::Turned(turned_panels) = Bfloat16Panels::pack(Isa::available()[0], &weight, inputs) else {
                unreachable!("the portable way")
            };
            let depth = inputs.div_ceil(2);
            for activation in [Activation::None, Activation::Gelu] {
                let (mut y, mut expected) = (vec![f32::NAN; count * outputs], vec![f32::NAN; count * outputs]);
                let out = RowsMut { values: &mut y, stride: outputs, width: outputs };
                let steps = Rows { values: &pairs, stride: depth, count, width: depth };
                multiply_pairs::<_, Fused, f32>(Emulated, steps, &panels, &bias, activation, out);
                let out = RowsMut { values: &mut expected, stride: outputs, width: outputs };
                let rows = Rows { values: &turned, stride: 2 * depth, count, width: 2 * depth };
                multiply::<Fused, Bfloat16>(rows, &turned_panels, &bias, activation, out);
                let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
                prop_assert_eq!(bits(&y), bits(&expected));
            }
        }
    }

    /// Inputs, rows, weights and a bias.
    pub(crate) fn operands(
        inputs: Range<usize>,
        rows: Range<usize>,
        outputs: Range<usize>,
    ) -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>, Vec<f32>)> {
        (inputs, rows, outputs).prop_flat_map(|(inputs, rows, outputs)| {
            let values = |count| prop::collection::vec(-1.0_f32..1.0, count);
            let bias = (0_i16..).map(|i| f32::from(i % 7) - 3.0).take(outputs).collect();
            (Just(inputs), values(rows * inputs), values(outputs * inputs), Just(bias))
        })
    }

    /// As [`tiles`](super::tiles()), by its instruction in plain Rust.
    pub(crate) fn multiply_emulated_tiles(
        steps: &[Pair],
        depth: usize,
        count: usize,
        panels: &[Line<Pair>],
        bias: &[f32],
        activation: Activation,
        y: RowsMut<'_>,
    ) {
        let panel = |index| Panel::at(panels, index, depth, bias);
        let x = Rows { values: steps, stride: depth, count, width: depth };
        amx::multiply::<_, Fused, _, f32>(&amx::emulated::Bf16, x, panel, activation, y);
    }

    /// What `TDPBF16PS` makes of it: of 32 inputs, those in even places are summed, those in odd ones, then both.
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
        /// The way of AMX holds where there is none, and where there is, the instruction does what its manual says.
        #[test]
        fn tiles_have_the_bits_of_the_manual(
            (inputs, x, weight, bias) in operands(1..140, 1..70, 1..70),
        ) {
            let (count, outputs) = (x.len() / inputs, weight.len() / inputs);
            let bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            let expected = bits(&naive_tiles(&x, &weight, &bias, inputs));

            let Multiples { rows, steps, .. } = amx::MULTIPLES;
            let depth = inputs.div_ceil(2).next_multiple_of(steps);
            let mut pairs = vec![[Bfloat16::round(f32::NAN); 2]; count.next_multiple_of(rows) * depth];
            round_to_pairs::<Fused>(&x, inputs, depth, &mut pairs);
            let panels = pack_pairs(amx::MULTIPLES, &weight, inputs);
            let mut y = vec![f32::NAN; count * outputs];
            let out = RowsMut { values: &mut y, stride: outputs, width: outputs };
            multiply_emulated_tiles(&pairs, depth, count, &panels, &bias, Activation::None, out);
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

    #[test]
    fn values_round_to_the_nearest_and_to_even() {
        let step = 2.0_f32.powi(-7);
        for (value, expected) in [
            (1.0, 1.0),
            (1.0 + 0.5 * step, 1.0),
            (1.0 + 0.500_1 * step, 1.0 + step),
            (1.0 + 1.5 * step, 1.0 + 2.0 * step),
            (-1.0 - 0.75 * step, -1.0 - step),
            (0.0, 0.0),
            (f32::INFINITY, f32::INFINITY),
            (f32::MAX, f32::INFINITY),
            (f32::from_bits(0x8001), f32::from_bits(0x1_0000)),
        ] {
            assert_eq!(rounded(value).to_bits(), expected.to_bits(), "{value:e}");
            assert_eq!(rounded(-value).to_bits(), (-expected).to_bits(), "{value:e}");
        }
        assert!(rounded(f32::from_bits(0x7F80_0001)).is_nan());
        assert!(rounded(f32::from_bits(0xFFFF_FFFF)).is_nan());
    }

    #[test]
    fn rounding_again_changes_nothing() {
        for bits in (0..=u16::MAX).map(|bits| u32::from(bits) << 16) {
            let value = f32::from_bits(bits);
            assert!(value.is_nan() || rounded(value).to_bits() == bits, "{value:e}");
        }
    }
}
