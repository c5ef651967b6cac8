use candle_core::{Result, Tensor};

use crate::config::Activation;

/// The activation of each value.
pub(super) fn activate(x: &Tensor, activation: Activation) -> Result<Tensor> {
    match activation {
        Activation::Gelu => x.gelu_erf(),
        // candle's unit turns NaN into 0.
        Activation::Relu => x.relu()? + (x * 0.0)?,
        Activation::GeluTanh => x.gelu(),
        Activation::Silu => x.silu(),
        Activation::Tanh => x.tanh(),
    }
}
