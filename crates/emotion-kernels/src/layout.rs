//! The layout of matrices in memory: views of rows, and panels of packed weights.
//!
//! The crate documentation defines panel, step, depth and tile.

use crate::arithmetic::LANES;
use crate::isa::{Isa, Level};
use crate::lines::{self, Line};

/// A matrix inside a larger one: row `i` is `values[i · stride..][..width]`.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a, T = f32> {
    pub values: &'a [T],
    pub stride: usize,
    pub count: usize,
    pub width: usize,
}

impl<'a, T: Copy> Rows<'a, T> {
    #[inline(always)]
    pub(crate) fn row(self, index: usize) -> &'a [T] {
        &self.values[index * self.stride..][..self.width]
    }

    /// `count` rows from `first` on.
    #[inline(always)]
    pub(crate) fn part(self, first: usize, count: usize) -> Self {
        let values = &self.values[first * self.stride..][..(count - 1) * self.stride + self.width];
        Self { values, count, ..self }
    }
}

/// The mutable form of [`Rows`].
pub(crate) struct RowsMut<'a, T = f32> {
    pub values: &'a mut [T],
    pub stride: usize,
    pub width: usize,
}

/// The distance of rows of `width` values of four bytes: one cache line more than they need, because rows whose distance
/// is a multiple of 4 kB share the sets of a cache, which holds fewer of them than a tile has.
pub(crate) fn padded_stride(width: usize) -> usize {
    width + LANES
}

/// The multiples to which an instruction set requires the sizes of operands to be padded.
#[derive(Clone, Copy)]
pub(crate) struct Multiples {
    pub rows: usize,
    pub steps: usize,
    pub panels: usize,
}

impl Multiples {
    pub(crate) const ANY: Self = Self { rows: 1, steps: 1, panels: 1 };
    /// A tile register of AMX holds 16 rows of 16 steps, and the kernel multiplies two panels at once.
    pub(crate) const AMX: Self = Self { rows: 16, steps: 16, panels: 2 };

    pub(crate) fn of(isa: Isa) -> Self {
        match isa.level() {
            Level::Amx => Self::AMX,
            _ => Self::ANY,
        }
    }

    /// The number of steps in a row or a panel of `inputs` inputs, with `per_step` inputs per step.
    pub(crate) fn depth(self, inputs: usize, per_step: usize) -> usize {
        inputs.div_ceil(per_step).next_multiple_of(self.steps)
    }

    /// The distance of rows of `depth` steps, in steps. For tile registers, which take sixteen rows at once, it is an odd
    /// number of cache lines: equal columns of the rows are then spread over all sets of a cache.
    pub(crate) fn stride(self, depth: usize) -> usize {
        if self.steps == 1 { depth } else { ((depth / self.steps) | 1) * self.steps }
    }

    /// The number of panels of a matrix with `outputs` outputs.
    pub(crate) fn panels(self, outputs: usize) -> usize {
        outputs.div_ceil(LANES).next_multiple_of(self.panels)
    }
}

/// Four inputs of one row: 8-bit integers, with [`ByteLayout::offset`] added.
pub(crate) type Quad = [u8; 4];
/// One step of an int8 panel: the weights of 16 outputs that multiply a [`Quad`].
pub(crate) type Group = Line<[i8; 4]>;

/// The layout of the bytes that a dot step takes.
#[derive(Clone, Copy)]
pub(crate) struct ByteLayout {
    /// The offset that is added to each byte of a [`Quad`], modulo 256.
    pub offset: u8,
    /// The number of steps that are multiplied at once. The depth of rows and panels is a multiple of it.
    pub steps: usize,
    /// The number of rows that are multiplied at once. They are interleaved: `steps` steps of each in turn.
    pub rows: usize,
    /// Rearranges `steps` [`Group`]s in which the four weights of each output are adjacent; absent if they stay so.
    pub arrange: Option<fn(&mut [Group])>,
}

#[allow(dead_code, reason = "an architecture uses only some of them")]
impl ByteLayout {
    /// The 16 weights of each input are adjacent.
    pub(crate) const BY_INPUT: Self = Self { arrange: Some(by_input), ..Self::BY_OUTPUT };
    /// The four weights of each output are adjacent.
    pub(crate) const BY_OUTPUT: Self = Self { offset: 0, steps: 1, rows: 1, arrange: None };
    /// As [`Self::BY_OUTPUT`], for instructions whose inputs are unsigned.
    pub(crate) const BY_OUTPUT_UNSIGNED: Self = Self { offset: 128, ..Self::BY_OUTPUT };
    /// The eight weights of each output that multiply two steps are adjacent, and rows are interleaved in pairs.
    pub(crate) const ROW_PAIRS: Self = Self { offset: 0, steps: 2, rows: 2, arrange: Some(two_steps) };
}

/// The weights of the first input, then those of the second, and so on.
fn by_input(groups: &mut [Group]) {
    for group in groups {
        let quads = group.0;
        for (input, weights) in group.0.as_flattened_mut().as_chunks_mut::<LANES>().0.iter_mut().enumerate() {
            for (weight, quad) in weights.iter_mut().zip(quads) {
                *weight = quad[input];
            }
        }
    }
}

/// The weights of the first output in both groups, then those of the second output, and so on.
fn two_steps(groups: &mut [Group]) {
    let (first, second) = (groups[0], groups[1]);
    let pairs = lines::as_words(groups).as_chunks_mut::<2>().0;
    for (pair, (first, second)) in pairs.iter_mut().zip(first.0.into_iter().zip(second.0)) {
        *pair = [first, second];
    }
}

/// Packs a row-major matrix of `inputs` columns into panels. A step `P` holds `per_step` inputs of 16 outputs; `set`
/// writes the weight of an output (of 16) for an input (of `per_step`) into it. Padding has the default value.
pub(crate) fn pack<P: Copy + Default>(
    weight: &[f32],
    inputs: usize,
    per_step: usize,
    multiples: Multiples,
    set: impl Fn(&mut P, usize, usize, f32),
) -> Vec<P> {
    let (outputs, depth) = (weight.len() / inputs.max(1), multiples.depth(inputs, per_step));
    let mut panels = vec![P::default(); multiples.panels(outputs) * depth];
    let rows_of_panels = weight.chunks(LANES * inputs.max(1));
    for (panel, rows) in panels.chunks_exact_mut(depth.max(1)).zip(rows_of_panels) {
        for (step, first) in panel.iter_mut().zip((0..inputs).step_by(per_step)) {
            // The outputs of a step are adjacent, and the compiler writes them by vectors.
            for (output, row) in rows.chunks_exact(inputs).enumerate() {
                let values = &row[first..inputs.min(first + per_step)];
                for (input, value) in values.iter().enumerate() {
                    set(step, output, input, *value);
                }
            }
        }
    }
    panels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_tiles_are_an_odd_number_of_lines_apart() {
        let steps = Multiples::AMX.steps;
        for lines in 1..100 {
            let depth = lines * steps;
            let stride = Multiples::AMX.stride(depth);
            assert!(stride == depth || stride == depth + steps, "{depth}: {stride}");
            assert_eq!(stride / steps % 2, 1, "{depth}: {stride}");
            assert_eq!(Multiples::ANY.stride(depth), depth);
        }
    }
}
