use std::error::Error as StdError;
use std::fmt;
use std::str::FromStr;

use emotion_kernels::Isa;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::model_type::ModelType;
use crate::precision::Precision;

/// How a model computes: in which precision, by which backend and on which device.
///
/// ```
/// use emotion_classifier::{BackendChoice, Compute, Precision};
///
/// let compute = Compute::from(Precision::Float32).backend(BackendChoice::Candle);
/// assert_eq!(compute.device.to_string(), "cpu");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Compute {
    /// Numbers of the matrix products.
    pub precision: Precision,
    /// What computes the forward pass.
    pub backend: BackendChoice,
    /// Where it computes.
    pub device: Device,
}

/// Which implementation computes the forward pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum BackendChoice {
    /// [`Self::Packed`] for an architecture that it knows on [`Device::Cpu`], else [`Self::Candle`].
    #[default]
    Auto,
    /// The packed kernels: the fastest on the CPU, for the BERT family.
    Packed,
    /// Candle (feature `candle`): every architecture, on every device. On the CPU it computes in float32, on a GPU the BERT
    /// family also in bfloat16 and float16.
    Candle,
}

impl Compute {
    /// Sets [`Self::backend`].
    #[must_use]
    pub fn backend(self, backend: BackendChoice) -> Self {
        Self { backend, ..self }
    }

    /// Sets [`Self::device`].
    #[must_use]
    pub fn device(self, device: Device) -> Self {
        Self { device, ..self }
    }

    /// The arithmetic of this machine's best instruction set: `fused` (with fused multiply-add), `portable` (without
    /// it) or, in bfloat16, `amx`. Instruction sets of one arithmetic give predictions of equal bits.
    #[must_use]
    pub fn arithmetic(self) -> &'static str {
        match Isa::detected().name() {
            "portable" if cfg!(target_arch = "aarch64") => "fused",
            "portable" => "portable",
            "amx" if self.precision == Precision::Bfloat16 => "amx",
            _ => "fused",
        }
    }

    /// The same with the backend that [`BackendChoice::Auto`] stands for in a model of this type.
    ///
    /// # Errors
    ///
    /// [`Error::Backend`] if the backend does not know the type, does not compute on the device, or is not in this build;
    /// [`Error::Device`] if the device is not in this build; [`Error::Precision`] if the backend does not compute the type
    /// in the precision on the device.
    pub fn resolve(self, model_type: ModelType) -> Result<Self> {
        check_built(self.device)?;
        let backend = match self.backend {
            BackendChoice::Auto if model_type.is_packed() && self.device == Device::Cpu => BackendChoice::Packed,
            BackendChoice::Auto => BackendChoice::Candle,
            chosen => chosen,
        };
        match backend {
            BackendChoice::Candle => self.check_candle(model_type)?,
            BackendChoice::Packed | BackendChoice::Auto => self.check_packed(model_type)?,
        }
        Ok(Self { backend, ..self })
    }

    fn check_packed(self, model_type: ModelType) -> Result<()> {
        if !model_type.is_packed() {
            let reason = format!("does not know {model_type}: choose the backend 'candle' or 'auto'");
            return Err(Error::Backend { backend: "packed", reason });
        }
        if self.device != Device::Cpu {
            let reason = format!("does not compute on '{}': choose the backend 'candle' or 'auto'", self.device);
            return Err(Error::Backend { backend: "packed", reason });
        }
        self.check_precision("packed", model_type, &[Precision::Float32, Precision::Bfloat16, Precision::Int8])
    }

    fn check_candle(self, model_type: ModelType) -> Result<()> {
        if !cfg!(feature = "candle") {
            let needed = if model_type.is_packed() { String::new() } else { format!(", and {model_type} needs it") };
            let reason = format!("is not in this program{needed}: build it with the feature 'candle'");
            return Err(Error::Backend { backend: "candle", reason });
        }
        let supported: &[Precision] = if self.device != Device::Cpu && model_type.is_packed() {
            &[Precision::Float32, Precision::Bfloat16, Precision::Float16]
        } else {
            &[Precision::Float32]
        };
        self.check_precision("candle", model_type, supported)
    }

    fn check_precision(
        self,
        backend: &'static str,
        model_type: ModelType,
        supported: &'static [Precision],
    ) -> Result<()> {
        let Self { precision, device, .. } = self;
        if supported.contains(&precision) {
            return Ok(());
        }
        Err(Error::Precision { backend, model_type, precision, device, supported })
    }
}

impl From<Precision> for Compute {
    fn from(precision: Precision) -> Self {
        Self { precision, ..Self::default() }
    }
}

impl BackendChoice {
    const ALL: [Self; 3] = [Self::Auto, Self::Packed, Self::Candle];

    /// The name that [`BackendChoice::from_str`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Packed => "packed",
            Self::Candle => "candle",
        }
    }
}

impl fmt::Display for BackendChoice {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for BackendChoice {
    type Err = UnknownBackend;

    fn from_str(name: &str) -> Result<Self, UnknownBackend> {
        let found = Self::ALL.into_iter().find(|choice| choice.name() == name);
        found.ok_or_else(|| UnknownBackend { given: name.into() })
    }
}

/// A name that no [`BackendChoice`] has; the message lists the names there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownBackend {
    given: String,
}

