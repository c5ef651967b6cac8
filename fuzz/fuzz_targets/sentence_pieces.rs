//! Loads a model whose `sentencepiece.bpe.model` (a SentencePiece vocabulary) is arbitrary.
#![no_main]

use std::sync::LazyLock;

use emotion_fuzz::Model;
use libfuzzer_sys::fuzz_target;

static MODEL: LazyLock<Model> =
    LazyLock::new(|| Model::with_tokenizer("xlm-roberta", "xlm-roberta", "sentencepiece.bpe.model"));

fuzz_target!(|content: &[u8]| MODEL.load(content));
