//! Dot steps with instructions of `x86_64` that the compiler does not generate from plain Rust.

use std::arch::x86_64::{
    __m256i, __m512, __m512bh, __m512i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_dpbusd_avx_epi32, _mm256_madd_epi16,
    _mm256_maddubs_epi16, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_sign_epi8, _mm512_dpbf16_ps,
    _mm512_dpbusd_epi32, _mm512_set1_epi32,
};
use std::mem::transmute;

use super::dot::{ByteStep, Dot, Step};
use crate::arithmetic::{Fused, LANES};
use crate::bf16::Pair;
use crate::layout::{ByteLayout, Group, Quad};
use crate::lines::Line;

/// `vpmaddubsw`, one operand of which is unsigned: its operands are the magnitudes of the weights, and the inputs with
/// the signs of the weights. Two products of at most 127² stay below 2¹⁵, so no sum saturates.
#[derive(Clone, Copy)]
pub(crate) struct Avx2(());

impl Avx2 {
    #[target_feature(enable = "avx2")]
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl ByteStep for Avx2 {
    const LAYOUT: ByteLayout = ByteLayout::BY_OUTPUT;
}

impl Step for Avx2 {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Fused;
}

impl Dot for Avx2 {
    type Sums = [__m256i; 2];
    type Loaded = [__m256i; 2];
    const TILE_ROWS: usize = 4;

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
            // SAFETY: `self` exists only where there is AVX2.
            unsafe {
                let quads = _mm256_set1_epi32(i32::from_ne_bytes(quad));
                let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(quads, weights));
                *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
            }
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; LANES] {
        // SAFETY: as in `start`.
        unsafe { transmute::<Self::Sums, [i32; LANES]>(sums) }
    }
}

/// `vpdpbusd` in 256 bits, as [`Vnni`].
#[derive(Clone, Copy)]
pub(crate) struct AvxVnni(());

impl AvxVnni {
    #[target_feature(enable = "avx2,avxvnni")]
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl ByteStep for AvxVnni {
    const LAYOUT: ByteLayout = ByteLayout::BY_OUTPUT_UNSIGNED;
}

impl Step for AvxVnni {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Fused;
}

impl Dot for AvxVnni {
    type Sums = [__m256i; 2];
    type Loaded = [__m256i; 2];
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
            // SAFETY: `self` exists only where there is AVX-VNNI.
            unsafe {
                let quads = _mm256_set1_epi32(i32::from_ne_bytes(quad));
                *sum = _mm256_dpbusd_avx_epi32(*sum, quads, weights);
            }
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; LANES] {
        // SAFETY: as in `start`.
        unsafe { transmute::<Self::Sums, [i32; LANES]>(sums) }
    }
}

/// `vpdpbusd`, whose inputs are unsigned: they are stored with an offset of 128, which the start values of the sums
/// cancel. Sums wrap at 32 bits, so only the final sum must fit.
#[derive(Clone, Copy)]
pub(crate) struct Vnni(());

impl Vnni {
    #[target_feature(enable = "avx512f,avx512vnni")]
    pub(crate) fn new() -> Self {
        Self(())
    }
}

impl ByteStep for Vnni {
    const LAYOUT: ByteLayout = ByteLayout::BY_OUTPUT_UNSIGNED;
}

impl Step for Vnni {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Fused;
}

impl Dot for Vnni {
    type Sums = __m512i;
    type Loaded = __m512i;
    const TILE_ROWS: usize = 12;
    const TILE_PANELS: usize = 2;

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
        // SAFETY: `self` exists only where there is AVX-512 VNNI.
        *sums = unsafe { _mm512_dpbusd_epi32(*sums, _mm512_set1_epi32(i32::from_ne_bytes(quad)), weights) };
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; LANES] {
        // SAFETY: as in `start`.
        unsafe { transmute::<Self::Sums, [i32; LANES]>(sums) }
    }
}

/// `vdpbf16ps`: it adds the product of the second values of each pair, then that of the first values, rounds after each
/// addition, and treats subnormal numbers as zero.
#[derive(Clone, Copy)]
pub(crate) struct Bf16(());

impl Bf16 {
    #[target_feature(enable = "avx512f,avx512bf16")]
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

impl Dot for Bf16 {
    type Sums = __m512;
    type Loaded = __m512bh;
    const TILE_ROWS: usize = 12;

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
        // SAFETY: the types have the same sizes, and any pattern of bits is a value of them; `self` exists only where
        // there is AVX-512 BF16.
        unsafe {
            let pairs = _mm512_set1_epi32(transmute::<Pair, i32>(pair));
            // As the last operand, the broadcast becomes a memory operand of the instruction.
            *sums = _mm512_dpbf16_ps(*sums, weights, transmute::<__m512i, __m512bh>(pairs));
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [f32; LANES] {
        // SAFETY: as in `start`.
        unsafe { transmute::<Self::Sums, [f32; LANES]>(sums) }
    }
}
