use candle_core::{D, Device, Result as CandleResult, Tensor};

use crate::backends::Backend;
use crate::batch::Batch;
use crate::config::{Activation, Config};
use crate::error::{Error, Result};
use crate::weights::Weights;

/// `DistilBertConfig` has no key for it: the value is fixed in the model's code.
const LAYER_NORM_EPS: f64 = 1e-12;

/// The reference forward pass: DistilBERT in candle tensors, in float32, one sequence at a time.
///
/// It follows `modeling_distilbert.py` of Hugging Face `transformers` line by line, independently of the
/// architectures' layouts, and is the reference for faster backends. As each sequence runs alone there is neither
/// padding nor an attention mask, and its bits cannot depend on its neighbours. (The DistilBERT of
/// `candle-transformers` approximates GELU with tanh, which changes logits by more than the 1e-4 promised here.)
pub(crate) struct CandleBackend {
    hidden: usize,
    word_embeddings: Tensor,
    position_embeddings: Tensor,
    layer_norm: LayerNorm,
    layers: Vec<Layer>,
    pre_classifier: Linear,
    classifier: Linear,
}

impl CandleBackend {
    /// Loads the model's tensors, checking each against `config`.
    pub(crate) fn load(config: &Config, weights: &Weights<'_>) -> Result<Self> {
        let module = Module::new(weights, "distilbert");
        let embeddings = module.child("embeddings");
        let words = [config.vocab_size, config.dim];
        let positions = [config.max_position_embeddings, config.dim];
        Ok(Self {
            hidden: config.dim,
            word_embeddings: tensor(&embeddings, "word_embeddings.weight", &words)?,
            position_embeddings: tensor(&embeddings, "position_embeddings.weight", &positions)?,
            layer_norm: LayerNorm::load(&embeddings.child("LayerNorm"), config.dim)?,
            layers: (0..config.n_layers)
                .map(|i| Layer::load(config, &module.child(format_args!("transformer.layer.{i}"))))
                .collect::<Result<_>>()?,
            pre_classifier: Linear::load(&Module::new(weights, "pre_classifier"), config.dim, config.dim)?,
            classifier: Linear::load(&Module::new(weights, "classifier"), config.dim, config.labels.len())?,
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
        let words = self.word_embeddings.index_select(&Tensor::new(ids, &Device::Cpu)?, 0)?;
        let positions = self.position_embeddings.narrow(0, 0, ids.len())?;
        let mut hidden = self.layer_norm.forward(&(words + positions)?)?;
        for layer in &self.layers {
            hidden = layer.forward(&hidden)?;
        }
        hidden.get(0)?.to_vec1()
    }

    /// The logits, of shape `[labels]`, of one hidden state.
    fn head(&self, state: &[f32]) -> CandleResult<Vec<f32>> {
        let state = Tensor::from_slice(state, (1, state.len()), &Device::Cpu)?;
        let inner = self.pre_classifier.forward(&state)?.relu()?;
        self.classifier.forward(&inner)?.get(0)?.to_vec1()
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

/// The tensors whose names share a prefix, as the modules of PyTorch are nested.
struct Module<'a> {
    weights: &'a Weights<'a>,
    prefix: String,
}

impl<'a> Module<'a> {
    fn new(weights: &'a Weights<'a>, name: &str) -> Self {
        Self { weights, prefix: name.into() }
    }

    fn child(&self, name: impl std::fmt::Display) -> Self {
        Self { weights: self.weights, prefix: format!("{}.{name}", self.prefix) }
    }

    fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        self.weights.read(&format!("{}.{name}", self.prefix), shape)
    }
}

/// One transformer block; hidden states are of shape `[tokens, hidden size]`.
struct Layer {
    heads: usize,
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    attention_norm: LayerNorm,
    lin1: Linear,
    activation: Activation,
    lin2: Linear,
    output_norm: LayerNorm,
}

impl Layer {
    fn load(config: &Config, module: &Module<'_>) -> Result<Self> {
        let (dim, hidden_dim) = (config.dim, config.hidden_dim);
        let attention = module.child("attention");
        let ffn = module.child("ffn");
        Ok(Self {
            heads: config.n_heads,
            query: Linear::load(&attention.child("q_lin"), dim, dim)?,
            key: Linear::load(&attention.child("k_lin"), dim, dim)?,
            value: Linear::load(&attention.child("v_lin"), dim, dim)?,
            out: Linear::load(&attention.child("out_lin"), dim, dim)?,
            attention_norm: LayerNorm::load(&module.child("sa_layer_norm"), dim)?,
            lin1: Linear::load(&ffn.child("lin1"), dim, hidden_dim)?,
            activation: config.activation,
            lin2: Linear::load(&ffn.child("lin2"), hidden_dim, dim)?,
            output_norm: LayerNorm::load(&module.child("output_layer_norm"), dim)?,
        })
    }

    fn forward(&self, hidden: &Tensor) -> CandleResult<Tensor> {
        let attended = self.attention_norm.forward(&(self.attention(hidden)? + hidden)?)?;
        let inner = self.lin1.forward(&attended)?;
        let inner = match self.activation {
            Activation::Gelu => inner.gelu_erf()?,
            Activation::Relu => inner.relu()?,
        };
        self.output_norm.forward(&(self.lin2.forward(&inner)? + attended)?)
    }

    fn attention(&self, hidden: &Tensor) -> CandleResult<Tensor> {
        let (tokens, dim) = hidden.dims2()?;
        let head_size = dim / self.heads;
        let by_head =
            |lin: &Linear| lin.forward(hidden)?.reshape((tokens, self.heads, head_size))?.transpose(0, 1)?.contiguous();
        let query = (by_head(&self.query)? / (head_size as f64).sqrt())?;
        let scores = query.matmul(&by_head(&self.key)?.transpose(1, 2)?)?;
        let context = softmax(&scores)?.matmul(&by_head(&self.value)?)?;
        self.out.forward(&context.transpose(0, 1)?.reshape((tokens, dim))?)
    }
}

/// `y = x Wᵀ + b`.
struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    fn load(module: &Module<'_>, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self { weight: tensor(module, "weight", &[outputs, inputs])?, bias: tensor(module, "bias", &[outputs])? })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        x.matmul(&self.weight.t()?)?.broadcast_add(&self.bias)
    }
}

/// Each row shifted to mean 0, scaled to variance 1, then weighted and biased.
struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    fn load(module: &Module<'_>, dim: usize) -> Result<Self> {
        Ok(Self { weight: tensor(module, "weight", &[dim])?, bias: tensor(module, "bias", &[dim])? })
    }

    fn forward(&self, x: &Tensor) -> CandleResult<Tensor> {
        let centred = x.broadcast_sub(&x.mean_keepdim(D::Minus1)?)?;
        let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
        let scaled = centred.broadcast_div(&(variance + LAYER_NORM_EPS)?.sqrt()?)?;
        scaled.broadcast_mul(&self.weight)?.broadcast_add(&self.bias)
    }
}

fn softmax(x: &Tensor) -> CandleResult<Tensor> {
    let exps = x.broadcast_sub(&x.max_keepdim(D::Minus1)?)?.exp()?;
    exps.broadcast_div(&exps.sum_keepdim(D::Minus1)?)
}

fn tensor(module: &Module<'_>, name: &str, shape: &[usize]) -> Result<Tensor> {
    Tensor::from_vec(module.read(name, shape)?, shape, &Device::Cpu).map_err(failed)
}
