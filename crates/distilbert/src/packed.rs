use std::cell::RefCell;
use std::ops::Range;

use kernels::{
    Activation as KernelActivation, Attention, AttentionWorkspace, Isa, LayerNorm, OperandWorkspace, PackedMatrix,
    Precision,
};

use crate::linear::{Kernels, Linear};
use crate::weights::Module;
use crate::{Activation, Batch, Config, Encoder, Error, Result, Weights};

/// `DistilBertConfig` has no key for it: the value is fixed in the model's code.
const LAYER_NORM_EPSILON: f32 = 1e-12;

/// The CPU's fast path: sequences end to end, weights packed once, no padding.
///
/// The matrix products of the layers are computed in the [`Precision`] chosen; all between them, and
/// the embeddings, in float32.
///
/// Matrix products run over all tokens of a micro-batch at once, attention within each sequence.
/// The last layer computes only what the hidden states of `[CLS]` need. A forward pass is
/// single-threaded and allocates nothing once its thread's workspace has grown.
pub struct PackedEncoder {
    dim: usize,
    word_embeddings: Vec<f32>,
    position_embeddings: Vec<f32>,
    embedding_norm: Norm,
    layers: Vec<Layer>,
}

impl PackedEncoder {
    /// Loads and packs the encoder's tensors for the best instruction set of this machine.
    pub fn load(config: &Config, weights: &Weights<'_>, precision: Precision) -> Result<Self> {
        let most = PackedMatrix::MAX_INT8_INPUTS;
        if precision == Precision::Int8 && config.dim.max(config.hidden_dim) > most {
            let reason = format!(
                "dim {} or hidden_dim {} is above {most}, the most that int8 sums exactly: choose float32 or bfloat16",
                config.dim, config.hidden_dim
            );
            return Err(Error::Config { origin: weights.origin().into(), reason });
        }
        Self::load_for(Kernels { isa: Isa::detected(), precision }, config, weights)
    }

    fn load_for(kernels: Kernels, config: &Config, weights: &Weights<'_>) -> Result<Self> {
        let module = Module::new(weights, "distilbert");
        let embeddings = module.child("embeddings");
        let words = [config.vocab_size, config.dim];
        let positions = [config.max_position_embeddings, config.dim];
        Ok(Self {
            dim: config.dim,
            word_embeddings: embeddings.read("word_embeddings.weight", &words)?,
            position_embeddings: embeddings.read("position_embeddings.weight", &positions)?,
            embedding_norm: Norm::load(kernels.isa, &embeddings.child("LayerNorm"), config.dim)?,
            layers: (0..config.n_layers)
                .map(|i| Layer::load(kernels, config, &module.child(format_args!("transformer.layer.{i}"))))
                .collect::<Result<_>>()?,
        })
    }

    fn forward(&self, batch: &Batch, workspace: &mut Workspace) -> Vec<f32> {
        self.embed(batch, workspace);
        let tokens: Vec<Range<usize>> = batch.ranges().collect();
        let Some((last, inner)) = self.layers.split_last() else { unreachable!("a model has a layer") };
        for layer in inner {
            layer.forward(workspace, None, tokens.iter().map(|range| (range.clone(), range.clone())));
            std::mem::swap(&mut workspace.hidden, &mut workspace.output);
        }
        let mut first = std::mem::take(&mut workspace.first);
        first.clear();
        for range in &tokens {
            first.extend_from_slice(row(&workspace.hidden, range.start, self.dim));
        }
        last.forward(workspace, Some(&first), tokens.into_iter().enumerate().map(|(i, range)| (range, i..i + 1)));
        workspace.first = first;
        workspace.output.clone()
    }

    /// Fills `hidden` with the normalized sums of word and position embeddings.
    fn embed(&self, batch: &Batch, workspace: &mut Workspace) {
        let Workspace { hidden, output: positions, .. } = workspace;
        hidden.clear();
        positions.clear();
        for sequence in batch.sequences() {
            for id in sequence {
                hidden.extend_from_slice(row(&self.word_embeddings, *id as usize, self.dim));
            }
            positions.extend_from_slice(&self.position_embeddings[..sequence.len() * self.dim]);
        }
        self.embedding_norm.run(hidden, positions);
    }
}

impl Encoder for PackedEncoder {
    fn encode(&self, batch: &Batch) -> Result<Vec<f32>> {
        thread_local! {
            static WORKSPACE: RefCell<Workspace> = RefCell::default();
        }
        Ok(WORKSPACE.with_borrow_mut(|workspace| self.forward(batch, workspace)))
    }
}

/// A thread's memory for hidden states, kept from one forward pass to the next.
#[derive(Default)]
struct Workspace {
    /// What enters a layer, `[tokens, dim]`.
    hidden: Vec<f32>,
    /// The rows of `hidden` for which the last layer's output is wanted, `[sequences, dim]`.
    first: Vec<f32>,
    /// What leaves a layer, `[rows, dim]`.
    output: Vec<f32>,
    query: Vec<f32>,
    key_value: Vec<f32>,
    context: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    attention: AttentionWorkspace,
    operand: OperandWorkspace,
}

/// One transformer block.
struct Layer {
    attention: Attention,
    query: Linear,
    key_value: Linear,
    out: Linear,
    attention_norm: Norm,
    lin1: Linear,
    lin2: Linear,
    output_norm: Norm,
}

