//! Dot steps with instructions of aarch64. They are written in `asm!`: the intrinsics of the extensions are not stable in
//! Rust, and the compiler does not always choose the form of `fmla` that takes its input from one lane.
//!
//! Source: Arm Architecture Reference Manual for A-profile architecture, `FMLA`, `SDOT`, `SMMLA`, `BFMLALB` and
//! `BFMLALT`.

use std::arch::aarch64::{float32x4_t, int8x16_t, int32x4_t, uint16x8_t};
use std::arch::asm;
use std::marker::PhantomData;
use std::mem::transmute;

use super::dot::{ByteStep, Dot, Step};
use super::portable::Widen;
use super::row_pairs::RowPairDot;
use crate::arithmetic::{Arithmetic, Fused, LANES, Lanes};
use crate::bf16::Pair;
use crate::layout::{ByteLayout, Group, Quad};
use crate::lines::Line;

/// `fmla` by element: one float32 input per step, with weights that are widened as they are loaded. NEON is part of the
/// baseline, so that a value needs no proof.
///
/// The bits are those of [`FloatLanes`](super::portable::FloatLanes), whose inputs the compiler broadcasts by `ld1r` in
/// large tiles. That load occupies a vector unit on Neoverse cores; a scalar load does not.
pub(crate) struct Fmla<A, W>(PhantomData<(A, W)>);

impl<A, W> Fmla<A, W> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<A, W> Clone for Fmla<A, W> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, W> Copy for Fmla<A, W> {}

impl<A: Arithmetic, W: Widen> Step for Fmla<A, W> {
    type Input = f32;
    type Weights = W;
    type Element = f32;
    type Arithmetic = A;
}

impl<A: Arithmetic, W: Widen> Dot for Fmla<A, W> {
    type Sums = [float32x4_t; 4];
    type Loaded = [float32x4_t; 4];
    const TILE_ROWS: usize = A::TILE_ROWS;

    #[inline(always)]
    fn start(self, sums: &Lanes) -> Self::Sums {
        // SAFETY: both types have 64 bytes, any pattern of which is a value.
        unsafe { transmute::<Lanes, Self::Sums>(*sums) }
    }

    #[inline(always)]
    fn load(self, weights: &W) -> Self::Loaded {
        // SAFETY: as in `start`.
        unsafe { transmute::<Lanes, Self::Loaded>(weights.widen()) }
    }

