//! The blocked loop of every product, and its two kinds of tiles.

use std::hint::black_box;
use std::ops::Range;

use super::dot::{Dot, Step, TILE_PANELS, TILE_ROWS, TileDot, TileSums};
use crate::arithmetic::{LANES, Lanes};
use crate::epilogue::{Epilogue, Output, TileRows};
use crate::layout::Rows;

/// Rows of a block in vector registers, which stay in the second-level cache.
pub(super) const BLOCK_ROWS: usize = 96;
/// The largest number of rows of a tile in vector registers.
const MAX_TILE_ROWS: usize = 12;
/// Rows that an instruction can address by one pointer: with the stride times 0, 1 and 2.
const ROWS_PER_POINTER: usize = 3;
/// Steps per iteration of the innermost loop. The addresses of the rows are computed once per iteration; on Intel
/// processors, these instructions share execution ports with the products.
const UNROLLED_STEPS: usize = 4;
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
    /// What the sums of a row are multiplied by, if anything.
    type RowScale: Copy;

    /// One value per step.
    fn weights(&self) -> &[S::Weights];
    /// The start values of the sums.
    fn start(&self) -> &[S::Element; LANES];
    /// One scale per row. The rows are those of a tile, so that a loop over them checks no index.
    fn row_scales(&self, rows: Range<usize>) -> &[Self::RowScale];
    /// The values of a row with the given scale and sums.
    fn finish(&self, scale: Self::RowScale, sums: [S::Element; LANES]) -> Lanes;
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
    type RowScale = ();

    #[inline(always)]
    fn weights(&self) -> &[W] {
        self.weights
    }

    #[inline(always)]
    fn start(&self) -> &Lanes {
        &self.bias
    }

    #[inline(always)]
    fn row_scales(&self, rows: Range<usize>) -> &[()] {
        &[(); BLOCK_ROWS][..rows.len()]
    }

    #[inline(always)]
    fn finish(&self, (): (), sums: Lanes) -> Lanes {
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
        const { assert!(D::TILE_PANELS <= 2, "the branches below have no wider tiles") };
        let column = first * LANES;
        let panel = panels.panel(first, epilogue.bias(column));
        if D::TILE_PANELS == 2 && column + LANES < epilogue.out.width {
            let next = panels.panel(first + 1, epilogue.bias(column + LANES));
            vector_tiles(*self, x, rows, &[panel, next], column, epilogue);
        } else {
            vector_tiles(*self, x, rows, &[panel], column, epilogue);
        }
    }
}

/// The tiles of `rows` by one or two panels, whose outputs are the columns from `column` on.
#[inline(always)]
fn vector_tiles<D: Dot, P: Panel<D>, T: Output, const PANELS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    rows: Range<usize>,
    panels: &[P; PANELS],
    column: usize,
    epilogue: &mut Epilogue<'_, T>,
) {
    const { assert!(D::TILE_ROWS <= MAX_TILE_ROWS, "the match below has no larger tiles") };
    let mut starts = [dot.start(panels[0].start()); PANELS];
    let mut weights = [panels[0].weights(); PANELS];
    for (index, panel) in panels.iter().enumerate() {
        starts[index] = dot.start(panel.start());
        weights[index] = panel.weights();
    }
    let mut sums = [starts; MAX_TILE_ROWS];
    let mut row = rows.start;
    while row < rows.end {
        // Tiles of similar sizes keep more sums in flight than full tiles and a small remainder.
        let left = rows.end - row;
        let count = left.div_ceil(left.div_ceil(D::TILE_ROWS));
        let tile = x.part(row, count);
        match count {
            12 if D::TILE_ROWS >= 12 => vector_tile::<D, 12, PANELS>(dot, tile, weights, starts, &mut sums),
            11 if D::TILE_ROWS >= 11 => vector_tile::<D, 11, PANELS>(dot, tile, weights, starts, &mut sums),
            10 if D::TILE_ROWS >= 10 => vector_tile::<D, 10, PANELS>(dot, tile, weights, starts, &mut sums),
            9 if D::TILE_ROWS >= 9 => vector_tile::<D, 9, PANELS>(dot, tile, weights, starts, &mut sums),
            8 if D::TILE_ROWS >= 8 => vector_tile::<D, 8, PANELS>(dot, tile, weights, starts, &mut sums),
            7 if D::TILE_ROWS >= 7 => vector_tile::<D, 7, PANELS>(dot, tile, weights, starts, &mut sums),
            6 if D::TILE_ROWS >= 6 => vector_tile::<D, 6, PANELS>(dot, tile, weights, starts, &mut sums),
            5 if D::TILE_ROWS >= 5 => vector_tile::<D, 5, PANELS>(dot, tile, weights, starts, &mut sums),
            4 => vector_tile::<D, 4, PANELS>(dot, tile, weights, starts, &mut sums),
            3 => vector_tile::<D, 3, PANELS>(dot, tile, weights, starts, &mut sums),
            2 => vector_tile::<D, 2, PANELS>(dot, tile, weights, starts, &mut sums),
            _ => vector_tile::<D, 1, PANELS>(dot, tile, weights, starts, &mut sums),
        }
        for (index, panel) in panels.iter().enumerate() {
            let scales = panel.row_scales(row..row + count);
            let rows = VectorRows { dot, panel, index, sums: &sums[..count], scales };
            epilogue.tile(row, column + index * LANES).store(&rows);
        }
        row += count;
    }
}

