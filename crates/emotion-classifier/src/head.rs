use emotion_kernels::{Activation, Isa, OperandWorkspace, Precision};

use crate::linear::{Kernels, Linear};
use crate::weights::Module;
use crate::{Config, Result, Weights};

/// The classification head: `pre_classifier` → `ReLU` → `classifier`, on the state of `[CLS]`, in
/// float32.
///
/// Source: `DistilBertForSequenceClassification.forward` of Hugging Face `transformers`.
pub(crate) struct Head {
    labels: usize,
    pre_classifier: Linear,
    classifier: Linear,
}

impl Head {
    pub(crate) fn load(config: &Config, weights: &Weights<'_>) -> Result<Self> {
        // Not by sums of bfloat16 products, so that int8's logits have the same bits on AMX.
        let kernels = Kernels { isa: Isa::detected().vector(), precision: Precision::Float32 };
        let (dim, labels) = (config.dim, config.labels.len());
        let load =
            |name, outputs, activation| Linear::load(kernels, &[Module::new(weights, name)], dim, outputs, activation);
        Ok(Self {
            labels,
            pre_classifier: load("pre_classifier", dim, Activation::Relu)?,
            classifier: load("classifier", labels, Activation::None)?,
        })
    }

    /// Logits, one list a text and one logit a label, of hidden states, `[texts, hidden size]`.
    pub(crate) fn logits(&self, states: &[f32]) -> Vec<Vec<f32>> {
        let mut workspace = OperandWorkspace::default();
        let (mut inner, mut logits) = (Vec::new(), Vec::new());
        self.pre_classifier.run(self.pre_classifier.operand(states, &mut workspace), &mut inner, &mut []);
        self.classifier.run(self.classifier.operand(&inner, &mut workspace), &mut logits, &mut []);
        logits.chunks_exact(self.labels).map(<[f32]>::to_vec).collect()
    }
}
