//! The tensors of a model, read from its files.

pub(crate) mod file;
mod header;
pub(crate) mod index;
mod pages;
#[cfg(feature = "candle")]
mod pickle;
pub(crate) mod table;
mod values;

use std::borrow::Cow;
use std::collections::HashMap;

use half::f16;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};
use crate::weights::file::{Shard, WeightFiles};
#[cfg(feature = "candle")]
use crate::weights::pickle::Pickle;
use crate::weights::table::Table;
use crate::weights::values::{bf16_values, f16_values, f32_values, f64_values};

/// The prefixes of all names in the files of models that were saved inside another module, such as PyTorch's
/// `DataParallel`.
const PREFIXES: [&str; 4] = ["", "module.", "model.", "module.model."];

/// The largest magnitude of a weight. The square of a larger one overflows float32, so that a text could only have
/// logits that mean nothing; the weights of trained models are below 1000.
const LARGEST: f32 = 1e18;

/// The named tensors of a model, read as float32.
///
/// Every read is checked: a missing tensor, another shape, a type other than F64, F32, F16 or BF16, and a value that is
/// not a number or beyond [`LARGEST`] are errors that name the tensor. Tensors that are never read are ignored.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    origin: &'a str,
    tensors: Tensors<'a>,
    /// The file that the tensors are in, if it is part of the program.
    embedded: Option<&'static [u8]>,
    /// Whether the memory of that file can be released.
    releasable: bool,
}

#[derive(Debug)]
enum Tensors<'a> {
    Safetensors(HashMap<String, TensorView<'a>>),
    #[cfg(feature = "candle")]
    Pickle(Pickle<'a>),
}

impl<'a> Weights<'a> {
    /// Opens the files of a model; `origin` names the model in errors.
    pub(crate) fn load(origin: &'a str, files: &'a WeightFiles) -> Result<Self> {
        let tensors = match files {
            WeightFiles::Single(Cow::Borrowed(bytes)) => {
                let releasable = pages::are_releasable(bytes);
                return Ok(Self { embedded: Some(bytes), releasable, ..Self::open(origin, bytes)? });
            }
            WeightFiles::Single(bytes) => return Self::open(origin, bytes),
            WeightFiles::Sharded { index, shards } => sharded(index, shards).map(Tensors::Safetensors),
            #[cfg(feature = "candle")]
            WeightFiles::Pickle(bytes) => Pickle::open(bytes).map(Tensors::Pickle),
        };
        let tensors = tensors.map_err(|reason| Error::Weights { origin: origin.into(), reason })?;
        Ok(Self { origin, tensors, embedded: None, releasable: false })
    }

    /// Opens the bytes of a safetensors file; `origin` names the model in errors.
    pub(crate) fn open(origin: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let tensors = safetensors(bytes).map_err(|reason| Error::Weights { origin: origin.into(), reason })?;
        Ok(Self { origin, tensors: Tensors::Safetensors(tensors.collect()), embedded: None, releasable: false })
    }

    /// The number of values in all tensors together.
    pub(crate) fn parameters(&self) -> usize {
        let count = |shape: &[usize]| shape.iter().fold(1_usize, |count, size| count.saturating_mul(*size));
        match &self.tensors {
            Tensors::Safetensors(tensors) => tensors.values().map(|tensor| count(tensor.shape())).sum(),
            #[cfg(feature = "candle")]
            Tensors::Pickle(pickle) => pickle.shapes().map(count).fold(0, usize::saturating_add),
        }
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Reads one tensor as float32 in row-major order, checked to be of `shape`.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let stored = self.stored_name(name, shape)?;
        let values = self.values(&stored).map_err(|reason| self.wrong(format!("tensor '{name}' {reason}")))?;
        match values.iter().position(|value| !(..=LARGEST).contains(&value.abs())) {
            None => Ok(values),
            Some(at) => Err(self.not_a_weight(name, at, values[at])),
        }
    }

    /// Reads one tensor as [`Self::read`], in half precision if it is stored so.
    ///
    /// Of a file that is part of the program nothing is copied or read now, so that its pages are loaded when their rows
    /// are used. Its values are checked by a test.
    pub(crate) fn table(&self, name: &str, shape: &[usize]) -> Result<Table> {
        let stored = self.stored_name(name, shape)?;
        let Some(data) = self.half_precision(&stored) else { return self.read(name, shape).map(Table::Float32) };
        if let Some(data) = self.part_of_embedded(data) {
            return Ok(Table::Float16(Cow::Borrowed(data)));
        }
        let (halves, _) = data.as_chunks();
        let mut values = halves.iter().map(|half| f16::from_le_bytes(*half));
        match values.position(|value| !value.is_finite()) {
            None => Ok(Table::Float16(Cow::Owned(data.to_vec()))),
            Some(at) => Err(self.not_a_weight(name, at, f16::from_le_bytes(halves[at]).to_f32())),
        }
    }

    /// The bytes of a tensor of type F16.
    fn half_precision(&self, stored: &str) -> Option<&'a [u8]> {
        match &self.tensors {
            Tensors::Safetensors(tensors) => {
                let tensor = tensors.get(stored).filter(|tensor| tensor.dtype() == Dtype::F16);
                tensor.map(TensorView::data)
            }
            #[cfg(feature = "candle")]
            Tensors::Pickle(_) => None,
        }
    }

    fn part_of_embedded(&self, data: &[u8]) -> Option<&'static [u8]> {
        let file = self.embedded?;
        let start = data.as_ptr().addr().checked_sub(file.as_ptr().addr())?;
        file.get(start..start + data.len())
    }

    fn not_a_weight(&self, name: &str, at: usize, value: f32) -> Error {
        self.wrong(format!(
            "tensor '{name}' holds {value:e} at position {at}: the weights are damaged or the training diverged; copy or \
             download them again, or use another checkpoint"
        ))
    }

    /// The name under which a tensor of this shape is stored.
    fn stored_name(&self, name: &str, shape: &[usize]) -> Result<String> {
        let (stored, found) = self.find(name).ok_or_else(|| {
            self.wrong(format!(
                "no tensor '{name}': the file does not hold the sequence classifier that config.json describes; it \
                 must come from the same `save_pretrained` of Hugging Face transformers"
            ))
        })?;
        if found != shape {
            return Err(self.wrong(format!(
                "tensor '{name}' has shape {found:?}, but config.json asks for {shape:?}: the two files do not belong \
                 together"
            )));
        }
        Ok(stored)
    }

    /// The name under which a tensor is stored, and its shape.
    fn find(&self, name: &str) -> Option<(String, &[usize])> {
        let mut stored = PREFIXES.iter().map(|prefix| format!("{prefix}{name}"));
        stored.find_map(|name| self.shape(&name).map(|shape| (name, shape)))
    }

    fn shape(&self, stored: &str) -> Option<&[usize]> {
        match &self.tensors {
            Tensors::Safetensors(tensors) => tensors.get(stored).map(TensorView::shape),
            #[cfg(feature = "candle")]
            Tensors::Pickle(pickle) => pickle.shape(stored),
        }
    }

    fn values(&self, stored: &str) -> Result<Vec<f32>, String> {
        match &self.tensors {
            Tensors::Safetensors(tensors) => {
                let values = view_values(&tensors[stored]);
                self.release(tensors[stored].data());
                values
            }
            #[cfg(feature = "candle")]
            Tensors::Pickle(pickle) => pickle.values(stored),
        }
    }

    /// Releases the pages of a tensor that was copied, so that a process has the built-in weights in memory once.
    fn release(&self, data: &[u8]) {
        if let Some(bytes) = self.part_of_embedded(data).filter(|_| self.releasable) {
            pages::release(bytes);
        }
    }

    /// The name of the model in errors.
    pub(crate) fn origin(&self) -> &str {
        self.origin
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Weights { origin: self.origin.into(), reason }
    }
}