/// Rows of a tile by the panel of an index, whose sums are in vector registers.
struct VectorRows<'a, D: Dot, P: Panel<D>, const PANELS: usize> {
    dot: D,
    panel: &'a P,
    index: usize,
    sums: &'a [[D::Sums; PANELS]],
    scales: &'a [P::RowScale],
}

impl<D: Dot, P: Panel<D>, const PANELS: usize> TileRows for VectorRows<'_, D, P, PANELS> {
    type Sum = D::Element;
    type Arithmetic = D::Arithmetic;

    #[inline(always)]
    fn count(&self) -> usize {
        self.sums.len()
    }

    #[inline(always)]
    fn values(&self, row: usize) -> Lanes {
        self.panel.finish(self.scales[row], self.dot.finish(self.sums[row][self.index]))
    }
}

/// Rows of a tile by a panel, whose sums are in memory.
pub(super) struct MemoryRows<'a, S: Step, P: Panel<S>> {
    panel: &'a P,
    sums: &'a [[S::Element; LANES]],
    scales: &'a [P::RowScale],
}

impl<'a, S: Step, P: Panel<S>> MemoryRows<'a, S, P> {
    /// Rows from `first` on.
    #[inline(always)]
    pub(super) fn new(panel: &'a P, sums: &'a [[S::Element; LANES]], first: usize) -> Self {
        Self { panel, sums, scales: panel.row_scales(first..first + sums.len()) }
    }
}

impl<S: Step, P: Panel<S>> TileRows for MemoryRows<'_, S, P> {
    type Sum = S::Element;
    type Arithmetic = S::Arithmetic;

    #[inline(always)]
    fn count(&self) -> usize {
        self.sums.len()
    }

    #[inline(always)]
    fn values(&self, row: usize) -> Lanes {
        self.panel.finish(self.scales[row], self.sums[row])
    }
}

/// Replaces the sums of the first `ROWS` rows of `sums` by those of `x`, which has as many rows.
#[inline(always)]
fn vector_tile<D: Dot, const ROWS: usize, const PANELS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    weights: [&[D::Weights]; PANELS],
    starts: [D::Sums; PANELS],
    sums: &mut [[D::Sums; PANELS]; MAX_TILE_ROWS],
) {
    assert!(x.count == ROWS && (ROWS - 1) * x.stride + x.width <= x.values.len());
    for weights in weights {
        assert_eq!(weights.len(), x.width);
    }
    // SAFETY: the lengths were checked.
    let tile = unsafe {
        if D::TILE_PANELS == 1 {
            products::<D, ROWS, PANELS>(dot, x, weights, starts)
        } else {
            unrolled_products::<D, ROWS, PANELS>(dot, x, weights, starts)
        }
    };
    sums[..ROWS].copy_from_slice(&tile);
}

/// The sums of a tile.
///
/// # Safety
/// `x` must have `ROWS` rows of `width` values each within `values`, and the panels must have `width` steps.
#[inline(always)]
unsafe fn products<D: Dot, const ROWS: usize, const PANELS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    weights: [&[D::Weights]; PANELS],
    starts: [D::Sums; PANELS],
) -> [[D::Sums; PANELS]; ROWS] {
    let rows: [&[D::Input]; ROWS] = std::array::from_fn(|i| x.row(i));
    let mut sums = [starts; ROWS];
    for step in 0..x.width {
        for (panel, weights) in weights.iter().enumerate() {
            // SAFETY: by the contract of this function.
            let weights = dot.load(unsafe { weights.get_unchecked(step) });
            for (sums, row) in sums.iter_mut().zip(rows) {
                // SAFETY: a row has `x.width` steps.
                dot.add(&mut sums[panel], weights, unsafe { *row.get_unchecked(step) });
            }
        }
    }
    sums
}

