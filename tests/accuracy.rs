//! The default model scores what its card says, by this engine, on the *emotion* validation split.
//!
//! The texts are not part of the project: the test skips where `../shared/data` is absent.

use std::path::Path;

use distilbert::Classifier;

#[test]
fn default_model_scores_what_its_card_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/emotion/val.txt");
    let Ok(file) = std::fs::read_to_string(&path) else {
        println!("skipped: {} is absent", path.display());
        return;
    };
    let (texts, labels): (Vec<_>, Vec<_>) = file.lines().skip(1).filter_map(|line| line.rsplit_once(';')).unzip();
    let predictions = Classifier::default_model().unwrap().classify(&texts).unwrap();
    let right = predictions.iter().zip(&labels).filter(|(prediction, label)| *prediction.label == ***label).count();
    assert_eq!((right, texts.len()), (1870, 2000));
}
