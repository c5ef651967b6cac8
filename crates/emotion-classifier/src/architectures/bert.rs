use crate::architectures::layout::{Dense, Embeddings, HeadStep, Layer, Layout, Norm, Table};
use crate::config::Config;

/// BERT: the head is the pooler (dense, tanh) → `classifier`.
///
/// Source: `BertForSequenceClassification` of Hugging Face `transformers`.
pub(super) fn layout(config: &Config) -> Layout {
    let hidden = config.hidden_size;
    Layout {
        hidden,
        heads: config.num_attention_heads,
        embeddings: embeddings("bert", config),
        layers: layers("bert", config),
        head: vec![
            HeadStep::Dense(Dense::linear("bert.pooler.dense", hidden, hidden)),
            HeadStep::Tanh,
            HeadStep::Dense(Dense::linear("classifier", hidden, config.labels.len())),
        ],
    }
}

/// The embeddings of a model that names its tensors as BERT does, below `prefix`.
pub(super) fn embeddings(prefix: &str, config: &Config) -> Embeddings {
    let table = |kind: &str, rows| Table { name: format!("{prefix}.embeddings.{kind}_embeddings.weight"), rows };
    Embeddings {
        width: config.embedding_size,
        words: table("word", config.vocab_size),
        positions: table("position", config.max_position_embeddings),
        first_position: config.first_position(),
        padding: config.padding_id.and_then(|id| u32::try_from(id).ok()),
        token_types: Some(table("token_type", config.type_vocab_size)),
        norm: Norm::new(&format!("{prefix}.embeddings.LayerNorm"), config.layer_norm_eps),
        projection: None,
    }
}

/// The layers of a model that names its tensors as BERT does, below `prefix`.
pub(super) fn layers(prefix: &str, config: &Config) -> Vec<Layer> {
    (0..config.num_hidden_layers).map(|index| layer(config, &format!("{prefix}.encoder.layer.{index}"))).collect()
}

fn layer(config: &Config, name: &str) -> Layer {
    let (hidden, intermediate) = (config.hidden_size, config.intermediate_size);
    let dense = |part: &str, inputs, outputs| Dense::linear(format!("{name}.{part}"), inputs, outputs);
    let norm = |part: &str| Norm::new(&format!("{name}.{part}"), config.layer_norm_eps);
    Layer {
        query: dense("attention.self.query", hidden, hidden),
        key: dense("attention.self.key", hidden, hidden),
        value: dense("attention.self.value", hidden, hidden),
        attention_output: dense("attention.output.dense", hidden, hidden),
        attention_norm: norm("attention.output.LayerNorm"),
        intermediate: dense("intermediate.dense", hidden, intermediate).activated(config.activation),
        output: dense("output.dense", intermediate, hidden),
        output_norm: norm("output.LayerNorm"),
    }
}
