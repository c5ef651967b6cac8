//! The encoder of the BERT family on an NVIDIA GPU: matrix products of cuBLAS, and one kernel between two of them.

mod kernels;

use candle_core::{Result as CandleResult, Tensor};

use crate::architectures::layout::{self, Layout};
use crate::backends::candle::cuda::kernels::Kernels;
use crate::backends::candle::network::{Encoder, Input};
use crate::backends::candle::target::Target;
use crate::backends::candle::tensors::{failed, tensor};
use crate::config::Activation;
use crate::error::Result;
use crate::weights::Weights;

/// The layers of an encoder.
pub(super) struct CudaEncoder {
    kernels: Kernels,
    layers: Vec<Layer>,
}

impl CudaEncoder {
    /// Loads the tensors of the layers, checking each against `layout`.
    pub(super) fn load(layout: &Layout, weights: &Weights<'_>, target: &Target) -> Result<Self> {
        let source = Source { weights, target };
        Ok(Self {
            kernels: Kernels::compile(&target.device).map_err(failed)?,
            layers: layout.layers.iter().map(|layer| Layer::load(layout, layer, source)).collect::<Result<_>>()?,
        })
    }
}

impl Encoder for CudaEncoder {
    fn states(&self, embedded: Tensor, input: &Input) -> CandleResult<Tensor> {
        let lengths = Tensor::new(input.lengths.as_slice(), embedded.device())?;
        self.layers.iter().try_fold(embedded, |hidden, layer| layer.forward(&self.kernels, &hidden, &lengths))
    }
}

/// Where tensors are read from, and where they are put.
#[derive(Clone, Copy)]
struct Source<'a> {
    weights: &'a Weights<'a>,
    target: &'a Target,
}

impl Source<'_> {
    fn tensor(self, name: &str, shape: &[usize]) -> Result<Tensor> {
        tensor(self.weights, name, shape, self.target)
    }
}

/// One transformer block; hidden states are of shape `[sequences, tokens, hidden size]`.
struct Layer {
    heads: usize,
    /// Query, key and value.
    projections: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    activation: Option<Activation>,
    output: Linear,
    output_norm: Norm,
}

impl Layer {
    fn load(layout: &Layout, layer: &layout::Layer, source: Source<'_>) -> Result<Self> {
        Ok(Self {
            heads: layout.heads,
            projections: Linear::load(&[&layer.query, &layer.key, &layer.value], source)?,
            attention_output: Linear::load(&[&layer.attention_output], source)?,
            attention_norm: Norm::load(&layer.attention_norm, layout.hidden, source)?,
            intermediate: Linear::load(&[&layer.intermediate], source)?,
            activation: layer.intermediate.activation,
            output: Linear::load(&[&layer.output], source)?,
            output_norm: Norm::load(&layer.output_norm, layout.hidden, source)?,
        })
    }

    fn forward(&self, kernels: &Kernels, hidden: &Tensor, lengths: &Tensor) -> CandleResult<Tensor> {
        let context = self.attention(kernels, hidden, lengths)?;
        let attended = self.attention_norm.add(kernels, &self.attention_output, &context, hidden)?;
        let Linear { bias, .. } = &self.intermediate;
        let inner = kernels.bias_activation(&self.intermediate.product(&attended)?, bias, self.activation)?;
        self.output_norm.add(kernels, &self.output, &inner, &attended)
    }

    fn attention(&self, kernels: &Kernels, hidden: &Tensor, lengths: &Tensor) -> CandleResult<Tensor> {
        let rows = self.projections.product(hidden)?;
        let by_head = kernels.split_heads(&rows, &self.projections.bias, self.heads)?;
        let (query, key, value) = (by_head.get(0)?, by_head.get(1)?, by_head.get(2)?);
        let scores = query.matmul(&key.transpose(2, 3)?)?;
        kernels.merge_heads(&kernels.softmax(&scores, lengths)?.matmul(&value)?)
    }
}

/// `x Wᵀ + b`, whose bias the kernel after the product adds.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Loads layers with the same inputs as one with the outputs of all.
    fn load(layers: &[&layout::Dense], source: Source<'_>) -> Result<Self> {
        let stack = |read: &dyn Fn(&layout::Dense) -> Result<Tensor>| {
            let parts = layers.iter().map(|layer| read(layer)).collect::<Result<Vec<_>>>()?;
            Tensor::cat(&parts, 0).map_err(failed)
        };
        Ok(Self {
            weight: stack(&|layer| source.tensor(&format!("{}.weight", layer.name), &[layer.outputs, layer.inputs]))?,
            bias: stack(&|layer| source.tensor(&format!("{}.bias", layer.name), &[layer.outputs]))?,
        })
    }

    /// `x Wᵀ`, for `x` of shape `[sequences, tokens, inputs]`.
    fn product(&self, x: &Tensor) -> CandleResult<Tensor> {
        let (sequences, tokens, inputs) = x.dims3()?;
        let y = x.reshape((sequences * tokens, inputs))?.matmul(&self.weight.t()?)?;
        y.reshape((sequences, tokens, ()))
    }
}

/// A layer norm with the layer and the residual connection before it.
struct Norm {
    weight: Tensor,
    offset: Tensor,
    epsilon: f32,
}

impl Norm {
    fn load(norm: &layout::Norm, width: usize, source: Source<'_>) -> Result<Self> {
        let read = |name: &str| source.tensor(name, &[width]);
        Ok(Self { weight: read(&norm.weight)?, offset: read(&norm.bias)?, epsilon: norm.epsilon })
    }

    /// The norm of `layer(x) + residual`.
    fn add(&self, kernels: &Kernels, layer: &Linear, x: &Tensor, residual: &Tensor) -> CandleResult<Tensor> {
        kernels.add_norm(&layer.product(x)?, [&layer.bias, residual, &self.weight, &self.offset], self.epsilon)
    }
}
