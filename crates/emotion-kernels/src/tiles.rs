//! The product over panels by steps of four bytes of inputs.

use crate::amx;
use crate::arithmetic::{Arithmetic, LANES, Lanes};
use crate::dot::Dot;
use crate::isa::{Isa, Level};
use crate::matmul::{Activation, Output, Rows, RowsMut, store};

/// Rows that go through all panels together, so that they stay in the second-level cache.
const BLOCK_ROWS: usize = 96;

/// What a product is made of.
pub(crate) trait Format {
    /// Inputs of one row, side by side: four bytes.
    type Input: Copy;
    /// The weights that they meet in 16 outputs.
    type Weights;
    /// What the products add up to.
    type Element: Copy + Default;
}

/// Numbers of which an instruction set wants multiples: operands are filled up to them.
#[derive(Clone, Copy)]
pub(crate) struct Multiples {
    pub rows: usize,
    pub steps: usize,
    pub panels: usize,
}

impl Multiples {
    pub(crate) const ANY: Self = Self { rows: 1, steps: 1, panels: 1 };

    pub(crate) fn of(isa: Isa) -> Self {
        match isa.level() {
            Level::Amx => amx::MULTIPLES,
            _ => Self::ANY,
        }
    }
}

/// What 16 outputs need.
pub(crate) trait Panel<'a, D: Format> {
    /// One for each step.
    fn weights(&self) -> &'a [D::Weights];
    /// Where sums start.
    fn start(&self) -> &[D::Element; LANES];
    /// The values that the sums of a row stand for.
    fn finish(&self, row: usize, sums: [D::Element; LANES]) -> Lanes;
}

#[inline(always)]
pub(crate) fn multiply<'a, D: Dot, A: Arithmetic, P: Panel<'a, D>, T: Output>(
    dot: D,
    x: Rows<'_, D::Input>,
    panel: impl Fn(usize) -> P,
    activation: Activation,
    y: RowsMut<'_, T>,
) where
    D::Weights: 'a,
{
    const { assert!(D::TILE_ROWS <= 12, "there are no larger tiles below") };
    let RowsMut { values, stride, width } = y;
    for block in (0..x.count).step_by(BLOCK_ROWS) {
        let end = x.count.min(block + BLOCK_ROWS);
        for first in (0..width).step_by(LANES) {
            let panel = panel(first / LANES);
            let columns = LANES.min(width - first);
            let mut row = block;
            while row < end {
                let count = tile_rows(end - row, D::TILE_ROWS);
                let out = &mut values[row * stride + first..];
                match count {
                    12 => tile::<D, A, P, T, 12>(dot, x, row, &panel, activation, out, stride, columns),
                    11 => tile::<D, A, P, T, 11>(dot, x, row, &panel, activation, out, stride, columns),
                    10 => tile::<D, A, P, T, 10>(dot, x, row, &panel, activation, out, stride, columns),
                    9 => tile::<D, A, P, T, 9>(dot, x, row, &panel, activation, out, stride, columns),
                    8 => tile::<D, A, P, T, 8>(dot, x, row, &panel, activation, out, stride, columns),
                    7 => tile::<D, A, P, T, 7>(dot, x, row, &panel, activation, out, stride, columns),
                    6 => tile::<D, A, P, T, 6>(dot, x, row, &panel, activation, out, stride, columns),
                    5 => tile::<D, A, P, T, 5>(dot, x, row, &panel, activation, out, stride, columns),
                    4 => tile::<D, A, P, T, 4>(dot, x, row, &panel, activation, out, stride, columns),
                    3 => tile::<D, A, P, T, 3>(dot, x, row, &panel, activation, out, stride, columns),
                    2 => tile::<D, A, P, T, 2>(dot, x, row, &panel, activation, out, stride, columns),
                    _ => tile::<D, A, P, T, 1>(dot, x, row, &panel, activation, out, stride, columns),
                }
                row += count;
            }
        }
    }
}

/// Rows of the next tile of at most `most`, when `left` are left: tiles of like size keep more sums under way than whole
/// ones and a small rest.
#[inline(always)]
pub(crate) fn tile_rows(left: usize, most: usize) -> usize {
    left.div_ceil(left.div_ceil(most))
}

/// `ROWS` rows by one panel. The sums stay in registers from the first step to the last.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the innermost loop, inlined into its one caller")]
fn tile<'a, D: Dot, A: Arithmetic, P: Panel<'a, D>, T: Output, const ROWS: usize>(
    dot: D,
    x: Rows<'_, D::Input>,
    first_row: usize,
    panel: &P,
    activation: Activation,
    out: &mut [T],
    stride: usize,
    columns: usize,
) where
    D::Weights: 'a,
{
    let rows: [&[D::Input]; ROWS] = std::array::from_fn(|i| x.row(first_row + i));
    let weights = panel.weights();
    assert_eq!(weights.len(), x.width);
    let mut sums = [dot.load(panel.start()); ROWS];
    for (step, weights) in weights.iter().enumerate() {
        for (sum, row) in sums.iter_mut().zip(rows) {
            // SAFETY: `row` has `x.width` steps, and so many has the panel.
            *sum = dot.add(*sum, weights, unsafe { *row.get_unchecked(step) });
        }
    }
    for (index, sum) in sums.into_iter().enumerate() {
        let values = panel.finish(first_row + index, dot.store(sum));
        store::<A, T>(values, activation, &mut out[index * stride..], columns);
    }
}
