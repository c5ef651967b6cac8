use std::fmt;

use crate::bf16::Pair;
use crate::formats::bfloat16::{self, Bfloat16Rows};
use crate::formats::int8::{self, Int8Buffer, Int8Rows};
use crate::isa::Isa;
use crate::layout::Rows;
use crate::lines::{AlignedBuffer, Line};
use crate::precision::Precision;

/// Rows of activations in the representation that products with a [`PackedMatrix`](crate::PackedMatrix) take.
/// [`PackedMatrix::operand`](crate::PackedMatrix::operand) returns one.
///
/// The representation of a row depends on that row alone.
#[derive(Clone, Copy)]
pub struct Operand<'a> {
    pub(crate) isa: Isa,
    pub(crate) width: usize,
    pub(crate) count: usize,
    pub(crate) values: Values<'a>,
}

#[derive(Clone, Copy)]
pub(crate) enum Values<'a> {
    Float32(Rows<'a>),
    Bfloat16(Bfloat16Rows<'a>),
    Int8(Int8Rows<'a>),
}

/// The memory of an [`Operand`], which the next one reuses.
#[derive(Default)]
pub struct OperandWorkspace {
    swapped: AlignedBuffer,
    pub(crate) pairs: Vec<Line<Pair>>,
    pub(crate) rounded: Int8Buffer,
}

impl<'a> Operand<'a> {
    pub(crate) fn new(
        isa: Isa,
        precision: Precision,
        x: &'a [f32],
        width: usize,
        workspace: &'a mut OperandWorkspace,
    ) -> Self {
        let OperandWorkspace { swapped, pairs, rounded } = workspace;
        let count = x.len() / width.max(1);
        let rows = Rows { values: x, stride: width, count, width };
        let values = match precision {
            Precision::Float32 => Values::Float32(rows),
            Precision::Bfloat16 => Values::Bfloat16(bfloat16::round_rows(isa, x, width, swapped, pairs)),
            Precision::Int8 => Values::Int8(int8::quantize_rows(isa, rows, rounded)),
        };
        Self { isa, width, count, values }
    }

    /// The number of rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.count
    }
}

impl fmt::Debug for Operand<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { isa, width, count, .. } = self;
        let mut debug = formatter.debug_struct("Operand");
        debug.field("isa", isa).field("width", width).field("rows", count).finish_non_exhaustive()
    }
}

impl fmt::Debug for OperandWorkspace {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OperandWorkspace").finish_non_exhaustive()
    }
}
