//! The epilogue of a product: from sums to stored values.

use crate::arithmetic::{Arithmetic, LANES, Lanes, gelu, gelu_tanh, silu, tanh};
use crate::layout::RowsMut;

/// The function that is applied to each value of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// The identity.
    None,
    /// The Gaussian error linear unit with the exact error function, to within 1e-6.
    Gelu,
    /// `max(x, 0)`; NaN stays NaN.
    Relu,
    /// The Gaussian error linear unit with the hyperbolic tangent in place of the error function, to within 1e-6.
    GeluTanh,
    /// The sigmoid linear unit `x / (1 + e⁻ˣ)`, to within 1e-6 of the larger of 1 and its value.
    Silu,
    /// The hyperbolic tangent, to within 1e-6.
    Tanh,
}

/// A number format in which a product is stored.
pub(crate) trait Output: Copy {
    /// Rounds a value to the format.
    fn of(value: f32) -> Self;
}

impl Output for f32 {
    #[inline(always)]
    fn of(value: f32) -> Self {
        value
    }
}

/// The epilogue of a product: bias, activation, rounding, storing.
pub(crate) struct Epilogue<'a, T = f32> {
    /// One value per output; an empty slice is a bias of zero.
    pub bias: &'a [f32],
    pub activation: Activation,
    /// The result, which has `width` outputs.
    pub out: RowsMut<'a, T>,
}

impl<T: Output> Epilogue<'_, T> {
    /// The bias of 16 outputs from `column` on; zero for outputs that do not exist.
    #[inline(always)]
    pub(crate) fn bias(&self, column: usize) -> Lanes {
        let bias = self.bias.get(column..).unwrap_or_default();
        if let Some(whole) = bias.first_chunk::<LANES>() {
            return *whole;
        }
        let mut lanes = [0.0; LANES];
        for (lane, value) in lanes.iter_mut().zip(bias) {
            *lane = *value;
        }
        lanes
    }

    /// The part of the result that starts at a row and a column.
    #[inline(always)]
    pub(crate) fn tile(&mut self, row: usize, column: usize) -> Tile<'_, T> {
        let RowsMut { values, stride, width } = &mut self.out;
        let columns = *width - column;
        let out = &mut values[row * *stride + column..];
        Tile { activation: self.activation, out, stride: *stride, columns }
    }
}

/// A part of the result: some rows, from a column on.
pub(crate) struct Tile<'a, T> {
    activation: Activation,
    out: &'a mut [T],
    stride: usize,
    columns: usize,
}

impl<T: Output> Tile<'_, T> {
    /// Applies the activation to 16 values of a row, from `column` on, and stores those whose columns exist.
    #[inline(always)]
    pub(crate) fn store<A: Arithmetic>(&mut self, row: usize, column: usize, mut values: Lanes) {
        match self.activation {
            Activation::None => {}
            Activation::Gelu => values.iter_mut().for_each(|value| *value = gelu::<A>(*value)),
            // `f32::max` would turn NaN into 0.
            Activation::Relu => values.iter_mut().for_each(|value| *value = if *value < 0.0 { 0.0 } else { *value }),
            Activation::GeluTanh => values.iter_mut().for_each(|value| *value = gelu_tanh::<A>(*value)),
            Activation::Silu => values.iter_mut().for_each(|value| *value = silu::<A>(*value)),
            Activation::Tanh => values.iter_mut().for_each(|value| *value = tanh::<A>(*value)),
        }
        let out = &mut self.out[row * self.stride + column..];
        match out.first_chunk_mut::<LANES>() {
            Some(whole) if column + LANES <= self.columns => {
                for (out, value) in whole.iter_mut().zip(values) {
                    *out = T::of(value);
                }
            }
            _ => store_part(values, &mut out[..self.columns - column]),
        }
    }
}

/// Not inlined, because the compiler would merge both branches into one copy of variable length, which is a call.
#[cold]
#[inline(never)]
fn store_part<T: Output>(values: Lanes, out: &mut [T]) {
    for (out, value) in out.iter_mut().zip(values) {
        *out = T::of(value);
    }
}
