//! Operations on the rows of a tensor.
//!
//! In float32 on the CPU they are computed step by step, as the reference for the packed backend. Elsewhere they are
//! candle's fused operations, which read and write the tensor once and sum in float32.

use candle_core::{D, DType, Result, Tensor};
use candle_nn::ops;

/// Each row as probabilities.
pub(super) fn softmax(x: &Tensor) -> Result<Tensor> {
    if !is_reference(x) {
        return ops::softmax_last_dim(x);
    }
    let exps = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    exps.broadcast_div(&exps.sum_keepdim(D::Minus1)?)
}

/// Each row shifted to mean 0, scaled to variance 1, then weighted and biased.
pub(super) fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, epsilon: f32) -> Result<Tensor> {
    if !is_reference(x) {
        return ops::layer_norm(x, weight, bias, epsilon);
    }
    let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    // NaN if the variance overflows, whose inverse would turn the row into the bias; otherwise 0.
    let overflow = (&variance * 0.0)?;
    let scaled = centred.broadcast_div(&((variance + f64::from(epsilon))?.sqrt()? + overflow)?)?;
    scaled.broadcast_mul(weight)?.broadcast_add(bias)
}

fn is_reference(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}
