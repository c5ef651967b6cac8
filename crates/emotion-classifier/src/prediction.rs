use std::sync::Arc;

use crate::config::ProblemType;

/// The probability from which a label of a multi-label model holds, unless a threshold is given.
pub const DEFAULT_THRESHOLD: f32 = 0.5;

/// What the model says of one text.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Prediction {
    /// The most probable label; of equals, the one with the lowest id.
    pub label: Arc<str>,
    /// The index of that label in [`Classifier::labels`](crate::Classifier::labels).
    pub label_id: usize,
    /// The probability of that label.
    pub score: f32,
    /// The probability of every label, in the order of
    /// [`Classifier::labels`](crate::Classifier::labels).
    pub probabilities: Vec<f32>,
    /// The number of tokens the model saw, special tokens included, in all windows together.
    pub tokens: usize,
    /// Whether the text was longer than `max_length`, so that the model saw only a part of it.
    pub truncated: bool,
}

impl Prediction {
    /// A prediction of known probabilities, one for each of `labels`; the most probable label is
    /// computed.
    ///
    /// Where several labels have the same largest probability, the lowest id is chosen. An inferred
    /// prediction may differ in that case, because logits can differ whose probabilities round to
    /// the same value: see [`Self::with_label`].
    ///
    /// ```
    /// use std::sync::Arc;
    /// use emotion_classifier::Prediction;
    ///
    /// let labels: [Arc<str>; 2] = ["sadness".into(), "joy".into()];
    /// let prediction = Prediction::from_probabilities(&labels, vec![0.25, 0.75], 4, false);
    /// assert_eq!((&*prediction.label, prediction.label_id, prediction.score), ("joy", 1, 0.75));
    /// ```
    ///
    /// # Panics
    ///
    /// If there are no labels, or the numbers of labels and probabilities differ.
    #[must_use]
    pub fn from_probabilities(labels: &[Arc<str>], probabilities: Vec<f32>, tokens: usize, truncated: bool) -> Self {
        let label_id = first_max(&probabilities);
        Self::with_label(labels, label_id, probabilities, tokens, truncated)
    }

    /// A prediction of known probabilities, one for each of `labels`, whose most probable label is
    /// known to be the one with index `label_id`.
    ///
    /// # Panics
    ///
    /// If `label_id` is not an index of `labels`, or the numbers of labels and probabilities differ.
    #[must_use]
    pub fn with_label(
        labels: &[Arc<str>],
        label_id: usize,
        probabilities: Vec<f32>,
        tokens: usize,
        truncated: bool,
    ) -> Self {
        assert_eq!(labels.len(), probabilities.len(), "each label has a probability");
        let (label, score) = (Arc::clone(&labels[label_id]), probabilities[label_id]);
        Self { label, label_id, score, probabilities, tokens, truncated }
    }

    /// The prediction of a text from the logits of its windows, whose probabilities are averaged.
    pub(crate) fn from_logits(
        labels: &[Arc<str>],
        problem_type: ProblemType,
        windows: &[&[f32]],
        tokens: usize,
        truncated: bool,
    ) -> Self {
        let mut probabilities = vec![0.0; labels.len()];
        for logits in windows {
            for (sum, probability) in probabilities.iter_mut().zip(probabilities_of(problem_type, logits)) {
                *sum += probability;
            }
        }
        for sum in &mut probabilities {
            *sum /= windows.len() as f32;
        }
        // The logits of a single window decide: they can differ where probabilities round to the same value.
        let label_id = first_max(if let [logits] = windows { logits } else { &probabilities });
        Self::with_label(labels, label_id, probabilities, tokens, truncated)
    }
}

impl ProblemType {
    /// The threshold that applies if `given` is the one that was asked for: without one, 0 for a single-label model
    /// and [`DEFAULT_THRESHOLD`] for a multi-label model.
    #[must_use]
    pub fn threshold(self, given: Option<f32>) -> f32 {
        given.unwrap_or(match self {
            Self::SingleLabel => 0.0,
            Self::MultiLabel => DEFAULT_THRESHOLD,
        })
    }

    /// Whether the label with this id holds for a text.
    ///
    /// A label holds if its probability is at least the threshold and, in a single-label model, no
    /// label is more probable.
    pub(crate) fn holds(self, label_id: usize, prediction: &Prediction, threshold: Option<f32>) -> bool {
        let is_candidate = match self {
            Self::SingleLabel => label_id == prediction.label_id,
            Self::MultiLabel => true,
        };
        is_candidate && prediction.probabilities[label_id] >= self.threshold(threshold)
    }

    /// The ids of the labels that hold, the most probable first; see [`Classifier::holds`](crate::Classifier::holds).
    #[must_use]
    pub fn held_ids(self, prediction: &Prediction, threshold: Option<f32>) -> Vec<usize> {
        let Prediction { label_id, probabilities, .. } = prediction;
        let mut ids: Vec<_> = (0..probabilities.len()).filter(|id| self.holds(*id, prediction, threshold)).collect();
        // Of equal probabilities the label's is first: its logit may be larger. The others keep the order of their ids.
        ids.sort_by_key(|id| id != label_id);
        ids.sort_by(|one, two| probabilities[*two].total_cmp(&probabilities[*one]));
        ids
    }

