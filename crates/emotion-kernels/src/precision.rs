use std::fmt;

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

    /// The name, such as `float32`.
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
