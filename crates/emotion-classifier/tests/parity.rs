//! Token ids, logits and labels equal those of Hugging Face transformers, for every architecture.

mod golden;

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

#[cfg(feature = "candle")]
use emotion_classifier::BackendChoice;
use emotion_classifier::Classifier;
use serde::Deserialize;
use serde::de::DeserializeOwned;

const TOLERANCE: f32 = 1e-4;

#[derive(Deserialize)]
struct Golden {
    labels: Vec<String>,
    /// Texts of this model in addition to those of `texts.json`.
    #[serde(default)]
    more_texts: Vec<String>,
    ids: Vec<Vec<u32>>,
    truncated: Vec<bool>,
    logits: Vec<Vec<f32>>,
}

fn read<T: DeserializeOwned>(path: &Path) -> T {
    let file = File::open(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_reader(BufReader::new(file)).unwrap()
}

fn check(name: &str, classifier: &Classifier, golden: &Golden) {
    let texts: Vec<String> = read(&golden::path("texts.json"));
    assert!(texts.len() >= 300, "only {} texts", texts.len());
    let texts: Vec<&str> = texts.iter().chain(&golden.more_texts).map(String::as_str).collect();
    assert_eq!(texts.len(), golden.logits.len(), "{name}");
    assert!(classifier.labels().iter().map(|label| &**label).eq(golden.labels.iter()), "{name}");
    assert!(golden.truncated.contains(&true), "{name}");

    for ((text, ids), &truncated) in texts.iter().zip(&golden.ids).zip(&golden.truncated) {
        let tokens = classifier.tokenize(text).unwrap();
        assert_eq!((&tokens.ids, tokens.truncated), (ids, truncated), "{name}: token ids of {text:?}");
    }

    let logits = classifier.logits(&texts).unwrap();
    let predictions = classifier.classify(&texts).unwrap();
    let mut worst = 0.0_f32;
    for (row, text) in texts.iter().enumerate() {
        let expected = &golden.logits[row];
        assert_eq!(logits[row].len(), expected.len(), "{name}");
        for (ours, theirs) in logits[row].iter().zip(expected) {
            let difference = (ours - theirs).abs();
            assert!(difference <= TOLERANCE, "{name}: logits of {text:?}: {:?}, not {expected:?}", logits[row]);
            worst = worst.max(difference);
        }
        let label = (0..expected.len()).max_by(|&a, &b| expected[a].total_cmp(&expected[b])).unwrap();
        assert_eq!(*predictions[row].label, *golden.labels[label], "{name}: label of {text:?}");
        assert_eq!(predictions[row].truncated, golden.truncated[row], "{name}");
        assert_eq!(predictions[row].tokens, golden.ids[row].len(), "{name}");
    }
    println!("{name}: {} texts, largest difference of a logit {worst:.2e}", texts.len());
}

#[test]
fn every_architecture() {
    for name in golden::MODELS {
        let folder = golden::path(name);
        check(name, &Classifier::load(&folder).unwrap(), &read(&folder.join("golden.json")));
    }
}

#[cfg(feature = "candle")]
#[test]
fn every_architecture_by_candle() {
    for name in golden::MODELS.into_iter().chain(golden::CANDLE_MODELS) {
        let folder = golden::path(name);
        let candle = Classifier::builder().backend(BackendChoice::Candle).load(&folder).unwrap();
        check(name, &candle, &read(&folder.join("golden.json")));
    }
}

#[cfg(feature = "default-model")]
#[test]
fn default_model() {
    check("default", &Classifier::default_model().unwrap(), &read(&golden::path("default.json")));
}

#[test]
fn multi_label_probabilities_are_sigmoids() {
    let text = ["I like you."];
    for name in ["multi-label", "roberta"] {
        let classifier = Classifier::load(golden::path(name)).unwrap();
        let logits = &classifier.logits(&text).unwrap()[0];
        let prediction = &classifier.classify(&text).unwrap()[0];
        for (logit, probability) in logits.iter().zip(&prediction.probabilities) {
            assert!((1.0 / (1.0 + (-logit).exp()) - probability).abs() < 1e-6, "{name}");
        }
    }
}

#[test]
fn a_model_states_its_architecture() {
    for (name, architecture) in [
        ("one-head", "DistilBERT"),
        ("bert", "BERT"),
        ("roberta", "RoBERTa"),
        ("xlm-roberta", "XLM-RoBERTa"),
        ("camembert", "CamemBERT"),
        ("electra", "ELECTRA"),
    ] {
        assert_eq!(Classifier::load(golden::path(name)).unwrap().config().architecture(), architecture);
    }
}

#[cfg(feature = "candle")]
#[test]
fn a_model_of_candle_states_its_architecture() {
    for (name, architecture) in [("modernbert", "ModernBERT"), ("deberta-v2", "DeBERTa"), ("deberta-v3", "DeBERTa")] {
        let classifier = Classifier::load(golden::path(name)).unwrap();
        assert_eq!((classifier.config().architecture(), classifier.backend()), (architecture, BackendChoice::Candle));
    }
}

#[test]
fn positions_after_padding_shorten_the_longest_sequence() {
    let classifier = Classifier::load(golden::path("roberta")).unwrap();
    assert_eq!((classifier.config().max_position_embeddings, classifier.max_length()), (50, 48));
    let error = Classifier::builder().max_length(49).load(golden::path("roberta")).unwrap_err();
    assert!(error.to_string().contains("from 3 to 48"), "{error}");
}
