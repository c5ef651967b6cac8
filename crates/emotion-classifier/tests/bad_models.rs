//! Every fault of a model folder is an error that names it; nothing panics.

use std::fs;
use std::path::{Path, PathBuf};

use emotion_classifier::{Classifier, Error};
use proptest::prelude::*;
use tempfile::TempDir;

fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(model)
}

/// A copy of a good model, to be spoiled.
fn copy_of(model: &str) -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "tokenizer_config.json"] {
        let original = golden(model).join(file);
        if original.exists() {
            fs::copy(original, copy.path().join(file)).unwrap();
        }
    }
    copy
}

fn error_of(folder: &Path) -> Error {
    match Classifier::load(folder) {
        Ok(_) => panic!("a spoiled model was loaded"),
        Err(error) => error,
    }
}

/// Spoils one file of a good model and checks that the error says all of `parts`.
fn assert_error(model: &str, file: &str, spoil: impl FnOnce(Vec<u8>) -> Vec<u8>, parts: &[&str]) {
    let copy = copy_of(model);
    let path = copy.path().join(file);
    fs::write(&path, spoil(fs::read(&path).unwrap())).unwrap();
    let message = error_of(copy.path()).to_string();
    for part in parts {
        assert!(message.contains(part), "{file}: {message}");
    }
}

fn replace(from: &'static str, to: &'static str) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let text = String::from_utf8(bytes).unwrap();
        assert!(text.contains(from), "nothing to replace: {from}");
        text.replace(from, to).into_bytes()
    }
}

/// A safetensors file with one tensor's header or data changed.
fn edit_tensor(bytes: &[u8], name: &str, edit: impl FnOnce(&mut serde_json::Value, &mut [u8])) -> Vec<u8> {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    let offsets = header[name]["data_offsets"].clone();
    let offset = |i: usize| usize::try_from(offsets[i].as_u64().unwrap()).unwrap();
    edit(&mut header[name], &mut data[offset(0)..offset(1)]);
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &data].concat()
}

#[test]
fn missing_folder() {
    let error = error_of(Path::new("no/such/folder"));
    assert!(matches!(error, Error::MissingFolder { .. }));
    assert!(error.to_string().contains("no/such/folder"), "{error}");
    let file = golden("gelu-json").join("config.json");
    assert!(matches!(error_of(&file), Error::MissingFolder { .. }));
}

#[test]
fn missing_files() {
    for (model, file) in [("gelu-json", "config.json"), ("gelu-json", "model.safetensors"), ("relu-cased", "vocab.txt")]
    {
        let copy = copy_of(model);
        fs::remove_file(copy.path().join(file)).unwrap();
        let error = error_of(copy.path());
        assert!(matches!(error, Error::MissingFile { file: named, .. } if named == file), "{error}");
    }
}

#[test]
fn a_folder_in_place_of_a_file() {
    let copy = copy_of("gelu-json");
    fs::remove_file(copy.path().join("model.safetensors")).unwrap();
    fs::create_dir(copy.path().join("model.safetensors")).unwrap();
    let error = error_of(copy.path());
    assert!(matches!(error, Error::Read { .. }), "{error}");
}

#[test]
fn a_pickle_beside_or_instead_of_safetensors() {
    let copy = copy_of("gelu-json");
    fs::rename(copy.path().join("model.safetensors"), copy.path().join("pytorch_model.bin")).unwrap();
    let message = error_of(copy.path()).to_string();
    assert!(message.contains("pickle") && message.contains("safe_serialization=True"), "{message}");

    for start in [&b"PK\x03\x04\x00\x00\x08\x08"[..], b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20"] {
        let pickle = [start, &[0; 64]].concat();
        assert_error("gelu-json", "model.safetensors", |_| pickle, &["pickle", "safe_serialization=True"]);
    }
}

#[test]
fn damaged_safetensors() {
    let file = "model.safetensors";
    assert_error("gelu-json", file, |_| Vec::new(), &["truncated or damaged"]);
    assert_error("gelu-json", file, |mut b| b.split_off(1), &["truncated or damaged"]);
    assert_error("gelu-json", file, |b| b[..100].to_vec(), &["truncated or damaged"]);
    assert_error("gelu-json", file, |b| b[..b.len() - 1].to_vec(), &["truncated or damaged"]);
    assert_error("gelu-json", file, |b| [b, vec![0]].concat(), &["truncated or damaged"]);
    let huge = |b: Vec<u8>| [&u64::MAX.to_le_bytes()[..], &b[8..]].concat();
    assert_error("gelu-json", file, huge, &["truncated or damaged"]);
}

