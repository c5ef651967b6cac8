use emotion_kernels::{Activation, Isa, Matmul, Operand, OperandWorkspace, PackedMatrix, Precision};
use rayon::prelude::*;

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

    /// As [`Self::run_into`], in `buffer`.
    pub(crate) fn run<'a>(&self, x: Operand<'_>, buffer: &'a mut Vec<f32>, shares: &mut [Vec<f32>]) -> &'a mut [f32] {
        let y = room(buffer, x.rows() * self.weight.outputs());
        self.run_into(x, y, shares);
        y
    }

    /// The rows of [`Self::run`], ready for `next`.
    pub(crate) fn run_for<'a>(
        &self,
        next: &Self,
        x: Operand<'_>,
        buffer: &'a mut Vec<f32>,
        workspace: &'a mut OperandWorkspace,
        shares: &mut [Vec<f32>],
    ) -> Operand<'a> {
        if shares.len() > 1 {
            return next.operand(self.run(x, buffer, shares), workspace);
        }
        self.matmul().run_to_operand(x, buffer, workspace)
    }

    fn matmul(&self) -> Matmul<'_> {
        Matmul { weight: &self.weight, bias: &self.bias, activation: self.activation }
    }

    /// Fills `y`, of shape `[rows, outputs]`, from `x`, of shape `[rows, inputs]`.
    ///
    /// With more than one of `shares`, as many workers compute some columns each, so that each reads a part of the
    /// weights: that is what takes the time where there are few rows.
    pub(crate) fn run_into(&self, x: Operand<'_>, y: &mut [f32], shares: &mut [Vec<f32>]) {
        let matmul = self.matmul();
        let outputs = self.weight.outputs();
        let worth = x.rows() * self.weight.inputs() * outputs / least_share(self.weight.precision());
        let columns = outputs.div_ceil(shares.len().min(worth).max(1)).next_multiple_of(PackedMatrix::COLUMNS);
        if columns >= outputs {
            return matmul.run(x, y);
        }
        let range = |index: usize| index * columns..outputs.min((index + 1) * columns);
        let shares = &mut shares[..outputs.div_ceil(columns)];
        shares.par_iter_mut().enumerate().with_max_len(1).for_each(|(index, share)| {
            let columns = range(index);
            let share = room(share, x.rows() * columns.len());
            matmul.run_columns(x, columns, share);
        });
        for (index, share) in shares.iter().enumerate() {
            let columns = range(index);
            for (y, share) in y.chunks_exact_mut(outputs).zip(share.chunks_exact(columns.len())) {
                y[columns.clone()].copy_from_slice(share);
            }
        }
    }
}

/// Room for `len` values, which hold whatever they held before: filling it with zeros would take time.
pub(crate) fn room(buffer: &mut Vec<f32>, len: usize) -> &mut [f32] {
    if buffer.len() < len {
        buffer.resize(len, 0.0);
    }
    &mut buffer[..len]
}

/// Multiply-adds, some ten microseconds of them, that are worth handing over.
fn least_share(precision: Precision) -> usize {
    match precision {
        Precision::Float32 => 400_000,
        Precision::Bfloat16 => 800_000,
        Precision::Int8 => 1_600_000,
    }
}
