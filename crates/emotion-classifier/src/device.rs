use std::error::Error;
use std::fmt;
use std::str::FromStr;

/// Where a model computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Device {
    /// The cores of the processor.
    #[default]
    Cpu,
    /// The NVIDIA GPU of this number (feature `cuda`).
    Cuda(usize),
    /// The Apple GPU (feature `metal`).
    Metal,
}

/// `cpu`, `cuda:0` or `metal`.
impl fmt::Display for Device {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => formatter.pad("cpu"),
            Self::Cuda(number) => formatter.pad(&format!("cuda:{number}")),
            Self::Metal => formatter.pad("metal"),
        }
    }
}

/// `cuda` is `cuda:0`.
impl FromStr for Device {
    type Err = UnknownDevice;

    fn from_str(name: &str) -> Result<Self, UnknownDevice> {
        let unknown = || UnknownDevice { given: name.into() };
        match name {
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda(0)),
            "metal" => Ok(Self::Metal),
            _ => {
                let number = name.strip_prefix("cuda:").ok_or_else(unknown)?;
                let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
                number.parse().ok().filter(|_| is_number).map(Self::Cuda).ok_or_else(unknown)
            }
        }
    }
}

/// A name that no [`Device`] has; the message lists the names there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownDevice {
    given: String,
}

impl fmt::Display for UnknownDevice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}' is not a device: it must be 'cpu', 'cuda', 'cuda:1' and so on, or 'metal'", self.given)
    }
}

impl Error for UnknownDevice {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses() {
        for device in [Device::Cpu, Device::Cuda(0), Device::Cuda(11), Device::Metal] {
            assert_eq!(device.to_string().parse(), Ok(device));
        }
        assert_eq!("cuda".parse(), Ok(Device::Cuda(0)));
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_names() {
        for name in ["gpu", "CPU", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda0", ""] {
            let error: Box<dyn Error> = Box::new(name.parse::<Device>().unwrap_err());
            let message = error.to_string();
            assert!(message.contains(&format!("'{name}'")) && message.contains("'cuda:1'"), "{message}");
        }
    }
}
