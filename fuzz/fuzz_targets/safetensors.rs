//! Loads a model whose `model.safetensors` (a model's weights) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::with_file("multi-label", "model.safetensors"));

fuzz_target!(|content: &[u8]| MODEL.load(content));
