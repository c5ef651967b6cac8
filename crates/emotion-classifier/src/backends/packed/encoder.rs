use std::cell::RefCell;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use emotion_kernels::{AlignedBuffer, Attention, AttentionWorkspace, OperandWorkspace, PackedMatrix, Precision};
use rayon::prelude::*;

use crate::architectures::layout::{self, Layout};
use crate::backends::packed::embeddings::Embeddings;
use crate::backends::packed::linear::{Kernels, Linear};
use crate::backends::packed::norm::Norm;
use crate::batch::Batch;
use crate::error::{Error, Result};
use crate::team::with_helpers;
use crate::weights::Weights;

/// A transformer encoder over sequences laid end to end.
///
/// The matrix products of the layers, those within attention included, and of the projection of embeddings are computed
/// in the [`Precision`] chosen; all between them, and the embeddings, in float32.
///
/// Matrix products run over all tokens of a micro-batch at once, attention within each sequence. The last layer
/// computes only what the hidden states of the first tokens need. A forward pass of one worker runs on the calling
/// thread alone, and allocates next to nothing once its workspace has grown; several workers share the rows of a layer.
pub(super) struct PackedEncoder {
    hidden: usize,
    embeddings: Embeddings,
    /// From the width of the embeddings to the hidden size.
    projection: Option<Linear>,
    layers: Vec<Layer>,
}

impl PackedEncoder {
    /// Loads and packs the encoder's tensors.
    pub(super) fn load(kernels: Kernels, layout: &Layout, weights: &Weights<'_>) -> Result<Self> {
        check_sums(kernels.precision, layout, weights.origin())?;
        let projection = layout.embeddings.projection.as_ref();
        Ok(Self {
            hidden: layout.hidden,
            embeddings: Embeddings::load(kernels.isa, &layout.embeddings, weights)?,
            projection: projection.map(|dense| Linear::load(kernels, &[dense], weights)).transpose()?,
            layers: layout
                .layers
                .iter()
                .map(|layer| Layer::load(kernels, layout, layer, weights))
                .collect::<Result<_>>()?,
        })
    }

    /// The last layer's hidden state of each sequence's first token, row-major, of shape `[batch.len(), hidden]`.
    ///
    /// # Errors
    ///
    /// [`Error::Cancelled`] within a layer after the flag is set.
    pub(super) fn encode(&self, batch: &Batch, workers: usize, cancelled: &AtomicBool) -> Result<Vec<f32>> {
        thread_local! {
            // More than one if a worker that waits for another's part starts on another batch.
            static FREE: RefCell<Vec<Workspace>> = RefCell::default();
        }
        let mut workspace = FREE.with_borrow_mut(Vec::pop).unwrap_or_default();
        let states = with_helpers(workers, || self.forward(batch, workers, cancelled, &mut workspace));
        FREE.with_borrow_mut(|free| free.push(workspace));
        states
    }

    fn forward(
        &self,
        batch: &Batch,
        workers: usize,
        cancelled: &AtomicBool,
        workspace: &mut Workspace,
    ) -> Result<Vec<f32>> {
        let Workspace { embedded, hidden, first, output, key_value, parts } = workspace;
        let mut sequences: Vec<Sequence> =
            batch.ranges().map(|tokens| Sequence { rows: tokens.clone(), tokens }).collect();
        let tokens = sequences.iter().map(|sequence| sequence.tokens.len()).sum();
        let parts = share_out(tokens, workers.max(1), parts);
        let len = self.embed(batch, embedded, hidden, parts);
        let Some((last, inner)) = self.layers.split_last() else { unreachable!("a model has a layer") };
        for layer in inner {
            check(cancelled)?;
            layer.forward(hidden.values(len), None, &sequences, key_value, output, parts);
            std::mem::swap(hidden, output);
        }
        let first = first.values(sequences.len() * self.hidden);
        for (index, (sequence, first)) in sequences.iter_mut().zip(first.chunks_exact_mut(self.hidden)).enumerate() {
            first.copy_from_slice(row(hidden.values(len), sequence.tokens.start, self.hidden));
            sequence.rows = index..index + 1;
        }
        check(cancelled)?;
        last.forward(hidden.values(len), Some(first), &sequences, key_value, output, parts);
        Ok(output.values(first.len()).to_vec())
    }

