use crate::architectures::layout::{Dense, Layer, Layout, Norm, Table};
use crate::config::{Activation, Config};

/// `DistilBertConfig` has no key for it: the value is fixed in the model's code.
const LAYER_NORM_EPSILON: f32 = 1e-12;

/// DistilBERT: no token types; the head is `pre_classifier` → `ReLU` → `classifier`.
///
/// Source: `DistilBertForSequenceClassification` of Hugging Face `transformers`.
pub(super) fn layout(config: &Config) -> Layout {
    let embeddings = "distilbert.embeddings";
    Layout {
        hidden: config.dim,
        heads: config.n_heads,
        word_embeddings: Table { name: format!("{embeddings}.word_embeddings.weight"), rows: config.vocab_size },
        position_embeddings: Table {
            name: format!("{embeddings}.position_embeddings.weight"),
            rows: config.max_position_embeddings,
        },
        embedding_norm: norm(format!("{embeddings}.LayerNorm")),
        layers: (0..config.n_layers).map(|index| layer(config, index)).collect(),
        head: vec![
            dense("pre_classifier".into(), config.dim, config.dim, Some(Activation::Relu)),
            dense("classifier".into(), config.dim, config.labels.len(), None),
        ],
    }
}

fn layer(config: &Config, index: usize) -> Layer {
    let (dim, hidden_dim) = (config.dim, config.hidden_dim);
    let name = |part: &str| format!("distilbert.transformer.layer.{index}.{part}");
    Layer {
        query: dense(name("attention.q_lin"), dim, dim, None),
        key: dense(name("attention.k_lin"), dim, dim, None),
        value: dense(name("attention.v_lin"), dim, dim, None),
        attention_output: dense(name("attention.out_lin"), dim, dim, None),
        attention_norm: norm(name("sa_layer_norm")),
        intermediate: dense(name("ffn.lin1"), dim, hidden_dim, Some(config.activation)),
        output: dense(name("ffn.lin2"), hidden_dim, dim, None),
        output_norm: norm(name("output_layer_norm")),
    }
}

fn dense(name: String, inputs: usize, outputs: usize, activation: Option<Activation>) -> Dense {
    Dense { name, inputs, outputs, activation }
}

fn norm(name: String) -> Norm {
    Norm { name, epsilon: LAYER_NORM_EPSILON }
}
