use emotion_kernels::{Isa, LayerNorm};

use crate::architectures::layout;
use crate::error::Result;
use crate::weights::Weights;

/// A layer normalization.
pub(super) struct Norm {
    isa: Isa,
    weight: Vec<f32>,
    bias: Vec<f32>,
    epsilon: f32,
}

impl Norm {
    pub(super) fn load(isa: Isa, norm: &layout::Norm, width: usize, weights: &Weights<'_>) -> Result<Self> {
        let read = |name: &str| weights.read(name, &[width]);
        Ok(Self { isa, weight: read(&norm.weight)?, bias: read(&norm.bias)?, epsilon: norm.epsilon })
    }

    /// Replaces each row of `x` by its normalized sum with the same row of `residual`.
    pub(super) fn run(&self, x: &mut [f32], residual: &[f32]) {
        let Self { isa, weight, bias, epsilon } = self;
        LayerNorm { isa: *isa, weight, bias, epsilon: *epsilon }.run(x, residual);
    }
}
