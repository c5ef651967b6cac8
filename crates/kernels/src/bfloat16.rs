//! bfloat16: the upper half of a float32, so that widening is a shift on every instruction set.

use crate::Isa;
use crate::arithmetic::{Arithmetic, LANES};
use crate::isa::dispatch;
use crate::matmul::{Activation, Rows, RowsMut, Weight, multiply};

/// A weight rounded to bfloat16, by its bits.
#[derive(Clone, Copy, Default)]
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

impl Weight for Bfloat16 {
    #[inline(always)]
    fn widen(self) -> f32 {
        f32::from_bits(u32::from(self.0) << 16)
    }
}

/// Fills `rounded` with the nearest bfloat16 values of `x`, as float32.
pub(crate) fn round_rows(isa: Isa, x: &[f32], rounded: &mut Vec<f32>) {
    rounded.resize(x.len(), 0.0);
    let rounded = rounded.as_mut_slice();
    dispatch!(isa, round(x: &[f32], rounded: &mut [f32]));
}

#[inline(always)]
fn round<A: Arithmetic>(x: &[f32], rounded: &mut [f32]) {
    for (rounded, value) in rounded.iter_mut().zip(x) {
        *rounded = Bfloat16::round(*value).widen();
    }
}

/// As [`crate::matmul::product`], over panels of bfloat16.
pub(crate) fn product(
    isa: Isa,
    x: Rows<'_>,
    panels: &[[Bfloat16; LANES]],
    bias: &[f32],
    activation: Activation,
    y: RowsMut<'_>,
) {
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
