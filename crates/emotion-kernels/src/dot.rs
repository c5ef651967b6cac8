//! How a few products are added to a sum, in sixteen sums at a time: the one step of a product that
//! is written for each instruction set. With bytes it is exact on each.

use crate::arithmetic::LANES;
use crate::lines::Line;
use crate::tiles::Format;

/// Four inputs of one row, side by side: 8-bit integers, with [`Layout::offset`] added.
pub(crate) type Quad = [u8; 4];
/// The weights that a [`Quad`] meets in 16 outputs.
pub(crate) type Group = Line<[i8; 4]>;

/// An instruction set's way; a value is the proof that this machine has the instructions.
pub(crate) trait Dot: Format + Copy {
    type Sums: Copy;
    /// Rows of a tile.
    const TILE_ROWS: usize = 4;

    fn load(self, sums: &[Self::Element; LANES]) -> Self::Sums;
    /// Adds to each sum the products of its weights with the input.
    fn add(self, sums: Self::Sums, weights: &Self::Weights, input: Self::Input) -> Self::Sums;
    fn store(self, sums: Self::Sums) -> [Self::Element; LANES];
}

/// A [`Dot`] of bytes.
pub(crate) trait QuadDot: Dot<Input = Quad, Weights = Group, Element = i32> {
    const LAYOUT: Layout;
}

/// How an instruction set takes bytes.
#[derive(Clone, Copy)]
pub(crate) struct Layout {
    /// What is added to each byte of a [`Quad`], modulo 256.
    pub offset: u8,
    /// Where the weight of an output (of 16) for an input (of 4) stands in a [`Group`].
    pub place: fn(usize, usize) -> usize,
}

/// Plain Rust, for every processor. Two products of at most 127² fit into 16 bits.
#[derive(Clone, Copy)]
pub(crate) struct Portable;

impl QuadDot for Portable {
    const LAYOUT: Layout = Layout { offset: 0, place: |output, input| input * LANES + output };
}

impl Format for Portable {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
}

impl Dot for Portable {
    type Sums = [i32; LANES];

    #[inline(always)]
    fn load(self, sums: &[i32; LANES]) -> Self::Sums {
        *sums
    }

    #[inline(always)]
    fn add(self, mut sums: Self::Sums, weights: &Group, quad: Quad) -> Self::Sums {
        let [a, b, c, d] = quad.map(|byte| i16::from(byte.cast_signed()));
        let (weights, _) = weights.0.as_flattened().as_chunks::<LANES>();
        for lane in 0..LANES {
            let weight = |input: usize| i16::from(weights[input][lane]);
            let pairs = [weight(0) * a + weight(1) * b, weight(2) * c + weight(3) * d];
            sums[lane] += i32::from(pairs[0]) + i32::from(pairs[1]);
        }
        sums
    }

    #[inline(always)]
    fn store(self, sums: Self::Sums) -> [i32; LANES] {
        sums
    }
}

