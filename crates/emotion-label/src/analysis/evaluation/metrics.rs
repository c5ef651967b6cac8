use std::sync::Arc;

/// Predictions beside the labels that they should have been, counted.
#[derive(Clone)]
pub(crate) struct Tally {
    /// The classes: the model's labels, and after them perhaps a class for texts of no label.
    pub(crate) labels: Vec<Arc<str>>,
    /// How many texts of one class (the row) the model gave another (the column); nothing if a text may have several.
    pub(crate) confusion: Vec<Vec<u64>>,
    counts: Vec<Counts>,
    texts: u64,
    /// Texts that were given exactly the classes they have.
    exact: u64,
    loss: f64,
    /// Texts that have a loss.
    with_loss: u64,
}

/// Texts of one class.
#[derive(Clone, Copy, Default)]
struct Counts {
    /// Texts that have it.
    texts: u64,
    /// Texts that were given it.
    given: u64,
    /// Texts that have it and were given it.
    right: u64,
}

/// How well one label is told from the others.
pub(crate) struct LabelScores {
    /// Of the texts that were given this label, the share that have it; 0 if there are none.
    pub(crate) precision: f64,
    /// Of the texts that have this label, the share that were given it; 0 if there are none.
    pub(crate) recall: f64,
    /// The harmonic mean of the two.
    pub(crate) f1: f64,
    /// Texts that have this label.
    pub(crate) texts: u64,
}

impl Tally {
    /// Of a model that gives a text one class.
    pub(crate) fn of_one(labels: Vec<Arc<str>>) -> Self {
        let confusion = vec![vec![0; labels.len()]; labels.len()];
        Self { confusion, ..Self::of_several(labels) }
    }

    /// Of a model that gives a text any number of classes.
    pub(crate) fn of_several(labels: Vec<Arc<str>>) -> Self {
        let counts = vec![Counts::default(); labels.len()];
        Self { labels, confusion: Vec::new(), counts, texts: 0, exact: 0, loss: 0.0, with_loss: 0 }
    }

    /// Whether a text may have several classes.
    pub(crate) fn is_of_several(&self) -> bool {
        self.confusion.is_empty()
    }

    /// Counts a text by the classes that it has and those that it was given, with the probabilities of the model's
    /// labels.
    pub(crate) fn add(&mut self, labels: &[usize], given: &[usize], probabilities: &[f32]) {
        self.texts += 1;
        let classes = 0..self.counts.len();
        let differ = classes.filter(|id| labels.contains(id) != given.contains(id)).count();
        self.exact += u64::from(differ == 0);
        for (id, counts) in self.counts.iter_mut().enumerate() {
            let (has, is_given) = (labels.contains(&id), given.contains(&id));
            counts.texts += u64::from(has);
            counts.given += u64::from(is_given);
            counts.right += u64::from(has && is_given);
        }
        let loss =
            if self.is_of_several() { Some(binary_loss(labels, probabilities)) } else { loss(labels, probabilities) };
        if let (false, [label], [given]) = (self.is_of_several(), labels, given) {
            self.confusion[*label][*given] += 1;
        }
        if let Some(loss) = loss {
            self.loss += loss;
            self.with_loss += 1;
        }
    }

    pub(crate) fn texts(&self) -> u64 {
        self.texts
    }

    /// The share of texts that were given the classes they have, and no others.
    pub(crate) fn accuracy(&self) -> f64 {
        ratio(self.exact as f64, self.texts as f64)
    }

    /// The mean cross-entropy, in nats, of the texts that have one of the model's labels; if a text may have several,
    /// that of a label of any text.
    pub(crate) fn loss(&self) -> f64 {
        ratio(self.loss, self.with_loss as f64)
    }

    /// For each class, in their order.
    pub(crate) fn label_scores(&self) -> Vec<LabelScores> {
        self.counts.iter().map(Counts::scores).collect()
    }

    /// The mean of the classes' F1, each as heavy as its texts are many.
    pub(crate) fn weighted_f1(&self) -> f64 {
        let weighted = self.counts.iter().map(|counts| counts.f1() * counts.texts as f64).sum();
        ratio(weighted, self.counts.iter().map(|counts| counts.texts).sum::<u64>() as f64)
    }

    /// The mean of the classes' F1, of those that occur in texts or answers, each as heavy.
    pub(crate) fn macro_f1(&self) -> f64 {
        let f1: Vec<f64> =
            self.counts.iter().filter(|counts| counts.texts + counts.given > 0).map(Counts::f1).collect();
        ratio(f1.iter().sum(), f1.len() as f64)
    }

