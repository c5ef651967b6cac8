//! Loads a model whose `config.json` (a model's configuration) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::with_file("gelu-json", "config.json"));

fuzz_target!(|content: &[u8]| MODEL.load(content));