#[cfg(target_arch = "x86_64")]
pub(crate) use x86::{Avx2, Bf16, Vnni};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512, __m512bh, __m512i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_madd_epi16, _mm256_maddubs_epi16,
        _mm256_set1_epi16, _mm256_set1_epi32, _mm256_sign_epi8, _mm512_dpbf16_ps, _mm512_dpbusd_epi32,
        _mm512_set1_epi32,
    };
    use std::mem::transmute;

    use super::{Dot, Format, Group, LANES, Layout, Line, Quad, QuadDot};
    use crate::bfloat16::Pair;

    /// `vpmaddubsw`, which takes one operand without a sign: the weights' signs go over to the
    /// inputs. Two products of at most 127² stay below 2¹⁵, so that nothing saturates.
    #[derive(Clone, Copy)]
    pub(crate) struct Avx2(());

    impl Avx2 {
        #[target_feature(enable = "avx2")]
        pub(crate) fn new() -> Self {
            Self(())
        }
    }

    impl QuadDot for Avx2 {
        const LAYOUT: Layout = Layout { offset: 0, place: |output, input| output * 4 + input };
    }

    impl Format for Avx2 {
        type Input = Quad;
        type Weights = Group;
        type Element = i32;
    }

    impl Dot for Avx2 {
        type Sums = [__m256i; 2];

        #[inline(always)]
        fn load(self, sums: &[i32; LANES]) -> Self::Sums {
            // SAFETY: both are 64 bytes for which every pattern of bits is a value.
            unsafe { transmute::<[i32; LANES], Self::Sums>(*sums) }
        }

        #[inline(always)]
        fn add(self, mut sums: Self::Sums, weights: &Group, quad: Quad) -> Self::Sums {
            // SAFETY: as in `load`.
            let weights = unsafe { transmute::<Group, [__m256i; 2]>(*weights) };
            for (sum, weights) in sums.iter_mut().zip(weights) {
                // SAFETY: `self` exists only where there is AVX2.
                unsafe {
                    let quads = _mm256_set1_epi32(i32::from_ne_bytes(quad));
                    let pairs = _mm256_maddubs_epi16(_mm256_abs_epi8(weights), _mm256_sign_epi8(quads, weights));
                    *sum = _mm256_add_epi32(*sum, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
                }
            }
            sums
        }

        #[inline(always)]
        fn store(self, sums: Self::Sums) -> [i32; LANES] {
            // SAFETY: as in `load`.
            unsafe { transmute::<Self::Sums, [i32; LANES]>(sums) }
        }
    }

    /// `vpdpbusd`, which does it all, but takes the inputs without a sign: they come 128 too high,
    /// and the sums start as much lower. It wraps at 32 bits, so that only the last sum must fit.
    #[derive(Clone, Copy)]
    pub(crate) struct Vnni(());

    impl Vnni {
        #[target_feature(enable = "avx512f,avx512vnni")]
        pub(crate) fn new() -> Self {
            Self(())
        }
    }

    impl QuadDot for Vnni {
        const LAYOUT: Layout = Layout { offset: 128, place: |output, input| output * 4 + input };
    }

    impl Format for Vnni {
        type Input = Quad;
        type Weights = Group;
        type Element = i32;
    }

    impl Dot for Vnni {
        type Sums = __m512i;
        const TILE_ROWS: usize = 12;

        #[inline(always)]
        fn load(self, sums: &[i32; LANES]) -> Self::Sums {
            // SAFETY: both are 64 bytes for which every pattern of bits is a value.
            unsafe { transmute::<[i32; LANES], Self::Sums>(*sums) }
        }

        #[inline(always)]
        fn add(self, sums: Self::Sums, weights: &Group, quad: Quad) -> Self::Sums {
            // SAFETY: as in `load`; and `self` exists only where there is AVX-512 VNNI.
            unsafe {
                let weights = transmute::<Group, __m512i>(*weights);
                _mm512_dpbusd_epi32(sums, _mm512_set1_epi32(i32::from_ne_bytes(quad)), weights)
            }
        }

        #[inline(always)]
        fn store(self, sums: Self::Sums) -> [i32; LANES] {
            // SAFETY: as in `load`.
            unsafe { transmute::<Self::Sums, [i32; LANES]>(sums) }
        }
    }

    /// `vdpbf16ps`: of each pair it adds the product of the second inputs, then that of the first,
    /// with a rounding each, and takes numbers below the least normal one for zero.
    #[derive(Clone, Copy)]
    pub(crate) struct Bf16(());

    impl Bf16 {
        #[target_feature(enable = "avx512f,avx512bf16")]
        pub(crate) fn new() -> Self {
            Self(())
        }
    }

    impl Format for Bf16 {
        type Input = Pair;
        type Weights = Line<Pair>;
        type Element = f32;
    }

    impl Dot for Bf16 {
        type Sums = __m512;
        const TILE_ROWS: usize = 12;

        #[inline(always)]
        fn load(self, sums: &[f32; LANES]) -> Self::Sums {
            // SAFETY: both are 64 bytes for which every pattern of bits is a value.
            unsafe { transmute::<[f32; LANES], Self::Sums>(*sums) }
        }

        #[inline(always)]
        fn add(self, sums: Self::Sums, weights: &Line<Pair>, pair: Pair) -> Self::Sums {
            // SAFETY: as in `load`; and `self` exists only where there is AVX-512 BF16.
            unsafe {
                let pairs = _mm512_set1_epi32(transmute::<Pair, i32>(pair));
                let weights = transmute::<Line<Pair>, __m512bh>(*weights);
                // In the last place the compiler makes the broadcast a part of the instruction.
                _mm512_dpbf16_ps(sums, weights, transmute::<__m512i, __m512bh>(pairs))
            }
        }

        #[inline(always)]
        fn store(self, sums: Self::Sums) -> [f32; LANES] {
            // SAFETY: as in `load`.
            unsafe { transmute::<Self::Sums, [f32; LANES]>(sums) }
        }
    }
}
