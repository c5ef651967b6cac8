use candle_core::{Module, Result as CandleResult, Tensor};

use crate::architectures::layout::{self, HeadStep, Layout};
use crate::backends::candle::activate::activate;
#[cfg(feature = "cuda")]
use crate::backends::candle::cuda::CudaEncoder;
use crate::backends::candle::network::{Encoder, Input, Network};
use crate::backends::candle::rows::{layer_norm, softmax};
use crate::backends::candle::target::Target;
use crate::backends::candle::tensors::tensor;
use crate::config::Activation;
use crate::error::Result;
use crate::weights::Weights;

/// The BERT family: a layout in candle tensors.
///
/// It follows the classes of Hugging Face `transformers` step by step and is the reference for the packed backend. (The
/// DistilBERT of `candle-transformers` approximates GELU with tanh, which changes logits by more than the 1e-4 promised
/// here, and no model of that crate has the classification heads.)
pub(super) struct BertNetwork {
    embeddings: Embeddings,
    encoder: Box<dyn Encoder>,
    head: Vec<Step>,
}

enum Step {
    Linear(Linear),
    Tanh,
}

impl BertNetwork {
    /// Loads the model's tensors, checking each against `layout`.
    pub(super) fn load(layout: &Layout, weights: &Weights<'_>, target: &Target) -> Result<Self> {
        let source = Source { weights, target };
        let step = |step: &HeadStep| match step {
            HeadStep::Dense(dense) => Linear::load(dense, source).map(Step::Linear),
            HeadStep::Tanh => Ok(Step::Tanh),
        };
        Ok(Self {
            embeddings: Embeddings::load(&layout.embeddings, source)?,
            encoder: load_encoder(layout, source)?,
            head: layout.head.iter().map(step).collect::<Result<_>>()?,
        })
    }

    /// The last layer's hidden state of each sequence's first token, of shape `[sequences, hidden]`.
    pub(super) fn state(&self, input: &Input) -> CandleResult<Tensor> {
        let hidden = self.encoder.states(self.embeddings.forward(input)?, input)?;
        hidden.narrow(1, 0, 1)?.squeeze(1)?.contiguous()
    }
}

impl Network for BertNetwork {
    fn logits(&self, input: &Input) -> CandleResult<Tensor> {
        let mut state = self.state(input)?;
        for step in &self.head {
            state = match step {
                Step::Linear(linear) => linear.forward(&state)?,
                Step::Tanh => state.tanh()?,
            };
        }
        Ok(state)
    }
}

/// The layers for the device.
fn load_encoder(layout: &Layout, source: Source<'_>) -> Result<Box<dyn Encoder>> {
    #[cfg(feature = "cuda")]
    if source.target.device.is_cuda() {
        return Ok(Box::new(CudaEncoder::load(layout, source.weights, source.target)?));
    }
    let layers = layout.layers.iter().map(|layer| Layer::load(layout, layer, source));
    Ok(Box::new(ReferenceEncoder { layers: layers.collect::<Result<_>>()? }))
}

/// The layers in candle's operations.
struct ReferenceEncoder {
    layers: Vec<Layer>,
}

