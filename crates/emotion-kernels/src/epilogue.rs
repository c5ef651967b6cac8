//! The epilogue of a product: from sums to stored values.

use crate::arithmetic::{Arithmetic, LANES, Lanes, Sum, gelu_tanh, silu, tanh};
use crate::layout::RowsMut;

/// The function that is applied to each value of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Activation {
    /// The identity.
    None,
    /// The Gaussian error linear unit with the exact error function, to within 1e-6; in [`Precision::Int8`] to within
    /// 1.5e-4.
    ///
    /// [`Precision::Int8`]: crate::Precision::Int8
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
        let columns = LANES.min(*width - column);
        let out = &mut values[row * *stride + column..];
        Tile { activation: self.activation, out, stride: *stride, columns }
    }
}

/// A part of the result: some rows of at most 16 columns.
pub(crate) struct Tile<'a, T> {
    activation: Activation,
    out: &'a mut [T],
    stride: usize,
    columns: usize,
}

/// Rows of a tile before the activation.
pub(crate) trait TileRows {
    /// The type of the sums.
    type Sum: Sum;
    /// The arithmetic of the activation.
    type Arithmetic: Arithmetic;

    fn count(&self) -> usize;
    /// The values of a row.
    fn values(&self, row: usize) -> Lanes;
}

impl<T: Output> Tile<'_, T> {
    /// Applies the activation to rows, and stores the values whose columns exist.
    #[inline(always)]
    pub(crate) fn store<R: TileRows>(&mut self, rows: &R) {
        match self.activation {
            Activation::None => self.store_as::<_, Identity>(rows),
            Activation::Gelu => self.store_as::<_, Gelu>(rows),
            Activation::Relu => self.store_as::<_, Relu>(rows),
            Activation::GeluTanh => self.store_as::<_, GeluTanh>(rows),
            Activation::Silu => self.store_as::<_, Silu>(rows),
            Activation::Tanh => self.store_as::<_, Tanh>(rows),
        }
    }

    /// As [`Self::store`], for two panels side by side, all of whose columns exist. Both parts of a row are stored one
    /// after the other.
    #[inline(always)]
    pub(crate) fn store_pair<R: TileRows>(&mut self, panels: [&R; 2]) {
        match self.activation {
            Activation::None => self.store_pair_as::<_, Identity>(panels),
            Activation::Gelu => self.store_pair_as::<_, Gelu>(panels),
            Activation::Relu => self.store_pair_as::<_, Relu>(panels),
            Activation::GeluTanh => self.store_pair_as::<_, GeluTanh>(panels),
            Activation::Silu => self.store_pair_as::<_, Silu>(panels),
            Activation::Tanh => self.store_pair_as::<_, Tanh>(panels),
        }
    }

    #[inline(always)]
    fn store_pair_as<R: TileRows, F: Function>(&mut self, panels: [&R; 2]) {
        for row in 0..panels[0].count() {
            let out = &mut self.out[row * self.stride..][..2 * LANES];
            for (panel, out) in panels.iter().zip(out.as_chunks_mut::<LANES>().0) {
                for (out, value) in out.iter_mut().zip(panel.values(row)) {
                    *out = T::of(F::of::<R>(value));
                }
            }
        }
    }

    #[inline(always)]
    fn store_as<R: TileRows, F: Function>(&mut self, rows: &R) {
        if self.columns < LANES {
            return self.store_columns::<R, F>(rows);
        }
        for row in 0..rows.count() {
            let mut values = rows.values(row);
            for value in &mut values {
                *value = F::of::<R>(*value);
            }
            let out = &mut self.out[row * self.stride..][..LANES];
            for (out, value) in out.iter_mut().zip(values) {
                *out = T::of(value);
            }
        }
    }

    /// As [`Self::store_as`], for fewer than 16 columns. With both loops in one function, the compiler would read the bias
    /// and the scales of a panel from memory for each row.
    #[inline(always)]
    fn store_columns<R: TileRows, F: Function>(&mut self, rows: &R) {
        for (row, out) in (0..rows.count()).zip(self.out.chunks_mut(self.stride)) {
            let mut values = rows.values(row);
            for value in &mut values {
                *value = F::of::<R>(*value);
            }
            store_part(values, &mut out[..self.columns]);
        }
    }
}

/// An [`Activation`] as a type, so that the loop over the rows of a tile does not choose.
trait Function {
    fn of<R: TileRows>(value: f32) -> f32;
}

struct Identity;
struct Gelu;
struct Relu;
struct GeluTanh;
struct Silu;
struct Tanh;

impl Function for Identity {
    #[inline(always)]
    fn of<R: TileRows>(value: f32) -> f32 {
        value
    }
}

impl Function for Gelu {
    #[inline(always)]
    fn of<R: TileRows>(value: f32) -> f32 {
        R::Sum::gelu::<R::Arithmetic>(value)
    }
}

impl Function for Relu {
    /// `f32::max` would turn NaN into 0.
    #[inline(always)]
    fn of<R: TileRows>(value: f32) -> f32 {
        if value < 0.0 { 0.0 } else { value }
    }
}

impl Function for GeluTanh {
    #[inline(always)]
    fn of<R: TileRows>(value: f32) -> f32 {
        gelu_tanh::<R::Arithmetic>(value)
    }
}

impl Function for Silu {
    #[inline(always)]
    fn of<R: TileRows>(value: f32) -> f32 {
        silu::<R::Arithmetic>(value)
    }
}

impl Function for Tanh {
    #[inline(always)]
    fn of<R: TileRows>(value: f32) -> f32 {
        tanh::<R::Arithmetic>(value)
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
