use crate::config::Activation;

/// The tensors of a sequence classifier of the BERT family in `model.safetensors`: their names, shapes and roles.
///
/// An architecture produces it without knowledge of any backend; a backend reads the tensors without knowledge of any
/// architecture.
///
/// The forward pass: the word, position and token type embeddings of each token are added, normalized, and projected to
/// the hidden size if they are of another width; every layer applies attention and a feed-forward network, with the
/// input of each added to its output before it is normalized; the head maps the last hidden state of the first token to
/// logits.
#[derive(Debug)]
pub(crate) struct Layout {
    /// Values in a hidden state.
    pub hidden: usize,
    /// Attention heads; divides `hidden`.
    pub heads: usize,
    pub embeddings: Embeddings,
    /// At least one.
    pub layers: Vec<Layer>,
    /// Applied in order to the state of the first token; the last layer has an output for each label.
    pub head: Vec<HeadStep>,
}

#[derive(Debug)]
pub(crate) struct Embeddings {
    /// Values in an embedding; the hidden size unless there is a projection.
    pub width: usize,
    pub words: Table,
    pub positions: Table,
    /// The row of `positions` for the first token.
    pub first_position: usize,
    /// The id of padding: tokens with this id have the position before the first, and the positions of the tokens
    /// after them are those that they would have without them.
    pub padding: Option<u32>,
    /// Every token has type 0.
    pub token_types: Option<Table>,
    pub norm: Norm,
    /// From `width` to the hidden size.
    pub projection: Option<Dense>,
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

#[derive(Debug)]
pub(crate) enum HeadStep {
    Dense(Dense),
    /// The hyperbolic tangent of each value.
    Tanh,
}

/// The tensor `name`, of shape `[rows, width of the embeddings]`.
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

/// A layer normalization: the tensors `weight` and `bias`, each with a value for each column.
#[derive(Debug)]
pub(crate) struct Norm {
    pub weight: String,
    pub bias: String,
    /// Added to the variance.
    pub epsilon: f32,
}

impl Layout {
    /// The fully connected layers of the encoder, in the order of the forward pass.
    pub(crate) fn encoder_dense(&self) -> impl Iterator<Item = &Dense> {
        self.embeddings.projection.iter().chain(self.layers.iter().flat_map(Layer::dense))
    }

    /// The layer normalizations, in the order of the forward pass.
    pub(super) fn norms_mut(&mut self) -> impl Iterator<Item = &mut Norm> {
        let layers = self.layers.iter_mut().flat_map(|layer| [&mut layer.attention_norm, &mut layer.output_norm]);
        std::iter::once(&mut self.embeddings.norm).chain(layers)
    }

    /// The names of all tensors and fully connected layers.
    pub(super) fn names_mut(&mut self) -> Vec<&mut String> {
        let Embeddings { words, positions, token_types, norm, projection, .. } = &mut self.embeddings;
        let mut names = vec![&mut words.name, &mut positions.name, &mut norm.weight, &mut norm.bias];
        names.extend(token_types.iter_mut().map(|table| &mut table.name));
        names.extend(projection.iter_mut().map(|dense| &mut dense.name));
        for layer in &mut self.layers {
            let Layer { query, key, value, attention_output, attention_norm, intermediate, output, output_norm } =
                layer;
            let dense = [query, key, value, attention_output, intermediate, output];
            names.extend(dense.map(|dense| &mut dense.name));
            names.extend([attention_norm, output_norm].into_iter().flat_map(|norm| [&mut norm.weight, &mut norm.bias]));
        }
        names.extend(self.head.iter_mut().filter_map(|step| match step {
            HeadStep::Dense(dense) => Some(&mut dense.name),
            HeadStep::Tanh => None,
        }));
        names
    }
}

impl Layer {
    /// The fully connected layers, in the order of the forward pass.
    fn dense(&self) -> [&Dense; 6] {
        [&self.query, &self.key, &self.value, &self.attention_output, &self.intermediate, &self.output]
    }
}

impl Dense {
    /// A layer without activation.
    pub(super) fn linear(name: impl Into<String>, inputs: usize, outputs: usize) -> Self {
        Self { name: name.into(), inputs, outputs, activation: None }
    }

    pub(super) fn activated(self, activation: Activation) -> Self {
        Self { activation: Some(activation), ..self }
    }
}

impl Norm {
    pub(super) fn new(name: &str, epsilon: f32) -> Self {
        Self { weight: format!("{name}.weight"), bias: format!("{name}.bias"), epsilon }
    }
}
