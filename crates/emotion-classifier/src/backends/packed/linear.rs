use emotion_kernels::{Activation, AlignedBuffer, Isa, Matmul, Operand, OperandWorkspace, PackedMatrix, Precision};
use rayon::prelude::*;

use crate::architectures::layout::Dense;
use crate::config;
use crate::error::Result;
use crate::weights::Weights;

/// The instruction set and the precision of matrix products.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    pub isa: Isa,
    pub precision: Precision,
}

/// A fully connected layer: `y = activation(x Wᵀ + b)`.
pub(super) struct Linear {
    weight: PackedMatrix,
    bias: Vec<f32>,
    activation: Activation,
}

impl Linear {
    /// Loads layers of the same inputs and activation as one layer, whose outputs are theirs in order.
    pub(super) fn load(Kernels { isa, precision }: Kernels, layers: &[&Dense], weights: &Weights<'_>) -> Result<Self> {
        let Dense { inputs, activation, .. } = *layers[0];
        let rows = |layer: &Dense| weights.read(&format!("{}.weight", layer.name), &[layer.outputs, inputs]);
        let biases = |layer: &Dense| weights.read(&format!("{}.bias", layer.name), &[layer.outputs]);
        let (mut weight, mut bias) = (rows(layers[0])?, biases(layers[0])?);
        for layer in &layers[1..] {
            weight.extend(rows(layer)?);
            bias.extend(biases(layer)?);
        }
        let weight = PackedMatrix::pack(isa, precision, &weight, bias.len(), inputs);
        Ok(Self { weight, bias, activation: kernel_activation(activation) })
    }

    /// The rows of `x` as an operand of this layer and every other with as many inputs.
    pub(super) fn operand<'a>(&self, x: &'a [f32], workspace: &'a mut OperandWorkspace) -> Operand<'a> {
        self.weight.operand(x, workspace)
    }

    /// As [`Self::run_into`], into `buffer`.
    pub(super) fn run<'a>(
        &self,
        x: Operand<'_>,
        buffer: &'a mut AlignedBuffer,
        shares: &mut [AlignedBuffer],
    ) -> &'a mut [f32] {
        let y = buffer.values(x.rows() * self.weight.outputs());
        self.run_into(x, y, shares);
        y
    }

    /// The rows of [`Self::run`] as an operand of `next`.
    pub(super) fn run_for<'a>(
        &self,
        next: &Self,
        x: Operand<'_>,
        buffer: &'a mut AlignedBuffer,
        workspace: &'a mut OperandWorkspace,
        shares: &mut [AlignedBuffer],
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
    /// With more than one of `shares`, as many workers compute a range of columns each, so that each reads a part of the
    /// weights: reading them takes most of the time where there are few rows.
    pub(super) fn run_into(&self, x: Operand<'_>, y: &mut [f32], shares: &mut [AlignedBuffer]) {
        let matmul = self.matmul();
        let outputs = self.weight.outputs();
        let most_shares = x.rows() * self.weight.inputs() * outputs / least_share(self.weight.precision());
        let columns = outputs.div_ceil(shares.len().min(most_shares).max(1)).next_multiple_of(PackedMatrix::COLUMNS);
        if columns >= outputs {
            return matmul.run(x, y);
        }
        let range = |index: usize| index * columns..outputs.min((index + 1) * columns);
        let shares = &mut shares[..outputs.div_ceil(columns)];
        shares.par_iter_mut().enumerate().with_max_len(1).for_each(|(index, share)| {
            let columns = range(index);
            matmul.run_columns(x, columns.clone(), share.values(x.rows() * columns.len()));
        });
        for (index, share) in shares.iter_mut().enumerate() {
            let columns = range(index);
            for (y, share) in
                y.chunks_exact_mut(outputs).zip(share.values(x.rows() * columns.len()).chunks_exact(columns.len()))
            {
                y[columns.clone()].copy_from_slice(share);
            }
        }
    }
}

fn kernel_activation(activation: Option<config::Activation>) -> Activation {
    match activation {
        None => Activation::None,
        Some(config::Activation::Gelu) => Activation::Gelu,
        Some(config::Activation::Relu) => Activation::Relu,
        Some(config::Activation::GeluTanh) => Activation::GeluTanh,
        Some(config::Activation::Silu) => Activation::Silu,
        Some(config::Activation::Tanh) => Activation::Tanh,
    }
}

/// The fewest multiply-adds that are worth handing to another worker: about ten microseconds of work.
fn least_share(precision: Precision) -> usize {
    match precision {
        Precision::Float32 => 400_000,
        Precision::Bfloat16 => 800_000,
        Precision::Int8 => 1_600_000,
    }
}
