use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use safetensors::{Dtype, SafeTensors};

use crate::error::{Error, Result};

/// The named tensors of a `model.safetensors` file, read as float32.
///
/// Every read is checked: a missing tensor, another shape, a type other than F32, F16 or BF16, and
/// a value that is not finite are errors that name the tensor.
#[derive(Debug)]
pub(crate) struct Weights<'a> {
    origin: &'a str,
    tensors: SafeTensors<'a>,
}

impl<'a> Weights<'a> {
    /// Opens the bytes of a safetensors file; `origin` names the model in errors.
    pub(crate) fn open(origin: &'a str, bytes: &'a [u8]) -> Result<Self> {
        let wrong = |reason: String| Error::Weights { origin: origin.into(), reason };
        if is_pickle(bytes) {
            return Err(wrong(
                "this is a PyTorch pickle, not safetensors: pickles can run code and are never opened; convert it \
                 with `model.save_pretrained(folder, safe_serialization=True)`"
                    .into(),
            ));
        }
        let tensors = SafeTensors::deserialize(bytes).map_err(|e| {
            wrong(format!("{e} ({} bytes): the file is truncated or damaged; copy or download it again", bytes.len()))
        })?;
        Ok(Self { origin, tensors })
    }

    /// The number of values in all tensors together.
    pub(crate) fn parameters(&self) -> usize {
        self.tensors.iter().map(|(_, tensor)| tensor.shape().iter().product::<usize>()).sum()
    }

    pub(crate) fn contains(&self, name: &str) -> bool {
        self.tensors.tensor(name).is_ok()
    }

    /// Reads one tensor as float32 in row-major order, checked to be of `shape`.
    pub(crate) fn read(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
        let view = self.tensors.tensor(name).map_err(|_| {
            self.wrong(format!(
                "no tensor '{name}': the file does not hold the sequence classifier that config.json describes; it \
                 must come from the same `save_pretrained` of Hugging Face transformers"
            ))
        })?;
        if view.shape() != shape {
            return Err(self.wrong(format!(
                "tensor '{name}' has shape {:?}, but config.json asks for {shape:?}: the two files do not belong \
                 together",
                view.shape()
            )));
        }
        let values = match view.dtype() {
            Dtype::F32 => f32_values(view.data()),
            Dtype::F16 => f16_values(view.data()),
            Dtype::BF16 => bf16_values(view.data()),
            other => {
                return Err(
                    self.wrong(format!("tensor '{name}' is of type {other:?}: only F32, F16 and BF16 are supported"))
                );
            }
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(self.wrong(format!(
                "tensor '{name}' holds {} at position {at}: the weights are damaged or the training diverged",
                values[at]
            )));
        }
        Ok(values)
    }

    /// The name of the model in errors.
    pub(crate) fn origin(&self) -> &str {
        self.origin
    }

    fn wrong(&self, reason: String) -> Error {
        Error::Weights { origin: self.origin.into(), reason }
    }
}

/// A zip archive (PyTorch since 1.6) or a bare pickle stream (before).
fn is_pickle(bytes: &[u8]) -> bool {
    let length_fits = bytes.first_chunk().is_some_and(|n| u64::from_le_bytes(*n) <= bytes.len() as u64);
    bytes.starts_with(b"PK\x03\x04") || (bytes.starts_with(&[0x80]) && !length_fits)
}

fn f32_values(data: &[u8]) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

fn f16_values(data: &[u8]) -> Vec<f32> {
    let halves: Vec<f16> = data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
    halves.to_f32_vec()
}

fn bf16_values(data: &[u8]) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect()
}
