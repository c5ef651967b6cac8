//! The candle backend: the reference for the packed one, and further architectures.

#![cfg(feature = "candle")]

mod golden;

use std::sync::Arc;

use emotion_classifier::{BackendChoice, Classifier, Compute, Device, Error, Precision};

#[test]
fn both_backends_agree() {
    let texts: Vec<String> = serde_json::from_slice(&std::fs::read(golden::path("texts.json")).unwrap()).unwrap();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    for name in golden::MODELS {
        let packed = Classifier::load(golden::path(name)).unwrap();
        let candle = Classifier::builder().backend(BackendChoice::Candle).load(golden::path(name)).unwrap();
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
fn the_packed_backend_names_what_it_does_not_know() {
    for (name, architecture) in [("modernbert", "ModernBERT"), ("deberta-v3", "DeBERTa")] {
        let packed = Classifier::builder().backend(BackendChoice::Packed).load(golden::path(name));
        let error = packed.unwrap_err();
        assert!(matches!(error, Error::Backend { backend: "packed", .. }), "{error}");
        assert!(error.to_string().contains(&format!("does not know {architecture}: choose")), "{error}");
    }
}

#[test]
fn one_model_of_each_backend_is_shared() {
    let path = golden::path("one-head").display().to_string();
    let compute = |backend| Compute::default().backend(backend);
    let packed = Classifier::shared(&path, Precision::Float32).unwrap();
    let candle = packed.computing(compute(BackendChoice::Candle)).unwrap();
    assert_eq!((packed.backend(), candle.backend()), (BackendChoice::Packed, BackendChoice::Candle));
    assert!(Arc::ptr_eq(&packed, &Classifier::shared(&path, compute(BackendChoice::Packed)).unwrap()));
    assert!(Arc::ptr_eq(&packed, &candle.computing(compute(BackendChoice::Auto)).unwrap()));
    assert!(Arc::ptr_eq(&candle, &candle.in_precision(Precision::Float32).unwrap()));
    let error = candle.in_precision(Precision::Int8).unwrap_err();
    assert!(matches!(error, Error::Precision { .. }), "{error}");
}

#[cfg(not(feature = "cuda"))]
#[test]
fn a_device_that_is_not_built_is_an_error() {
    let error = Classifier::builder().device(Device::Cuda(1)).load(golden::path("one-head")).unwrap_err();
    assert!(error.to_string().contains("build it with the feature 'cuda'"), "{error}");
}

#[test]
fn candle_computes_in_float32_only() {
    for precision in [Precision::Bfloat16, Precision::Int8] {
        let error = Classifier::builder()
            .backend(BackendChoice::Candle)
            .precision(precision)
            .load(golden::path("gelu-json"))
            .unwrap_err();
        assert!(matches!(error, Error::Precision { backend: "candle", .. }), "{error}");
    }
}
