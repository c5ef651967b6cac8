//! Compares the classifier's token ids of texts with those of the `tokenizers` library.
#![no_main]

use std::sync::LazyLock;

use emotion_classifier::Classifier;
use emotion_fuzz::golden;
use libfuzzer_sys::fuzz_target;
use tokenizers::Tokenizer;

/// One lowercase model and one cased model.
static MODELS: LazyLock<[(Classifier, Tokenizer); 2]> = LazyLock::new(|| ["gelu-json", "one-head"].map(load));

fn load(model: &str) -> (Classifier, Tokenizer) {
    let classifier = Classifier::load(golden(model)).expect("a golden model");
    let mut library = Tokenizer::from_file(golden(model).join("tokenizer.json")).expect("a golden tokenizer");
    library.with_truncation(None).expect("no truncation").with_padding(None);
    (classifier, library)
}

fuzz_target!(|text: &str| {
    for (classifier, library) in MODELS.iter() {
        let mut expected = library.encode_fast(text, true).expect("a text has tokens").get_ids().to_vec();
        let (last, max_length) = (expected[expected.len() - 1], classifier.max_length());
        let truncated = expected.len() > max_length;
        if truncated {
            expected.truncate(max_length - 1);
            expected.push(last);
        }
        let ours = classifier.tokenize(text).expect("a text has tokens");
        assert_eq!(ours.ids, expected, "{text:?}");
        assert_eq!(ours.truncated, truncated, "{text:?}");
    }
});
