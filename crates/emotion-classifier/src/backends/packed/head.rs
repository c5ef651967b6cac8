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
        // Not by sums of bfloat16 products, so that int8's logits have the same bits on AMX.
        let kernels = Kernels { isa: Isa::detected().vector(), precision: Precision::Float32 };
        let layers = layout.head.iter().map(|dense| Linear::load(kernels, &[dense], weights)).collect::<Result<_>>()?;
        Ok(Self { layers })
    }

    /// Logits, `[texts, labels]`, of hidden states, `[texts, hidden]`.
    pub(super) fn logits(&self, states: &[f32]) -> Vec<f32> {
        let mut workspace = OperandWorkspace::default();
        self.layers.iter().fold(states.to_vec(), |states, layer| {
            let mut outputs = Vec::new();
            layer.run(layer.operand(&states, &mut workspace), &mut outputs, &mut []);
            outputs
        })
    }
}
