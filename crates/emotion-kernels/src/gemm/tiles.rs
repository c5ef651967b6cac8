//! The blocked loop of every product, and its two kinds of tiles.

use std::ops::Range;

use super::dot::{Dot, Step, TILE_PANELS, TILE_ROWS, TileDot, TileSums};
use crate::arithmetic::{LANES, Lanes};
use crate::epilogue::{Epilogue, Output};
use crate::layout::Rows;

/// Rows of a block in vector registers, which stay in the second-level cache.
pub(super) const BLOCK_ROWS: usize = 96;
/// Bytes of the rows of a block in tile registers: half of the second-level cache.
const BLOCK_BYTES: usize = 1 << 20;

/// The packed panels of a matrix.
pub(crate) trait Panels<S: Step>: Copy {
    type Panel: Panel<S>;

    /// A panel, whose outputs have the given bias.
    fn panel(&self, index: usize, bias: Lanes) -> Self::Panel;
}

/// One panel: the weights of 16 outputs, the start values of their sums, and the conversion of the sums to values.
pub(crate) trait Panel<S: Step> {
    /// One value per step.
    fn weights(&self) -> &[S::Weights];
    /// The start values of the sums.
    fn start(&self) -> &[S::Element; LANES];
    /// The values of a row, given its sums.
    fn finish(&self, row: usize, sums: [S::Element; LANES]) -> Lanes;
}

/// Panels of `depth` steps each, whose sums start with the bias and need no conversion.
#[derive(Clone, Copy)]
pub(crate) struct FloatPanels<'a, W> {
    pub steps: &'a [W],
    pub depth: usize,
}

pub(crate) struct FloatPanel<'a, W> {
    weights: &'a [W],
    bias: Lanes,
}

impl<'a, W: Copy, S: Step<Weights = W, Element = f32>> Panels<S> for FloatPanels<'a, W> {
    type Panel = FloatPanel<'a, W>;

    #[inline(always)]
    fn panel(&self, index: usize, bias: Lanes) -> FloatPanel<'a, W> {
        FloatPanel { weights: &self.steps[index * self.depth..][..self.depth], bias }
    }
}

