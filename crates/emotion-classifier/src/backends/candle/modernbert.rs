use candle_core::{D, Module, Result as CandleResult, Tensor};
use candle_nn::{LayerNorm, Linear, layer_norm_no_bias, linear, linear_no_bias};
use candle_transformers::models::modernbert::{Config as EncoderConfig, ModernBert};
use serde::Deserialize;

use crate::backends::candle::activate::activate;
use crate::backends::candle::network::{Input, Network};
use crate::backends::candle::target::Target;
use crate::backends::candle::{settings, tensors};
use crate::config::{Activation, Config, activation};
use crate::error::Result;
use crate::weights::Weights;

/// `ModernBERT`: the encoder of `candle-transformers` and a head, which that crate has for softmax only.
///
/// The head: the state of the first token or the mean of all states → dense → activation → layer norm → `classifier`.
///
/// Source: `ModernBertForSequenceClassification` of Hugging Face `transformers`.
pub(super) struct ModernBertNetwork {
    encoder: ModernBert,
    pooling: Pooling,
    dense: Linear,
    activation: Activation,
    norm: LayerNorm,
    classifier: Linear,
}

/// The most values of a table of rotary positions, which is computed from the configuration alone: 256 MiB in float32.
const MOST_ROTARY_VALUES: usize = 1 << 26;

/// How the states of a sequence become one.
#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Pooling {
    #[default]
    Cls,
    Mean,
}

/// The keys of `ModernBertConfig` that `Config` does not have. The names of version 5 of `transformers` are
/// `layer_types` and `rope_parameters`.
#[derive(Deserialize)]
struct Settings {
    attention_bias: Option<bool>,
    mlp_bias: Option<bool>,
    norm_bias: Option<bool>,
    classifier_bias: Option<bool>,
    classifier_activation: Option<String>,
    classifier_pooling: Option<Pooling>,
    local_attention: Option<usize>,
    global_attn_every_n_layers: Option<usize>,
    layer_types: Option<Vec<String>>,
    global_rope_theta: Option<f64>,
    /// Null for the global one.
    #[serde(default = "local_theta")]
    local_rope_theta: Option<f64>,
    rope_scaling: Option<serde_json::Value>,
    rope_parameters: Option<RopeParameters>,
}

#[allow(clippy::unnecessary_wraps, reason = "for serde")]
fn local_theta() -> Option<f64> {
    Some(10_000.0)
}

#[derive(Deserialize)]
struct RopeParameters {
    full_attention: Rope,
    sliding_attention: Rope,
}

#[derive(Deserialize)]
struct Rope {
    rope_theta: f64,
    rope_type: Option<String>,
}

impl Settings {
    fn encoder(&self, config: &Config) -> Result<EncoderConfig, String> {
        self.check(config)?;
        let head_size = config.hidden_size / config.num_attention_heads;
        if !head_size.is_multiple_of(2) {
            return Err(format!("an attention head has {head_size} values: rotary positions take an even number"));
        }
        let values = config.max_position_embeddings.saturating_mul(head_size);
        if values > MOST_ROTARY_VALUES {
            return Err(format!(
                "max_position_embeddings is {} and an attention head has {head_size} values: the tables of rotary \
                 positions take at most {MOST_ROTARY_VALUES} values",
                config.max_position_embeddings
            ));
        }
        let local = self.local_attention.unwrap_or(128);
        let [global_rope_theta, local_rope_theta] = self.thetas()?;
        Ok(EncoderConfig {
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            max_position_embeddings: config.max_position_embeddings,
            layer_norm_eps: config.layer_norm_eps.into(),
            pad_token_id: 0,
            global_attn_every_n_layers: self.global_every(config)?,
            global_rope_theta,
            // A wider window than all positions is as wide as they are.
            local_attention: local.min(2 * config.max_position_embeddings),
            local_rope_theta,
            classifier_config: None,
        })
    }

