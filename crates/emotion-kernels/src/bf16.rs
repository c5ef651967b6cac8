//! bfloat16: the upper half of a float32, so that widening is a shift on every instruction set.
//!
//! Values are multiplied in pairs, and the product of the second values of a pair is added first, which is the order of
//! `vdpbf16ps`. Without that instruction, values are held as float32 with the values of each pair swapped, and the
//! product is that of float32.

use crate::arithmetic::{Arithmetic, dispatch};
use crate::epilogue::Output;
use crate::isa::Isa;
use crate::lines::Word;

/// Two inputs of one row, or the two weights of one output that multiply them.
pub(crate) type Pair = [Bfloat16; 2];

// SAFETY: twice 16 bits, any pattern of which is a number.
unsafe impl Word for Pair {}

/// A number in bfloat16.
#[derive(Debug, Clone, Copy, Default)]
#[repr(transparent)]
pub(crate) struct Bfloat16(u16);

impl Bfloat16 {
    /// Rounds to nearest, ties to even; NaN stays NaN.
    #[inline(always)]
    pub(crate) fn round(value: f32) -> Self {
        let bits = value.to_bits();
        let nearest = bits.wrapping_add(0x7FFF + (bits >> 16 & 1));
        let quiet = bits | 0x0040_0000;
        Self(((if value.is_nan() { quiet } else { nearest }) >> 16) as u16)
    }

    #[inline(always)]
    pub(crate) fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

impl Output for Bfloat16 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        Self::round(value)
    }
}

/// Rounds rows of `width` values to rows of `depth` pairs, padded with zeros.
pub(crate) fn round_to_pairs(isa: Isa, x: &[f32], width: usize, depth: usize, out: &mut [Pair]) {
    dispatch!(isa, round_rows_to_pairs(x: &[f32], width: usize, depth: usize, out: &mut [Pair]));
}

#[inline(always)]
pub(crate) fn round_rows_to_pairs<A: Arithmetic>(x: &[f32], width: usize, depth: usize, out: &mut [Pair]) {
    for (row, out) in x.chunks_exact(width).zip(out.chunks_exact_mut(depth)) {
        let (out, padding) = out.as_flattened_mut().split_at_mut(width);
        for (out, value) in out.iter_mut().zip(row) {
            *out = Bfloat16::round(*value);
        }
        padding.fill(Bfloat16::default());
    }
}

/// Rounds rows of `width` values, held as float32 with the values of each pair swapped. Rows of `out` have an even
/// width; a missing second value is zero.
pub(crate) fn round_and_swap(isa: Isa, x: &[f32], width: usize, out: &mut [f32]) {
    dispatch!(isa, round_and_swap_rows(x: &[f32], width: usize, out: &mut [f32]));
}

#[inline(always)]
pub(crate) fn round_and_swap_rows<A: Arithmetic>(x: &[f32], width: usize, out: &mut [f32]) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
