use crate::{Config, Result, Weights};

/// The classification head: `pre_classifier` → `ReLU` → `classifier`, on the state of `[CLS]`.
///
/// Source: `DistilBertForSequenceClassification.forward` of Hugging Face `transformers`.
pub(crate) struct Head {
    pre_classifier: Linear,
    classifier: Linear,
}

impl Head {
    pub(crate) fn load(config: &Config, weights: &Weights<'_>) -> Result<Self> {
        Ok(Self {
            pre_classifier: Linear::load(weights, "pre_classifier", config.dim, config.dim)?,
            classifier: Linear::load(weights, "classifier", config.dim, config.labels.len())?,
        })
    }

    /// Logits, one a label, of one hidden state.
    pub(crate) fn logits(&self, hidden: &[f32]) -> Vec<f32> {
        let mut inner = self.pre_classifier.forward(hidden);
        for value in &mut inner {
            *value = value.max(0.0);
        }
        self.classifier.forward(&inner)
    }
}

/// `y = W x + b`, `W` of shape `[outputs, inputs]`.
struct Linear {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl Linear {
    fn load(weights: &Weights<'_>, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            weight: weights.read(&format!("{name}.weight"), &[outputs, inputs])?,
            bias: weights.read(&format!("{name}.bias"), &[outputs])?,
        })
    }

    fn forward(&self, x: &[f32]) -> Vec<f32> {
        self.weight.chunks_exact(x.len()).zip(&self.bias).map(|(row, bias)| dot(row, x) + bias).collect()
    }
}

/// A dot product in eight fixed lanes: the order of additions, and so the bits, never varies.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let (a, a_rest) = a.as_chunks::<8>();
    let (b, b_rest) = b.as_chunks::<8>();
    let mut lanes = [0.0_f32; 8];
    for (a, b) in a.iter().zip(b) {
        for lane in 0..8 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}
