use std::sync::Arc;

/// Predictions beside the labels that they should have been, counted.
pub struct Tally {
    /// The model's labels, and after them perhaps a class for texts of no label.
    pub labels: Vec<Arc<str>>,
    /// How many texts of one label (the row) the model gave another (the column).
    pub confusion: Vec<Vec<u64>>,
    /// The negative logarithms of the right labels' probabilities, added up.
    loss: f64,
    /// Texts whose right label has a probability.
    with_loss: u64,
}

/// How well one label is told from the others.
pub struct LabelScores {
    /// Of the texts that were given this label, the share that have it; 0 if there are none.
    pub precision: f64,
    /// Of the texts that have this label, the share that were given it; 0 if there are none.
    pub recall: f64,
    /// The harmonic mean of the two.
    pub f1: f64,
    /// Texts that have this label.
    pub texts: u64,
}

impl Tally {
    pub fn new(labels: Vec<Arc<str>>) -> Self {
        Self { confusion: vec![vec![0; labels.len()]; labels.len()], labels, loss: 0.0, with_loss: 0 }
    }

    /// Counts a text by the classes of its label and of the one that it was given, with the probabilities of the
    /// model's labels.
    pub fn add(&mut self, label: usize, given: usize, probabilities: &[f32]) {
        self.confusion[label][given] += 1;
        if let Some(probability) = probabilities.get(label) {
            self.loss -= f64::from(probability.max(f32::MIN_POSITIVE)).ln();
            self.with_loss += 1;
        }
    }

    pub fn texts(&self) -> u64 {
        self.confusion.iter().flatten().sum()
    }

    /// The share of texts that were given the label they have.
    pub fn accuracy(&self) -> f64 {
        let right: u64 = (0..self.labels.len()).map(|id| self.confusion[id][id]).sum();
        ratio(right as f64, self.texts() as f64)
    }

    /// The mean cross-entropy, in nats, of the texts that have one of the model's labels.
    pub fn loss(&self) -> f64 {
        ratio(self.loss, self.with_loss as f64)
    }

    /// For each label, in the order of the model's.
    pub fn label_scores(&self) -> Vec<LabelScores> {
        (0..self.labels.len()).map(|id| self.scores_of(id)).collect()
    }

    fn scores_of(&self, id: usize) -> LabelScores {
        let texts: u64 = self.confusion[id].iter().sum();
        let given: u64 = self.confusion.iter().map(|row| row[id]).sum();
        let right = self.confusion[id][id] as f64;
        LabelScores {
            precision: ratio(right, given as f64),
            recall: ratio(right, texts as f64),
            f1: ratio(2.0 * right, (texts + given) as f64),
            texts,
        }
    }

    /// The mean of the labels' F1, each as heavy as its texts are many.
    pub fn weighted_f1(&self) -> f64 {
        let weighted = self.label_scores().iter().map(|scores| scores.f1 * scores.texts as f64).sum();
        ratio(weighted, self.texts() as f64)
    }

    /// The mean of the labels' F1, of those that occur in texts or answers, each as heavy.
    pub fn macro_f1(&self) -> f64 {
        let occurs = |id: &usize| {
            self.confusion[*id].iter().sum::<u64>() + self.confusion.iter().map(|row| row[*id]).sum::<u64>() > 0
        };
        let f1: Vec<f64> = (0..self.labels.len()).filter(occurs).map(|id| self.scores_of(id).f1).collect();
        ratio(f1.iter().sum(), f1.len() as f64)
    }
}

fn ratio(value: f64, of: f64) -> f64 {
    if of == 0.0 { 0.0 } else { value / of }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(pairs: &[(usize, usize)]) -> Tally {
        let labels = ["a", "b", "c"].map(Arc::from).to_vec();
        let mut tally = Tally::new(labels);
        for &(truth, given) in pairs {
            let mut probabilities = vec![0.25; 3];
            probabilities[given] = 0.5;
            tally.add(truth, given, &probabilities);
        }
        tally
    }

    fn close(value: f64, expected: f64) {
        assert!((value - expected).abs() < 1e-9, "{value} instead of {expected}");
    }

    /// The figures are scikit-learn's for `y_true = [0, 0, 0, 1, 1]`, `y_pred = [0, 0, 1, 1, 0]`.
    #[test]
    fn figures_of_scikit_learn() {
        let tally = tally(&[(0, 0), (0, 0), (0, 1), (1, 1), (1, 0)]);
        assert_eq!((tally.texts(), &tally.confusion[0], &tally.confusion[1]), (5, &vec![2, 1, 0], &vec![1, 1, 0]));
        close(tally.accuracy(), 0.6);
        close(tally.weighted_f1(), 0.6);
        close(tally.macro_f1(), 7.0 / 12.0);
        let scores = tally.label_scores();
        close(scores[0].precision, 2.0 / 3.0);
        close(scores[0].recall, 2.0 / 3.0);
        close(scores[1].precision, 0.5);
        close(scores[1].recall, 0.5);
        close(scores[2].f1, 0.0);
        close(tally.loss(), -(3.0 * 0.5_f64.ln() + 2.0 * 0.25_f64.ln()) / 5.0);
    }

    #[test]
    fn texts_of_no_label_have_no_loss() {
        let mut tally = Tally::new(["a", "b", "none"].map(Arc::from).to_vec());
        tally.add(0, 0, &[0.5, 0.5]);
        tally.add(1, 2, &[0.25, 0.25]);
        tally.add(2, 2, &[0.25, 0.25]);
        close(tally.accuracy(), 2.0 / 3.0);
        close(tally.label_scores()[2].precision, 0.5);
        close(tally.label_scores()[2].recall, 1.0);
        close(tally.loss(), -(0.5_f64.ln() + 0.25_f64.ln()) / 2.0);
    }

    #[test]
    fn no_text_at_all() {
        let tally = tally(&[]);
        close(tally.accuracy() + tally.weighted_f1() + tally.macro_f1() + tally.loss(), 0.0);
    }
}