    /// The most probable label if it holds.
    pub(crate) fn held_label(self, prediction: &Prediction, threshold: Option<f32>) -> Option<&Arc<str>> {
        self.holds(prediction.label_id, prediction, threshold).then_some(&prediction.label)
    }
}

fn probabilities_of(problem_type: ProblemType, logits: &[f32]) -> Vec<f32> {
    match problem_type {
        ProblemType::SingleLabel => softmax(logits),
        ProblemType::MultiLabel => logits.iter().map(|x| 1.0 / (1.0 + (-x).exp())).collect(),
    }
}

/// Logits are shifted by their maximum, so that no exponential overflows.
fn softmax(logits: &[f32]) -> Vec<f32> {
    let max = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let exps: Vec<f32> = logits.iter().map(|x| (x - max).exp()).collect();
    let sum: f32 = exps.iter().sum();
    exps.iter().map(|x| x / sum).collect()
}

fn first_max(values: &[f32]) -> usize {
    (1..values.len()).fold(0, |best, i| if values[i] > values[best] { i } else { best })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> [Arc<str>; 3] {
        ["a", "b", "c"].map(Arc::from)
    }

    fn held(problem_type: ProblemType, probabilities: [f32; 3], threshold: Option<f32>) -> Vec<usize> {
        let prediction = Prediction::from_probabilities(&labels(), probabilities.into(), 3, false);
        problem_type.held_ids(&prediction, threshold)
    }

    #[test]
    fn softmax_survives_large_logits() {
        let probabilities = softmax(&[1000.0, 1000.0, -1000.0]);
        assert_eq!(probabilities, [0.5, 0.5, 0.0]);
    }

    #[test]
    fn the_first_of_equal_labels_wins() {
        assert_eq!(first_max(&[0.0, 2.0, 2.0]), 1);
        assert_eq!(first_max(&[1.0]), 0);
    }

    #[test]
    fn the_most_probable_label_of_a_single_label_model_holds() {
        assert_eq!(held(ProblemType::SingleLabel, [0.3, 0.4, 0.3], None), [1]);
        assert_eq!(held(ProblemType::SingleLabel, [0.5, 0.5, 0.0], None), [0]);
    }

    #[test]
    fn a_label_of_a_single_label_model_holds_from_the_threshold_on() {
        assert_eq!(held(ProblemType::SingleLabel, [0.3, 0.4, 0.3], Some(0.4)), [1]);
        assert_eq!(held(ProblemType::SingleLabel, [0.3, 0.4, 0.3], Some(0.0)), [1]);
        assert_eq!(held(ProblemType::SingleLabel, [0.3, 0.4, 0.3], Some(0.41)), [0; 0]);
    }

    #[test]
    fn labels_of_a_multi_label_model_hold_from_the_threshold_on() {
        assert_eq!(held(ProblemType::MultiLabel, [0.9, 0.5, 0.499], None), [0, 1]);
        assert_eq!(held(ProblemType::MultiLabel, [0.9, 0.5, 0.499], Some(0.6)), [0]);
        assert_eq!(held(ProblemType::MultiLabel, [0.3, 0.4, 0.3], None), [0; 0]);
    }

    #[test]
    fn labels_that_hold_are_in_the_order_of_their_probabilities() {
        assert_eq!(held(ProblemType::MultiLabel, [0.5, 0.9, 0.7], None), [1, 2, 0]);
        assert_eq!(held(ProblemType::MultiLabel, [0.7, 0.9, 0.7], None), [1, 0, 2]);
        let prediction = Prediction::with_label(&labels(), 2, vec![1.0; 3], 3, false);
        assert_eq!(ProblemType::MultiLabel.held_ids(&prediction, None), [2, 0, 1]);
    }

    #[test]
    fn logits_decide_where_probabilities_are_equal() {
        let logits: [f32; 3] = [200.0, 300.0, 0.0];
        let multi = |windows: &[&[f32]]| Prediction::from_logits(&labels(), ProblemType::MultiLabel, windows, 3, false);
        let prediction = multi(&[&logits]);
        assert_eq!(prediction.probabilities, [1.0, 1.0, 0.5]);
        assert_eq!((prediction.label_id, prediction.score), (1, 1.0));
        assert_eq!(multi(&[&logits, &logits]).label_id, 0, "of several windows, the averages");
        assert_eq!(Prediction::from_probabilities(&labels(), prediction.probabilities, 3, false).label_id, 0);
    }

    #[test]
    fn constructors_agree_with_inference() {
        let inferred = Prediction::from_logits(&labels(), ProblemType::SingleLabel, &[&[0.0, 1.0, -1.0]], 4, true);
        let probabilities = inferred.probabilities.clone();
        assert_eq!(Prediction::from_probabilities(&labels(), probabilities.clone(), 4, true), inferred);
        assert_eq!(Prediction::with_label(&labels(), 1, probabilities, 4, true), inferred);
    }
}
