//! Emulated instructions in plain Rust, so that the loop around them is tested on machines without them.

use std::ops::Range;

use proptest::prelude::*;

use super::dot::{ByteStep, Dot, Step, TILE_PANELS, TILE_STEPS, TileDot, TileSums};
use super::row_pairs::RowPairDot;
use super::tiles::{self, FloatPanels, TwoByTwo};
use crate::arithmetic::{Fused, LANES, Lanes};
use crate::bf16::Pair;
use crate::epilogue::Epilogue;
use crate::layout::{ByteLayout, Group, Quad, Rows};
use crate::lines::Line;

/// `vdpbf16ps`, for values whose products and sums are normal numbers or zero.
#[derive(Clone, Copy)]
pub(crate) struct Vdpbf16ps;

impl Step for Vdpbf16ps {
    type Input = Pair;
    type Weights = Line<Pair>;
    type Element = f32;
    type Arithmetic = Fused;
}

impl Dot for Vdpbf16ps {
    type Sums = Lanes;
    type Loaded = Line<Pair>;
    const TILE_ROWS: usize = 12;

    fn start(self, sums: &Lanes) -> Lanes {
        *sums
    }

    fn load(self, weights: &Line<Pair>) -> Line<Pair> {
        *weights
    }

    fn add(self, sums: &mut Lanes, weights: Line<Pair>, [first, second]: Pair) {
        for (sum, weights) in sums.iter_mut().zip(&weights.0) {
            *sum = second.widen().mul_add(weights[1].widen(), *sum);
            *sum = first.widen().mul_add(weights[0].widen(), *sum);
        }
    }

    fn finish(self, sums: Lanes) -> Lanes {
        sums
    }
}

/// The dot product of four signed inputs and four weights.
pub(crate) fn dot(quad: Quad, weights: [i8; 4]) -> i32 {
    quad.iter().zip(weights).map(|(input, weight)| i32::from(input.cast_signed()) * i32::from(weight)).sum()
}

/// `smmla`, eight times: once for each two of 16 outputs.
#[derive(Clone, Copy)]
pub(crate) struct Smmla;

impl ByteStep for Smmla {
    const LAYOUT: ByteLayout = ByteLayout::ROW_PAIRS;
}

impl Step for Smmla {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Fused;
}

impl RowPairDot for Smmla {
    type Sums = [[i32; LANES]; 2];
    type Loaded = [[i8; 4]; 2 * LANES];

    fn start(self, sums: &[i32; LANES]) -> Self::Sums {
        [*sums; 2]
    }

    fn load(self, weights: &[Group; 2]) -> Self::Loaded {
        let mut quads = [[0; 4]; 2 * LANES];
        for (quads, group) in quads.as_chunks_mut::<LANES>().0.iter_mut().zip(weights) {
            *quads = group.0;
        }
        quads
    }

    fn add(self, sums: &mut Self::Sums, weights: Self::Loaded, inputs: [[Quad; 2]; 2]) {
        for (sums, inputs) in sums.iter_mut().zip(inputs) {
            for (sum, weights) in sums.iter_mut().zip(weights.as_chunks::<2>().0) {
                *sum += dot(inputs[0], weights[0]) + dot(inputs[1], weights[1]);
            }
        }
    }

    fn finish(self, sums: Self::Sums) -> [[i32; LANES]; 2] {
        sums
    }
}

/// `TDPBSSD`.
pub(crate) struct Tdpbssd;

impl ByteStep for Tdpbssd {
    const LAYOUT: ByteLayout = ByteLayout::BY_OUTPUT;
}

impl Step for Tdpbssd {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Fused;
}

impl TileDot for Tdpbssd {
    fn multiply(
        &self,
        rows: [Rows<'_, Quad>; 2],
        panels: [&[Group]; TILE_PANELS],
        starts: [&[i32; LANES]; TILE_PANELS],
        sums: &mut TileSums<i32>,
    ) {
        multiply(rows, panels, starts, sums, |sum, inputs, weights| {
            inputs.iter().zip(weights).fold(sum, |sum, (quad, weights)| sum + dot(*quad, **weights))
        });
    }
}

/// `TDPBF16PS`.
pub(crate) struct Tdpbf16ps;

impl Step for Tdpbf16ps {
    type Input = Pair;
    type Weights = Line<Pair>;
    type Element = f32;
    type Arithmetic = Fused;
}

impl TileDot for Tdpbf16ps {
    fn multiply(
        &self,
        rows: [Rows<'_, Pair>; 2],
        panels: [&[Line<Pair>]; TILE_PANELS],
        starts: [&[f32; LANES]; TILE_PANELS],
        sums: &mut TileSums<f32>,
    ) {
        multiply(rows, panels, starts, sums, |sum, inputs, weights| {
            let mut parts = [0.0_f32; 2];
            for (pair, weights) in inputs.iter().zip(weights) {
                for (part, (input, weight)) in parts.iter_mut().zip(pair.iter().zip(*weights)) {
                    *part = input.widen().mul_add(weight.widen(), *part);
                }
            }
            sum + (parts[0] + parts[1])
        });
    }
}

/// `add` returns the sum to which the products of sixteen steps have been added.
fn multiply<I: Copy, W, E: Copy>(
    rows: [Rows<'_, I>; 2],
    panels: [&[Line<W>]; TILE_PANELS],
    starts: [&[E; LANES]; TILE_PANELS],
    sums: &mut TileSums<E>,
    add: impl Fn(E, &[I], &[&W]) -> E,
) {
    for (rows, sums) in rows.into_iter().zip(&mut sums.0) {
        for ((panel, start), sums) in panels.into_iter().zip(starts).zip(sums) {
            for (index, sums) in sums.iter_mut().enumerate() {
                let row = rows.row(index);
                for (lane, sum) in sums.iter_mut().enumerate() {
                    let steps = row.as_chunks::<TILE_STEPS>().0.iter().zip(panel.as_chunks::<TILE_STEPS>().0);
                    *sum = steps.fold(start[lane], |sum, (inputs, lines)| {
                        add(sum, inputs, &lines.iter().map(|line| &line.0[lane]).collect::<Vec<_>>())
                    });
                }
            }
        }
    }
}

/// The product of rows and panels of pairs, padded for AMX, with [`Tdpbf16ps`].
pub(crate) fn multiply_pairs(x: Rows<'_, Pair>, panels: &[Line<Pair>], epilogue: Epilogue<'_>) {
    tiles::multiply(TwoByTwo::new(&Tdpbf16ps), x, FloatPanels { steps: panels, depth: x.width }, epilogue);
}

/// Operands of a product: the number of inputs, rows, weights and a bias.
pub(crate) fn operands(
    inputs: Range<usize>,
    rows: Range<usize>,
    outputs: Range<usize>,
) -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>, Vec<f32>)> {
    (inputs, rows, outputs).prop_flat_map(|(inputs, rows, outputs)| {
        let values = |count| prop::collection::vec(-1.0_f32..1.0, count);
        let bias = (0_i16..).map(|i| f32::from(i % 7) - 3.0).take(outputs).collect();
        (Just(inputs), values(rows * inputs), values(outputs * inputs), Just(bias))
    })
}
