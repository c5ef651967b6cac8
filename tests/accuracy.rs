//! The default model scores what its card says, by this engine, on the *emotion* validation split and on everyday
//! sentences, and the coarser precisions hardly differ from float32.
//!
//! The *emotion* texts are not part of the project: their tests skip where `../shared/data` is absent.

use std::path::Path;

use emotion_classifier::{Classifier, Precision, Prediction};

/// Right answers of the default model in float32, of 2,000.
const RIGHT: usize = 1883;

/// Lines of `text;label` after a header, if they are there.
fn validation() -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/emotion/val.txt");
    let file = std::fs::read_to_string(&path).ok();
    if file.is_none() {
        println!("skipped: {} is absent", path.display());
    }
    file
}

fn texts_and_labels(file: &str) -> (Vec<&str>, Vec<&str>) {
    file.lines().skip(1).filter_map(|line| line.rsplit_once(';')).unzip()
}

fn classify(precision: Precision, texts: &[&str]) -> Vec<Prediction> {
    let classifier = Classifier::builder().precision(precision).default_model().unwrap();
    classifier.classify(texts).unwrap()
}

fn right(predictions: &[Prediction], labels: &[&str]) -> usize {
    predictions.iter().zip(labels).filter(|(prediction, label)| *prediction.label == ***label).count()
}

#[test]
fn default_model_scores_what_its_card_says() {
    let Some(file) = validation() else { return };
    let (texts, labels) = texts_and_labels(&file);
    let predictions = Classifier::default_model().unwrap().classify(&texts).unwrap();
    assert_eq!((right(&predictions, &labels), texts.len()), (RIGHT, 2000));
}

#[test]
fn default_model_scores_what_its_card_says_on_everyday_sentences() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../training/everyday-dev.tsv");
    let file = std::fs::read_to_string(path).unwrap();
    let (labels, texts): (Vec<&str>, Vec<&str>) = file.lines().skip(1).filter_map(|line| line.split_once('\t')).unzip();
    let predictions = classify(Precision::Float32, &texts);
    assert_eq!((right(&predictions, &labels), texts.len()), (277, 300));
}

/// At least 99.7 % of the labels in bfloat16 and 99.5 % in int8, and accuracy within 0.3 points.
#[test]
fn coarser_precisions_agree_with_float32() {
    let Some(file) = validation() else { return };
    let (texts, labels) = texts_and_labels(&file);
    let float32 = classify(Precision::Float32, &texts);
    for (precision, least) in [(Precision::Bfloat16, 1994), (Precision::Int8, 1990)] {
        let predictions = classify(precision, &texts);
        let agree = predictions.iter().zip(&float32).filter(|(ours, theirs)| ours.label == theirs.label).count();
        assert!(agree >= least, "{precision}: {agree} labels agree");
        let right = right(&predictions, &labels);
        assert!(right.abs_diff(RIGHT) <= 6, "{precision}: {right} labels are right");
    }
}
