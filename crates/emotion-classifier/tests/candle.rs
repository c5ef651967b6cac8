//! The candle backend: the reference for the packed one, and further architectures.

#![cfg(feature = "candle")]

mod golden;

use std::sync::Arc;

use emotion_classifier::{BackendChoice, Classifier, Compute, Device, Error, Precision};

fn texts() -> Vec<String> {
    serde_json::from_slice(&std::fs::read(golden::path("texts.json")).unwrap()).unwrap()
}

#[test]
fn both_backends_agree() {
    let texts = texts();
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
fn candle_computes_in_float32_only_on_the_cpu() {
    for precision in [Precision::Bfloat16, Precision::Float16, Precision::Int8] {
        let error = Classifier::builder()
            .backend(BackendChoice::Candle)
            .precision(precision)
            .load(golden::path("gelu-json"))
            .unwrap_err();
        assert!(matches!(error, Error::Precision { backend: "candle", .. }), "{error}");
    }
}

/// Every model is computed before the test fails, so that one run on a rare machine shows all differences.
#[test]
#[ignore = "needs a GPU: EMOTION_TEST_DEVICE=cuda"]
fn a_device_agrees_with_the_cpu() {
    let device: Device = std::env::var("EMOTION_TEST_DEVICE").expect("EMOTION_TEST_DEVICE is set").parse().unwrap();
    let half = [(Precision::Bfloat16, 0.4), (Precision::Float16, 0.1)];
    let mut failures = Vec::new();
    for name in golden::MODELS.into_iter().chain(golden::CANDLE_MODELS) {
        let half = half.into_iter().filter(|_| device != Device::Cpu && golden::MODELS.contains(&name));
        for (precision, tolerance) in [(Precision::Float32, 1e-4)].into_iter().chain(half) {
            match difference(name, Compute::from(precision).device(device), tolerance) {
                Ok(agreement) => println!("{name} in {precision} on {device}: {agreement}"),
                Err(failure) => failures.push(format!("{name} in {precision} on {device}: {failure}")),
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// The largest difference of a logit, which must not exceed `tolerance`, and the number of equal labels: a label may
/// differ only where the two most probable ones are nearer than twice the tolerance.
fn difference(name: &str, compute: Compute, tolerance: f32) -> Result<String, String> {
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let logits = |compute: Compute| {
        let classifier = Classifier::builder().compute(compute).load(golden::path(name))?;
        classifier.logits(&texts)
    };
    let cpu = logits(Compute::default()).unwrap();
    let ours = logits(compute.backend(BackendChoice::Candle)).map_err(|error| error.to_string())?;
    let differences = ours.iter().flatten().zip(cpu.iter().flatten()).map(|(ours, cpu)| (ours - cpu).abs());
    let worst = differences.fold(0.0, f32::max);
    let (same, other): (Vec<_>, Vec<_>) = ours.iter().zip(&cpu).partition(|(ours, cpu)| best(ours) == best(cpu));
    let agreement = format!("|Δlogit| {worst:.1e}, {} of {} labels equal", same.len(), texts.len());
    let is_close = |(_, cpu): &(_, &Vec<f32>)| margin(cpu) < 2.0 * tolerance;
    if worst <= tolerance && other.iter().all(is_close) { Ok(agreement) } else { Err(agreement) }
}

fn best(logits: &[f32]) -> usize {
    (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b])).unwrap()
}

/// How much the greatest logit exceeds the next one.
fn margin(logits: &[f32]) -> f32 {
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    sorted.get(1).map_or(f32::INFINITY, |second| sorted[0] - second)
}