#[test]
fn tensors_that_do_not_fit() {
    let file = "model.safetensors";
    let name = "distilbert.transformer.layer.1.ffn.lin1.weight";
    let transposed = |b: Vec<u8>| edit_tensor(&b, name, |header, _| header["shape"] = serde_json::json!([32, 64]));
    assert_error("gelu-json", file, transposed, &[name, "[32, 64]", "[64, 32]"]);
    let integers = |b: Vec<u8>| edit_tensor(&b, name, |header, _| header["dtype"] = "I32".into());
    assert_error("gelu-json", file, integers, &[name, "I32", "BF16"]);
    for value in [f32::NAN, f32::INFINITY] {
        let spoil = |b: Vec<u8>| edit_tensor(&b, name, |_, data| data[8..12].copy_from_slice(&value.to_le_bytes()));
        assert_error("gelu-json", file, spoil, &[name, "position 2", "damaged"]);
    }
    let layers = replace("\"n_layers\": 2", "\"n_layers\": 3");
    assert_error("gelu-json", "config.json", layers, &["no tensor", "transformer.layer.2."]);
    let hidden = replace("\"hidden_dim\": 64", "\"hidden_dim\": 4611686018427387904");
    assert_error("gelu-json", "config.json", hidden, &["lin1.weight", "do not belong together"]);
    let labels = replace("\"2\": \"positive\"", "\"2\": \"positive\", \"3\": \"more\"");
    assert_error("gelu-json", "config.json", labels, &["classifier.weight", "[4, 32]"]);
}

#[test]
fn config_without_labels_or_of_another_kind() {
    let renamed = replace("\"id2label\"", "\"id3label\"");
    assert_error("gelu-json", "config.json", renamed, &["classifier.weight", "[2, 32]"]);
    let bert = replace("\"distilbert\"", "\"bert\"");
    assert_error("gelu-json", "config.json", bert, &["model_type is 'bert'"]);
    assert_error("gelu-json", "config.json", |_| b"[]".to_vec(), &["not a model configuration"]);
}

#[test]
fn tokenizers_that_do_not_fit() {
    let smaller = |b: Vec<u8>| {
        let mut config: serde_json::Value = serde_json::from_slice(&b).unwrap();
        config["vocab_size"] = 100.into();
        serde_json::to_vec(&config).unwrap()
    };
    assert_error("gelu-json", "config.json", smaller, &["has id", "100 tokens only"]);
    assert_error("gelu-json", "tokenizer.json", |_| b"{}".to_vec(), &["not a tokenizer"]);
    // The library panics over this one, and over the next.
    let spoil = replace(r#""cleanup":true"#, r#""cleanup":tru#"#);
    assert_error("gelu-json", "tokenizer.json", spoil, &["not a tokenizer", "line 1"]);
    let spoil = |b: Vec<u8>| {
        let mut tokenizer: serde_json::Value = serde_json::from_slice(&b).unwrap();
        tokenizer["normalizer"] = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"});
        serde_json::to_vec(&tokenizer).unwrap()
    };
    assert_error("gelu-json", "tokenizer.json", spoil, &["not a tokenizer"]);
    assert_error("relu-cased", "vocab.txt", |_| vec![0xFF, 0xFE], &["valid UTF-8"]);
    assert_error("relu-cased", "vocab.txt", |_| b"a\nb\n".to_vec(), &["no '[", "a piece a line"]);
    assert_error("relu-cased", "tokenizer_config.json", |_| b"{".to_vec(), &["malformed"]);
}

#[test]
fn special_tokens_beyond_the_vocabulary() {
    let spoil = |b: Vec<u8>| {
        let mut tokenizer: serde_json::Value = serde_json::from_slice(&b).unwrap();
        let processor = &mut tokenizer["post_processor"];
        assert_eq!(processor["type"], "TemplateProcessing");
        processor["special_tokens"]["[CLS]"]["ids"] = serde_json::json!([100_000]);
        serde_json::to_vec(&tokenizer).unwrap()
    };
    assert_error("gelu-json", "tokenizer.json", spoil, &["id 100000", "another model"]);
}

#[test]
fn weights_that_overflow() {
    let name = "classifier.weight";
    let copy = copy_of("gelu-json");
    let path = copy.path().join("model.safetensors");
    let huge = |_: &mut serde_json::Value, data: &mut [u8]| {
        data.as_chunks_mut().0.iter_mut().for_each(|value| *value = 3e38_f32.to_le_bytes());
    };
    fs::write(&path, edit_tensor(&fs::read(&path).unwrap(), name, huge)).unwrap();
    let classifier = Classifier::load(copy.path()).unwrap();
    let error = classifier.classify(&["I like you."]).unwrap_err();
    assert!(matches!(error, Error::NotFinite), "{error}");
}

#[test]
fn max_length_out_of_range() {
    let folder = golden("gelu-json");
    for length in [0, 2, 65, usize::MAX] {
        let loaded = Classifier::builder().max_length(length).load(&folder);
        let message = loaded.expect_err("out of range").to_string();
        assert!(message.contains("from 3 to 64"), "{message}");
    }
    let classifier = Classifier::builder().max_length(3).load(&folder).unwrap();
    let prediction = &classifier.classify(&["one two three"]).unwrap()[0];
    assert_eq!((prediction.tokens, prediction.truncated), (3, true));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Whatever a byte becomes, loading ends with a model or an error.
    #[test]
    fn flipped_bytes_never_panic(
        file in prop::sample::select(vec!["config.json", "model.safetensors", "tokenizer.json"]),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let copy = copy_of("gelu-json");
        let path = copy.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        // In the safetensors file, the header is what can be hostile.
        let range = if file == "model.safetensors" { 4096 } else { bytes.len() };
        let at = at.index(range);
        bytes[at] = byte;
        fs::write(&path, bytes).unwrap();
        if let Ok(classifier) = Classifier::load(copy.path()) {
            classifier.classify(&["still here"]).unwrap();
        }
    }
}
