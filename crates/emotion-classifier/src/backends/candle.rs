use candle_core::{D, Device, Result as CandleResult, Tensor};

use crate::architectures::layout::{self, HeadStep, Layout};
use crate::backends::Backend;
use crate::batch::Batch;
use crate::config::Activation;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// The reference forward pass: a layout in candle tensors, in float32, one sequence at a time.
///
/// It follows the classes of Hugging Face `transformers` step by step and is the reference for faster backends. As each
/// sequence runs alone there is neither padding nor an attention mask, and its bits cannot depend on its neighbours.
/// (The DistilBERT of `candle-transformers` approximates GELU with tanh, which changes logits by more than the 1e-4
/// promised here.)
pub(crate) struct CandleBackend {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    head: Vec<Step>,
    hidden: usize,
}

enum Step {
    Linear(Linear),
    Tanh,
}

impl CandleBackend {
    /// Loads the model's tensors, checking each against `layout`.
    pub(crate) fn load(layout: &Layout, weights: &Weights<'_>) -> Result<Self> {
        let step = |step: &HeadStep| match step {
            HeadStep::Dense(dense) => Linear::load(dense, weights).map(Step::Linear),
            HeadStep::Tanh => Ok(Step::Tanh),
        };
        Ok(Self {
            embeddings: Embeddings::load(&layout.embeddings, weights)?,
            layers: layout.layers.iter().map(|layer| Layer::load(layout, layer, weights)).collect::<Result<_>>()?,
            head: layout.head.iter().map(step).collect::<Result<_>>()?,
            hidden: layout.hidden,
        })
    }

    /// The last layer's hidden state of each sequence's first token, row-major, of shape `[batch.len(), hidden]`.
    pub(crate) fn states(&self, batch: &Batch) -> CandleResult<Vec<f32>> {
        let mut states = Vec::new();
        for sequence in batch.sequences() {
            states.extend(self.state(sequence)?);
        }
        Ok(states)
    }

    fn state(&self, ids: &[u32]) -> CandleResult<Vec<f32>> {
        let mut hidden = self.embeddings.forward(ids)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden)?;
        }
        hidden.get(0)?.to_vec1()
    }

    /// The logits, of shape `[labels]`, of one hidden state.
    fn head(&self, state: &[f32]) -> CandleResult<Vec<f32>> {
        let mut state = Tensor::from_slice(state, (1, state.len()), &Device::Cpu)?;
        for step in &self.head {
            state = match step {
                Step::Linear(linear) => linear.forward(&state)?,
                Step::Tanh => state.tanh()?,
            };
        }
        state.get(0)?.to_vec1()
    }
}

impl Backend for CandleBackend {
    fn logits(&self, batch: &Batch, _workers: usize) -> Result<Vec<f32>> {
        let states = self.states(batch).map_err(failed)?;
        let mut logits = Vec::new();
        for state in states.chunks_exact(self.hidden) {
            logits.extend(self.head(state).map_err(failed)?);
        }
        Ok(logits)
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn failed(error: candle_core::Error) -> Error {
    Error::Forward(error.to_string())
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
    fn load(layout: &layout::Embeddings, weights: &Weights<'_>) -> Result<Self> {
        let table = |table: &layout::Table| tensor(weights, &table.name, &[table.rows, layout.width]);
        Ok(Self {
            words: table(&layout.words)?,
            positions: table(&layout.positions)?,
            first_position: u32::try_from(layout.first_position).expect("a row of the positions"),
            padding: layout.padding,
            token_types: layout.token_types.as_ref().map(table).transpose()?,
            norm: LayerNorm::load(&layout.norm, layout.width, weights)?,
            projection: layout.projection.as_ref().map(|dense| Linear::load(dense, weights)).transpose()?,
        })
    }

    fn forward(&self, ids: &[u32]) -> CandleResult<Tensor> {
        let rows = |table: &Tensor, rows: &[u32]| table.index_select(&Tensor::new(rows, &Device::Cpu)?, 0);
        let mut sum = rows(&self.words, ids)?;
        if let Some(token_types) = &self.token_types {
            sum = (sum + rows(token_types, &vec![0; ids.len()])?)?;
        }
        let embedded = self.norm.forward(&(sum + rows(&self.positions, &self.position_ids(ids))?)?)?;
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

/// One transformer block; hidden states are of shape `[tokens, hidden size]`.
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
    fn load(layout: &Layout, layer: &layout::Layer, weights: &Weights<'_>) -> Result<Self> {
        let linear = |dense| Linear::load(dense, weights);
        let norm = |norm| LayerNorm::load(norm, layout.hidden, weights);
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

    fn forward(&self, hidden: &Tensor) -> CandleResult<Tensor> {
        let attended = self.attention_norm.forward(&(self.attention(hidden)? + hidden)?)?;
        let inner = self.intermediate.forward(&attended)?;
        self.output_norm.forward(&(self.output.forward(&inner)? + attended)?)
    }

    fn attention(&self, hidden: &Tensor) -> CandleResult<Tensor> {
        let (tokens, dim) = hidden.dims2()?;
        let head_size = dim / self.heads;
        let by_head =
            |lin: &Linear| lin.forward(hidden)?.reshape((tokens, self.heads, head_size))?.transpose(0, 1)?.contiguous();
        let query = (by_head(&self.query)? / (head_size as f64).sqrt())?;
        let scores = query.matmul(&by_head(&self.key)?.transpose(1, 2)?)?;
        let context = softmax(&scores)?.matmul(&by_head(&self.value)?)?;
        self.attention_output.forward(&context.transpose(0, 1)?.reshape((tokens, dim))?)
    }
}

/// `y = activation(x Wᵀ + b)`.
struct Linear {
    weight: Tensor,
    bias: Tensor,
    activation: Option<Activation>,
}

impl Linear {
    fn load(dense: &layout::Dense, weights: &Weights<'_>) -> Result<Self> {
        let layout::Dense { name, inputs, outputs, activation } = dense;
        Ok(Self {
            weight: tensor(weights, &format!("{name}.weight"), &[*outputs, *inputs])?,
            bias: tensor(weights, &format!("{name}.bias"), &[*outputs])?,
            activation: *activation,
        })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let y = x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)?;
        match self.activation {
            None => Ok(y),
            Some(Activation::Gelu) => y.gelu_erf(),
            Some(Activation::Relu) => y.relu(),
        }
    }
}

/// Each row shifted to mean 0, scaled to variance 1, then weighted and biased.
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
    epsilon: f64,
}

impl LayerNorm {
    fn load(norm: &layout::Norm, width: usize, weights: &Weights<'_>) -> Result<Self> {
        let read = |name: &str| tensor(weights, name, &[width]);
        Ok(Self { weight: read(&norm.weight)?, bias: read(&norm.bias)?, epsilon: norm.epsilon.into() })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let scaled = centred.broadcast_div(&(variance + self.epsilon)?.sqrt()?)?;
        scaled.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}

fn softmax(x: &Tensor) -> CandleResult<Tensor> {
    let exps = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    exps.broadcast_div(&exps.sum_keepdim(D::Minus1)?)
}

fn tensor(weights: &Weights<'_>, name: &str, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(weights.read(name, shape)?, shape, &Device::Cpu).map_err(failed)
}
