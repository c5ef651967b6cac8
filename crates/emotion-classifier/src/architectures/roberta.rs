use crate::architectures::bert;
use crate::architectures::layout::{Dense, HeadStep, Layout};
use crate::config::Config;

/// `RoBERTa`, and XLM-RoBERTa and `CamemBERT`, which differ from it in their tokenizers only: the encoder is BERT's with
/// positions after the padding id; the head is dense → tanh → `out_proj`.
///
/// Source: `RobertaForSequenceClassification` of Hugging Face `transformers`.
pub(super) fn layout(config: &Config) -> Layout {
    let hidden = config.hidden_size;
    Layout {
        hidden,
        heads: config.num_attention_heads,
        embeddings: bert::embeddings("roberta", config),
        layers: bert::layers("roberta", config),
        head: vec![
            HeadStep::Dense(Dense::linear("classifier.dense", hidden, hidden)),
            HeadStep::Tanh,
            HeadStep::Dense(Dense::linear("classifier.out_proj", hidden, config.labels.len())),
        ],
    }
}