/// As [`products`], with few instructions for addresses, for sets with enough registers.
///
/// # Safety
/// As for [`products`].
#[inline(always)]
unsafe fn unrolled_products<D: Dot, const ROWS: usize, const PANELS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    weights: [&[D::Weights]; PANELS],
    starts: [D::Sums; PANELS],
) -> [[D::Sums; PANELS]; ROWS] {
    let mut operands = Operands::<D, PANELS> {
        rows: [x.values.as_ptr(); MAX_TILE_ROWS.div_ceil(ROWS_PER_POINTER)],
        stride: x.stride,
        weights: [weights[0].as_ptr(); PANELS],
    };
    for (group, row) in operands.rows.iter_mut().enumerate() {
        *row = row.wrapping_add(group * ROWS_PER_POINTER * x.stride);
    }
    for (pointer, weights) in operands.weights.iter_mut().zip(weights) {
        *pointer = weights.as_ptr();
    }
    let mut sums = [starts; ROWS];
    // SAFETY: the steps of all iterations together are those of the rows and panels.
    unsafe {
        for _ in 0..x.width / UNROLLED_STEPS {
            operands.add_step(dot, &mut sums, 0);
            operands.add_step(dot, &mut sums, 1);
            operands.add_step(dot, &mut sums, 2);
            operands.add_step(dot, &mut sums, 3);
            operands.advance(UNROLLED_STEPS);
        }
        for _ in 0..x.width % UNROLLED_STEPS {
            operands.add_step(dot, &mut sums, 0);
            operands.advance(1);
        }
    }
    sums
}

/// The addresses of the next step of a tile: every third row, and each panel. An instruction can address the two rows
/// after the third by the stride and twice the stride, so that all addresses fit into registers.
struct Operands<D: Dot, const PANELS: usize> {
    rows: [*const D::Input; MAX_TILE_ROWS.div_ceil(ROWS_PER_POINTER)],
    stride: usize,
    weights: [*const D::Weights; PANELS],
}

impl<D: Dot, const PANELS: usize> Operands<D, PANELS> {
    /// Adds the products of a step to the sums of a tile.
    ///
    /// # Safety
    /// All rows of `sums` and all panels must have a step at the offset.
    #[inline(always)]
    unsafe fn add_step<const ROWS: usize>(&self, dot: D, sums: &mut [[D::Sums; PANELS]; ROWS], offset: usize) {
        // SAFETY: by the contract of this function.
        let mut loaded = [unsafe { dot.load(&*self.weights[0].add(offset)) }; PANELS];
        for (loaded, weights) in loaded.iter_mut().zip(self.weights) {
            // SAFETY: as above.
            *loaded = unsafe { dot.load(&*weights.add(offset)) };
        }
        for (row, sums) in sums.iter_mut().enumerate() {
            let first = self.rows[row / ROWS_PER_POINTER];
            // SAFETY: as above.
            let input = unsafe { *first.add(row % ROWS_PER_POINTER * self.stride + offset) };
            for (sum, loaded) in sums.iter_mut().zip(loaded) {
                dot.add(sum, loaded, input);
            }
        }
    }

    #[inline(always)]
    fn advance(&mut self, steps: usize) {
        for row in &mut self.rows {
            // Otherwise the compiler computes the address of each row from that of another, or all of them in a vector.
            *row = black_box(row.wrapping_add(steps));
        }
        for weights in &mut self.weights {
            *weights = weights.wrapping_add(steps);
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
        for (tile, [left_sums, right_sums]) in self.sums.0[..tiles].iter().enumerate() {
            let first_row = rows.start + tile * TILE_ROWS;
            let count = TILE_ROWS.min(rows.end - first_row);
            let left = MemoryRows::new(left, &left_sums[..count], first_row);
            let right = MemoryRows::new(right, &right_sums[..count], first_row);
            if column + 2 * LANES <= epilogue.out.width {
                epilogue.tile(first_row, column).store_pair([&left, &right]);
                continue;
            }
            epilogue.tile(first_row, column).store(&left);
            if column + LANES < epilogue.out.width {
                epilogue.tile(first_row, column + LANES).store(&right);
            }
        }
    }
}
