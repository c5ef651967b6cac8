//! The candle backend is the reference for the packed one.

#![cfg(feature = "candle")]

mod golden;

use emotion_classifier::{Classifier, Error, Precision};

#[test]
fn both_backends_agree() {
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(golden::path("texts.json")).unwrap()).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for name in golden::MODELS {
        let packed = Classifier::load(golden::path(name)).unwrap();
        let candle = Classifier::builder().candle().load(golden::path(name)).unwrap();
        let (ours, reference) = (packed.logits(&texts).unwrap().concat(), candle.logits(&texts).unwrap().concat());
        assert_eq!(ours.len(), texts.len() * packed.labels().len());
        assert_eq!(ours.len(), reference.len());
        let worst = ours.iter().zip(&reference).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(worst < 1e-4, "{name}: logits differ by {worst}");
        let predictions = packed.classify(&texts).unwrap().into_iter().zip(candle.classify(&texts).unwrap());
        for ((ours, reference), text) in predictions.zip(&texts) {
            assert_eq!(ours.label, reference.label, "{name}: {text:?}");
            assert_eq!((ours.tokens, ours.truncated), (reference.tokens, reference.truncated), "{name}: {text:?}");
        }
    }
}

#[test]
fn candle_computes_in_float32_only() {
    for precision in [Precision::Bfloat16, Precision::Int8] {
        let error = Classifier::builder().candle().precision(precision).load(golden::path("gelu-json")).unwrap_err();
        assert!(matches!(error, Error::Precision { backend: "candle", .. }), "{error}");
    }
}