impl Encoder for ReferenceEncoder {
    fn states(&self, embedded: Tensor, input: &Input) -> CandleResult<Tensor> {
        let bias = input.padding_bias()?;
        self.layers.iter().try_fold(embedded, |hidden, layer| layer.forward(&hidden, bias.as_ref()))
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

struct Embeddings {
    words: Tensor,
    positions: Tensor,
    first_position: u32,
    padding: Option<u32>,
    token_types: Option<Tensor>,
    norm: LayerNorm,
    projection: Option<Linear>,
}

impl Embeddings {
    fn load(layout: &layout::Embeddings, source: Source<'_>) -> Result<Self> {
        let table = |table: &layout::Table| source.tensor(&table.name, &[table.rows, layout.width]);
        Ok(Self {
            words: table(&layout.words)?,
            positions: table(&layout.positions)?,
            first_position: u32::try_from(layout.first_position).expect("a row of the positions"),
            padding: layout.padding,
            token_types: layout.token_types.as_ref().map(table).transpose()?,
            norm: LayerNorm::load(&layout.norm, layout.width, source)?,
            projection: layout.projection.as_ref().map(|dense| Linear::load(dense, source)).transpose()?,
        })
    }

    /// The embeddings, of shape `[sequences, tokens, hidden size]`.
    fn forward(&self, input: &Input) -> CandleResult<Tensor> {
        let (sequences, tokens) = input.ids.dims2()?;
        let device = input.ids.device();
        let rows = |table: &Tensor, rows: &Tensor| {
            let width = table.dim(1)?;
            table.index_select(&rows.flatten_all()?, 0)?.reshape((sequences, tokens, width))
        };
        let mut sum = rows(&self.words, &input.ids)?;
        if let Some(token_types) = &self.token_types {
            sum = (sum + rows(token_types, &input.ids.zeros_like()?)?)?;
        }
        let positions: Vec<u32> = input.rows.iter().flat_map(|ids| self.position_ids(ids)).collect();
        let positions = Tensor::from_vec(positions, (sequences, tokens), device)?;
        let embedded = self.norm.forward(&(sum + rows(&self.positions, &positions)?)?)?;
        self.projection.as_ref().map_or(Ok(embedded.clone()), |projection| projection.forward(&embedded))
    }

    /// Each token's position; source: `create_position_ids_from_input_ids` of `modeling_roberta.py`.
    fn position_ids(&self, ids: &[u32]) -> Vec<u32> {
        let mask = ids.iter().map(|id| u32::from(Some(*id) != self.padding));
        let counts = mask.scan(0, |count, mask| {
            *count += mask;
            Some(*count * mask)
        });
        counts.map(|count| (count + self.first_position).saturating_sub(1)).collect()
    }
}

/// One transformer block; hidden states are of shape `[sequences, tokens, hidden size]`.
struct Layer {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    attention_output: Linear,
    attention_norm: LayerNorm,
    intermediate: Linear,
    output: Linear,
    output_norm: LayerNorm,
}

impl Layer {
    fn load(layout: &Layout, layer: &layout::Layer, source: Source<'_>) -> Result<Self> {
        let linear = |dense| Linear::load(dense, source);
        let norm = |norm| LayerNorm::load(norm, layout.hidden, source);
        Ok(Self {
            heads: layout.heads,
            query: linear(&layer.query)?,
            key: linear(&layer.key)?,
            value: linear(&layer.value)?,
            attention_output: linear(&layer.attention_output)?,
            attention_norm: norm(&layer.attention_norm)?,
            intermediate: linear(&layer.intermediate)?,
            output: linear(&layer.output)?,
            output_norm: norm(&layer.output_norm)?,
        })
    }

    fn forward(&self, hidden: &Tensor, bias: Option<&Tensor>) -> CandleResult<Tensor> {
        let attended = self.attention_norm.forward(&(self.attention(hidden, bias)? + hidden)?)?;
        let inner = self.intermediate.forward(&attended)?;
        self.output_norm.forward(&(self.output.forward(&inner)? + attended)?)
    }

    fn attention(&self, hidden: &Tensor, bias: Option<&Tensor>) -> CandleResult<Tensor> {
        let (sequences, tokens, dim) = hidden.dims3()?;
        let head_size = dim / self.heads;
        let by_head = |linear: &Linear| {
            let heads = linear.forward(hidden)?.reshape((sequences, tokens, self.heads, head_size))?;
            heads.transpose(1, 2)?.contiguous()
        };
        let query = (by_head(&self.query)? / (head_size as f64).sqrt())?;
        let mut scores = query.matmul(&by_head(&self.key)?.transpose(2, 3)?)?;
        if let Some(bias) = bias {
            scores = scores.broadcast_add(bias)?;
        }
        let context = softmax(&scores)?.matmul(&by_head(&self.value)?)?;
        self.attention_output.forward(&context.transpose(1, 2)?.reshape((sequences, tokens, dim))?)
    }
}

/// `y = activation(x Wᵀ + b)`.
struct Linear {
    product: candle_nn::Linear,
    activation: Option<Activation>,
}

impl Linear {
    fn load(dense: &layout::Dense, source: Source<'_>) -> Result<Self> {
        let layout::Dense { name, inputs, outputs, activation } = dense;
        let weight = source.tensor(&format!("{name}.weight"), &[*outputs, *inputs])?;
        let bias = source.tensor(&format!("{name}.bias"), &[*outputs])?;
        Ok(Self { product: candle_nn::Linear::new(weight, Some(bias)), activation: *activation })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let y = self.product.forward(x)?;
        self.activation.map_or(Ok(y.clone()), |activation| activate(&y, activation))
    }
}

/// Each row shifted to mean 0, scaled to variance 1, then weighted and biased.
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f32,
}

impl LayerNorm {
    fn load(norm: &layout::Norm, width: usize, source: Source<'_>) -> Result<Self> {
        let read = |name: &str| source.tensor(name, &[width]);
        Ok(Self { weight: read(&norm.weight)?, bias: read(&norm.bias)?, epsilon: norm.epsilon })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        layer_norm(x, &self.weight, &self.bias, self.epsilon)
    }
}
