//! The fast backend for the CPU: sequences end to end, weights packed once, no padding.

mod embeddings;
mod encoder;
mod head;
mod linear;
mod norm;

use std::sync::atomic::AtomicBool;

use emotion_kernels::{Isa, Precision};

use crate::architectures::layout::Layout;
use crate::backends::Backend;
use crate::backends::packed::encoder::PackedEncoder;
use crate::backends::packed::head::Head;
use crate::backends::packed::linear::Kernels;
use crate::batch::Batch;
use crate::error::Result;
use crate::weights::Weights;

/// The encoder and the head of a model, packed for the instruction set of this machine.
pub(crate) struct PackedBackend {
    encoder: PackedEncoder,
    head: Head,
}

impl PackedBackend {
    pub(crate) fn load(layout: &Layout, weights: &Weights<'_>, precision: Precision) -> Result<Self> {
        Ok(Self {
            encoder: PackedEncoder::load(Kernels { isa: Isa::detected(), precision }, layout, weights)?,
            head: Head::load(layout, weights)?,
        })
    }
}

impl Backend for PackedBackend {
    fn logits(&self, batch: &Batch, workers: usize, cancelled: &AtomicBool) -> Result<Vec<f32>> {
        Ok(self.head.logits(self.encoder.encode(batch, workers, cancelled)?))
    }
}
