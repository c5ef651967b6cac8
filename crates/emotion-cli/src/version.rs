//! What `emotion --version` prints.

use emotion_classifier::{Classifier, Isa};

/// The versions of the program and of DataFusion, the instruction set and the built-in model.
pub fn long() -> String {
    let model = match Classifier::default_model() {
        Ok(model) => format!("{} labels, weights {}", model.labels().len(), model.weights_sha256()),
        Err(error) => error.to_string(),
    };
    format!(
        "{}\nDataFusion: {}\ninstruction set: {}\nbuilt-in model: {model}\nfeatures: {}",
        env!("CARGO_PKG_VERSION"),
        datafusion::DATAFUSION_VERSION,
        Isa::detected().name(),
        features()
    )
}

/// The features that the program was built with.
fn features() -> String {
    let features = [
        ("candle", cfg!(feature = "candle")),
        ("cluster", cfg!(feature = "cluster")),
        ("cuda", cfg!(feature = "cuda")),
        ("hub", cfg!(feature = "hub")),
        ("metal", cfg!(feature = "metal")),
    ];
    let names: Vec<_> = features.into_iter().filter(|(_, is_on)| *is_on).map(|(name, _)| name).collect();
    if names.is_empty() { "none".into() } else { names.join(", ") }
}
