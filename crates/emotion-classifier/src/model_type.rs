use std::fmt;

/// The kind of encoder and head that a model has: `model_type` of its `config.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ModelType {
    /// `distilbert`
    DistilBert,
    /// `bert`, which `MiniLM` checkpoints name too.
    Bert,
    /// `roberta`
    Roberta,
    /// `xlm-roberta`
    XlmRoberta,
    /// `camembert`
    Camembert,
    /// `electra`
    Electra,
    /// `modernbert`
    ModernBert,
    /// `deberta-v2`, which `DeBERTa` v3 checkpoints name too.
    DebertaV2,
}

impl ModelType {
    /// Every supported type, those of the packed backend first.
    pub const ALL: [Self; 8] = [
        Self::DistilBert,
        Self::Bert,
        Self::Roberta,
        Self::XlmRoberta,
        Self::Camembert,
        Self::Electra,
        Self::ModernBert,
        Self::DebertaV2,
    ];

    /// The value of `model_type`, such as `xlm-roberta`.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::DistilBert => "distilbert",
            Self::Bert => "bert",
            Self::Roberta => "roberta",
            Self::XlmRoberta => "xlm-roberta",
            Self::Camembert => "camembert",
            Self::Electra => "electra",
            Self::ModernBert => "modernbert",
            Self::DebertaV2 => "deberta-v2",
        }
    }

    /// The name of the architecture in prose, such as `XLM-RoBERTa`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::DistilBert => "DistilBERT",
            Self::Bert => "BERT",
            Self::Roberta => "RoBERTa",
            Self::XlmRoberta => "XLM-RoBERTa",
            Self::Camembert => "CamemBERT",
            Self::Electra => "ELECTRA",
            Self::ModernBert => "ModernBERT",
            Self::DebertaV2 => "DeBERTa",
        }
    }

    /// The type that `config.json` calls `id`.
    pub(crate) fn parse(id: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|model_type| model_type.id() == id).ok_or_else(|| {
            let (packed, others): (Vec<_>, Vec<_>) = Self::ALL.into_iter().partition(|known| known.is_packed());
            let also = if cfg!(feature = "candle") { ", " } else { "; a build with the feature 'candle' also has " };
            format!(
                "model_type is '{id}', which is not supported: choose a sequence classifier of the type \
                 {}{also}{}",
                quoted(&packed),
                quoted(&others)
            )
        })
    }

    /// Whether the packed backend knows the type; the candle backend knows every type.
    pub(crate) fn is_packed(self) -> bool {
        !matches!(self, Self::ModernBert | Self::DebertaV2)
    }

    pub(crate) fn keys(self) -> Keys {
        match self {
            Self::DistilBert => Keys::DISTILBERT,
            Self::Electra => Keys::ELECTRA,
            Self::ModernBert => Keys::MODERNBERT,
            Self::DebertaV2 => Keys::DEBERTA,
            Self::Roberta => Keys { vocabulary: Size::new(&["vocab_size"], 50_265), ..Keys::BERT },
            Self::Bert | Self::XlmRoberta | Self::Camembert => Keys::BERT,
        }
    }

    /// Whether positions are numbered from the padding id plus one, as in fairseq, and not from zero.
    pub(crate) fn numbers_positions_after_padding(self) -> bool {
        matches!(self, Self::Roberta | Self::XlmRoberta | Self::Camembert)
    }
}

/// For example `'bert', 'roberta'`.
fn quoted(types: &[ModelType]) -> String {
    let ids: Vec<_> = types.iter().map(|model_type| format!("'{}'", model_type.id())).collect();
    ids.join(", ")
}

impl fmt::Display for ModelType {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

/// The keys of `config.json` for the shape of a model type, with the defaults of its class in `transformers`.
pub(crate) struct Keys {
    pub vocabulary: Size,
    pub hidden: Size,
    /// The width of the embeddings; `None` if it is the hidden size.
    pub embedding: Option<Size>,
    /// `None` if there are no token types; there may be 0 of them where that is the default.
    pub token_types: Option<Size>,
    pub layers: Size,
    pub heads: Size,
    pub intermediate: Size,
    pub positions: Size,
    pub activation: &'static str,
    /// The key of the number that is added to variances, and its default; `None` if it is always 1e-12.
    pub epsilon: Option<(&'static str, f64)>,
}

/// A size of a model: the keys that may give it, the first of which takes precedence, and its default.
pub(crate) struct Size {
    pub keys: &'static [&'static str],
    pub default: usize,
}

impl Size {
    const fn new(keys: &'static [&'static str], default: usize) -> Self {
        Self { keys, default }
    }
}

impl Keys {
    const BERT: Self = Self {
        vocabulary: Size::new(&["vocab_size"], 30_522),
        hidden: Size::new(&["hidden_size"], 768),
        embedding: None,
        token_types: Some(Size::new(&["type_vocab_size"], 2)),
        layers: Size::new(&["num_hidden_layers"], 12),
        heads: Size::new(&["num_attention_heads"], 12),
        intermediate: Size::new(&["intermediate_size"], 3_072),
        positions: Size::new(&["max_position_embeddings"], 512),
        activation: "hidden_act",
        epsilon: Some(("layer_norm_eps", 1e-12)),
    };

    /// `DistilBertConfig` maps the common keys to its own.
    const DISTILBERT: Self = Self {
        hidden: Size::new(&["hidden_size", "dim"], 768),
        token_types: None,
        layers: Size::new(&["num_hidden_layers", "n_layers"], 6),
        heads: Size::new(&["num_attention_heads", "n_heads"], 12),
        intermediate: Size::new(&["hidden_dim", "intermediate_size"], 3_072),
        activation: "activation",
        epsilon: None,
        ..Self::BERT
    };

    const ELECTRA: Self = Self {
        hidden: Size::new(&["hidden_size"], 256),
        embedding: Some(Size::new(&["embedding_size"], 128)),
        heads: Size::new(&["num_attention_heads"], 4),
        intermediate: Size::new(&["intermediate_size"], 1_024),
        ..Self::BERT
    };

    const MODERNBERT: Self = Self {
        vocabulary: Size::new(&["vocab_size"], 50_368),
        token_types: None,
        layers: Size::new(&["num_hidden_layers"], 22),
        intermediate: Size::new(&["intermediate_size"], 1_152),
        positions: Size::new(&["max_position_embeddings"], 8_192),
        activation: "hidden_activation",
        epsilon: Some(("norm_eps", 1e-5)),
        ..Self::BERT
    };

    const DEBERTA: Self = Self {
        vocabulary: Size::new(&["vocab_size"], 128_100),
        hidden: Size::new(&["hidden_size"], 1_536),
        token_types: Some(Size::new(&["type_vocab_size"], 0)),
        layers: Size::new(&["num_hidden_layers"], 24),
        heads: Size::new(&["num_attention_heads"], 24),
        intermediate: Size::new(&["intermediate_size"], 6_144),
        epsilon: Some(("layer_norm_eps", 1e-7)),
        ..Self::BERT
    };
}