    fn check(&self, config: &Config) -> Result<(), String> {
        let biases = [
            ("attention_bias", self.attention_bias),
            ("mlp_bias", self.mlp_bias),
            ("norm_bias", self.norm_bias),
            ("classifier_bias", self.classifier_bias),
        ];
        if let Some((key, _)) = biases.into_iter().find(|(_, bias)| *bias == Some(true)) {
            return Err(format!("{key} is true: ModernBERT is supported without it only"));
        }
        if config.activation != Activation::Gelu {
            return Err("hidden_activation must be 'gelu'".into());
        }
        if let Some(scaling) = &self.rope_scaling {
            return Err(format!("rope_scaling is {scaling}: scaled rotary positions are not supported"));
        }
        Ok(())
    }

    /// Every how many layers attention is global, from the first layer on.
    fn global_every(&self, config: &Config) -> Result<usize, String> {
        let every = self.global_attn_every_n_layers.unwrap_or(3);
        if every == 0 {
            return Err("global_attn_every_n_layers is 0: it must be at least 1".into());
        }
        let Some(types) = &self.layer_types else { return Ok(every) };
        let is_global: Vec<bool> = types.iter().map(|kind| kind == "full_attention").collect();
        let every = is_global.iter().skip(1).position(|global| *global).map_or(is_global.len().max(1), |at| at + 1);
        let regular = (0..config.num_hidden_layers).map(|layer| layer % every == 0);
        if !regular.eq(is_global) {
            return Err("layer_types must be 'full_attention' every so many layers, from the first on".into());
        }
        Ok(every)
    }

    /// The bases of the rotary positions of global and of local attention.
    fn thetas(&self) -> Result<[f64; 2], String> {
        let thetas = if let Some(RopeParameters { full_attention, sliding_attention }) = &self.rope_parameters {
            for Rope { rope_type, .. } in [full_attention, sliding_attention] {
                if let Some(scaled) = rope_type.as_deref().filter(|kind| *kind != "default") {
                    return Err(format!("rope_type is '{scaled}': scaled rotary positions are not supported"));
                }
            }
            [full_attention.rope_theta, sliding_attention.rope_theta]
        } else {
            let global = self.global_rope_theta.unwrap_or(160_000.0);
            [global, self.local_rope_theta.unwrap_or(global)]
        };
        match thetas.iter().find(|theta| !(theta.is_finite() && **theta >= 1.0)) {
            Some(theta) => Err(format!("the base of the rotary positions is {theta}: it must be at least 1")),
            None => Ok(thetas),
        }
    }
}

impl ModernBertNetwork {
    pub(super) fn load(config: &Config, json: &[u8], weights: &Weights<'_>, target: &Target) -> Result<Self> {
        let (encoder, pooling, activation) = settings::read(weights.origin(), config, json, |settings: Settings| {
            let head = activation(settings.classifier_activation.as_deref().unwrap_or("gelu"))?;
            Ok((settings.encoder(config)?, settings.classifier_pooling.unwrap_or_default(), head))
        })?;
        // The first layer has no norm before its attention.
        tensors::build(weights, &["model.layers.0.attn_norm.weight"], target, |tensors| {
            let (hidden, epsilon) = (config.hidden_size, encoder.layer_norm_eps);
            Ok(Self {
                encoder: ModernBert::load(tensors.clone(), &encoder)?,
                pooling,
                dense: linear_no_bias(hidden, hidden, tensors.pp("head.dense"))?,
                activation,
                norm: layer_norm_no_bias(hidden, epsilon, tensors.pp("head.norm"))?,
                classifier: linear(hidden, config.labels.len(), tensors.pp("classifier"))?,
            })
        })
    }

    fn pool(&self, states: &Tensor, mask: &Tensor) -> CandleResult<Tensor> {
        match self.pooling {
            Pooling::Cls => states.narrow(1, 0, 1)?.squeeze(1)?.contiguous(),
            Pooling::Mean => {
                let sum = states.broadcast_mul(&mask.unsqueeze(D::Minus1)?)?.sum(1)?;
                sum.broadcast_div(&mask.sum_keepdim(1)?)
            }
        }
    }
}

impl Network for ModernBertNetwork {
    fn logits(&self, input: &Input) -> CandleResult<Tensor> {
        let states = self.encoder.forward(&input.ids, &input.mask)?;
        let dense = self.dense.forward(&self.pool(&states, &input.mask)?)?;
        self.classifier.forward(&self.norm.forward(&activate(&dense, self.activation)?)?)
    }
}
