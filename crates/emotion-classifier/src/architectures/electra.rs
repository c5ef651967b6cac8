use crate::architectures::bert;
use crate::architectures::layout::{Dense, Embeddings, HeadStep, Layout};
use crate::config::{Activation, Config};

/// ELECTRA: the encoder is BERT's, with a projection of embeddings that are not of the hidden size; the head is dense →
/// GELU → `out_proj`.
///
/// Source: `ElectraForSequenceClassification` of Hugging Face `transformers`.
pub(super) fn layout(config: &Config) -> Layout {
    let (embedding, hidden) = (config.embedding_size, config.hidden_size);
    let projection = || Dense::linear("electra.embeddings_project", embedding, hidden);
    Layout {
        hidden,
        heads: config.num_attention_heads,
        embeddings: Embeddings {
            projection: (embedding != hidden).then(projection),
            ..bert::embeddings("electra", config)
        },
        layers: bert::layers("electra", config),
        head: vec![
            HeadStep::Dense(Dense::linear("classifier.dense", hidden, hidden).activated(Activation::Gelu)),
            HeadStep::Dense(Dense::linear("classifier.out_proj", hidden, config.labels.len())),
        ],
    }
}