impl<W, S: Step<Weights = W, Element = f32>> Panel<S> for FloatPanel<'_, W> {
    #[inline(always)]
    fn weights(&self) -> &[W] {
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

/// Computes the tiles of a product: the sums of a few rows and of one or two panels, which stay in registers from the
/// first step to the last.
pub(crate) trait Kernel: Step {
    /// The number of panels of a tile.
    const PANELS: usize;

    /// The number of rows of a block.
    fn block_rows(depth: usize) -> usize;

    /// Computes `rows` by the panels from `first` on, tile by tile, and passes the values to the epilogue.
    fn multiply<P: Panels<Self>, T: Output>(
        &mut self,
        x: Rows<'_, Self::Input>,
        rows: Range<usize>,
        panels: P,
        first: usize,
        epilogue: &mut Epilogue<'_, T>,
    ) where
        Self: Sized;
}

/// The product of rows and panels; the result determines the number of panels.
#[inline(always)]
pub(crate) fn multiply<K: Kernel, P: Panels<K>, T: Output>(
    mut kernel: K,
    x: Rows<'_, K::Input>,
    panels: P,
    mut epilogue: Epilogue<'_, T>,
) {
    let panel_count = epilogue.out.width.div_ceil(LANES);
    let block_rows = K::block_rows(x.width);
    for block in (0..x.count).step_by(block_rows) {
        let rows = block..x.count.min(block + block_rows);
        for first in (0..panel_count).step_by(K::PANELS) {
            kernel.multiply(x, rows.clone(), panels, first, &mut epilogue);
        }
    }
}

/// Tiles in vector registers.
impl<D: Dot> Kernel for D {
    const PANELS: usize = D::TILE_PANELS;

    #[inline(always)]
    fn block_rows(_depth: usize) -> usize {
        BLOCK_ROWS
    }

    #[inline(always)]
    fn multiply<P: Panels<D>, T: Output>(
        &mut self,
        x: Rows<'_, D::Input>,
        rows: Range<usize>,
        panels: P,
        first: usize,
        epilogue: &mut Epilogue<'_, T>,
    ) {
        let column = first * LANES;
        let left = panels.panel(first, epilogue.bias(column));
        if D::TILE_PANELS == 2 && column + LANES < epilogue.out.width {
            let right = panels.panel(first + 1, epilogue.bias(column + LANES));
            vector_tiles::<D, _, T, 2>(*self, x, rows, &[left, right], column, epilogue);
        } else {
            vector_tiles::<D, _, T, 1>(*self, x, rows, &[left], column, epilogue);
        }
    }
}

/// `rows` by one or two panels, whose outputs are the columns from `column` on.
#[inline(always)]
fn vector_tiles<D: Dot, P: Panel<D>, T: Output, const PANELS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    rows: Range<usize>,
    panels: &[P; PANELS],
    column: usize,
    epilogue: &mut Epilogue<'_, T>,
) {
    const { assert!(D::TILE_ROWS <= 12, "the match below has no larger tiles") };
    let mut row = rows.start;
    while row < rows.end {
        // Tiles of similar sizes keep more sums in flight than full tiles and a small remainder.
        let left = rows.end - row;
        let count = left.div_ceil(left.div_ceil(D::TILE_ROWS));
        match count {
            12 if D::TILE_ROWS >= 12 => vector_tile::<D, _, T, 12, PANELS>(dot, x, row, panels, column, epilogue),
            11 if D::TILE_ROWS >= 11 => vector_tile::<D, _, T, 11, PANELS>(dot, x, row, panels, column, epilogue),
            10 if D::TILE_ROWS >= 10 => vector_tile::<D, _, T, 10, PANELS>(dot, x, row, panels, column, epilogue),
            9 if D::TILE_ROWS >= 9 => vector_tile::<D, _, T, 9, PANELS>(dot, x, row, panels, column, epilogue),
            8 if D::TILE_ROWS >= 8 => vector_tile::<D, _, T, 8, PANELS>(dot, x, row, panels, column, epilogue),
            7 if D::TILE_ROWS >= 7 => vector_tile::<D, _, T, 7, PANELS>(dot, x, row, panels, column, epilogue),
            6 if D::TILE_ROWS >= 6 => vector_tile::<D, _, T, 6, PANELS>(dot, x, row, panels, column, epilogue),
            5 if D::TILE_ROWS >= 5 => vector_tile::<D, _, T, 5, PANELS>(dot, x, row, panels, column, epilogue),
            4 => vector_tile::<D, _, T, 4, PANELS>(dot, x, row, panels, column, epilogue),
            3 => vector_tile::<D, _, T, 3, PANELS>(dot, x, row, panels, column, epilogue),
            2 => vector_tile::<D, _, T, 2, PANELS>(dot, x, row, panels, column, epilogue),
            _ => vector_tile::<D, _, T, 1, PANELS>(dot, x, row, panels, column, epilogue),
        }
        row += count;
    }
}

/// `ROWS` rows by `PANELS` panels, whose outputs are the columns from `column` on.
#[inline(always)]
fn vector_tile<D: Dot, P: Panel<D>, T: Output, const ROWS: usize, const PANELS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    first_row: usize,
    panels: &[P; PANELS],
    column: usize,
    epilogue: &mut Epilogue<'_, T>,
) {
    let rows: [&[D::Input]; ROWS] = std::array::from_fn(|i| x.row(first_row + i));
    let mut sums = [[dot.start(panels[0].start()); PANELS]; ROWS];
    let mut weights = [panels[0].weights(); PANELS];
    for (index, panel) in panels.iter().enumerate() {
        weights[index] = panel.weights();
        assert_eq!(weights[index].len(), x.width);
        for sums in &mut sums {
            sums[index] = dot.start(panel.start());
        }
    }
    for step in 0..x.width {
        // SAFETY: panels and rows have `x.width` steps.
        let mut loaded = [dot.load(unsafe { weights[0].get_unchecked(step) }); PANELS];
        for (loaded, weights) in loaded[1..].iter_mut().zip(&weights[1..]) {
            // SAFETY: as above.
            *loaded = dot.load(unsafe { weights.get_unchecked(step) });
        }
        for (sums, row) in sums.iter_mut().zip(rows) {
            // SAFETY: as above.
            let input = unsafe { *row.get_unchecked(step) };
            for (sum, weights) in sums.iter_mut().zip(loaded) {
                dot.add(sum, weights, input);
            }
        }
    }
    let mut out = epilogue.tile(first_row, column);
    // The panels are indexed by constants: a loop over them would keep the sums in memory.
    for (row, sums) in sums.into_iter().enumerate() {
        out.store::<D::Arithmetic>(row, 0, panels[0].finish(first_row + row, dot.finish(sums[0])));
        if PANELS == 2 {
            let values = panels[PANELS - 1].finish(first_row + row, dot.finish(sums[PANELS - 1]));
            out.store::<D::Arithmetic>(row, LANES, values);
        }
    }
}