    /// The F1 of all classes together, each decision as heavy.
    pub(crate) fn micro_f1(&self) -> f64 {
        let sum = |of: fn(&Counts) -> u64| self.counts.iter().map(of).sum();
        let (texts, given, right) =
            (sum(|counts| counts.texts), sum(|counts| counts.given), sum(|counts| counts.right));
        Counts { texts, given, right }.f1()
    }
}

impl Counts {
    fn f1(&self) -> f64 {
        ratio(2.0 * self.right as f64, (self.texts + self.given) as f64)
    }

    fn scores(&self) -> LabelScores {
        LabelScores {
            precision: ratio(self.right as f64, self.given as f64),
            recall: ratio(self.right as f64, self.texts as f64),
            f1: self.f1(),
            texts: self.texts,
        }
    }
}

/// The negative logarithm of the right label's probability, if it has one.
fn loss(labels: &[usize], probabilities: &[f32]) -> Option<f64> {
    let [label] = labels else { return None };
    Some(surprise(*probabilities.get(*label)?))
}

/// The mean of the labels' binary cross-entropies.
fn binary_loss(labels: &[usize], probabilities: &[f32]) -> f64 {
    let of_label = |(id, probability): (usize, &f32)| {
        surprise(if labels.contains(&id) { *probability } else { 1.0 - probability })
    };
    ratio(probabilities.iter().enumerate().map(of_label).sum(), probabilities.len() as f64)
}

fn surprise(probability: f32) -> f64 {
    -f64::from(probability.max(f32::MIN_POSITIVE)).ln()
}

fn ratio(value: f64, of: f64) -> f64 {
    if of == 0.0 { 0.0 } else { value / of }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels() -> Vec<Arc<str>> {
        ["a", "b", "c"].map(Arc::from).to_vec()
    }

    fn tally(pairs: &[(usize, usize)]) -> Tally {
        let mut tally = Tally::of_one(labels());
        for &(truth, given) in pairs {
            let mut probabilities = vec![0.25; 3];
            probabilities[given] = 0.5;
            tally.add(&[truth], &[given], &probabilities);
        }
        tally
    }

    #[track_caller]
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

    /// The figures are scikit-learn's for `y_true = [[1, 1, 0], [0, 0, 0], [1, 0, 0]]` and
    /// `y_pred = [[1, 0, 0], [0, 0, 0], [1, 1, 0]]`, of the labels that occur.
    #[test]
    fn figures_of_scikit_learn_for_several_labels() {
        let mut tally = Tally::of_several(labels());
        tally.add(&[1, 0], &[0], &[0.5, 0.25, 0.25]);
        tally.add(&[], &[], &[0.5, 0.25, 0.25]);
        tally.add(&[0], &[0, 1], &[0.5, 0.5, 0.25]);
        assert!(tally.is_of_several());
        assert_eq!(tally.texts(), 3);
        close(tally.accuracy(), 1.0 / 3.0);
        close(tally.micro_f1(), 2.0 / 3.0);
        close(tally.macro_f1(), 0.5);
        close(tally.weighted_f1(), 2.0 / 3.0);
        close(tally.label_scores()[1].precision, 0.0);
        let (half, quarter, rest) = (0.5_f64.ln(), 0.25_f64.ln(), 0.75_f64.ln());
        close(tally.loss(), -(4.0 * half + quarter + 4.0 * rest) / 9.0);
    }

    #[test]
    fn texts_of_no_label_have_no_loss() {
        let mut tally = Tally::of_one(["a", "b", "none"].map(Arc::from).to_vec());
        tally.add(&[0], &[0], &[0.5, 0.5]);
        tally.add(&[1], &[2], &[0.25, 0.25]);
        tally.add(&[2], &[2], &[0.25, 0.25]);
        close(tally.accuracy(), 2.0 / 3.0);
        close(tally.label_scores()[2].precision, 0.5);
        close(tally.label_scores()[2].recall, 1.0);
        close(tally.loss(), -(0.5_f64.ln() + 0.25_f64.ln()) / 2.0);
    }

    #[test]
    fn no_text_at_all() {
        let tally = tally(&[]);
        close(tally.accuracy() + tally.weighted_f1() + tally.macro_f1() + tally.micro_f1() + tally.loss(), 0.0);
    }
}
