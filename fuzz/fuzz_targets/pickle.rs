//! Loads a model whose `pytorch_model.bin` (weights in a pickle) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> = LazyLock::new(Model::pickled);

fuzz_target!(|content: &[u8]| MODEL.load(content));
