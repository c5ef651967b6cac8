//! A model's weights as candle tensors.

use std::sync::{Mutex, PoisonError};

use candle_core::{DType, Device, Result as CandleResult, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};

use crate::backends::candle::target::Target;
use crate::error::{Error, Result};
use crate::weights::Weights;

/// Reads one tensor, checked to be of `shape`.
pub(super) fn tensor(weights: &Weights<'_>, name: &str, shape: &[usize], target: &Target) -> Result<Tensor> {
    let values = weights.read(name, shape)?;
    let tensor = Tensor::from_vec(values, shape, &target.device).and_then(|tensor| tensor.to_dtype(target.dtype));
    tensor.map_err(failed)
}

/// Builds a network of `candle-transformers`, whose tensors are checked as they are read.
///
/// The tensors named in `absent` do not exist for the network, which may ask for them; any other that cannot be read is
/// the error of the result, even if the network would do without it.
pub(super) fn build<T>(
    weights: &Weights<'_>,
    absent: &[&str],
    target: &Target,
    network: impl FnOnce(VarBuilder) -> CandleResult<T>,
) -> Result<T> {
    let failure = Mutex::new(None);
    let source = Source { weights, absent, target, failure: &failure };
    let built = network(VarBuilder::from_backend(Box::new(source), target.dtype, target.device.clone()));
    match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => built.map_err(failed),
    }
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
pub(super) fn failed(error: candle_core::Error) -> Error {
    Error::Forward(error.to_string())
}

struct Source<'a> {
    weights: &'a Weights<'a>,
    absent: &'a [&'a str],
    target: &'a Target,
    /// The first error of a read.
    failure: &'a Mutex<Option<Error>>,
}

impl SimpleBackend for Source<'_> {
    fn get(&self, shape: Shape, name: &str, _: Init, _: DType, _: &Device) -> CandleResult<Tensor> {
        if self.absent.contains(&name) {
            return Err(candle_core::Error::CannotFindTensor { path: name.into() });
        }
        tensor(self.weights, name, shape.dims(), self.target).map_err(|error| {
            let message = candle_core::Error::Msg(error.to_string());
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
            message
        })
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> CandleResult<Tensor> {
        Err(candle_core::Error::Msg(format!("tensor '{name}' was asked for without its shape")))
    }

    fn contains_tensor(&self, name: &str) -> bool {
        !self.absent.contains(&name) && self.weights.contains(name)
    }
}