impl Layer {
    fn load(kernels: Kernels, config: &Config, module: &Module<'_>) -> Result<Self> {
        let Kernels { isa, .. } = kernels;
        let (dim, hidden_dim) = (config.dim, config.hidden_dim);
        let attention = module.child("attention");
        let ffn = module.child("ffn");
        let activation = match config.activation {
            Activation::Gelu => KernelActivation::Gelu,
            Activation::Relu => KernelActivation::Relu,
        };
        Ok(Self {
            attention: Attention { isa, heads: config.n_heads, hidden: dim },
            query: Linear::load(kernels, &[attention.child("q_lin")], dim, dim, KernelActivation::None)?,
            key_value: Linear::load(
                kernels,
                &[attention.child("k_lin"), attention.child("v_lin")],
                dim,
                dim,
                KernelActivation::None,
            )?,
            out: Linear::load(kernels, &[attention.child("out_lin")], dim, dim, KernelActivation::None)?,
            attention_norm: Norm::load(isa, &module.child("sa_layer_norm"), dim)?,
            lin1: Linear::load(kernels, &[ffn.child("lin1")], dim, hidden_dim, activation)?,
            lin2: Linear::load(kernels, &[ffn.child("lin2")], hidden_dim, dim, KernelActivation::None)?,
            output_norm: Norm::load(isa, &module.child("output_layer_norm"), dim)?,
        })
    }

    /// Fills `output` for the rows of `hidden`, or for those in `queries` alone; `sequences` gives the rows of each
    /// sequence in `hidden` and in `output`.
    fn forward(
        &self,
        workspace: &mut Workspace,
        queries: Option<&[f32]>,
        sequences: impl Iterator<Item = (Range<usize>, Range<usize>)>,
    ) {
        let Workspace { hidden, output, query, key_value, context, attended, inner, attention, operand, .. } =
            workspace;
        let dim = self.attention.hidden;
        let tokens = self.key_value.operand(hidden, operand);
        self.key_value.run(tokens, key_value);
        match queries {
            Some(queries) => self.query.run(self.query.operand(queries, operand), query),
            None => self.query.run(tokens, query),
        }
        let queries = queries.unwrap_or(hidden);
        context.resize(queries.len(), 0.0);
        for (tokens, rows) in sequences {
            let rows = rows.start * dim..rows.end * dim;
            let key_value = &key_value[tokens.start * 2 * dim..tokens.end * 2 * dim];
            self.attention.run(&query[rows.clone()], key_value, &mut context[rows], attention);
        }
        self.out.run(self.out.operand(context, operand), attended);
        self.attention_norm.run(attended, queries);
        self.lin1.run(self.lin1.operand(attended, operand), inner);
        self.lin2.run(self.lin2.operand(inner, operand), output);
        self.output_norm.run(output, attended);
    }
}

struct Norm {
    isa: Isa,
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Norm {
    fn load(isa: Isa, module: &Module<'_>, dim: usize) -> Result<Self> {
        Ok(Self { isa, weight: module.read("weight", &[dim])?, bias: module.read("bias", &[dim])? })
    }

    fn run(&self, x: &mut [f32], residual: &[f32]) {
        let Self { isa, weight, bias } = self;
        LayerNorm { isa: *isa, weight, bias, epsilon: LAYER_NORM_EPSILON }.run(x, residual);
    }
}

fn row(matrix: &[f32], index: usize, width: usize) -> &[f32] {
    &matrix[index * width..][..width]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::ReferenceEncoder;

    /// Hidden states of the small models, whose shapes fill neither tiles nor panels.
    #[test]
    fn every_isa_agrees_with_the_reference() {
        for name in ["gelu-json", "relu-cased", "multi-label", "one-head"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
            let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
            let config = Config::parse(name, &std::fs::read(folder.join("config.json")).unwrap()).unwrap();
            let weights = Weights::open(name, &bytes).unwrap();
            let id = |i: usize| u32::try_from(i * 31 % config.vocab_size).unwrap();
            let lengths = [2, 1, 17, config.max_position_embeddings, 3];
            let sequences: Vec<Vec<u32>> = lengths.iter().map(|&n| (n..2 * n).map(id).collect()).collect();
            let batch = Batch::pack(sequences.iter().map(Vec::as_slice));
            let expected = ReferenceEncoder::load(&config, &weights).unwrap().encode(&batch).unwrap();
            for (precision, tolerance) in Precision::ALL.into_iter().zip([1e-4, 0.1, 0.3]) {
                // In bfloat16, AMX sums in another order than all others.
                let alike = |isa: &Isa| precision != Precision::Bfloat16 || isa.name() != "amx";
                let (alike, others): (Vec<_>, Vec<_>) = Isa::available().into_iter().partition(alike);
                let count = alike.len();
                let states = alike.into_iter().chain(others).map(|isa| {
                    let encoder = PackedEncoder::load_for(Kernels { isa, precision }, &config, &weights).unwrap();
                    encoder.encode(&batch).unwrap()
                });
                let states: Vec<Vec<f32>> = states.collect();
                for states in &states {
                    assert_eq!(states.len(), expected.len());
                    for (ours, reference) in states.iter().zip(&expected) {
                        assert!((ours - reference).abs() < tolerance, "{name} in {precision}: {ours} {reference}");
                    }
                }
                // All but the first, which may lack the fused multiply-add, have the same bits.
                for pair in states[1..count].windows(2) {
                    assert_eq!(pair[0], pair[1], "{name} in {precision}");
                }
            }
        }
    }

    #[test]
    fn int8_refuses_sums_that_might_overflow() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gelu-json");
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let mut config = Config::parse("m", &std::fs::read(folder.join("config.json")).unwrap()).unwrap();
        let weights = Weights::open("m", &bytes).unwrap();
        config.hidden_dim = PackedMatrix::MAX_INT8_INPUTS + 1;
        let message = PackedEncoder::load(&config, &weights, Precision::Int8).err().unwrap().to_string();
        assert!(message.contains("hidden_dim 133145 is above 133144"), "{message}");
    }
}