    /// Fills `hidden` with the input of the first layer, and returns its number of values.
    fn embed(
        &self,
        batch: &Batch,
        embedded: &mut AlignedBuffer,
        hidden: &mut AlignedBuffer,
        parts: &mut [PartWorkspace],
    ) -> usize {
        let Some(projection) = &self.projection else { return self.embeddings.run(batch, hidden) };
        let (len, width) = (self.embeddings.run(batch, embedded), self.embeddings.width());
        let rows = len / width;
        let hidden = hidden.values(rows * self.hidden);
        let share = part_rows(rows, parts.len());
        let shares = embedded.values(len).chunks(share * width).zip(hidden.chunks_mut(share * self.hidden));
        each_part(shares, parts, |_, (embedded, hidden), part| {
            let PartWorkspace { operand, shares, .. } = part;
            projection.run_into(projection.operand(embedded, operand), hidden, shares);
        });
        hidden.len()
    }
}

fn check(cancelled: &AtomicBool) -> Result<()> {
    if cancelled.load(Relaxed) { Err(Error::Cancelled) } else { Ok(()) }
}

/// Refuses layers with more inputs than int8 sums exactly.
fn check_sums(precision: Precision, layout: &Layout, origin: &str) -> Result<()> {
    let most = PackedMatrix::MAX_INT8_INPUTS;
    let excessive = |dense: &&layout::Dense| precision == Precision::Int8 && dense.inputs > most;
    let Some(dense) = layout.encoder_dense().find(excessive) else {
        return Ok(());
    };
    let reason = format!(
        "'{}' has {} inputs, which is above {most}, the most that int8 sums exactly: choose float32 or bfloat16",
        dense.name, dense.inputs
    );
    Err(Error::Config { origin: origin.into(), reason })
}

/// Memory for hidden states, kept from one forward pass to the next; a buffer may be longer than its contents.
#[derive(Default)]
struct Workspace {
    /// Embeddings that are projected to hidden states, `[tokens, width]`.
    embedded: AlignedBuffer,
    /// The input of a layer, `[tokens, hidden]`.
    hidden: AlignedBuffer,
    /// The rows of `hidden` for which the last layer's output is needed, `[sequences, hidden]`.
    first: AlignedBuffer,
    /// The output of a layer, `[rows, hidden]`.
    output: AlignedBuffer,
    /// `[tokens, 2 · hidden]`
    key_value: AlignedBuffer,
    parts: Vec<PartWorkspace>,
}

/// Memory of a worker for its part of the rows.
#[derive(Default)]
struct PartWorkspace {
    query: AlignedBuffer,
    context: AlignedBuffer,
    attended: AlignedBuffer,
    inner: AlignedBuffer,
    attention: AttentionWorkspace,
    operand: OperandWorkspace,
    inner_operand: OperandWorkspace,
    /// The columns of a product that each worker computes; one if the part has one worker.
    shares: Vec<AlignedBuffer>,
}

/// With fewer rows per worker than this, reading the weights takes longer than multiplying.
const LEAST_PART: usize = 32;

/// Gives each worker a part of the rows, or all workers one part, whose columns they share.
fn share_out(rows: usize, workers: usize, parts: &mut Vec<PartWorkspace>) -> &mut [PartWorkspace] {
    let (count, shares) = if rows / workers < LEAST_PART { (1, workers) } else { (workers, 1) };
    parts.resize_with(parts.len().max(count), PartWorkspace::default);
    let parts = &mut parts[..count];
    parts[0].shares.resize_with(shares, AlignedBuffer::default);
    parts
}

/// The rows of a sequence in the input of a layer (`tokens`) and in its output (`rows`).
struct Sequence {
    tokens: Range<usize>,
    rows: Range<usize>,
}