    #[inline(always)]
    fn add(self, sums: &mut Self::Sums, weights: Self::Loaded, input: f32) {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: the instruction is part of the baseline, and touches nothing but these registers.
            unsafe {
                asm!(
                    "fmla {sum:v}.4s, {weights:v}.4s, {input:v}.s[0]",
                    sum = inout(vreg) *sum, weights = in(vreg) weights, input = in(vreg) input,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> Lanes {
        // SAFETY: as in `start`.
        unsafe { transmute::<Self::Sums, Lanes>(sums) }
    }
}

/// `sdot`: the dot products of a quad of inputs with the quads of four outputs, signed by signed.
#[derive(Clone, Copy)]
pub(crate) struct Sdot(());

impl Sdot {
    #[target_feature(enable = "dotprod")]
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl ByteStep for Sdot {
    const LAYOUT: ByteLayout = ByteLayout::BY_OUTPUT;
}

impl Step for Sdot {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Fused;
}

impl Dot for Sdot {
    type Sums = [int32x4_t; 4];
    type Loaded = [int8x16_t; 4];
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn start(self, sums: &[i32; LANES]) -> Self::Sums {
        // SAFETY: both types have 64 bytes, any pattern of which is a value.
        unsafe { transmute::<[i32; LANES], Self::Sums>(*sums) }
    }

    #[inline(always)]
    fn load(self, weights: &Group) -> Self::Loaded {
        // SAFETY: as in `start`.
        unsafe { transmute::<Group, Self::Loaded>(*weights) }
    }

    #[inline(always)]
    fn add(self, sums: &mut Self::Sums, weights: Self::Loaded, quad: Quad) {
        for (sum, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: `self` exists only where there is the instruction, which touches nothing but these registers.
            unsafe {
                asm!(
                    "sdot {sum:v}.4s, {weights:v}.16b, {quad:v}.4b[0]",
                    sum = inout(vreg) *sum, weights = in(vreg) weights, quad = in(vreg) f32::from_ne_bytes(quad),
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; LANES] {
        // SAFETY: as in `start`.
        unsafe { transmute::<Self::Sums, [i32; LANES]>(sums) }
    }
}

/// `smmla`: the dot products of eight inputs of two rows with eight weights of two outputs, signed by signed. A
/// register of sums holds two outputs of the first row, then those of the second.
#[derive(Clone, Copy)]
pub(crate) struct Smmla(());

impl Smmla {
    #[target_feature(enable = "i8mm")]
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl ByteStep for Smmla {
    const LAYOUT: ByteLayout = ByteLayout::ROW_PAIRS;
}

impl Step for Smmla {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Fused;
}

impl RowPairDot for Smmla {
    type Sums = [int32x4_t; 8];
    type Loaded = [int8x16_t; 8];

    #[inline(always)]
    fn start(self, sums: &[i32; LANES]) -> Self::Sums {
        let mut pairs = [[[0; 2]; 2]; 8];
        for (rows, outputs) in pairs.iter_mut().zip(sums.as_chunks::<2>().0) {
            *rows = [*outputs; 2];
        }
        // SAFETY: both types have 128 bytes, any pattern of which is a value.
        unsafe { transmute::<[[[i32; 2]; 2]; 8], Self::Sums>(pairs) }
    }

    #[inline(always)]
    fn load(self, weights: &[Group; 2]) -> Self::Loaded {
        // SAFETY: as in `start`.
        unsafe { transmute::<[Group; 2], Self::Loaded>(*weights) }
    }

    #[inline(always)]
    fn add(self, sums: &mut Self::Sums, weights: Self::Loaded, inputs: [[Quad; 2]; 2]) {
        // SAFETY: both types have 16 bytes, any pattern of which is a value.
        let inputs = unsafe { transmute::<[[Quad; 2]; 2], int8x16_t>(inputs) };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: `self` exists only where there is the instruction, which touches nothing but these registers.
            unsafe {
                asm!(
                    "smmla {sum:v}.4s, {inputs:v}.16b, {weights:v}.16b",
                    sum = inout(vreg) *sum, inputs = in(vreg) inputs, weights = in(vreg) weights,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [[i32; LANES]; 2] {
        // SAFETY: both types have 128 bytes, any pattern of which is a value.
        let pairs = unsafe { transmute::<Self::Sums, [[[i32; 2]; 2]; 8]>(sums) };
        let mut rows = [[0; LANES]; 2];
        for (row, sums) in rows.iter_mut().enumerate() {
            for (outputs, pair) in sums.as_chunks_mut::<2>().0.iter_mut().zip(pairs) {
                *outputs = pair[row];
            }
        }
        rows
    }
}

/// `bfmlalt`, then `bfmlalb`: the fused multiply-add of float32 over the widened second, then the widened first values
/// of each pair. These are the bits of all other instruction sets but AMX, also for subnormal numbers.
///
/// `bfdot` and `bfmmla` round intermediate sums to odd, so that their bits would differ.
#[derive(Clone, Copy)]
pub(crate) struct Bf16(());

impl Bf16 {
    #[target_feature(enable = "bf16")]
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl Step for Bf16 {
    type Input = Pair;
    type Weights = Line<Pair>;
    type Element = f32;
    type Arithmetic = Fused;
}

/// Multiplies the values at odd (`t`) or even (`b`) indices of `$weights` by one value of `$pair`.
macro_rules! multiply_add_long {
    ($part:literal, $sum:expr, $weights:expr, $pair:expr, $index:literal) => {
        // The instruction takes its second factor from one of the first sixteen registers.
        asm!(
            concat!("bfmlal", $part, " {sum:v}.4s, {weights:v}.8h, {pair:v}.h[", $index, "]"),
            sum = inout(vreg) $sum, weights = in(vreg) $weights, pair = in(vreg_low16) $pair,
            options(pure, nomem, nostack, preserves_flags)
        )
    };
}

impl Dot for Bf16 {
    type Sums = [float32x4_t; 4];
    type Loaded = [uint16x8_t; 4];
    const TILE_ROWS: usize = 6;

    #[inline(always)]
    fn start(self, sums: &[f32; LANES]) -> Self::Sums {
        // SAFETY: both types have 64 bytes, any pattern of which is a value.
        unsafe { transmute::<[f32; LANES], Self::Sums>(*sums) }
    }

    #[inline(always)]
    fn load(self, weights: &Line<Pair>) -> Self::Loaded {
        // SAFETY: as in `start`.
        unsafe { transmute::<Line<Pair>, Self::Loaded>(*weights) }
    }

    #[inline(always)]
    fn add(self, sums: &mut Self::Sums, weights: Self::Loaded, pair: Pair) {
        // SAFETY: both types have four bytes, any pattern of which is a value.
        let pair = unsafe { transmute::<Pair, f32>(pair) };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: `self` exists only where there is the instruction, which touches nothing but these registers.
            unsafe { multiply_add_long!("t", *sum, weights, pair, 1) };
        }
        for (sum, weights) in sums.iter_mut().zip(weights) {
            // SAFETY: as above.
            unsafe { multiply_add_long!("b", *sum, weights, pair, 0) };
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [f32; LANES] {
        // SAFETY: as in `start`.
        unsafe { transmute::<Self::Sums, [f32; LANES]>(sums) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::bf16::Bfloat16;
    use crate::gemm::emulated::{self, Vdpbf16ps};
    use crate::gemm::portable::FloatLanes;
    use crate::isa::{Isa, Level};

    fn has(level: Level) -> bool {
        Isa::available().iter().any(|isa| isa.level() == level)
    }

    /// One step: the sums after the products have been added to them.
    #[inline(always)]
    fn step<D: Dot>(dot: D, sums: &[D::Element; LANES], weights: &D::Weights, input: D::Input) -> [D::Element; LANES] {
        let mut registers = dot.start(sums);
        dot.add(&mut registers, dot.load(weights), input);
        dot.finish(registers)
    }

    #[inline(always)]
    fn pair_step<D: RowPairDot>(
        dot: D,
        sums: &[D::Element; LANES],
        weights: &[D::Weights; 2],
        inputs: [[D::Input; 2]; 2],
    ) -> [[D::Element; LANES]; 2] {
        let mut registers = dot.start(sums);
        dot.add(&mut registers, dot.load(weights), inputs);
        dot.finish(registers)
    }

    #[target_feature(enable = "dotprod")]
    fn sdot(sums: &[i32; LANES], weights: &Group, quad: Quad) -> [i32; LANES] {
        step(Sdot::new(), sums, weights, quad)
    }

    #[target_feature(enable = "i8mm")]
    fn smmla(sums: &[i32; LANES], weights: &[Group; 2], inputs: [[Quad; 2]; 2]) -> [[i32; LANES]; 2] {
        pair_step(Smmla::new(), sums, weights, inputs)
    }

    #[target_feature(enable = "bf16")]
    fn bfmlal(sums: &Lanes, weights: &Line<Pair>, pair: Pair) -> Lanes {
        step(Bf16::new(), sums, weights, pair)
    }

    /// Bits of numbers of every magnitude, subnormal numbers and infinities included, but no NaN.
    fn number() -> impl Strategy<Value = f32> {
        let any = prop_oneof![3 => any::<u32>(), 1 => any::<u32>().prop_map(|bits| bits & 0x80FF_FFFF)];
        any.prop_map(f32::from_bits).prop_filter("a number", |value| !value.is_nan())
    }

    fn lanes() -> impl Strategy<Value = Lanes> {
        prop::array::uniform16(number())
    }

    fn pair() -> impl Strategy<Value = Pair> {
        prop::array::uniform2(number()).prop_map(|pair| pair.map(Bfloat16::round))
    }

    fn group() -> impl Strategy<Value = Group> {
        prop::array::uniform16(any::<[i8; 4]>()).prop_map(Line)
    }

    /// All NaN are the same.
    fn bits(values: Lanes) -> [u32; LANES] {
        values.map(|value| if value.is_nan() { f32::NAN } else { value }.to_bits())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]
        #[test]
        fn fmla_has_the_bits_of_plain_lanes(sums in lanes(), weights in lanes(), input in number()) {
            let expected = step(FloatLanes::<Fused, _>::NEW, &sums, &Line(weights), input);
            prop_assert_eq!(bits(step(Fmla::<Fused, _>::NEW, &sums, &Line(weights), input)), bits(expected));
        }

        #[test]
        fn bfmlal_has_the_bits_of_the_model(
            sums in lanes(), weights in prop::array::uniform16(pair()), input in pair(),
        ) {
            if has(Level::Bf16) {
                let expected = step(Vdpbf16ps, &sums, &Line(weights), input);
                // SAFETY: the machine has the instruction.
                let ours = unsafe { bfmlal(&sums, &Line(weights), input) };
                prop_assert_eq!(bits(ours), bits(expected));
            }
        }

        #[test]
        fn sdot_is_the_exact_product(
            sums in prop::array::uniform16(-1_000_000..1_000_000_i32), weights in group(), quad: Quad,
        ) {
            if has(Level::Dotprod) {
                let mut expected = sums;
                for (sum, weights) in expected.iter_mut().zip(weights.0) {
                    *sum += emulated::dot(quad, weights);
                }
                // SAFETY: the machine has the instruction.
                prop_assert_eq!(unsafe { sdot(&sums, &weights, quad) }, expected);
            }
        }

        #[test]
        fn smmla_has_the_bits_of_the_model(
            sums in prop::array::uniform16(-1_000_000..1_000_000_i32),
            weights in prop::array::uniform2(group()),
            inputs: [[Quad; 2]; 2],
        ) {
            if has(Level::I8mm) {
                let expected = pair_step(emulated::Smmla, &sums, &weights, inputs);
                // SAFETY: the machine has the instruction.
                prop_assert_eq!(unsafe { smmla(&sums, &weights, inputs) }, expected);
            }
        }
    }
}