/// Tiles in tile registers: two times 16 rows by two panels, because four products in flight hide their latency.
///
/// Rows must be padded to a multiple of 16, and panels to an even number.
pub(crate) struct TwoByTwo<'a, D: TileDot> {
    dot: &'a D,
    sums: TileSums<D::Element>,
}

impl<'a, D: TileDot> TwoByTwo<'a, D> {
    pub(crate) fn new(dot: &'a D) -> Self {
        Self { dot, sums: TileSums::new() }
    }
}

impl<D: TileDot> Step for TwoByTwo<'_, D> {
    type Input = D::Input;
    type Weights = D::Weights;
    type Element = D::Element;
    type Arithmetic = D::Arithmetic;
}

impl<D: TileDot> Kernel for TwoByTwo<'_, D> {
    const PANELS: usize = TILE_PANELS;

    fn block_rows(depth: usize) -> usize {
        (BLOCK_BYTES / (4 * depth.max(1))).next_multiple_of(2 * TILE_ROWS)
    }

    #[inline(always)]
    fn multiply<P: Panels<Self>, T: Output>(
        &mut self,
        x: Rows<'_, D::Input>,
        rows: Range<usize>,
        panels: P,
        first: usize,
        epilogue: &mut Epilogue<'_, T>,
    ) {
        let column = first * LANES;
        // Closures would be calls in a function with a target feature.
        let biases = [epilogue.bias(column), epilogue.bias(column + LANES)];
        let panels = [panels.panel(first, biases[0]), panels.panel(first + 1, biases[1])];
        for row in rows.clone().step_by(2 * TILE_ROWS) {
            self.tile(x, row..rows.end.min(row + 2 * TILE_ROWS), &panels, column, epilogue);
        }
    }
}

impl<D: TileDot> TwoByTwo<'_, D> {
    /// At most 32 rows by two panels, whose outputs are the columns from `column` on. A remainder of at most 16 rows
    /// fills both tile slots and is stored once: two products alone would wait for their latency for the same time.
    #[inline(always)]
    fn tile<P: Panel<Self>, T: Output>(
        &mut self,
        x: Rows<'_, D::Input>,
        rows: Range<usize>,
        panels: &[P; TILE_PANELS],
        column: usize,
        epilogue: &mut Epilogue<'_, T>,
    ) {
        let tiles = if rows.len() > TILE_ROWS { 2 } else { 1 };
        let last = rows.start + (tiles - 1) * TILE_ROWS;
        let inputs = [x.part(rows.start, TILE_ROWS), x.part(last, TILE_ROWS)];
        let [left, right] = panels;
        let starts = [left.start(), right.start()];
        self.dot.multiply(inputs, [left.weights(), right.weights()], starts, &mut self.sums);
        for (tile, sums) in self.sums.0[..tiles].iter().enumerate() {
            let first_row = rows.start + tile * TILE_ROWS;
            for (index, (panel, sums)) in panels.iter().zip(sums).enumerate() {
                let column = column + index * LANES;
                if column >= epilogue.out.width {
                    break;
                }
                let mut out = epilogue.tile(first_row, column);
                for (index, (row, sums)) in (first_row..rows.end).zip(sums).enumerate() {
                    out.store::<D::Arithmetic>(index, 0, panel.finish(row, *sums));
                }
            }
        }
    }
}