/// One transformer block.
struct Layer {
    attention: Attention,
    query: Linear,
    key_value: Linear,
    attention_output: Linear,
    attention_norm: Norm,
    intermediate: Linear,
    output: Linear,
    output_norm: Norm,
}

impl Layer {
    fn load(kernels: Kernels, layout: &Layout, layer: &layout::Layer, weights: &Weights<'_>) -> Result<Self> {
        let Kernels { isa, precision } = kernels;
        let linear = |layers: &[&layout::Dense]| Linear::load(kernels, layers, weights);
        let norm = |norm| Norm::load(isa, norm, layout.hidden, weights);
        Ok(Self {
            attention: Attention { isa, precision, heads: layout.heads, hidden: layout.hidden },
            query: linear(&[&layer.query])?,
            key_value: linear(&[&layer.key, &layer.value])?,
            attention_output: linear(&[&layer.attention_output])?,
            attention_norm: norm(&layer.attention_norm)?,
            intermediate: linear(&[&layer.intermediate])?,
            output: linear(&[&layer.output])?,
            output_norm: norm(&layer.output_norm)?,
        })
    }

    /// Fills `output` for the rows of `hidden`, or only for those in `queries`, with a worker for each of `parts`.
    fn forward(
        &self,
        hidden: &[f32],
        queries: Option<&[f32]>,
        sequences: &[Sequence],
        key_value: &mut AlignedBuffer,
        output: &mut AlignedBuffer,
        parts: &mut [PartWorkspace],
    ) {
        let dim = self.attention.hidden;
        let key_value = key_value.values(2 * hidden.len());
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
        let output = output.values(residual.len());
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

    /// Fills `context` for the rows of `query`, which are the rows `range` of the layer's output.
    fn attend(&self, range: Range<usize>, sequences: &[Sequence], key_value: &[f32], part: &mut PartWorkspace) {
        let PartWorkspace { query, context, attention, .. } = part;
        let dim = self.attention.hidden;
        let (query, context) = (query.values(range.len() * dim), context.values(range.len() * dim));
        for Sequence { tokens, rows } in sequences {
            let (start, end) = (rows.start.max(range.start), rows.end.min(range.end));
            if start < end {
                let rows = (start - range.start) * dim..(end - range.start) * dim;
                let key_value = &key_value[tokens.start * 2 * dim..tokens.end * 2 * dim];
                self.attention.run(&query[rows.clone()], key_value, &mut context[rows], attention);
            }
        }
    }

    /// Fills `output` from `context` and the input of the layer.
    fn feed_forward(&self, residual: &[f32], output: &mut [f32], part: &mut PartWorkspace) {
        let PartWorkspace { context, attended, inner, operand, inner_operand, shares, .. } = part;
        let context = context.values(residual.len());
        let attended = self.attention_output.run(self.attention_output.operand(context, operand), attended, shares);
        self.attention_norm.run(attended, residual);
        let attended_operand = self.intermediate.operand(attended, operand);
        let inner = self.intermediate.run_for(&self.output, attended_operand, inner, inner_operand, shares);
        self.output.run_into(inner, output, shares);
        self.output_norm.run(output, attended);
    }
}

/// The number of rows in each of `parts` parts.
fn part_rows(rows: usize, parts: usize) -> usize {
    rows.div_ceil(parts).max(1)
}

/// Runs `work` on each share, with its index and a workspace: in parallel if there is more than one.
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

fn row(matrix: &[f32], index: usize, width: usize) -> &[f32] {
    &matrix[index * width..][..width]
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use emotion_kernels::Isa;

    use super::*;
    use crate::architectures::layout_of;
    use crate::config::Config;

    static NEVER: AtomicBool = AtomicBool::new(false);

    /// The configuration and the bytes of the weights of a golden model.
    fn golden(name: &str) -> (Config, Vec<u8>) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
        let config = Config::parse(name, &std::fs::read(folder.join("config.json")).unwrap()).unwrap();
        (config, std::fs::read(folder.join("model.safetensors")).unwrap())
    }