impl fmt::Display for UnknownBackend {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "'{}' is not a backend: it must be 'auto', 'packed' or 'candle'", self.given)
    }
}

impl StdError for UnknownBackend {}

/// An error for a device whose code is not in this build.
fn check_built(device: Device) -> Result<()> {
    let (feature, is_built) = match device {
        Device::Cpu => return Ok(()),
        Device::Cuda(_) => ("cuda", cfg!(feature = "cuda")),
        Device::Metal => ("metal", cfg!(feature = "metal")),
    };
    if is_built {
        return Ok(());
    }
    let reason = format!("this program was built without it: build it with the feature '{feature}'");
    Err(Error::Device { device, reason })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_parses() {
        for choice in BackendChoice::ALL {
            assert_eq!(choice.to_string().parse(), Ok(choice));
        }
    }

    #[test]
    fn an_unknown_name_is_an_error_that_lists_the_names() {
        let error: Box<dyn StdError> = Box::new("onnx".parse::<BackendChoice>().unwrap_err());
        assert_eq!(error.to_string(), "'onnx' is not a backend: it must be 'auto', 'packed' or 'candle'");
    }

    fn resolve(backend: BackendChoice, device: Device, model_type: ModelType) -> Result<BackendChoice, String> {
        let compute = Compute::default().backend(backend).device(device);
        compute.resolve(model_type).map(|compute| compute.backend).map_err(|error| error.to_string())
    }

    #[test]
    fn auto_is_packed_where_it_knows_the_architecture() {
        use BackendChoice::{Auto, Packed};
        assert_eq!(resolve(Auto, Device::Cpu, ModelType::Bert), Ok(Packed));
        assert_eq!(resolve(Packed, Device::Cpu, ModelType::Electra), Ok(Packed));
        let error = resolve(Packed, Device::Cpu, ModelType::ModernBert).unwrap_err();
        assert_eq!(error, "the packed backend does not know ModernBERT: choose the backend 'candle' or 'auto'");
    }

    #[test]
    fn float16_needs_a_gpu() {
        let error = Compute::from(Precision::Float16).resolve(ModelType::Bert).unwrap_err().to_string();
        let expected = "the packed backend does not compute BERT in float16 on 'cpu': choose float32, bfloat16 or int8";
        assert_eq!(error, expected);
    }

    #[cfg(feature = "candle")]
    #[test]
    fn auto_is_candle_for_other_architectures() {
        use BackendChoice::{Auto, Candle};
        for model_type in [ModelType::ModernBert, ModelType::DebertaV2] {
            assert_eq!(resolve(Auto, Device::Cpu, model_type), Ok(Candle));
            let error = Compute::from(Precision::Int8).resolve(model_type).unwrap_err().to_string();
            assert_eq!(
                error,
                format!("the candle backend does not compute {model_type} in int8 on 'cpu': choose float32")
            );
        }
        assert_eq!(resolve(Candle, Device::Cpu, ModelType::Bert), Ok(Candle));
    }

    #[cfg(not(feature = "candle"))]
    #[test]
    fn candle_is_named_where_it_is_missing() {
        let error = resolve(BackendChoice::Auto, Device::Cpu, ModelType::ModernBert).unwrap_err();
        assert!(error.contains("ModernBERT needs it: build it with the feature 'candle'"), "{error}");
        let error = resolve(BackendChoice::Candle, Device::Cpu, ModelType::Bert).unwrap_err();
        assert!(error.contains("not in this program: build it with the feature 'candle'"), "{error}");
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_device_that_is_not_built_names_its_feature() {
        let error = resolve(BackendChoice::Auto, Device::Cuda(1), ModelType::Bert).unwrap_err();
        assert_eq!(
            error,
            "cannot compute on 'cuda:1': this program was built without it: build it with the feature 'cuda'"
        );
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn a_gpu_computes_the_bert_family_in_half_precision() {
        let on_gpu = |precision, model_type| Compute::from(precision).device(Device::Cuda(0)).resolve(model_type);
        for precision in [Precision::Float32, Precision::Bfloat16, Precision::Float16] {
            assert_eq!(on_gpu(precision, ModelType::Roberta).unwrap().backend, BackendChoice::Candle);
        }
        let error = on_gpu(Precision::Int8, ModelType::Roberta).unwrap_err().to_string();
        assert!(error.contains("RoBERTa in int8 on 'cuda:0': choose float32, bfloat16 or float16"), "{error}");
        let error = on_gpu(Precision::Float16, ModelType::DebertaV2).unwrap_err().to_string();
        assert!(error.contains("DeBERTa in float16 on 'cuda:0': choose float32"), "{error}");
    }

    #[cfg(feature = "cuda")]
    #[test]
    fn the_packed_backend_refuses_other_devices() {
        let error = resolve(BackendChoice::Packed, Device::Cuda(0), ModelType::Bert).unwrap_err();
        assert!(error.contains("does not compute on 'cuda:0'"), "{error}");
    }
}
