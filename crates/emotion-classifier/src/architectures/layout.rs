use crate::config::Activation;

/// The tensors of a sequence classifier of the BERT family in `model.safetensors`: their names, shapes and roles.
///
/// An architecture produces it without knowledge of any backend; a backend reads the tensors without knowledge of any
/// architecture.
///
/// The forward pass: the word and position embeddings of each token are added and normalized; every layer applies
/// attention and a feed-forward network, with the input of each added to its output before it is normalized; the head
/// maps the last hidden state of the first token to logits.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Values in a hidden state.
    pub hidden: usize,
    /// Attention heads; divides `hidden`.
    pub heads: usize,
    pub word_embeddings: Table,
    pub position_embeddings: Table,
    pub embedding_norm: Norm,
    /// At least one.
    pub layers: Vec<Layer>,
    /// Applied in order; the last has an output for each label.
    pub head: Vec<Dense>,
}

/// One transformer block.
#[derive(Debug)]
pub(crate) struct Layer {
    pub query: Dense,
    pub key: Dense,
    pub value: Dense,
    pub attention_output: Dense,
    pub attention_norm: Norm,
    pub intermediate: Dense,
    pub output: Dense,
    pub output_norm: Norm,
}

/// The tensor `name`, of shape `[rows, hidden]`.
#[derive(Debug)]
pub(crate) struct Table {
    pub name: String,
    pub rows: usize,
}

/// A fully connected layer, `activation(x Wᵀ + b)`: `name.weight`, of shape `[outputs, inputs]`, and `name.bias`.
#[derive(Debug)]
pub(crate) struct Dense {
    pub name: String,
    pub inputs: usize,
    pub outputs: usize,
    pub activation: Option<Activation>,
}

/// A layer normalization: `name.weight` and `name.bias`, of shape `[hidden]`.
#[derive(Debug)]
pub(crate) struct Norm {
    pub name: String,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Layer {
    /// The fully connected layers, in the order of the forward pass.
    pub(crate) fn dense(&self) -> [&Dense; 6] {
        [&self.query, &self.key, &self.value, &self.attention_output, &self.intermediate, &self.output]
    }
}
