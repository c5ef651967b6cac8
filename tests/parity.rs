//! Token ids, logits and labels equal those of Hugging Face transformers.
//!
//! The golden files are made by `tests/golden/make_golden.py`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use emotion_classifier::Classifier;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    labels: Vec<String>,
    ids: Vec<Vec<u32>>,
    truncated: Vec<bool>,
    logits: Vec<Vec<f32>>,
}

fn golden_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden")
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_reader(BufReader::new(file)).unwrap()
}

fn check(classifier: &Classifier, golden: &Golden) {
    let texts: Vec<String> = read(&golden_folder().join("texts.json"));
    assert!(texts.len() >= 300, "only {} texts", texts.len());
    assert!(classifier.labels().iter().map(|label| &**label).eq(golden.labels.iter()));
    assert!(golden.truncated.iter().any(|&truncated| truncated));

    for ((text, ids), &truncated) in texts.iter().zip(&golden.ids).zip(&golden.truncated) {
        let tokens = classifier.tokenize(text).unwrap();
        assert_eq!(&tokens.ids, ids, "token ids of {text:?}");
        assert_eq!(tokens.truncated, truncated, "truncated flag of {text:?}");
    }

    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    let logits = classifier.logits(&borrowed).unwrap();
    let predictions = classifier.classify(&borrowed).unwrap();
    let mut worst = 0.0_f32;
    for (row, text) in texts.iter().enumerate() {
        let expected = &golden.logits[row];
        for (ours, theirs) in logits[row].iter().zip(expected) {
            let difference = (ours - theirs).abs();
            assert!(difference <= TOLERANCE, "logits of {text:?}: {:?}, not {expected:?}", logits[row]);
            worst = worst.max(difference);
        }
        let label = (0..expected.len()).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
        assert_eq!(*predictions[row].label, *golden.labels[label], "label of {text:?}");
        assert_eq!(predictions[row].truncated, golden.truncated[row]);
        assert_eq!(predictions[row].tokens, golden.ids[row].len());
    }
    println!("{} texts, largest difference of a logit {worst:.2e}", texts.len());
}

fn check_small(name: &str) {
    let folder = golden_folder().join(name);
    check(&Classifier::load(&folder).unwrap(), &read(&folder.join("golden.json")));
}

#[test]
fn default_model() {
    check(&Classifier::default_model().unwrap(), &read(&golden_folder().join("default.json")));
}

#[test]
fn uncased_gelu_float32_with_tokenizer_json() {
    check_small("gelu-json");
}

#[test]
fn cased_relu_bfloat16_with_vocab_txt() {
    check_small("relu-cased");
}

#[test]
fn multi_label_float16_with_vocab_txt_and_accents_kept() {
    check_small("multi-label");
}

#[test]
fn one_head_of_odd_width() {
    check_small("one-head");
}

#[test]
fn multi_label_probabilities_are_sigmoids() {
    let classifier = Classifier::load(golden_folder().join("multi-label")).unwrap();
    let text = ["I like you."];
    let logits = &classifier.logits(&text).unwrap()[0];
    let prediction = &classifier.classify(&text).unwrap()[0];
    for (logit, probability) in logits.iter().zip(&prediction.probabilities) {
        assert!((1.0 / (1.0 + (-logit).exp()) - probability).abs() < 1e-6);
    }
}
