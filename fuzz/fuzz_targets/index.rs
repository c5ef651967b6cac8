//! Loads a model whose `model.safetensors.index.json` (which tensor is in which shard) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::sharded("gelu-json"));

fuzz_target!(|content: &[u8]| MODEL.load(content));
