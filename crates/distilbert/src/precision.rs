/// In which numbers the encoder's matrix products are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Hugging Face's answer.
    #[default]
    Float32,
    /// Weights and activations rounded to bfloat16.
    Bfloat16,
    /// Weights and activations rounded to eight bits.
    Int8,
}

impl Precision {
    /// `float32`, `bfloat16` or `int8`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Float32 => "float32",
            Self::Bfloat16 => "bfloat16",
            Self::Int8 => "int8",
        }
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl std::str::FromStr for Precision {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        [Self::Float32, Self::Bfloat16, Self::Int8]
            .into_iter()
            .find(|choice| choice.name() == name)
            .ok_or_else(|| format!("'{name}' is no precision: it must be 'float32', 'bfloat16' or 'int8'"))
    }
}
