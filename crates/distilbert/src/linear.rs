use kernels::{Activation, Isa, Matmul, Operand, OperandWorkspace, PackedMatrix, Precision};

use crate::Result;
use crate::weights::Module;

/// What products run on and in.
#[derive(Clone, Copy)]
pub(crate) struct Kernels {
    pub isa: Isa,
    pub precision: Precision,
}

/// A fully connected layer: `y = activation(x Wᵀ + b)`.
pub(crate) struct Linear {
    weight: PackedMatrix,
    bias: Vec<f32>,
    activation: Activation,
}

impl Linear {
    /// One matrix of those of the modules, of `outputs` rows each, on top of one another.
    pub(crate) fn load(
        Kernels { isa, precision }: Kernels,
        modules: &[Module<'_>],
        inputs: usize,
        outputs: usize,
        activation: Activation,
    ) -> Result<Self> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for module in modules {
            weight.extend(module.read("weight", &[outputs, inputs])?);
            bias.extend(module.read("bias", &[outputs])?);
        }
        let weight = PackedMatrix::pack(isa, precision, &weight, bias.len(), inputs);
        Ok(Self { weight, bias, activation })
    }

    /// The rows of `x`, ready for this layer and every other of as many inputs.
    pub(crate) fn operand<'a>(&self, x: &'a [f32], workspace: &'a mut OperandWorkspace) -> Operand<'a> {
        self.weight.operand(x, workspace)
    }

    /// Makes `y` fit, and fills it, of shape `[rows, outputs]`, from `x`, of shape `[rows, inputs]`.
    pub(crate) fn run(&self, x: Operand<'_>, y: &mut Vec<f32>) {
        y.resize(x.rows() * self.weight.outputs(), 0.0);
        self.run_into(x, y);
    }

    /// As [`Self::run`], for a `y` of the right length.
    pub(crate) fn run_into(&self, x: Operand<'_>, y: &mut [f32]) {
        Matmul { weight: &self.weight, bias: &self.bias, activation: self.activation }.run(x, y);
    }
}
