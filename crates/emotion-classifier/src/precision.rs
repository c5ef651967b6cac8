use std::fmt;
use std::str::FromStr;

/// The number format of a model's matrix products.
///
/// The packed backend rounds the operands of the products of the encoder to the format. On a GPU, the candle backend
/// holds all weights and activations in it, as `transformers` does with `dtype`; sums have 32 bits in either case.
///
/// The enum is exhaustive on purpose: callers choose sizes and limits for each precision, so adding a precision must
/// not compile until they are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// No rounding.
    #[default]
    Float32,
    /// 8 bits of significand, with the range of float32.
    Bfloat16,
    /// 11 bits of significand, with values up to 65,504: on a GPU only.
    Float16,
    /// Weights of 8 bits with one scale per output, activations with one scale per row: on the CPU only.
    Int8,
}

impl Precision {
    /// Every precision, from the finest to the coarsest on the device that has it.
    pub const ALL: [Self; 4] = [Self::Float32, Self::Bfloat16, Self::Float16, Self::Int8];

    /// The precisions of the packed backend, from the finest to the coarsest.
    pub const PACKED: [Self; 3] = [Self::Float32, Self::Bfloat16, Self::Int8];

    /// The name that [`Precision::from_str`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Float16 => "float16",
            Self::Int8 => "int8",
        }
    }

    /// The format of the packed kernels, which have no float16.
    pub(crate) fn packed(self) -> Option<emotion_kernels::Precision> {
        match self {
            Self::Float32 => Some(emotion_kernels::Precision::Float32),
            Self::Bfloat16 => Some(emotion_kernels::Precision::Bfloat16),
            Self::Float16 => None,
            Self::Int8 => Some(emotion_kernels::Precision::Int8),
        }
    }
}

/// The names of precisions, as in `float32, bfloat16 or int8`.
pub(crate) fn names(precisions: &[Precision]) -> String {
    let names: Vec<&str> = precisions.iter().map(|precision| precision.name()).collect();
    match names.as_slice() {
        [others @ .., last] if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        names => names.concat(),
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Precision {
    type Err = UnknownPrecision;

    fn from_str(name: &str) -> Result<Self, UnknownPrecision> {
        let found = Self::ALL.into_iter().find(|precision| precision.name() == name);
        found.ok_or_else(|| UnknownPrecision { given: name.into() })
    }
}

/// The error of parsing a name that no [`Precision`] has; the message lists the valid names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownPrecision {
    given: String,
}

impl fmt::Display for UnknownPrecision {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no precision '{}': choose {}", self.given, names(&Precision::ALL))
    }
}

impl std::error::Error for UnknownPrecision {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_there_and_back() {
        for precision in Precision::ALL {
            assert_eq!(precision.to_string().parse(), Ok(precision));
        }
        assert_eq!(Precision::default(), Precision::Float32);
    }

    #[test]
    fn an_unknown_name_is_told_the_choices() {
        for name in ["", "INT8", "fp16"] {
            let message = name.parse::<Precision>().unwrap_err().to_string();
            assert_eq!(message, format!("there is no precision '{name}': choose float32, bfloat16, float16 or int8"));
        }
    }

    #[test]
    fn the_packed_kernels_have_all_but_float16() {
        let packed = Precision::ALL.map(|precision| precision.packed().map(emotion_kernels::Precision::name));
        assert_eq!(packed, [Some("float32"), Some("bfloat16"), None, Some("int8")]);
    }
}
