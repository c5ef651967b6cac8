use candle_core::Device;

use crate::device::Device as DeviceChoice;
use crate::error::{Error, Result};

/// The device, if this machine has it.
pub(super) fn open(choice: DeviceChoice) -> Result<Device> {
    let device = match choice {
        DeviceChoice::Cpu => Ok(Device::Cpu),
        DeviceChoice::Cuda(number) => Device::new_cuda(number),
        DeviceChoice::Metal => Device::new_metal(0),
    };
    device.map_err(|error| Error::Device { device: choice, reason: error.to_string() })
}
