use emotion_kernels::{Isa, OperandWorkspace, Precision};

use crate::architectures::layout::Layout;
use crate::backends::packed::linear::{Kernels, Linear};
use crate::error::Result;
use crate::weights::Weights;

/// The classification head: fully connected layers on the state of the first token, in float32.
pub(super) struct Head {
    layers: Vec<Linear>,
}

impl Head {
    pub(super) fn load(layout: &Layout, weights: &Weights<'_>) -> Result<Self> {
        let kernels = Kernels { isa: Isa::detected(), precision: Precision::Float32 };
        let layers = layout.head.iter().map(|dense| Linear::load(kernels, &[dense], weights)).collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    /// Logits, `[sequences, labels]`, of hidden states, `[sequences, hidden]`.
    pub(super) fn logits(&self, states: Vec<f32>) -> Vec<f32> {
        let mut workspace = OperandWorkspace::default();
        self.layers.iter().fold(states, |inputs, layer| {
            let mut outputs = Vec::new();
            layer.run(layer.operand(&inputs, &mut workspace), &mut outputs, &mut []);
            outputs
        })
    }
}
