use candle_core::{Module, Result as CandleResult, Tensor};
use candle_nn::{Linear, linear};
use candle_transformers::models::debertav2::{
    Config as EncoderConfig, DebertaV2Embeddings, DebertaV2Encoder, HiddenAct,
};
use serde::Deserialize;

use crate::backends::candle::activate::activate;
use crate::backends::candle::network::{Input, Network};
use crate::backends::candle::target::Target;
use crate::backends::candle::{settings, tensors};
use crate::config::{Activation, Config, activation};
use crate::error::Result;
use crate::weights::Weights;

/// `DeBERTa` v2 and v3: the encoder of `candle-transformers`; the head is the pooler (dense → activation of the first
/// token's state) → `classifier`.
///
/// Source: `DebertaV2ForSequenceClassification` of Hugging Face `transformers`.
pub(super) struct DebertaV2Network {
    embeddings: DebertaV2Embeddings,
    encoder: DebertaV2Encoder,
    pooler: Linear,
    pooler_activation: Activation,
    classifier: Linear,
}

/// The keys of `DebertaV2Config` that `Config` does not have.
#[derive(Deserialize)]
struct Settings {
    relative_attention: Option<bool>,
    max_relative_positions: Option<i64>,
    position_buckets: Option<i64>,
    position_biased_input: Option<bool>,
    share_att_key: Option<bool>,
    pos_att_type: Option<Kinds>,
    norm_rel_ebd: Option<String>,
    attention_head_size: Option<usize>,
    embedding_size: Option<usize>,
    conv_kernel_size: Option<usize>,
    pooler_hidden_size: Option<usize>,
    pooler_hidden_act: Option<String>,
}

/// `"p2c|c2p"` or `["p2c", "c2p"]`.
#[derive(Deserialize)]
#[serde(untagged)]
enum Kinds {
    Joined(String),
    List(Vec<String>),
}

impl Settings {
    fn encoder(&self, config: &Config) -> Result<EncoderConfig, String> {
        self.check(config)?;
        let relative_attention = self.relative_attention.unwrap_or(false);
        // Without relative attention, neither is used.
        let [max_relative_positions, position_buckets] =
            if relative_attention { self.positions(config)? } else { [-1, -1] };
        let norm = self.norm_rel_ebd.as_deref().unwrap_or("none").to_lowercase();
        let norms_positions = relative_attention && norm.split('|').any(|kind| kind.trim() == "layer_norm");
        Ok(EncoderConfig {
            vocab_size: config.vocab_size,
            hidden_size: config.hidden_size,
            num_hidden_layers: config.num_hidden_layers,
            num_attention_heads: config.num_attention_heads,
            intermediate_size: config.intermediate_size,
            hidden_act: hidden_activation(config.activation)?,
            hidden_dropout_prob: 0.0,
            attention_probs_dropout_prob: 0.0,
            max_position_embeddings: config.max_position_embeddings,
            type_vocab_size: config.type_vocab_size,
            initializer_range: 0.0,
            layer_norm_eps: config.layer_norm_eps.into(),
            relative_attention,
            max_relative_positions,
            pad_token_id: None,
            position_biased_input: self.position_biased_input.unwrap_or(true),
            pos_att_type: self.attention_kinds(),
            position_buckets: Some(position_buckets),
            share_att_key: self.share_att_key,
            attention_head_size: None,
            embedding_size: None,
            norm_rel_ebd: norms_positions.then(|| "layer_norm".into()),
            conv_kernel_size: None,
            conv_groups: None,
            conv_act: None,
            id2label: None,
            label2id: None,
            pooler_dropout: None,
            pooler_hidden_act: None,
            pooler_hidden_size: None,
            cls_dropout: None,
        })
    }

    fn check(&self, config: &Config) -> Result<(), String> {
        let hidden = config.hidden_size;
        let expected = [
            ("attention_head_size", self.attention_head_size, hidden / config.num_attention_heads),
            ("embedding_size", self.embedding_size, hidden),
            ("pooler_hidden_size", self.pooler_hidden_size, hidden),
            ("conv_kernel_size", self.conv_kernel_size, 0),
        ];
        for (key, given, expected) in expected {
            if let Some(given) = given.filter(|given| *given != expected) {
                return Err(format!("{key} is {given}: DeBERTa is supported with {expected} only"));
            }
        }
        Ok(())
    }

