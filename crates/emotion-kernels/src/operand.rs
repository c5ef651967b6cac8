use crate::bfloat16::{self, Bfloat16Rows, Pair};
use crate::dot::Quad;
use crate::int8::{self, Int8Rows};
use crate::lines::Line;
use crate::matmul::Rows;
use crate::{Isa, Precision, split};

/// Rows of activations as products with a [`PackedMatrix`](crate::PackedMatrix) take them; from
/// [`PackedMatrix::operand`](crate::PackedMatrix::operand).
///
/// What becomes of a row depends on that row alone.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    pub(crate) isa: Isa,
    pub(crate) width: usize,
    pub(crate) count: usize,
    pub(crate) values: Values<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    Float32(&'a [f32]),
    /// float32 as [`split`] has it: pairs, and how many there are to a row.
    Split(&'a [Pair], usize),
    Bfloat16(Bfloat16Rows<'a>),
    Int8(Int8Rows<'a>),
}

/// Memory that an [`Operand`] uses and leaves to the next.
#[derive(Default)]
pub struct OperandWorkspace {
    turned: Vec<f32>,
    pub(crate) pairs: Vec<Line<Pair>>,
    quads: Vec<Line<Quad>>,
    scales: Vec<f32>,
}

impl<'a> Operand<'a> {
    pub(crate) fn new(
        isa: Isa,
        precision: Precision,
        x: &'a [f32],
        width: usize,
        workspace: &'a mut OperandWorkspace,
    ) -> Self {
        let OperandWorkspace { turned, pairs, quads, scales } = workspace;
        let values = match precision {
            Precision::Float32 if split::is_for(isa) => {
                let (pairs, depth) = split::split_rows(isa, x, width, pairs);
                Values::Split(pairs, depth)
            }
            Precision::Float32 => Values::Float32(x),
            Precision::Bfloat16 => Values::Bfloat16(bfloat16::round_rows(isa, x, width, turned, pairs)),
            Precision::Int8 => Values::Int8(int8::quantize_rows(isa, x, width, quads, scales)),
        };
        Self { isa, width, count: x.len() / width.max(1), values }
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.count
    }

    pub(crate) fn matrix(&self, values: &'a [f32]) -> Rows<'a> {
        Rows { values, stride: self.width, count: self.count, width: self.width }
    }
}
