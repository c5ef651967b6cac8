//! The default model scores what its card says, by this engine, and the coarser precisions hardly differ from float32:
//! on everyday sentences that are part of the project, and on the *emotion* validation split, which is not.
//!
//! The tests on that split need `../shared/data/emotion/val.txt`; run them by
//! `cargo test -p emotion-tests --test accuracy -- --ignored`.

use std::path::Path;
use std::sync::Arc;

use emotion_classifier::{Classifier, Precision, Prediction};

/// Right answers of the default model in float32: of 2,000 texts of the validation split, and of 300 everyday sentences.
const RIGHT_OF_VALIDATION: usize = 1883;
const RIGHT_OF_EVERYDAY: usize = 277;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Texts and labels of the validation split, whose lines are `text;label` after a header.
fn validation(file: &str) -> (Vec<&str>, Vec<&str>) {
    file.lines().skip(1).filter_map(|line| line.rsplit_once(';')).unzip()
}

/// Texts and labels of the everyday sentences, whose lines are a label, a tab and a text after a header.
fn everyday(file: &str) -> (Vec<&str>, Vec<&str>) {
    file.lines().skip(1).filter_map(|line| line.split_once('\t')).map(|(label, text)| (text, label)).unzip()
}

fn classify(precision: Precision, texts: &[&str]) -> Vec<Arc<Prediction>> {
    let classifier = Classifier::builder().precision(precision).load_default_model().unwrap();
    classifier.classify(texts).unwrap()
}

fn right(predictions: &[Arc<Prediction>], labels: &[&str]) -> usize {
    predictions.iter().zip(labels).filter(|(prediction, label)| *prediction.label == ***label).count()
}

/// In each coarser precision at least `least` of the labels of float32, and as many right answers to within `most`.
fn check_precisions((texts, labels): (Vec<&str>, Vec<&str>), least: [usize; 2], most: usize) {
    let float32 = classify(Precision::Float32, &texts);
    for (precision, least) in [Precision::Bfloat16, Precision::Int8].into_iter().zip(least) {
        let predictions = classify(precision, &texts);
        let agree = predictions.iter().zip(&float32).filter(|(ours, theirs)| ours.label == theirs.label).count();
        assert!(agree >= least, "{precision}: {agree} labels agree");
        let (right, expected) = (right(&predictions, &labels), right(&float32, &labels));
        assert!(right.abs_diff(expected) <= most, "{precision}: {right} labels are right, not {expected}");
    }
}

#[test]
fn default_model_scores_what_its_card_says_on_everyday_sentences() {
    let file = read("training/everyday-dev.tsv");
    let (texts, labels) = everyday(&file);
    let predictions = classify(Precision::Float32, &texts);
    assert_eq!((right(&predictions, &labels), texts.len()), (RIGHT_OF_EVERYDAY, 300));
}

/// At least 99.3 % of the labels in bfloat16 and 98.6 % in int8, and accuracy within 1 point.
#[test]
fn coarser_precisions_agree_with_float32_on_everyday_sentences() {
    check_precisions(everyday(&read("training/everyday-dev.tsv")), [298, 296], 3);
}

#[test]
#[ignore = "needs ../shared/data"]
fn default_model_scores_what_its_card_says_on_the_validation_split() {
    let file = read("../shared/data/emotion/val.txt");
    let (texts, labels) = validation(&file);
    let predictions = classify(Precision::Float32, &texts);
    assert_eq!((right(&predictions, &labels), texts.len()), (RIGHT_OF_VALIDATION, 2000));
}

/// At least 99.7 % of the labels in bfloat16 and 99.5 % in int8, and accuracy within 0.3 points.
#[test]
#[ignore = "needs ../shared/data"]
fn coarser_precisions_agree_with_float32_on_the_validation_split() {
    check_precisions(validation(&read("../shared/data/emotion/val.txt")), [1994, 1990], 6);
}
