//! Token ids, logits and labels equal those of Hugging Face transformers, for every architecture.

mod golden;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

#[cfg(feature = "candle")]
use emotion_classifier::BackendChoice;
use emotion_classifier::Classifier;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

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

/// The model `bert` with another activation in its encoder.
fn with_activation(activation: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in ["model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        std::fs::copy(golden::path("bert").join(file), copy.path().join(file)).unwrap();
    }
    let mut config: serde_json::Value = read(&golden::path("bert").join("config.json"));
    config["hidden_act"] = activation.into();
    std::fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
    copy
}

#[test]
fn every_activation() {
    let texts: Vec<String> = read(&golden::path("texts.json"));
    let golden: BTreeMap<String, Vec<Vec<f32>>> = read(&golden::path("activations.json"));
    assert_eq!(golden.len(), 11);
    for (activation, expected) in golden {
        let texts: Vec<&str> = texts.iter().take(expected.len()).map(String::as_str).collect();
        let folder = with_activation(&activation);
        let mut classifiers = vec![Classifier::load(folder.path()).unwrap()];
        #[cfg(feature = "candle")]
        classifiers.push(Classifier::builder().backend(BackendChoice::Candle).load(folder.path()).unwrap());
        for classifier in classifiers {
            let logits = classifier.logits(&texts).unwrap().concat();
            let differences = logits.iter().zip(expected.iter().flatten()).map(|(ours, theirs)| (ours - theirs).abs());
            let worst = differences.fold(0.0, f32::max);
            println!("{activation}: largest difference of a logit {worst:.2e}");
            assert!(worst <= TOLERANCE, "{activation}: logits differ by {worst}");
            let together: Vec<_> = logits.iter().map(|logit| logit.to_bits()).collect();
            let alone = texts.iter().flat_map(|text| classifier.logits(&[text]).unwrap().concat());
            assert_eq!(alone.map(f32::to_bits).collect::<Vec<_>>(), together, "{activation}");
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
