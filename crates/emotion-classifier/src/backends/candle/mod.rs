//! The candle backend: networks in candle tensors, on the CPU or a GPU.

mod activate;
mod bert;
#[cfg(feature = "cuda")]
mod cuda;
mod deberta_v2;
mod modernbert;
mod network;
mod rows;
mod settings;
mod target;
mod tensors;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Result as CandleResult};

use crate::architectures::layout_of;
use crate::backends::Backend;
use crate::backends::candle::bert::BertNetwork;
use crate::backends::candle::deberta_v2::DebertaV2Network;
use crate::backends::candle::modernbert::ModernBertNetwork;
use crate::backends::candle::network::{Input, Network};
use crate::backends::candle::target::Target;
use crate::backends::candle::tensors::failed;
use crate::batch::Batch;
use crate::compute::Compute;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::model_type::ModelType;
use crate::weights::Weights;

/// Attention holds matrices of `heads * tokens * tokens` values in float32: with 12 heads, each takes 201 MB for this
/// many tokens, and 3.2 GB for 8,192.
const MOST_PARALLEL_TOKENS: usize = 2048;

/// Runs a network over one sequence after another, or over all sequences of a batch with padding.
///
/// Without padding the bits of a sequence cannot depend on its neighbours. On a GPU, where one sequence does not
/// occupy the device, batches are padded, and the last digits of a logit may depend on the batch.
pub(crate) struct CandleBackend {
    network: Box<dyn Network>,
    target: Target,
    pads: bool,
    /// Held by the pass that runs if batches are padded: two passes at once would take twice the device's memory.
    pass: Mutex<()>,
}

impl CandleBackend {
    /// Loads the model that `config` describes; `json` is the `config.json` that it is parsed from, and `compute` is
    /// resolved.
    pub(crate) fn load(config: &Config, json: &[u8], weights: &Weights<'_>, compute: Compute) -> Result<Self> {
        Self::on(Target::open(compute)?, config, json, weights)
    }

    fn on(target: Target, config: &Config, json: &[u8], weights: &Weights<'_>) -> Result<Self> {
        let network: Box<dyn Network> = match config.model_type {
            ModelType::ModernBert => Box::new(ModernBertNetwork::load(config, json, weights, &target)?),
            ModelType::DebertaV2 => Box::new(DebertaV2Network::load(config, json, weights, &target)?),
            _ => {
                let layout = layout_of(config, |name| weights.contains(name))?;
                Box::new(BertNetwork::load(&layout, weights, &target)?)
            }
        };
        // Other threads have other streams, which do not wait for the copies of this one.
        target.device.synchronize().map_err(failed)?;
        Ok(Self { network, pads: !target.device.is_cpu(), target, pass: Mutex::default() })
    }

    fn run<'a>(&self, sequences: impl IntoIterator<Item = &'a [u32]>) -> CandleResult<Vec<f32>> {
        let logits = self.network.logits(&Input::pad(sequences, &self.target)?)?;
        logits.flatten_all()?.to_dtype(DType::F32)?.to_vec1()
    }

    fn run_each(&self, batch: &Batch, cancelled: &AtomicBool) -> Result<Vec<f32>> {
        let mut logits = Vec::new();
        for sequence in batch.sequences() {
            if cancelled.load(Relaxed) {
                return Err(Error::Cancelled);
            }
            logits.extend(self.run([sequence]).map_err(failed)?);
        }
        Ok(logits)
    }
}

impl Backend for CandleBackend {
    fn logits(&self, batch: &Batch, _workers: usize, cancelled: &AtomicBool) -> Result<Vec<f32>> {
        if !self.pads {
            return self.run_each(batch, cancelled);
        }
        let _pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner);
        self.run(batch.sequences()).map_err(failed)
    }

    fn most_parallel_tokens(&self) -> usize {
        MOST_PARALLEL_TOKENS
    }

    fn pads(&self) -> bool {
        self.pads
    }
}

/// The last layer's hidden state of each sequence's first token, row-major, of shape `[batch.len(), hidden]`.
#[cfg(test)]
pub(crate) fn first_states(
    layout: &crate::architectures::layout::Layout,
    weights: &Weights<'_>,
    batch: &Batch,
) -> Vec<f32> {
    let target = Target::open(Compute::default()).unwrap();
    let network = BertNetwork::load(layout, weights, &target).unwrap();
    let state = |sequence: &[u32]| {
        let state = network.state(&Input::pad([sequence], &target).unwrap()).unwrap();
        state.flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    batch.sequences().flat_map(state).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use candle_core::Device;

    use super::*;

    fn load(name: &str, dtype: DType) -> (Config, CandleBackend) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name);
        let json = std::fs::read(folder.join("config.json")).unwrap();
        let config = Config::parse(name, &json).unwrap();
        let bytes = std::fs::read(folder.join("model.safetensors")).unwrap();
        let weights = Weights::open(name, &bytes).unwrap();
        let target = Target { device: Device::Cpu, dtype };
        let backend = CandleBackend::on(target, &config, &json, &weights).unwrap();
        (config, backend)
    }

    fn batch(config: &Config) -> Batch {
        let id = |at: usize| u32::try_from(at * 31 % config.vocab_size).unwrap();
        let lengths = [config.max_tokens(), 2, 1, 17, config.max_tokens() - 1, 30];
        let sequences: Vec<Vec<u32>> = lengths.iter().map(|&n| (n..2 * n).map(id).collect()).collect();
        Batch::pack(sequences.iter().map(Vec::as_slice))
    }

    /// What a GPU computes in half precision, by the same operations on the CPU.
    #[test]
    fn half_precision_is_near_float32() {
        for name in ["gelu-json", "relu-cased", "bert", "roberta", "xlm-roberta", "camembert", "electra"] {
            let (config, reference) = load(name, DType::F32);
            let batch = batch(&config);
            let expected = reference.logits(&batch, 1, &AtomicBool::new(false)).unwrap();
            for (dtype, tolerance) in [(DType::BF16, 0.4), (DType::F16, 0.1)] {
                let (_, mut backend) = load(name, dtype);
                backend.pads = true;
                let logits = backend.logits(&batch, 1, &AtomicBool::new(false)).unwrap();
                let worst = logits.iter().zip(&expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(logits.iter().all(|logit| logit.is_finite()), "{name} in {dtype:?}");
                assert!(worst > 0.0 && worst < tolerance, "{name} in {dtype:?}: logits differ by {worst}");
                println!("{name} in {dtype:?}: logits differ by {worst}");
            }
        }
    }

    #[test]
    fn padding_hardly_changes_logits() {
        let names = ["gelu-json", "bert", "roberta", "xlm-roberta", "camembert", "electra"];
        for name in names.into_iter().chain(["modernbert", "modernbert-mean", "deberta-v2", "deberta-v3"]) {
            let (config, mut backend) = load(name, DType::F32);
            let batch = batch(&config);
            let single = backend.logits(&batch, 1, &AtomicBool::new(false)).unwrap();
            backend.pads = true;
            let padded = backend.logits(&batch, 1, &AtomicBool::new(false)).unwrap();
            assert_eq!((single.len(), padded.len()), (6 * config.labels.len(), 6 * config.labels.len()));
            let worst = single.iter().zip(&padded).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst < 1e-4, "{name}: logits differ by {worst}");
        }
    }
}
