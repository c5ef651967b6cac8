use std::fmt;

use crate::arithmetic::{Arithmetic, dispatch, total};
use crate::isa::Isa;

/// Layer normalization: each row shifted to mean 0, scaled to variance 1, weighted and biased.
///
/// A row becomes NaN if one of its values is infinite or NaN, or if its variance overflows: the inverse of an infinite
/// variance, which is 0, would turn the row into the bias.
///
/// Source: Ba, Kiros and Hinton, *Layer Normalization*, 2016.
pub struct LayerNorm<'a> {
    /// The instruction set to run on.
    pub isa: Isa,
    /// One weight per column.
    pub weight: &'a [f32],
    /// One bias per column.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
}

impl LayerNorm<'_> {
    /// Replaces each row of `x` by the normalization of `x + residual`, both row-major.
    ///
    /// # Panics
    /// If the lengths do not fit one another.
    pub fn run(&self, x: &mut [f32], residual: &[f32]) {
        let Self { isa, weight, bias, epsilon } = *self;
        assert_eq!(x.len(), residual.len());
        assert!(weight.len() == bias.len() && x.len().is_multiple_of(weight.len()));
        dispatch!(isa, normalize(x: &mut [f32], residual: &[f32], weight: &[f32], bias: &[f32], epsilon: f32));
    }
}

impl fmt::Debug for LayerNorm<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { isa, weight, epsilon, .. } = self;
        let mut debug = formatter.debug_struct("LayerNorm");
        debug.field("isa", isa).field("width", &weight.len()).field("epsilon", epsilon).finish_non_exhaustive()
    }
}

#[inline(always)]
fn normalize<A: Arithmetic>(x: &mut [f32], residual: &[f32], weight: &[f32], bias: &[f32], epsilon: f32) {
    let width = weight.len();
    let count = width as f32;
    for (row, residual) in x.chunks_exact_mut(width).zip(residual.chunks_exact(width)) {
        for (value, add) in row.iter_mut().zip(residual) {
            *value += add;
        }
        let mean = total(row, |value| value) / count;
        let variance = total(row, |value| (value - mean) * (value - mean)) / count;
        let scale = if variance < f32::INFINITY { 1.0 / (variance + epsilon).sqrt() } else { f32::NAN };
        for ((value, weight), bias) in row.iter_mut().zip(weight).zip(bias) {
            *value = A::multiply_add((*value - mean) * scale, *weight, *bias);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_become_normal() {
        for isa in Isa::available() {
            for width in [1, 15, 16, 25, 384] {
                let x: Vec<f32> = (0..2 * width).map(|i| ((i * 37 % 101) as f32) * 0.1 - 4.0).collect();
                let residual: Vec<f32> = x.iter().map(|value| value * 0.5).collect();
                let weight: Vec<f32> = (0..width).map(|i| 1.0 + i as f32 * 0.01).collect();
                let bias: Vec<f32> = (0..width).map(|i| i as f32 * 0.1).collect();
                let mut y = x.clone();
                LayerNorm { isa, weight: &weight, bias: &bias, epsilon: 1e-12 }.run(&mut y, &residual);
                for (row, (x, residual)) in x.chunks(width).zip(residual.chunks(width)).enumerate() {
                    let sums: Vec<f64> = x.iter().zip(residual).map(|(a, b)| f64::from(a + b)).collect();
                    let mean = sums.iter().sum::<f64>() / width as f64;
                    let variance = sums.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / width as f64;
                    for (i, value) in sums.iter().enumerate() {
                        let normal = (value - mean) / (variance + 1e-12).sqrt();
                        let exact = normal * f64::from(weight[i]) + f64::from(bias[i]);
                        let ours = f64::from(y[row * width + i]);
                        assert!((ours - exact).abs() < 2e-5, "{} width {width}: {ours} {exact}", isa.name());
                    }
                }
            }
        }
    }
}
