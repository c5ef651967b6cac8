use candle_core::{DType, Device};

use crate::compute::Compute;
use crate::device::Device as DeviceChoice;
use crate::error::{Error, Result};
use crate::precision::Precision;

/// Where the tensors of a network are, and the type of their values.
#[derive(Clone)]
pub(super) struct Target {
    pub device: Device,
    pub dtype: DType,
}

impl Target {
    /// The target that `compute`, which is resolved, names, if this machine has the device.
    pub(super) fn open(compute: Compute) -> Result<Self> {
        let device = match compute.device {
            DeviceChoice::Cpu => Ok(Device::Cpu),
            DeviceChoice::Cuda(number) => Device::new_cuda(number),
            DeviceChoice::Metal => Device::new_metal(0),
        };
        let device = device.map_err(|error| Error::Device { device: compute.device, reason: error.to_string() })?;
        let dtype = match compute.precision {
            Precision::Bfloat16 => DType::BF16,
            Precision::Float16 => DType::F16,
            Precision::Float32 | Precision::Int8 => DType::F32,
        };
        Ok(Self { device, dtype })
    }
}
