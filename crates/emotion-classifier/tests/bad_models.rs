//! Every fault of a model folder is an error that names it; nothing panics.

use std::fs;
use std::path::{Path, PathBuf};

use emotion_classifier::{BackendChoice, Classifier, Error, Precision};
use proptest::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
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
fn a_pickle_instead_of_safetensors() {
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
fn git_lfs_pointers() {
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 267832558\n";
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let copy = copy_of("gelu-json");
        fs::write(copy.path().join(file), pointer).unwrap();
        let error = error_of(copy.path());
        assert!(matches!(&error, Error::GitLfsPointer { path } if path.ends_with(file)), "{error}");
        assert!(error.to_string().contains("`git lfs pull`"), "{error}");
    }
}

#[test]
fn weights_of_other_kinds() {
    for (file, part) in [
        ("tf_model.h5", "from_tf=True"),
        ("flax_model.msgpack", "from_flax=True"),
        ("model.onnx", "ONNX"),
        ("adapter_config.json", "merge_and_unload"),
        ("pytorch_model.bin.index.json", "safe_serialization=True"),
    ] {
        let copy = copy_of("gelu-json");
        fs::rename(copy.path().join("model.safetensors"), copy.path().join(file)).unwrap();
        let error = error_of(copy.path());
        assert!(matches!(error, Error::MissingFile { file: "model.safetensors", .. }), "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
    let adapter = TempDir::new().unwrap();
    fs::write(adapter.path().join("adapter_config.json"), "{}").unwrap();
    let error = error_of(adapter.path());
    assert!(error.to_string().contains("merge_and_unload"), "{error}");
}

/// A copy of a good model whose weights are in two shards; `index` may spoil what the index says.
fn sharded(index: impl FnOnce(&mut serde_json::Value)) -> TempDir {
    let copy = copy_of("gelu-json");
    let path = copy.path().join("model.safetensors");
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(path).unwrap();
    let mut tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    tensors.sort_by(|(one, _), (other, _)| one.cmp(other));
    let (one, two) = tensors.split_at(tensors.len() / 2);
    let mut map = serde_json::json!({"metadata": {"total_size": 1}, "weight_map": {}});
    for (shard, tensors) in [("one.safetensors", one), ("two.safetensors", two)] {
        let tensors = tensors.iter().map(|(name, tensor)| (name.clone(), tensor.clone()));
        tensors.clone().for_each(|(name, _)| map["weight_map"][name] = shard.into());
        safetensors::serialize_to_file(tensors, None, &copy.path().join(shard)).unwrap();
    }
    index(&mut map);
    fs::write(copy.path().join("model.safetensors.index.json"), map.to_string()).unwrap();
    copy
}

#[test]
fn shards_that_do_not_fit() {
    let name = "classifier.weight";
    let assert_shards = |copy: TempDir, parts: &[&str]| {
        let message = error_of(copy.path()).to_string();
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    };
    for outside in ["/etc/passwd", "../one.safetensors", "x/../../one.safetensors", "", "..\\one.safetensors"] {
        let copy = sharded(|index| index["weight_map"][name] = outside.into());
        assert_shards(copy, &["index.json", "not a file of the model's folder", outside]);
    }
    assert_shards(
        sharded(|index| index["weight_map"][name] = "three.safetensors".into()),
        &["'three.safetensors'", "missing"],
    );
    assert_shards(
        sharded(|index| index["weight_map"][name] = "two.safetensors".into()),
        &[name, "'two.safetensors'", "it is not"],
    );
    assert_shards(sharded(|index| index["weight_map"]["more"] = "two.safetensors".into()), &["'more'", "it is not"]);
    assert_shards(sharded(|index| index["weight_map"] = serde_json::json!({})), &["names no tensors"]);
    assert_shards(sharded(|index| *index = serde_json::json!([])), &["not an index"]);
    assert_shards(sharded(|index| index["weight_map"][name] = 1.into()), &["not an index"]);

    let overlapping = sharded(|_| {});
    fs::copy(overlapping.path().join("one.safetensors"), overlapping.path().join("two.safetensors")).unwrap();
    assert_shards(overlapping, &["is in the shards 'one.safetensors' and 'two.safetensors'"]);

    let damaged = sharded(|_| {});
    fs::write(damaged.path().join("two.safetensors"), [0; 9]).unwrap();
    assert_shards(damaged, &["shard 'two.safetensors'", "truncated or damaged"]);

    let pointer = sharded(|_| {});
    fs::write(pointer.path().join("two.safetensors"), "version https://git-lfs.github.com/spec/v1\n").unwrap();
    assert_shards(pointer, &["two.safetensors", "git lfs pull"]);
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
    assert_error("gelu-json", file, integers, &[name, "I32", "F64, F32, F16 and BF16"]);
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

/// Sets keys of `config.json`.
#[cfg(feature = "candle")]
fn set(keys: &'static [(&'static str, &'static str)]) -> impl FnOnce(Vec<u8>) -> Vec<u8> {
    move |bytes| {
        let mut config: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        for (key, value) in keys {
            config[key] = serde_json::from_str(value).unwrap();
        }
        serde_json::to_vec(&config).unwrap()
    }
}

#[cfg(feature = "candle")]
#[test]
fn modernbert_that_is_not_supported() {
    const HUGE: &str = "4611686018427387904";
    let cases: [(&'static [(&str, &str)], &str); 23] = [
        (
            &[("max_position_embeddings", "131072"), ("hidden_size", "514"), ("num_attention_heads", "1")],
            "rotary positions take at most 67108864 values",
        ),
        (&[("num_attention_heads", "8")], "3 values: rotary positions take an even number"),
        (&[("num_hidden_layers", HUGE)], "at most 1000"),
        (&[("num_hidden_layers", "6")], "no tensor 'model.layers.5."),
        (&[("max_position_embeddings", HUGE)], "max_position_embeddings is 4611686018427387904"),
        (&[("hidden_size", HUGE), ("num_attention_heads", "1")], "hidden_size is 4611686018427387904"),
        (&[("intermediate_size", HUGE)], "intermediate_size is 4611686018427387904"),
        (&[("vocab_size", HUGE)], "tok_embeddings.weight"),
        (&[("intermediate_size", "21")], "mlp.Wi.weight"),
        (&[("attention_bias", "true")], "attention_bias is true"),
        (&[("mlp_bias", "true")], "mlp_bias is true"),
        (&[("norm_bias", "true")], "norm_bias is true"),
        (&[("classifier_bias", "true")], "classifier_bias is true"),
        (&[("hidden_activation", "\"relu\"")], "hidden_activation must be 'gelu'"),
        (&[("classifier_activation", "\"mish\"")], "activation 'mish'"),
        (&[("classifier_pooling", "\"max\"")], "unknown variant `max`"),
        (&[("local_attention", "-1")], "not a model configuration"),
        (&[("global_attn_every_n_layers", "0")], "global_attn_every_n_layers is 0"),
        (&[("global_rope_theta", "0")], "rotary positions is 0"),
        (&[("local_rope_theta", "-1")], "rotary positions is -1"),
        (&[("rope_scaling", "{\"type\": \"linear\"}")], "rope_scaling is"),
        (&[("layer_types", "[\"full_attention\"]")], "layer_types must be"),
        (
            &[(
                "rope_parameters",
                "{\"full_attention\": {\"rope_theta\": 9, \"rope_type\": \"yarn\"}, \"sliding_attention\": \
                 {\"rope_theta\": 9}}",
            )],
            "rope_type is 'yarn'",
        ),
    ];
    for (keys, part) in cases {
        assert_error("modernbert", "config.json", set(keys), &[part]);
    }
}

#[cfg(feature = "candle")]
#[test]
fn deberta_that_is_not_supported() {
    const HUGE: &str = "4611686018427387904";
    let cases: [(&'static [(&str, &str)], &str); 18] = [
        (&[("num_hidden_layers", "3")], "no tensor 'deberta.encoder.layer.2."),
        (&[("max_position_embeddings", HUGE)], "max_position_embeddings is 4611686018427387904"),
        (&[("hidden_size", HUGE), ("num_attention_heads", "1")], "hidden_size is 4611686018427387904"),
        (&[("vocab_size", HUGE)], "word_embeddings.weight"),
        (&[("type_vocab_size", HUGE)], "token_type_embeddings.weight"),
        (&[("intermediate_size", "33")], "intermediate.dense.weight"),
        (&[("position_biased_input", "true")], "no tensor 'deberta.embeddings.position_embeddings.weight'"),
        (&[("share_att_key", "false")], "pos_key_proj"),
        (&[("position_buckets", "128")], "rel_embeddings.weight"),
        (&[("position_buckets", HUGE)], "at most 131072"),
        (&[("position_buckets", "1")], "position_buckets is 1"),
        (&[("max_relative_positions", "129")], "position_buckets is 256"),
        (&[("max_relative_positions", HUGE)], "at most 131072"),
        (&[("conv_kernel_size", "3")], "conv_kernel_size is 3: DeBERTa is supported with 0 only"),
        (&[("embedding_size", "12")], "embedding_size is 12"),
        (&[("attention_head_size", "9")], "attention_head_size is 9"),
        (&[("pooler_hidden_size", "9")], "pooler_hidden_size is 9"),
        (&[("pooler_hidden_act", "\"mish\"")], "activation 'mish'"),
    ];
    for (keys, part) in cases {
        assert_error("deberta-v3", "config.json", set(keys), &[part]);
    }
}

#[cfg(feature = "candle")]
#[test]
fn buckets_of_deberta_are_not_checked_without_relative_attention() {
    let copy = copy_of("deberta-v3");
    let path = copy.path().join("config.json");
    let spoil = set(&[("position_buckets", "1"), ("relative_attention", "false")]);
    fs::write(&path, spoil(fs::read(&path).unwrap())).unwrap();
    Classifier::load(copy.path()).unwrap().classify(&["a cat"]).unwrap();
}

#[cfg(feature = "candle")]
#[test]
fn tensors_that_candle_does_not_find() {
    // Without its first letter, a name is that of no tensor, and the file keeps its length.
    for (model, name) in [
        ("modernbert", "model.layers.1.attn_norm.weight"),
        ("modernbert", "model.final_norm.weight"),
        ("modernbert", "head.dense.weight"),
        ("modernbert-mean", "classifier.bias"),
        ("deberta-v2", "deberta.embeddings.position_embeddings.weight"),
        ("deberta-v3", "deberta.encoder.rel_embeddings.weight"),
        ("deberta-v3", "deberta.encoder.LayerNorm.weight"),
        ("deberta-v3", "pooler.dense.bias"),
    ] {
        let without = |bytes: Vec<u8>| {
            let quoted = format!("\"{name}\"");
            let at = bytes.windows(quoted.len()).position(|window| window == quoted.as_bytes()).expect(name);
            let mut bytes = bytes;
            bytes[at + 1] = b'#';
            bytes
        };
        let missing = format!("no tensor '{name}'");
        assert_error(model, "model.safetensors", without, &[&missing]);
        let spoil = |b: Vec<u8>| edit_tensor(&b, name, |header, _| header["dtype"] = "I16".into());
        assert_error(model, "model.safetensors", spoil, &[name, "I16"]);
    }
}

#[test]
fn config_without_labels_or_of_another_kind() {
    let renamed = replace("\"id2label\"", "\"id3label\"");
    assert_error("gelu-json", "config.json", renamed, &["classifier.weight", "[2, 32]"]);
    let gpt = replace("\"distilbert\"", "\"gpt2\"");
    assert_error("gelu-json", "config.json", gpt, &["model_type is 'gpt2'", "'distilbert', 'bert', 'roberta'"]);
    assert_error("gelu-json", "config.json", |_| b"[]".to_vec(), &["not a model configuration"]);
}

#[test]
fn tokenizers_that_do_not_fit() {
    let smaller = |b: Vec<u8>| {
        let mut config: serde_json::Value = serde_json::from_slice(&b).unwrap();
        config["vocab_size"] = 100.into();
        serde_json::to_vec(&config).unwrap()
    };
    assert_error("gelu-json", "config.json", smaller, &["word_embeddings.weight", "[100, 32]"]);
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

/// A golden model whose tokenizer is made from these files of `tokenizers`, of which `file` has another content.
fn with_vocabulary(model: &str, tokenizer: &str, file: &str, content: &[u8]) -> Result<Classifier, Error> {
    let copy = copy_of(model);
    fs::remove_file(copy.path().join("tokenizer.json")).unwrap();
    for entry in fs::read_dir(golden("tokenizers").join(tokenizer)).unwrap().map(Result::unwrap) {
        if entry.file_name() != "config.json" {
            fs::copy(entry.path(), copy.path().join(entry.file_name())).unwrap();
        }
    }
    fs::write(copy.path().join(file), content).unwrap();
    Classifier::load(copy.path())
}

/// Checks that the error of a tokenizer says all of `parts`.
#[track_caller]
fn assert_tokenizer_error(loaded: Result<Classifier, Error>, parts: &[&str]) {
    let Err(error) = loaded else { panic!("a spoiled tokenizer was loaded") };
    assert!(matches!(error, Error::Tokenizer { .. }), "{error}");
    for part in parts {
        assert!(error.to_string().contains(part), "no '{part}' in: {error}");
    }
}

/// Pseudo-random bytes.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state.to_le_bytes()[0]
    };
    (0..count).map(|_| next()).collect()
}

#[test]
fn vocabularies_and_merges_that_are_cut_short() {
    let file = |name: &str| fs::read(golden("tokenizers/roberta").join(name)).unwrap();
    let load = |name: &str, content: &[u8]| with_vocabulary("roberta", "roberta", name, content);
    load("merges.txt", &file("merges.txt")).unwrap();

    let vocabulary = file("vocab.json");
    for part in 1..16 {
        let cut = &vocabulary[..vocabulary.len() * part / 16];
        assert_tokenizer_error(load("vocab.json", cut), &["vocab.json"]);
    }
    assert_tokenizer_error(load("vocab.json", b"{}"), &["vocab.json"]);
    assert_tokenizer_error(load("vocab.json", &noise(4096, 1)), &["vocab.json"]);

    assert_tokenizer_error(load("merges.txt", b"#version: 0.2\nalone\n"), &["merges.txt", "'alone'"]);
    assert_tokenizer_error(load("merges.txt", b"#version: 0.2\nno such\n"), &["merges.txt"]);
    assert_tokenizer_error(load("merges.txt", &[0xFF; 64]), &["merges.txt", "UTF-8"]);
    // Fewer merges are another tokenizer, which cannot be told from the one that was meant.
    let merges = file("merges.txt");
    for part in 0..16 {
        if let Ok(classifier) = load("merges.txt", &merges[..merges.len() * part / 16]) {
            classifier.classify(&["I like you."]).unwrap();
        }
    }
}

#[test]
fn sentence_pieces_of_noise() {
    let mut models = vec![("xlm-roberta", "xlm-roberta", "sentencepiece.bpe.model")];
    if cfg!(feature = "candle") {
        models.push(("deberta-v3", "deberta", "spm.model"));
    }
    for (model, tokenizer, name) in models {
        let pieces = fs::read(golden("tokenizers").join(tokenizer).join(name)).unwrap();
        let load = |content: &[u8]| with_vocabulary(model, tokenizer, name, content);
        load(&pieces).unwrap();
        assert_tokenizer_error(load(b""), &[]);
        for seed in 0..64 {
            assert_tokenizer_error(load(&noise(1 + 40 * seed as usize, seed)), &[]);
        }
        for part in 1..32 {
            let cut = &pieces[..pieces.len() * part / 32];
            if let Ok(classifier) = load(cut) {
                let _ = classifier.classify(&["I like you."]);
            }
        }
    }
}

/// Adds a file to a good model and returns what becomes of it.
fn load_with(model: &str, file: &str, content: &str) -> Result<Classifier, String> {
    let copy = copy_of(model);
    fs::write(copy.path().join(file), content).unwrap();
    Classifier::load(copy.path()).map_err(|error| error.to_string())
}

#[test]
fn tokens_beyond_the_embeddings() {
    for id in ["1382", "5000", "4294967295", "9007199254740993", "-1"] {
        let classifier = load_with("gelu-json", "added_tokens.json", &format!(r#"{{"<user>": {id}}}"#)).unwrap();
        let error = classifier.classify(&["I like you, <user>"]).unwrap_err();
        assert!(matches!(error, Error::Tokenize(_)), "{error}");
        let message = error.to_string();
        assert!(message.contains("'<user>' has id 1382") && message.contains("1382 tokens only"), "{message}");
        assert_eq!(classifier.classify(&["I like you."]).unwrap().len(), 1);
    }
}

#[test]
fn settings_of_a_tokenizer_that_are_wrong() {
    for (file, content, part) in [
        ("added_tokens.json", "[]", "added_tokens.json is malformed"),
        ("added_tokens.json", r#"{"a": "b"}"#, "added_tokens.json is malformed"),
        ("added_tokens.json", r#"{"a": 1e300}"#, "added_tokens.json is malformed"),
        ("special_tokens_map.json", r#"{"cls_token": 7}"#, "cls_token is neither"),
        ("special_tokens_map.json", "{", "special_tokens_map.json is malformed"),
        ("tokenizer_config.json", r#"{"do_lower_case": 3}"#, "tokenizer_config.json is malformed"),
        ("tokenizer_config.json", r#"{"truncation_side": "up"}"#, "truncation_side is 'up'"),
        ("tokenizer_config.json", r#"{"model_max_length": 2}"#, "correct model_max_length"),
        ("tokenizer_config.json", r#"{"model_max_length": -5}"#, "correct model_max_length"),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"x": {"content": "a"}}}"#, "the id 'x'"),
        ("tokenizer_config.json", r#"{"added_tokens_decoder": {"1": "a"}}"#, "malformed"),
    ] {
        let message = load_with("gelu-json", file, content).unwrap_err();
        assert!(message.contains(part), "{content}: {message}");
    }
    load_with("gelu-json", "added_tokens.json", r#"{"": 3}"#).unwrap();
    load_with("gelu-json", "tokenizer_config.json", r#"{"model_max_length": 1e30}"#).unwrap();
}

#[test]
fn an_architecture_that_the_weights_do_not_have() {
    let bert = replace("\"electra\"", "\"bert\"");
    assert_error("electra", "config.json", bert, &["no tensor 'bert.embeddings.word_embeddings.weight'"]);
    let projected = replace("\"embedding_size\": 12", "\"embedding_size\": 28");
    assert_error("electra", "config.json", projected, &["electra.embeddings.word_embeddings.weight", "[", ", 28]"]);
    let padding = replace("\"pad_token_id\": 1", "\"pad_token_id\": 49");
    assert_error("roberta", "config.json", padding, &["pad_token_id 49"]);
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

/// A safetensors file with the values of some tensors replaced, in float32.
fn with_values(bytes: &[u8], values: impl Fn(&str, usize) -> Option<Vec<f32>>) -> Vec<u8> {
    let tensors = SafeTensors::deserialize(bytes).unwrap().tensors();
    let replaced: Vec<_> = tensors
        .iter()
        .map(|(name, tensor)| {
            let values = values(name, tensor.shape().iter().product())?;
            Some(values.into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>())
        })
        .collect();
    let views = tensors.iter().zip(&replaced).map(|((name, tensor), replaced)| match replaced {
        Some(data) => (name, TensorView::new(Dtype::F32, tensor.shape().to_vec(), data).unwrap()),
        None => (name, tensor.clone()),
    });
    safetensors::serialize(views, None).unwrap()
}

#[test]
fn a_huge_weight_is_named() {
    for model in ["gelu-json", "relu-cased", "roberta", "electra"] {
        let copy = copy_of(model);
        let path = copy.path().join("model.safetensors");
        let good = fs::read(&path).unwrap();
        for name in SafeTensors::deserialize(&good).unwrap().names() {
            for value in [3e38_f32, -3e38, 1e19] {
                let huge = |tensor: &str, count: usize| {
                    (tensor == name).then(|| [0.5, value].into_iter().cycle().take(count).collect())
                };
                fs::write(&path, with_values(&good, huge)).unwrap();
                let message = error_of(copy.path()).to_string();
                let expected = format!("tensor '{name}' holds {value:e} at position 1: the weights are damaged");
                assert!(message.contains(&expected), "{model}: {message}");
            }
        }
    }
}

/// Weights of a magnitude that is allowed, whose products overflow: no activation, norm or softmax on the way to the
/// logits turns them into a label.
#[test]
fn weights_that_overflow() {
    let backends: &[_] = if cfg!(feature = "candle") {
        &[BackendChoice::Packed, BackendChoice::Candle]
    } else {
        &[BackendChoice::Packed]
    };
    for (model, tensors) in [
        ("gelu-json", ["transformer.layer.0.ffn.lin1.weight", "transformer.layer.0.ffn.lin2.weight"]),
        ("relu-cased", ["transformer.layer.0.ffn.lin1.weight", "transformer.layer.0.ffn.lin2.weight"]),
        ("relu-cased", ["transformer.layer.0.attention.v_lin.weight", "transformer.layer.0.attention.out_lin.weight"]),
        ("bert", ["encoder.layer.0.intermediate.dense.weight", "encoder.layer.0.output.dense.weight"]),
        ("roberta", ["embeddings.LayerNorm.weight", "encoder.layer.0.attention.self.value.weight"]),
        ("electra", ["encoder.layer.0.intermediate.dense.weight", "encoder.layer.0.output.dense.weight"]),
    ] {
        let copy = copy_of(model);
        let path = copy.path().join("model.safetensors");
        let huge = |name: &str, count: usize| {
            let is_huge = tensors.iter().chain(&["classifier.weight", "classifier.out_proj.weight"]);
            is_huge
                .clone()
                .any(|huge| name.ends_with(huge))
                .then(|| [1e18, -1e18, 1e18].into_iter().cycle().take(count).collect())
        };
        fs::write(&path, with_values(&fs::read(&path).unwrap(), huge)).unwrap();
        for backend in backends {
            for precision in Precision::PACKED {
                if *backend == BackendChoice::Candle && precision != Precision::Float32 {
                    continue;
                }
                let classifier =
                    Classifier::builder().backend(*backend).precision(precision).load(copy.path()).unwrap();
                let error = classifier.classify(&["I like you."]).err();
                let case = format!("{model} {tensors:?} in {precision} by {backend:?}");
                let error = error.unwrap_or_else(|| panic!("{case} has a label"));
                assert!(matches!(error, Error::NotFinite { .. }), "{case}: {error}");
                assert!(error.to_string().contains(copy.path().to_str().unwrap()), "{error}");
            }
        }
    }
}

/// Changes `tokenizer.json` of a good model and returns what becomes of it.
fn load_edited(model: &str, edit: impl FnOnce(&mut serde_json::Value)) -> Result<Classifier, String> {
    let copy = copy_of(model);
    let path = copy.path().join("tokenizer.json");
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    edit(&mut tokenizer);
    fs::write(&path, serde_json::to_vec(&tokenizer).unwrap()).unwrap();
    Classifier::load(copy.path()).map_err(|error| error.to_string())
}

#[test]
fn models_with_fewer_positions_than_special_tokens() {
    for positions in ["1", "2"] {
        let few = move |b: Vec<u8>| {
            let mut config: serde_json::Value = serde_json::from_slice(&b).unwrap();
            config["max_position_embeddings"] = positions.parse::<u64>().unwrap().into();
            serde_json::to_vec(&config).unwrap()
        };
        let expected = format!("a text may have {positions} tokens, of which 2 are special");
        assert_error("gelu-json", "config.json", few, &[&expected, "max_position_embeddings in config.json"]);
    }
    let special = |count: usize| {
        load_edited("gelu-json", |tokenizer| {
            let cls = serde_json::json!({"SpecialToken": {"id": "[CLS]", "type_id": 0}});
            let single = tokenizer["post_processor"]["single"].as_array_mut().unwrap();
            (0..count).for_each(|_| single.insert(0, cls.clone()));
        })
    };
    let classifier = special(10).unwrap();
    let ids = classifier.tokenize("I like you.").unwrap().ids;
    assert_eq!(ids[..11], [ids[0]; 11]);
    assert_ne!(ids[11], ids[0]);
    assert!(special(62).unwrap_err().contains("a text may have 64 tokens, of which 64 are special"));
    assert!(special(5000).unwrap_err().contains("adds 5002 tokens to a text"));
}

#[test]
fn templates_that_drop_or_repeat_the_text() {
    let text = serde_json::json!({"Sequence": {"id": "A", "type_id": 0}});
    for times in [0, 2, 3] {
        let message = load_edited("gelu-json", |tokenizer| {
            let single = tokenizer["post_processor"]["single"].as_array_mut().unwrap();
            single.retain(|part| part.get("Sequence").is_none());
            (0..times).for_each(|_| single.insert(1, text.clone()));
        })
        .unwrap_err();
        assert!(message.contains("must have $A exactly once"), "{times}: {message}");
    }
}

/// The library would panic, run out of memory or run forever over these.
#[test]
fn tokenizers_that_explode() {
    let replace = |pattern: &str, content: &str| serde_json::json!({"type": "Replace", "pattern": {"String": pattern}, "content": content});
    let sequence = |parts: Vec<serde_json::Value>| serde_json::json!({"type": "Sequence", "normalizers": parts});
    let charsmap = |map: &str| serde_json::json!({"type": "Precompiled", "precompiled_charsmap": map});
    for (normalizer, part) in [
        (sequence(vec![replace("a", "aa"); 40]), "bytes of one byte of text"),
        (replace("", &"x".repeat(1 << 20)), "bytes of one byte of text"),
        (serde_json::json!({"type": "Prepend", "prepend": "x".repeat(1 << 20)}), "bytes of one byte of text"),
        // The sizes of the tries are 4 GiB and 0.
        (charsmap("/////wAAAAA="), "rules for characters are damaged"),
        (charsmap("AAAAAAAAAAA="), "rules for characters are damaged"),
        (charsmap("*"), "not in base 64"),
    ] {
        let message = load_edited("gelu-json", |tokenizer| tokenizer["normalizer"] = normalizer).unwrap_err();
        assert!(message.contains(part), "{message}");
    }
    let message = load_edited("gelu-json", |tokenizer| {
        tokenizer["pre_tokenizer"] = serde_json::json!({"type": "FixedLength", "length": 0});
    })
    .unwrap_err();
    assert!(message.contains("made it panic"), "{message}");
    load_edited("gelu-json", |tokenizer| {
        tokenizer["padding"] = serde_json::json!({
            "strategy": {"Fixed": 1_000_000_000}, "direction": "Right", "pad_to_multiple_of": 0, "pad_id": 0,
            "pad_type_id": 0, "pad_token": "[PAD]",
        });
    })
    .unwrap()
    .classify(&["I like you."])
    .unwrap();
}

/// A normalizer may make much of a text, but not too much of a long one.
#[test]
fn a_text_that_would_explode_is_an_error() {
    let classifier = load_edited("gelu-json", |tokenizer| {
        let content = "b".repeat(2000);
        tokenizer["normalizer"] =
            serde_json::json!({"type": "Replace", "pattern": {"String": "a"}, "content": content});
    })
    .unwrap();
    classifier.classify(&["a cat"]).unwrap();
    let error = classifier.classify(&[&"a".repeat(1 << 20)]).unwrap_err();
    assert!(error.to_string().contains("shorten the text"), "{error}");
}

/// The trie of these rules has a unit that leads out of it: only some texts reach it.
#[test]
fn a_panic_of_the_tokenizer_is_an_error_of_the_text() {
    let classifier = load_edited("gelu-json", |tokenizer| {
        // A trie of one unit with the offset 0x3FFF.
        tokenizer["normalizer"] = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "BAAAAAD8/wA="});
    });
    let message = match classifier {
        Err(message) => message,
        Ok(classifier) => classifier.classify(&["a cat"]).unwrap_err().to_string(),
    };
    assert!(message.contains("made it panic"), "{message}");
}

#[cfg(unix)]
#[test]
fn files_that_are_no_files() {
    for file in ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"] {
        let copy = copy_of("gelu-json");
        let path = copy.path().join(file);
        let _ = fs::remove_file(&path);
        assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
        let message = error_of(copy.path()).to_string();
        assert!(message.contains(file) && message.contains("not a regular file"), "{message}");
        fs::remove_file(&path).unwrap();
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        let message = error_of(copy.path()).to_string();
        assert!(message.contains(file) && message.contains("not a regular file"), "{message}");
    }
}

/// Sparse files, which take no space on the disk, are refused without being read.
#[test]
fn files_that_are_larger_than_the_model() {
    const GIB: u64 = 1 << 30;
    for (file, bytes, part) in [
        ("config.json", GIB, "no more than 16777216"),
        ("tokenizer_config.json", GIB, "no more than 16777216"),
        ("tokenizer.json", GIB, "no more than 134217728"),
        ("model.safetensors", 6 * GIB, "it has 6442450944 bytes"),
        // Within what the configuration allows, but without a header.
        ("model.safetensors", 50 << 20, "truncated or damaged"),
    ] {
        let copy = copy_of("gelu-json");
        let path = copy.path().join(file);
        fs::File::create(&path).unwrap().set_len(bytes).unwrap();
        let message = error_of(copy.path()).to_string();
        assert!(message.contains(file) && message.contains(part), "{message}");
    }
    let shards = sharded(|_| {});
    let shard = shards.path().join("two.safetensors");
    fs::OpenOptions::new().write(true).open(&shard).unwrap().set_len(6 * GIB).unwrap();
    let message = error_of(shards.path()).to_string();
    assert!(message.contains("two.safetensors") && message.contains("6442450944 bytes"), "{message}");
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

/// Without the feature `candle`, the last two are refused whatever a byte becomes.
const OTHER_ARCHITECTURES: [&str; 6] = ["roberta", "xlm-roberta", "camembert", "electra", "modernbert", "deberta-v3"];

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

    /// As the last, for tokenizers and configurations of other architectures; a text may be an error then.
    #[test]
    fn flipped_bytes_of_other_architectures_never_panic(
        model in prop::sample::select(OTHER_ARCHITECTURES.to_vec()),
        file in prop::sample::select(vec!["config.json", "tokenizer.json"]),
        at in any::<prop::sample::Index>(),
        byte: u8,
    ) {
        let copy = copy_of(model);
        let path = copy.path().join(file);
        let mut bytes = fs::read(&path).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        fs::write(&path, bytes).unwrap();
        if let Ok(classifier) = Classifier::load(copy.path()) {
            let _ = classifier.classify(&["still here, <mask> 中"]);
        }
    }
}
