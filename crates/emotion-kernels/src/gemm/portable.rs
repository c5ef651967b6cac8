//! Dot steps in plain Rust. The compiler turns the step of float32 into vector instructions of the target set.

use std::marker::PhantomData;

use super::dot::{ByteStep, Dot, Step};
use crate::arithmetic::{Arithmetic, LANES, Lanes, Native};
use crate::bf16::Bfloat16;
use crate::layout::{ByteLayout, Group, Quad};
use crate::lines::Line;

/// The weights of 16 outputs that multiply one input.
pub(crate) trait Widen {
    fn widen(&self) -> Lanes;
}

impl Widen for Line<f32> {
    #[inline(always)]
    fn widen(&self) -> Lanes {
        self.0
    }
}

impl Widen for [Bfloat16; LANES] {
    #[inline(always)]
    fn widen(&self) -> Lanes {
        std::array::from_fn(|lane| self[lane].widen())
    }
}

/// One float32 input per step: a multiply-add in each of 16 lanes, with weights that are widened as they are loaded.
pub(crate) struct FloatLanes<A, W>(PhantomData<(A, W)>);

impl<A, W> FloatLanes<A, W> {
    pub(crate) const NEW: Self = Self(PhantomData);
}

impl<A, W> Clone for FloatLanes<A, W> {
    #[inline(always)]
    fn clone(&self) -> Self {
        *self
    }
}

impl<A, W> Copy for FloatLanes<A, W> {}

impl<A: Arithmetic, W: Widen> Step for FloatLanes<A, W> {
    type Input = f32;
    type Weights = W;
    type Element = f32;
    type Arithmetic = A;
}

impl<A: Arithmetic, W: Widen> Dot for FloatLanes<A, W> {
    type Sums = Lanes;
    type Loaded = Lanes;
    const TILE_ROWS: usize = A::TILE_ROWS;
    const TILE_PANELS: usize = A::TILE_PANELS;

    #[inline(always)]
    fn start(self, sums: &Lanes) -> Lanes {
        *sums
    }

    #[inline(always)]
    fn load(self, weights: &W) -> Lanes {
        weights.widen()
    }

    #[inline(always)]
    fn add(self, sums: &mut Lanes, weights: Lanes, input: f32) {
        for lane in 0..LANES {
            sums[lane] = A::multiply_add(input, weights[lane], sums[lane]);
        }
    }

    #[inline(always)]
    fn finish(self, sums: Lanes) -> Lanes {
        sums
    }
}

/// Four bytes per step. Two products of at most 127² fit into 16 bits.
#[derive(Clone, Copy)]
pub(crate) struct ByteLanes;

impl ByteStep for ByteLanes {
    const LAYOUT: ByteLayout = ByteLayout::BY_INPUT;
}

impl Step for ByteLanes {
    type Input = Quad;
    type Weights = Group;
    type Element = i32;
    type Arithmetic = Native;
}

impl Dot for ByteLanes {
    type Sums = [i32; LANES];
    type Loaded = Group;
    const TILE_ROWS: usize = 4;

    #[inline(always)]
    fn start(self, sums: &[i32; LANES]) -> Self::Sums {
        *sums
    }

    #[inline(always)]
    fn load(self, weights: &Group) -> Group {
        *weights
    }

    #[inline(always)]
    fn add(self, sums: &mut Self::Sums, weights: Group, quad: Quad) {
        let [a, b, c, d] = quad.map(|byte| i16::from(byte.cast_signed()));
        let (weights, _) = weights.0.as_flattened().as_chunks::<LANES>();
        for lane in 0..LANES {
            let weight = |input: usize| i16::from(weights[input][lane]);
            let pairs = [weight(0) * a + weight(1) * b, weight(2) * c + weight(3) * d];
            sums[lane] += i32::from(pairs[0]) + i32::from(pairs[1]);
        }
    }

    #[inline(always)]
    fn finish(self, sums: Self::Sums) -> [i32; LANES] {
        sums
    }
}
