use crate::architectures::layout::{Dense, Embeddings, HeadStep, Layer, Layout, Norm, Table};
use crate::config::{Activation, Config};

/// DistilBERT: no token types; the head is `pre_classifier` → `ReLU` → `classifier`.
///
/// Source: `DistilBertForSequenceClassification` of Hugging Face `transformers`.
pub(super) fn layout(config: &Config) -> Layout {
    let dim = config.hidden_size;
    Layout {
        hidden: dim,
        heads: config.num_attention_heads,
        embeddings: embeddings(config),
        layers: (0..config.num_hidden_layers).map(|index| layer(config, index)).collect(),
        head: vec![
            HeadStep::Dense(Dense::linear("pre_classifier", dim, dim).activated(Activation::Relu)),
            HeadStep::Dense(Dense::linear("classifier", dim, config.labels.len())),
        ],
    }
}

fn embeddings(config: &Config) -> Embeddings {
    let table = |kind: &str, rows| Table { name: format!("distilbert.embeddings.{kind}_embeddings.weight"), rows };
    Embeddings {
        width: config.embedding_size,
        words: table("word", config.vocab_size),
        positions: table("position", config.max_position_embeddings),
        first_position: 0,
        padding: None,
        token_types: None,
        norm: Norm::new("distilbert.embeddings.LayerNorm", config.layer_norm_eps),
        projection: None,
    }
}

fn layer(config: &Config, index: usize) -> Layer {
    let (dim, hidden_dim) = (config.hidden_size, config.intermediate_size);
    let name = |part: &str| format!("distilbert.transformer.layer.{index}.{part}");
    let norm = |part: &str| Norm::new(&name(part), config.layer_norm_eps);
    Layer {
        query: Dense::linear(name("attention.q_lin"), dim, dim),
        key: Dense::linear(name("attention.k_lin"), dim, dim),
        value: Dense::linear(name("attention.v_lin"), dim, dim),
        attention_output: Dense::linear(name("attention.out_lin"), dim, dim),
        attention_norm: norm("sa_layer_norm"),
        intermediate: Dense::linear(name("ffn.lin1"), dim, hidden_dim).activated(config.activation),
        output: Dense::linear(name("ffn.lin2"), hidden_dim, dim),
        output_norm: norm("output_layer_norm"),
    }
}
