//! Loads a model whose `tokenizer_config.json` (the configuration of a tokenizer without `tokenizer.json`) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::with_file("relu-cased", "tokenizer_config.json"));

fuzz_target!(|content: &[u8]| MODEL.load(content));
