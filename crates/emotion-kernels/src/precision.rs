use std::fmt;
use std::str::FromStr;

/// The number format of a matrix product. Sums of products have at least 32 bits.
///
/// The enum is exhaustive on purpose: callers choose sizes and limits for each precision, so adding a precision must
/// not compile until they are updated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Weights and activations without rounding.
    #[default]
    Float32,
    /// Weights and activations rounded to bfloat16, summed in float32. Weights take half of the memory of float32.
    Bfloat16,
    /// Weights rounded to 8 bits with one scale per output, activations with one scale per row, summed exactly in 32
    /// bits. Weights take a quarter of the memory of float32.
    Int8,
}

impl Precision {
    /// Every precision, from the finest to the coarsest.
    pub const ALL: [Self; 3] = [Self::Float32, Self::Bfloat16, Self::Int8];

    /// The name that [`Precision::from_str`] takes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Int8 => "int8",
        }
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
        let choices = Precision::ALL.map(Precision::name).join(", ");
        write!(formatter, "there is no precision '{}': choose one of {choices}", self.given)
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
            assert_eq!(message, format!("there is no precision '{name}': choose one of float32, bfloat16, int8"));
        }
    }
}