    fn load(kernels: Kernels, config: &Config, weights: &Weights<'_>) -> Result<PackedEncoder> {
        PackedEncoder::load(kernels, &layout_of(config, |name| weights.contains(name))?, weights)
    }

    fn batch(config: &Config, lengths: &[usize]) -> Batch {
        let id = |i: usize| u32::try_from(i * 31 % config.vocab_size).unwrap();
        let sequences: Vec<Vec<u32>> = lengths.iter().map(|&n| (n..2 * n).map(id).collect()).collect();
        Batch::pack(sequences.iter().map(Vec::as_slice))
    }

    #[cfg(feature = "candle")]
    #[test]
    fn every_instruction_set_agrees_with_the_reference() {
        use crate::backends::candle::first_states;

        for name in [
            "gelu-json",
            "relu-cased",
            "multi-label",
            "one-head",
            "bert",
            "roberta",
            "xlm-roberta",
            "camembert",
            "electra",
        ] {
            let (config, bytes) = golden(name);
            let weights = Weights::open(name, &bytes).unwrap();
            let batch = batch(&config, &[2, 1, 17, config.max_tokens(), 3]);
            let layout = layout_of(&config, |name| weights.contains(name)).unwrap();
            let expected = first_states(&layout, &weights, &batch);
            for (precision, tolerance) in Precision::ALL.into_iter().zip([1e-4, 0.1, 0.3]) {
                // In bfloat16 AMX sums in another order than all other instruction sets.
                let alike = |isa: &Isa| precision != Precision::Bfloat16 || isa.name() != "amx";
                let (alike, others): (Vec<_>, Vec<_>) = Isa::available().into_iter().partition(alike);
                let count = alike.len();
                let states = alike.into_iter().chain(others).map(|isa| {
                    let encoder = load(Kernels { isa, precision }, &config, &weights).unwrap();
                    encoder.encode(&batch, 1, &NEVER).unwrap()
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
    fn bits_do_not_depend_on_the_number_of_workers() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        for name in ["gelu-json", "one-head", "roberta", "electra"] {
            let (config, bytes) = golden(name);
            let weights = Weights::open(name, &bytes).unwrap();
            for precision in Precision::ALL {
                let encoder = load(Kernels { isa: Isa::detected(), precision }, &config, &weights).unwrap();
                let most = config.max_tokens();
                for lengths in [&[most][..], &[1], &[7, 9], &[2, 1, 17, most, 3, 30, 1, 1, 8, 25]] {
                    let batch = batch(&config, lengths);
                    let alone = encoder.encode(&batch, 1, &NEVER).unwrap();
                    for workers in [2, 3, 5, 16] {
                        let shared = pool.install(|| encoder.encode(&batch, workers, &NEVER).unwrap());
                        assert_eq!(shared, alone, "{name}, {precision}, {lengths:?}, {workers} workers");
                    }
                }
            }
        }
    }

    #[test]
    fn a_forward_pass_can_be_cancelled() {
        let (config, bytes) = golden("gelu-json");
        let weights = Weights::open("m", &bytes).unwrap();
        let kernels = Kernels { isa: Isa::detected(), precision: Precision::Float32 };
        let encoder = load(kernels, &config, &weights).unwrap();
        let cancelled = encoder.encode(&batch(&config, &[7, 9]), 1, &AtomicBool::new(true));
        assert!(matches!(cancelled, Err(Error::Cancelled)));
    }

    #[test]
    fn int8_refuses_sums_that_might_overflow() {
        let (mut config, bytes) = golden("gelu-json");
        let weights = Weights::open("m", &bytes).unwrap();
        config.intermediate_size = PackedMatrix::MAX_INT8_INPUTS + 1;
        let kernels = Kernels { isa: Isa::detected(), precision: Precision::Int8 };
        let message = load(kernels, &config, &weights).err().unwrap().to_string();
        let expected = "'distilbert.transformer.layer.0.ffn.lin2' has 133145 inputs, which is above 133144";
        assert!(message.contains(expected), "{message}");
    }
}
