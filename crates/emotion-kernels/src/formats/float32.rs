//! Products in float32: in plain lanes, and by `fmla` on aarch64. AMX does not support float32, so AVX-512 computes them.

use crate::arithmetic::{Arithmetic, dispatch};
use crate::epilogue::{Activation, Epilogue};
#[cfg(target_arch = "aarch64")]
use crate::gemm::aarch64::Fmla as FloatStep;
#[cfg(not(target_arch = "aarch64"))]
use crate::gemm::portable::FloatLanes as FloatStep;
use crate::gemm::tiles::{self, FloatPanels};
use crate::isa::Isa;
use crate::layout::{self, Multiples, Rows, RowsMut};
use crate::lines::{AlignedBuffer, Line};

/// Panels of one input per step.
pub(crate) fn pack(weight: &[f32], inputs: usize) -> Vec<Line<f32>> {
    layout::pack(weight, inputs, 1, Multiples::ANY, |line: &mut Line<f32>, lane, _, value| line.0[lane] = value)
}

/// The product of rows and panels, from panel `first` on.
pub(crate) fn product(isa: Isa, x: Rows<'_>, panels: &[Line<f32>], first: usize, epilogue: Epilogue<'_>) {
    let panels = &panels[first * x.width..];
    dispatch!(isa, multiply(x: Rows<'_>, panels: &[Line<f32>], epilogue: Epilogue<'_>));
}

/// The product as rows for further products, in `buffer`, which grows if necessary.
pub(crate) fn product_to_rows<'a>(
    isa: Isa,
    x: Rows<'_>,
    panels: &[Line<f32>],
    bias: &[f32],
    activation: Activation,
    buffer: &'a mut AlignedBuffer,
) -> Rows<'a> {
    let (width, stride) = (bias.len(), layout::padded_stride(bias.len()));
    let values = buffer.values(x.count * stride);
    product(isa, x, panels, 0, Epilogue { bias, activation, out: RowsMut { values: &mut *values, stride, width } });
    Rows { values, stride, count: x.count, width }
}

#[inline(always)]
pub(crate) fn multiply<A: Arithmetic>(x: Rows<'_>, panels: &[Line<f32>], epilogue: Epilogue<'_>) {
    let dot = FloatStep::<A, Line<f32>>::NEW;
    tiles::multiply(dot, x, FloatPanels { steps: panels, depth: x.width }, epilogue);
}
