//! The golden models, which `tests/golden/make_golden.py` in the root of the repository makes.

use std::path::{Path, PathBuf};

/// Small random models: four of DistilBERT, and one of each other architecture.
pub const MODELS: [&str; 9] =
    ["gelu-json", "relu-cased", "multi-label", "one-head", "bert", "roberta", "xlm-roberta", "camembert", "electra"];

pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}
