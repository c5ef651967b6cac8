//! The golden models, which `tests/golden/make_golden.py` in the root of the repository makes.

use std::path::{Path, PathBuf};

/// Small random models: four of DistilBERT, and one of each other architecture.
pub const MODELS: [&str; 9] =
    ["gelu-json", "relu-cased", "multi-label", "one-head", "bert", "roberta", "xlm-roberta", "camembert", "electra"];

/// Likewise of the architectures that the candle backend alone knows: pooling of the first token and of all, and the
/// positions of `DeBERTa` v2 and v3.
#[allow(dead_code, reason = "not every test needs them")]
pub const CANDLE_MODELS: [&str; 4] = ["modernbert", "modernbert-mean", "deberta-v2", "deberta-v3"];

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}
