//! Loads a model whose `tokenizer.json` (a whole tokenizer) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::with_file("gelu-json", "tokenizer.json"));

fuzz_target!(|content: &[u8]| MODEL.load(content));
