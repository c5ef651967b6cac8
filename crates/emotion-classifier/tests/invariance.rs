//! The prediction of a text has the same bits whatever other texts are classified with it.
//!
//! All requests are without the cache, which would return the first prediction of a text again.

mod golden;

use std::sync::{Arc, LazyLock};

#[cfg(feature = "candle")]
use emotion_classifier::BackendChoice;
use emotion_classifier::{Classifier, Precision, Prediction};
use proptest::prelude::*;

/// Every golden model in every precision.
static MODELS: LazyLock<Vec<Classifier>> = LazyLock::new(|| {
    let models = golden::MODELS.into_iter().flat_map(|name| Precision::PACKED.map(|precision| model(name, precision)));
    models.collect()
});

fn model(name: &str, precision: Precision) -> Classifier {
    Classifier::builder().precision(precision).load(golden::path(name)).unwrap()
}

/// Every golden model by the candle backend.
#[cfg(feature = "candle")]
static CANDLE_MODELS: LazyLock<Vec<Classifier>> = LazyLock::new(|| {
    let model = |name| Classifier::builder().backend(BackendChoice::Candle).load(golden::path(name)).unwrap();
    golden::MODELS.into_iter().chain(golden::CANDLE_MODELS).map(model).collect()
});

fn bits(prediction: &Prediction) -> Vec<u32> {
    prediction.probabilities.iter().map(|p| p.to_bits()).collect()
}

fn infer(classifier: &Classifier, texts: &[&str]) -> Vec<Arc<Prediction>> {
    classifier.request(texts).cache(false).run().unwrap().predictions
}

fn alone(classifier: &Classifier, text: &str) -> Arc<Prediction> {
    infer(classifier, &[text]).remove(0)
}

fn neighbours() -> Vec<String> {
    (0..63).map(|i| format!("neighbour {i} ").repeat(1 + i * 3)).collect()
}

fn assert_invariant(classifier: &Classifier, text: &str, neighbours: &[String], at: usize) {
    let mut batch: Vec<&str> = neighbours.iter().map(String::as_str).collect();
    batch.insert(at, text);
    let together = &infer(classifier, &batch)[at];
    let alone = alone(classifier, text);
    assert_eq!(bits(together), bits(&alone), "{text:?} at {at}, {classifier:?}");
    assert_eq!(*together, alone);
    assert!(!Arc::ptr_eq(together, &alone));
}

#[cfg(feature = "default-model")]
#[test]
fn default_model_in_a_batch_of_64_with_long_neighbours() {
    let long = "a long story about fear ".repeat(40);
    let texts = ["", "I like you.", &long];
    let neighbours = neighbours();
    let batch: Vec<&str> = texts.into_iter().chain(neighbours[2..].iter().map(String::as_str)).collect();
    assert_eq!(batch.len(), 64);
    for precision in Precision::PACKED {
        let classifier = Classifier::builder().precision(precision).load_default_model().unwrap();
        let together = infer(&classifier, &batch);
        for (text, together) in texts.iter().zip(&together) {
            assert_eq!(bits(together), bits(&alone(&classifier, text)), "{text:?} in {precision}");
        }
    }
}

#[test]
fn any_number_of_threads() {
    assert_invariant_to_threads(&MODELS, &neighbours());
}

#[cfg(feature = "candle")]
#[test]
fn any_number_of_threads_by_candle() {
    assert_invariant_to_threads(&CANDLE_MODELS, &neighbours()[..12]);
}

fn assert_invariant_to_threads(models: &[Classifier], texts: &[String]) {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for classifier in models {
        let expected = infer(classifier, &texts);
        for threads in [1, 2, 8] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let predictions = pool.install(|| infer(classifier, &texts));
            let all_bits =
                |predictions: &[Arc<Prediction>]| -> Vec<_> { predictions.iter().map(|p| bits(p)).collect() };
            assert_eq!(all_bits(&predictions), all_bits(&expected), "{threads} threads, {classifier:?}");
        }
    }
}

#[test]
fn a_classifier_knows_its_precision() {
    assert_eq!(model("gelu-json", Precision::Int8).precision(), Precision::Int8);
    assert_eq!(Classifier::load(golden::path("gelu-json")).unwrap().precision(), Precision::Float32);
}

#[test]
fn no_texts_give_no_predictions() {
    assert_eq!(model("gelu-json", Precision::Float32).classify(&[]).unwrap(), []);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn any_text_in_any_batch(
        text in "([a-z !?é中]|<pad>){0,120}",
        mut neighbours in prop::collection::vec("([a-z ]{0,50}|<pad>){0,4}", 0..64),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(neighbours.len() + 1);
        neighbours.truncate(64);
        for classifier in &*MODELS {
            assert_invariant(classifier, &text, &neighbours, at);
        }
    }
}

#[cfg(feature = "candle")]
proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]
    #[test]
    fn any_text_in_any_batch_by_candle(
        text in "([a-z !?é中]|<pad>|\\[PAD\\]){0,120}",
        neighbours in prop::collection::vec("([a-z ]{0,50}|<pad>){0,4}", 0..16),
        at in any::<prop::sample::Index>(),
    ) {
        let at = at.index(neighbours.len() + 1);
        for classifier in &*CANDLE_MODELS {
            assert_invariant(classifier, &text, &neighbours, at);
        }
    }
}
