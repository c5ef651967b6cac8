use std::cell::RefCell;
use std::ops::Range;

use emotion_kernels::{
    Activation as KernelActivation, Attention, AttentionWorkspace, Isa, LayerNorm, OperandWorkspace, PackedMatrix,
    Precision,
};

use rayon::prelude::*;

use crate::linear::{Kernels, Linear, room};
use crate::team::with_helpers;
use crate::weights::Module;
use crate::{Activation, Batch, Config, Encoder, Error, Result, Weights};

/// `DistilBertConfig` has no key for it: the value is fixed in the model's code.
const LAYER_NORM_EPSILON: f32 = 1e-12;

/// The CPU's fast path: sequences end to end, weights packed once, no padding.
///
/// The matrix products of the layers are computed in the [`Precision`] chosen, those within attention in bfloat16 if
/// that is chosen; all between them, and the embeddings, in float32.
///
/// Matrix products run over all tokens of a micro-batch at once, attention within each sequence.
/// The last layer computes only what the hidden states of `[CLS]` need. One worker needs no other for
/// a forward pass, and allocates next to nothing once its workspace has grown; several share the rows of a layer.
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

    fn forward(&self, batch: &Batch, workers: usize, workspace: &mut Workspace) -> Vec<f32> {
        let Workspace { hidden, first, output, key_value, parts } = workspace;
        let len = self.embed(batch, hidden);
        let mut sequences: Vec<Sequence> =
            batch.ranges().map(|tokens| Sequence { rows: tokens.clone(), tokens }).collect();
        let parts = share_out(len / self.dim, workers.max(1), parts);
        let Some((last, inner)) = self.layers.split_last() else { unreachable!("a model has a layer") };
        for layer in inner {
            layer.forward(&hidden[..len], None, &sequences, key_value, output, parts);
            std::mem::swap(hidden, output);
        }
        first.clear();
        for (index, sequence) in sequences.iter_mut().enumerate() {
            first.extend_from_slice(row(hidden, sequence.tokens.start, self.dim));
            sequence.rows = index..index + 1;
        }
        last.forward(&hidden[..len], Some(first), &sequences, key_value, output, parts);
        output[..first.len()].to_vec()
    }

    /// Fills `hidden` with the normalized sums of word and position embeddings, and gives how many values they are.
    fn embed(&self, batch: &Batch, hidden: &mut Vec<f32>) -> usize {
        let len = batch.ranges().map(|tokens| tokens.len() * self.dim).sum();
        let mut rest = room(hidden, len);
        for sequence in batch.sequences() {
            let (states, next) = rest.split_at_mut(sequence.len() * self.dim);
            for (state, id) in states.chunks_exact_mut(self.dim).zip(sequence) {
                state.copy_from_slice(row(&self.word_embeddings, *id as usize, self.dim));
            }
            self.embedding_norm.run(states, &self.position_embeddings[..states.len()]);
            rest = next;
        }
        len
    }
}

impl Encoder for PackedEncoder {
    fn encode(&self, batch: &Batch, workers: usize) -> Result<Vec<f32>> {
        thread_local! {
            // More than one where a worker that waits for another's part takes up another batch.
            static FREE: RefCell<Vec<Workspace>> = RefCell::default();
        }
        let mut workspace = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        let states = with_helpers(workers, || self.forward(batch, workers, &mut workspace));
        FREE.with_borrow_mut(|free| free.push(workspace));
        Ok(states)
    }
}

/// Memory for hidden states, kept from one forward pass to the next; a buffer may be longer than what it holds.
#[derive(Default)]
struct Workspace {
    /// What enters a layer, `[tokens, dim]`.
    hidden: Vec<f32>,
    /// The rows of `hidden` for which the last layer's output is wanted, `[sequences, dim]`.
    first: Vec<f32>,
    /// What leaves a layer, `[rows, dim]`.
    output: Vec<f32>,
    /// `[tokens, 2 · dim]`
    key_value: Vec<f32>,
    parts: Vec<PartWorkspace>,
}

/// What a worker needs for its part of the rows.
#[derive(Default)]
struct PartWorkspace {
    query: Vec<f32>,
    context: Vec<f32>,
    attended: Vec<f32>,
    inner: Vec<f32>,
    attention: AttentionWorkspace,
    operand: OperandWorkspace,
    inner_operand: OperandWorkspace,
    /// Columns of a product, a worker; none if the part has one worker.
    shares: Vec<Vec<f32>>,
}

/// With fewer rows a worker than this, reading the weights takes longer than multiplying.
const LEAST_PART: usize = 32;

/// Gives each worker a part of the rows, or all of them one part, whose columns they share.
fn share_out(rows: usize, workers: usize, parts: &mut Vec<PartWorkspace>) -> &mut [PartWorkspace] {
    let (count, shares) = if rows / workers < LEAST_PART { (1, workers) } else { (workers, 1) };
    parts.resize_with(parts.len().max(count), PartWorkspace::default);
    let parts = &mut parts[..count];
    parts[0].shares.resize_with(shares, Vec::new);
    parts
}

