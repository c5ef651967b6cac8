//! The candle backend is the reference for the packed one.

#![cfg(feature = "candle")]

use std::path::{Path, PathBuf};

use emotion_classifier::{Classifier, Error, Precision};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}

#[test]
fn logits_of_both_backends_agree() {
    let texts = ["", "I like you.", "日本 é !?", &"a longer text ".repeat(40)];
    for name in ["gelu-json", "relu-cased", "multi-label", "one-head"] {
        let packed = Classifier::load(golden(name)).unwrap();
        let candle = Classifier::builder().candle().load(golden(name)).unwrap();
        let pairs = packed.logits(&texts).unwrap().concat().into_iter().zip(candle.logits(&texts).unwrap().concat());
        for (ours, reference) in pairs {
            let tolerance = 1e-4 * reference.abs().max(1.0) * 3.0;
            assert!((ours - reference).abs() < tolerance, "{name}: {ours} {reference}");
        }
        let predictions = packed.classify(&texts).unwrap().into_iter().zip(candle.classify(&texts).unwrap());
        for (ours, reference) in predictions {
            assert_eq!(
                (&ours.label, ours.tokens, ours.truncated),
                (&reference.label, reference.tokens, reference.truncated)
            );
        }
    }
}

#[test]
fn candle_computes_in_float32_only() {
    for precision in [Precision::Bfloat16, Precision::Int8] {
        let error = Classifier::builder().candle().precision(precision).load(golden("gelu-json")).unwrap_err();
        assert!(matches!(error, Error::Precision { backend: "candle", .. }), "{error}");
    }
}
