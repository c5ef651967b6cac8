//! Rounding to 8-bit integers: `value ≈ integer · scale`.

use crate::arithmetic::{LANES, Lanes};

/// The largest 8-bit value in use. -128 is not used, so that the negative of every value exists.
pub(crate) const LARGEST: i32 = 127;
/// Adding it rounds to an integer, which the low bits of the sum hold.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// Bits of the magnitude of a value. They have the order of the magnitudes, with NaN the largest.
#[inline(always)]
fn magnitude(value: f32) -> u32 {
    value.to_bits() & i32::MAX.cast_unsigned()
}

/// What values are multiplied by before they are rounded, and the value of 1, for values whose largest magnitude has
/// the given bits: 127 divided by that magnitude, and its inverse.
///
/// If all values are zero, or so small that the multiplier would overflow, both are 0. If one is infinite or NaN, the
/// scale is NaN: the sign of an infinity is not kept.
#[inline(always)]
fn scale(largest: u32) -> (f32, f32) {
    let limit = LARGEST as f32;
    let largest = f32::from_bits(largest);
    let multiplier = limit / largest;
    if multiplier == f32::INFINITY {
        return (0.0, 0.0);
    }
    (multiplier, if largest < f32::INFINITY { largest / limit } else { f32::NAN })
}

/// The bits whose lowest byte is the nearest integer, ties to even.
#[inline(always)]
fn round(value: f32, multiplier: f32) -> u32 {
    let limit = LARGEST as f32;
    let value = value * multiplier;
    let value = if value > -limit { value } else { -limit };
    let value = if value < limit { value } else { limit };
    (value + ROUND).to_bits()
}

/// Rounds a row to integer multiples of its scale, adds `offset` to the integers, and returns the scale: the largest
/// magnitude divided by 127. Every row of weights and of activations is rounded here.
#[inline(always)]
pub(crate) fn quantize(row: &[f32], offset: u8, bytes: &mut [u8]) -> f32 {
    let (multiplier, scale) = scale(row.iter().fold(0, |largest, value| magnitude(*value).max(largest)));
    for (byte, value) in bytes.iter_mut().zip(row) {
        let [low, ..] = round(*value, multiplier).to_le_bytes();
        *byte = low.wrapping_add(offset);
    }
    scale
}

/// Sixteen columns, each rounded with its own scale: first, all values are included; then they are rounded.
pub(crate) struct Columns {
    largest: [u32; LANES],
    multipliers: Lanes,
}

impl Columns {
    pub(crate) const fn new() -> Self {
        Self { largest: [0; LANES], multipliers: [0.0; LANES] }
    }

    #[inline(always)]
    pub(crate) fn include(&mut self, values: Lanes) {
        for (largest, value) in self.largest.iter_mut().zip(values) {
            *largest = magnitude(value).max(*largest);
        }
    }

    /// The value of 1 in each column.
    #[inline(always)]
    pub(crate) fn scales(&mut self) -> Lanes {
        let mut scales = Lanes::default();
        for ((multiplier, value_of_1), largest) in self.multipliers.iter_mut().zip(&mut scales).zip(self.largest) {
            (*multiplier, *value_of_1) = scale(largest);
        }
        scales
    }

    /// Integers in the lowest bytes.
    #[inline(always)]
    pub(crate) fn round(&self, values: Lanes) -> [u32; LANES] {
        let mut rounded = [0; LANES];
        for ((rounded, value), multiplier) in rounded.iter_mut().zip(values).zip(self.multipliers) {
            *rounded = round(value, multiplier);
        }
        rounded
    }
}
