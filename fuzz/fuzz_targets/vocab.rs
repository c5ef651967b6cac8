//! Loads a model whose `vocab.txt` (a vocabulary) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(|| Model::with_file("relu-cased", "vocab.txt"));

fuzz_target!(|content: &[u8]| MODEL.load(content));
