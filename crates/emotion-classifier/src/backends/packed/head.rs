use emotion_kernels::{AlignedBuffer, Isa, OperandWorkspace, Precision};

use crate::architectures::layout::{HeadStep, Layout};
use crate::backends::packed::linear::{Kernels, Linear};
use crate::error::Result;
use crate::weights::Weights;

/// The classification head: fully connected layers on the state of the first token, in float32.
pub(super) struct Head {
    steps: Vec<Step>,
}

enum Step {
    Linear(Linear),
    Tanh,
}

impl Head {
    pub(super) fn load(layout: &Layout, weights: &Weights<'_>) -> Result<Self> {
        let kernels = Kernels { isa: Isa::detected(), precision: Precision::Float32 };
        let load = |step: &HeadStep| match step {
            HeadStep::Dense(dense) => Linear::load(kernels, &[dense], weights).map(Step::Linear),
            HeadStep::Tanh => Ok(Step::Tanh),
        };
        Ok(Self { steps: layout.head.iter().map(load).collect::<Result<_>>()? })
    }

    /// Logits, `[sequences, labels]`, of hidden states, `[sequences, hidden]`.
    pub(super) fn logits(&self, states: Vec<f32>) -> Vec<f32> {
        let mut workspace = OperandWorkspace::default();
        self.steps.iter().fold(states, |values, step| match step {
            Step::Linear(linear) => {
                let mut outputs = AlignedBuffer::default();
                linear.run(linear.operand(&values, &mut workspace), &mut outputs, &mut []).to_vec()
            }
            // Without a kernel, because a sequence has only `hidden` of these values.
            Step::Tanh => values.into_iter().map(f32::tanh).collect(),
        })
    }
}
