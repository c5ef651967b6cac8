//! Loads a model whose `vocab.json` or `merges.txt` (a byte-level vocabulary) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static VOCABULARY: LazyLock<Model> = LazyLock::new(|| Model::with_tokenizer("roberta", "roberta", "vocab.json"));
static MERGES: LazyLock<Model> = LazyLock::new(|| Model::with_tokenizer("roberta", "roberta", "merges.txt"));

fuzz_target!(|content: &[u8]| if content.starts_with(b"{") { VOCABULARY.load(content) } else { MERGES.load(content) });