    /// The largest distance that is told apart, and the number of buckets of distances on each side or -1.
    fn positions(&self, config: &Config) -> Result<[isize; 2], String> {
        let largest = match self.max_relative_positions.unwrap_or(-1) {
            ..1 => i64::try_from(config.max_position_embeddings).expect("few positions, as settings::read has checked"),
            given => given,
        };
        let buckets = self.position_buckets.filter(|buckets| *buckets > 0).unwrap_or(-1);
        if largest > MOST_DISTANCE || buckets > MOST_DISTANCE {
            return Err(format!(
                "max_relative_positions is {largest} and position_buckets {buckets}: at most {MOST_DISTANCE} are \
                 supported"
            ));
        }
        // Half of the buckets stand for one distance each, the others for ranges up to the largest.
        if buckets > 0 && (buckets < 2 || largest - 1 <= buckets / 2) {
            return Err(format!(
                "position_buckets is {buckets}: it must be at least 2, and half of it below the {largest} \
                 max_relative_positions less one"
            ));
        }
        Ok([largest, buckets].map(|number| isize::try_from(number).expect("at most MOST_DISTANCE")))
    }

    /// Which of content-to-position (`c2p`) and position-to-content (`p2c`) scores attention has.
    fn attention_kinds(&self) -> Vec<String> {
        let kinds: Vec<String> = match &self.pos_att_type {
            None => Vec::new(),
            Some(Kinds::Joined(kinds)) => kinds.to_lowercase().split('|').map(|kind| kind.trim().into()).collect(),
            Some(Kinds::List(kinds)) => kinds.clone(),
        };
        ["c2p", "p2c"].into_iter().filter(|known| kinds.iter().any(|kind| kind == known)).map(Into::into).collect()
    }

    fn pooler_activation(&self) -> Result<Activation, String> {
        self.pooler_hidden_act.as_deref().map_or(Ok(Activation::Gelu), activation)
    }
}

fn hidden_activation(activation: Activation) -> Result<HiddenAct, String> {
    match activation {
        Activation::Gelu => Ok(HiddenAct::Gelu),
        Activation::GeluTanh => Ok(HiddenAct::GeluApproximate),
        Activation::Relu => Ok(HiddenAct::Relu),
        Activation::Silu | Activation::Tanh => Err("hidden_act must be 'gelu', 'gelu_new' or 'relu' in DeBERTa".into()),
    }
}

/// The most distances between tokens that are told apart.
const MOST_DISTANCE: i64 = 1 << 17;

impl DebertaV2Network {
    pub(super) fn load(config: &Config, json: &[u8], weights: &Weights<'_>, target: &Target) -> Result<Self> {
        let (encoder, pooler_activation) = settings::read(weights.origin(), config, json, |settings: Settings| {
            Ok((settings.encoder(config)?, settings.pooler_activation()?))
        })?;
        tensors::build(weights, &[], target, |tensors| {
            let hidden = config.hidden_size;
            Ok(Self {
                embeddings: DebertaV2Embeddings::load(tensors.pp("deberta.embeddings"), &encoder)?,
                encoder: DebertaV2Encoder::load(tensors.pp("deberta.encoder"), &encoder)?,
                pooler: linear(hidden, hidden, tensors.pp("pooler.dense"))?,
                pooler_activation,
                classifier: linear(hidden, config.labels.len(), tensors.pp("classifier"))?,
            })
        })
    }
}

impl Network for DebertaV2Network {
    fn logits(&self, input: &Input) -> CandleResult<Tensor> {
        let (sequences, tokens) = input.ids.dims2()?;
        let tokens = u32::try_from(tokens).expect("a position");
        // `DebertaV2Model` gives the positions of a single sequence only.
        let positions = Tensor::arange(0, tokens, input.ids.device())?.repeat((sequences, 1))?;
        let embedded = self.embeddings.forward(Some(&input.ids), None, Some(&positions), Some(&input.mask), None)?;
        let states = self.encoder.forward(&embedded, &input.mask, None, None)?;
        let pooled = self.pooler.forward(&states.narrow(1, 0, 1)?.squeeze(1)?.contiguous()?)?;
        self.classifier.forward(&activate(&pooled, self.pooler_activation)?)
    }
}