/// The rows of a sequence among those that enter a layer, and among those that leave it.
struct Sequence {
    tokens: Range<usize>,
    rows: Range<usize>,
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
        let Kernels { isa, precision } = kernels;
        let (dim, hidden_dim) = (config.dim, config.hidden_dim);
        let attention = module.child("attention");
        let ffn = module.child("ffn");
        let activation = match config.activation {
            Activation::Gelu => KernelActivation::Gelu,
            Activation::Relu => KernelActivation::Relu,
        };
        Ok(Self {
            attention: Attention { isa, precision, heads: config.n_heads, hidden: dim },
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

    /// Fills `output` for the rows of `hidden`, or for those in `queries` alone, as many workers at a time as there
    /// are `parts`.
    fn forward(
        &self,
        hidden: &[f32],
        queries: Option<&[f32]>,
        sequences: &[Sequence],
        key_value: &mut Vec<f32>,
        output: &mut Vec<f32>,
        parts: &mut [PartWorkspace],
    ) {
        let dim = self.attention.hidden;
        let key_value = room(key_value, 2 * hidden.len());
        let share = part_rows(hidden.len() / dim, parts.len());
        let shares = hidden.chunks(share * dim).zip(key_value.chunks_mut(share * 2 * dim));
        each_part(shares, parts, |_, (hidden, key_value), part| {
            let PartWorkspace { query, operand, shares, .. } = part;
            let tokens = self.key_value.operand(hidden, operand);
            self.key_value.run_into(tokens, key_value, shares);
            if queries.is_none() {
                self.query.run(tokens, query, shares);
            }
        });
        let residual = queries.unwrap_or(hidden);
        let output = room(output, residual.len());
        let share = part_rows(residual.len() / dim, parts.len());
        let shares = residual.chunks(share * dim).zip(output.chunks_mut(share * dim));
        each_part(shares, parts, |index, (residual, output), part| {
            if queries.is_some() {
                let PartWorkspace { query, operand, shares, .. } = &mut *part;
                self.query.run(self.query.operand(residual, operand), query, shares);
            }
            let first = index * share;
            self.attend(first..first + residual.len() / dim, sequences, key_value, part);
            self.feed_forward(residual, output, part);
        });
    }

    /// Fills `context` for the rows of `query`, which are these of the layer's.
    fn attend(&self, range: Range<usize>, sequences: &[Sequence], key_value: &[f32], part: &mut PartWorkspace) {
        let PartWorkspace { query, context, attention, .. } = part;
        let dim = self.attention.hidden;
        let context = room(context, range.len() * dim);
        for Sequence { tokens, rows } in sequences {
            let (start, end) = (rows.start.max(range.start), rows.end.min(range.end));
            if start < end {
                let rows = (start - range.start) * dim..(end - range.start) * dim;
                let key_value = &key_value[tokens.start * 2 * dim..tokens.end * 2 * dim];
                self.attention.run(&query[rows.clone()], key_value, &mut context[rows], attention);
            }
        }
    }

    /// Fills `output` from `context` and from what entered the layer.
    fn feed_forward(&self, residual: &[f32], output: &mut [f32], part: &mut PartWorkspace) {
        let PartWorkspace { context, attended, inner, operand, inner_operand, shares, .. } = part;
        let context = &context[..residual.len()];
        let attended = self.out.run(self.out.operand(context, operand), attended, shares);
        self.attention_norm.run(attended, residual);
        let attended_operand = self.lin1.operand(attended, operand);
        let inner = self.lin1.run_for(&self.lin2, attended_operand, inner, inner_operand, shares);
        self.lin2.run_into(inner, output, shares);
        self.output_norm.run(output, attended);
    }
}

/// Rows of a part of `rows`.
fn part_rows(rows: usize, parts: usize) -> usize {
    rows.div_ceil(parts).max(1)
}

/// Runs `work` on each share, with its index and a workspace: side by side if there is more than one.
fn each_part<S: Send>(
    shares: impl Iterator<Item = S>,
    parts: &mut [PartWorkspace],
    work: impl Fn(usize, S, &mut PartWorkspace) + Sync,
) {
    if let [part] = parts {
        return shares.for_each(|share| work(0, share, part));
    }
    let shares: Vec<_> = shares.zip(parts).enumerate().collect();
    shares.into_par_iter().with_max_len(1).for_each(|(index, (share, part))| work(index, share, part));
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
            let expected = ReferenceEncoder::load(&config, &weights).unwrap().encode(&batch, 1).unwrap();
            for (precision, tolerance) in Precision::ALL.into_iter().zip([1e-4, 0.1, 0.3]) {
                // But for int8, AMX sums in another order than all others.
                let alike = |isa: &Isa| precision == Precision::Int8 || isa.name() != "amx";
                let (alike, others): (Vec<_>, Vec<_>) = Isa::available().into_iter().partition(alike);
                let count = alike.len();
                let states = alike.into_iter().chain(others).map(|isa| {
                    let encoder = PackedEncoder::load_for(Kernels { isa, precision }, &config, &weights).unwrap();
                    encoder.encode(&batch, 1).unwrap()
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
    fn however_many_workers_share_a_pass_the_bits_are_the_same() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for name in ["gelu-json", "one-head"] {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
            let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
            let config = Config::parse(name, &std::fs::read(folder.join("config.json")).unwrap()).unwrap();
            let weights = Weights::open(name, &bytes).unwrap();
            let id = |i: usize| u32::try_from(i * 31 % config.vocab_size).unwrap();
            for precision in Precision::ALL {
                let encoder = PackedEncoder::load(&config, &weights, precision).unwrap();
                let most = config.max_position_embeddings;
                for lengths in [&[most][..], &[1], &[7, 9], &[2, 1, 17, most, 3, 30, 1, 1, 8, 25]] {
                    let sequences: Vec<Vec<u32>> = lengths.iter().map(|&n| (n..2 * n).map(id).collect()).collect();
                    let batch = Batch::pack(sequences.iter().map(Vec::as_slice));
                    let alone = encoder.encode(&batch, 1).unwrap();
                    for workers in [2, 3, 5, 16] {
                        let shared = pool.install(|| encoder.encode(&batch, workers)).unwrap();
                        assert_eq!(shared, alone, "{name}, {precision}, {lengths:?}, {workers} workers");
                    }
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
