//! The dot step: how an instruction set adds a few products to each of 16 sums.

use crate::arithmetic::{Arithmetic, LANES, Sum};
use crate::layout::{ByteLayout, Group, Multiples, Quad, Rows};
use crate::lines::Word;

/// The operands of one step of a product.
pub(crate) trait Step {
    /// The inputs of one row: one float32, a pair of bfloat16 or a quad of bytes.
    type Input: Word;
    /// The weights of 16 outputs that multiply the inputs: one step of a panel.
    type Weights;
    /// The sums of products.
    type Element: Word + Sum;
    /// The arithmetic of the epilogue on the same instruction set.
    type Arithmetic: Arithmetic;
}

/// A [`Step`] of bytes. Its sums are exact.
pub(crate) trait ByteStep: Step<Input = Quad, Weights = Group, Element = i32> {
    /// The layout in which the inputs and the weights must be packed.
    const LAYOUT: ByteLayout;
}

/// A [`Step`] in vector registers.
///
/// A value proves that this machine has the instructions that the methods execute: if they need a CPU feature, the type
/// can be constructed only within a function with that target feature. The trait itself is safe to implement, because
/// the loop in [`tiles`](super::tiles) checks all lengths.
///
/// All methods must be `#[inline(always)]`, so that they are compiled into a caller that has the target feature.
pub(crate) trait Dot: Step + Copy {
    /// Sixteen sums in registers.
    type Sums: Copy;
    /// One step of a panel in registers.
    type Loaded: Copy;
    /// The number of rows of a tile, at most 12: enough to keep the multipliers busy, with all sums in registers.
    const TILE_ROWS: usize;
    /// The number of panels of a tile, one or two. With two, each input is loaded once for two panels.
    const TILE_PANELS: usize = 1;

    fn start(self, sums: &[Self::Element; LANES]) -> Self::Sums;
    fn load(self, weights: &Self::Weights) -> Self::Loaded;
    /// Adds to each sum the products of its weights with the input.
    fn add(self, sums: &mut Self::Sums, weights: Self::Loaded, input: Self::Input);
    fn finish(self, sums: Self::Sums) -> [Self::Element; LANES];
}

/// Rows of a tile register.
pub(crate) const TILE_ROWS: usize = Multiples::AMX.rows;
/// Steps in a row of a tile register: 64 bytes.
pub(crate) const TILE_STEPS: usize = Multiples::AMX.steps;
/// The number of panels that a [`TileDot`] multiplies at once.
pub(crate) const TILE_PANELS: usize = Multiples::AMX.panels;

/// The sums of a [`TileDot`]: for each of two tiles of rows, for each panel, 16 rows of 16 sums.
#[repr(C, align(64))]
pub(crate) struct TileSums<E>(pub [[[[E; LANES]; TILE_ROWS]; TILE_PANELS]; 2]);

impl<E: Word> TileSums<E> {
    pub(crate) fn new() -> Self {
        Self([[[[E::default(); LANES]; TILE_ROWS]; TILE_PANELS]; 2])
    }
}

/// A [`Step`] in tile registers, all steps of a tile at once.
///
/// A value proves that this machine has the instructions and that the tile registers of this thread are configured. The
/// trait is safe to implement: an implementation that reads or writes through addresses checks the lengths of its
/// arguments.
pub(crate) trait TileDot: Step {
    /// Fills `sums` with the products of two times 16 rows of inputs and two panels, added to `starts`.
    ///
    /// # Panics
    /// If the rows and panels do not all have the same depth, a positive multiple of [`TILE_STEPS`]; if the two tiles
    /// of rows have different strides; or if one of them does not have exactly [`TILE_ROWS`] rows of values.
    fn multiply(
        &self,
        rows: [Rows<'_, Self::Input>; 2],
        panels: [&[Self::Weights]; TILE_PANELS],
        starts: [&[Self::Element; LANES]; TILE_PANELS],
        sums: &mut TileSums<Self::Element>,
    );
}
