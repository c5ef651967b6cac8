//! The product by instructions that multiply two rows at once.

use std::ops::Range;

use super::dot::Step;
use super::tiles::{BLOCK_ROWS, Kernel, MemoryRows, Panel, Panels};
use crate::arithmetic::LANES;
use crate::epilogue::{Epilogue, Output};
use crate::layout::Rows;

/// A [`Step`] in vector registers whose instructions multiply two steps of two rows at once.
///
/// A value proves that this machine has the instructions, as one of [`Dot`](super::dot::Dot) does. All methods must be
/// `#[inline(always)]`, so that they are compiled into a caller that has the target feature.
pub(crate) trait RowPairDot: Step + Copy {
    /// Sixteen sums of each of two rows, in registers.
    type Sums: Copy;
    /// Two steps of a panel in registers.
    type Loaded: Copy;

    fn start(self, sums: &[Self::Element; LANES]) -> Self::Sums;
    fn load(self, weights: &[Self::Weights; 2]) -> Self::Loaded;
    /// Adds to each sum the products of its weights with two steps of the two rows.
    fn add(self, sums: &mut Self::Sums, weights: Self::Loaded, inputs: [[Self::Input; 2]; 2]);
    fn finish(self, sums: Self::Sums) -> [[Self::Element; LANES]; 2];
}

/// Tiles of pairs of rows in vector registers. Rows must be interleaved in pairs, two steps of each in turn, without gaps,
/// and padded to an even number; the depth must be even.
pub(crate) struct RowPairs<D>(pub D);

impl<D: RowPairDot> Step for RowPairs<D> {
    type Input = D::Input;
    type Weights = D::Weights;
    type Element = D::Element;
    type Arithmetic = D::Arithmetic;
}

impl<D: RowPairDot> Kernel for RowPairs<D> {
    const PANELS: usize = 1;

    #[inline(always)]
    fn block_rows(_depth: usize) -> usize {
        BLOCK_ROWS
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
        let panel = panels.panel(first, epilogue.bias(column));
        let mut row = rows.start;
        while row < rows.end {
            let tile = row..rows.end.min(row + 4);
            match tile.len() {
                3.. => pair_tile::<D, _, T, 2>(self.0, x, tile.clone(), &panel, column, epilogue),
                _ => pair_tile::<D, _, T, 1>(self.0, x, tile.clone(), &panel, column, epilogue),
            }
            row = tile.end;
        }
    }
}

/// `PAIRS` pairs of rows by one panel, whose outputs are the columns from `column` on. The sums of a padding row are not
/// stored.
#[inline(always)]
fn pair_tile<D: RowPairDot, P: Panel<RowPairs<D>>, T: Output, const PAIRS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    rows: Range<usize>,
    panel: &P,
    column: usize,
    epilogue: &mut Epilogue<'_, T>,
) {
    let pairs: [&[[[D::Input; 2]; 2]]; PAIRS] = std::array::from_fn(|pair| {
        let steps = &x.values[(rows.start + 2 * pair) * x.stride..][..2 * x.width];
        steps.as_chunks::<2>().0.as_chunks::<2>().0
    });
    let (weights, odd) = panel.weights().as_chunks::<2>();
    assert!(odd.is_empty() && 2 * weights.len() == x.width && x.stride == x.width);
    let mut sums = [dot.start(panel.start()); PAIRS];
    for (index, weights) in weights.iter().enumerate() {
        let weights = dot.load(weights);
        for (sums, pair) in sums.iter_mut().zip(&pairs) {
            // SAFETY: `pair` has two times `x.width` steps, four for each index of the weights.
            dot.add(sums, weights, unsafe { *pair.get_unchecked(index) });
        }
    }
    let mut finished = [[[D::Element::default(); LANES]; 2]; PAIRS];
    for (finished, sums) in finished.iter_mut().zip(sums) {
        *finished = dot.finish(sums);
    }
    let sums = &finished.as_flattened()[..rows.len()];
    epilogue.tile(rows.start, column).store(&MemoryRows::new(panel, sums, rows.start));
}