/// The tensors of a safetensors file, by name.
fn safetensors(bytes: &[u8]) -> Result<impl Iterator<Item = (String, TensorView<'_>)>, String> {
    header::check_kind(bytes, bytes.len() as u64)?;
    let tensors = SafeTensors::deserialize(bytes).map_err(|e| header::damaged(&e.to_string(), bytes.len() as u64))?;
    Ok(tensors.tensors().into_iter())
}

/// The tensors of several safetensors files, each of which is in one of them only.
fn sharded<'a>(index: &[u8], shards: &'a [Shard]) -> Result<HashMap<String, TensorView<'a>>, String> {
    let mut found: HashMap<String, (&str, TensorView<'a>)> = HashMap::new();
    for Shard { name: shard, bytes } in shards {
        for (name, tensor) in safetensors(bytes).map_err(|reason| format!("shard '{shard}': {reason}"))? {
            if let Some((first, _)) = found.get(&name) {
                return Err(format!(
                    "tensor '{name}' is in the shards '{first}' and '{shard}': they do not belong together"
                ));
            }
            found.insert(name, (shard, tensor));
        }
    }
    for (name, shard) in index::parse(index)? {
        if found.get(&name).is_none_or(|(actual, _)| *actual != shard) {
            return Err(format!(
                "model.safetensors.index.json says that tensor '{name}' is in '{shard}', but it is not: the files do \
                 not belong together"
            ));
        }
    }
    Ok(found.into_iter().map(|(name, (_, tensor))| (name, tensor)).collect())
}

fn view_values(tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = tensor.data();
    Ok(match tensor.dtype() {
        Dtype::F64 => f64_values(data),
        Dtype::F32 => f32_values(data),
        Dtype::F16 => f16_values(data),
        Dtype::BF16 => bf16_values(data),
        other => return Err(format!("is of type {other:?}: only F64, F32, F16 and BF16 are supported")),
    })
}
