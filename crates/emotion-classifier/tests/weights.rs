//! Weights in every form that `transformers` reads give the same logits.

use std::fs;
use std::path::{Path, PathBuf};

use emotion_classifier::Classifier;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tempfile::TempDir;

const TEXTS: [&str; 3] = ["I like you.", "Go away!", ""];

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden/gelu-json")
}

/// The golden model without its weights.
fn without_weights() -> TempDir {
    let copy = TempDir::new().unwrap();
    for file in ["config.json", "tokenizer.json", "tokenizer_config.json"] {
        fs::copy(golden().join(file), copy.path().join(file)).unwrap();
    }
    copy
}

fn logits(folder: &Path) -> Vec<Vec<f32>> {
    Classifier::load(folder).unwrap().logits(&TEXTS).unwrap()
}

/// The logits of the golden model with other names of tensors, types or files of the weights.
fn logits_of(save: impl FnOnce(&Path, Vec<(String, TensorView<'_>)>)) -> Vec<Vec<f32>> {
    let copy = without_weights();
    let bytes = fs::read(golden().join("model.safetensors")).unwrap();
    save(copy.path(), SafeTensors::deserialize(&bytes).unwrap().tensors());
    logits(copy.path())
}

fn write<'a>(folder: &Path, file: &str, tensors: impl IntoIterator<Item = (String, TensorView<'a>)>) {
    safetensors::serialize_to_file(tensors, None, &folder.join(file)).unwrap();
}

#[test]
fn shards_are_one_model() {
    let sharded = logits_of(|folder, tensors| {
        let mut map = serde_json::Map::new();
        for (index, (name, tensor)) in tensors.into_iter().enumerate() {
            let file = format!("model-{:05}-of-00003.safetensors", index % 3 + 1);
            map.insert(name.clone(), file.into());
            write(folder, &format!("{index}.part"), [(name, tensor)]);
        }
        for shard in 1..=3 {
            let parts: Vec<Vec<u8>> = (shard - 1..map.len())
                .step_by(3)
                .map(|i| fs::read(folder.join(format!("{i}.part"))).unwrap())
                .collect();
            let tensors = parts.iter().flat_map(|part| SafeTensors::deserialize(part).unwrap().tensors());
            write(folder, &format!("model-{shard:05}-of-00003.safetensors"), tensors);
        }
        let index = serde_json::json!({"metadata": {}, "weight_map": map});
        fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
    });
    assert_eq!(sharded, logits(&golden()));
}

#[test]
fn float64_is_rounded_to_float32() {
    let wide = logits_of(|folder, tensors| {
        let wide: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
            .into_iter()
            .map(|(name, tensor)| {
                let values = tensor.data().as_chunks().0.iter().map(|bytes| f64::from(f32::from_le_bytes(*bytes)));
                (name, tensor.shape().to_vec(), values.flat_map(f64::to_le_bytes).collect())
            })
            .collect();
        let views = wide
            .iter()
            .map(|(name, shape, data)| (name.clone(), TensorView::new(Dtype::F64, shape.clone(), data).unwrap()));
        write(folder, "model.safetensors", views);
    });
    assert_eq!(wide, logits(&golden()));
}

#[test]
fn prefixes_old_names_and_extra_tensors() {
    let expected = logits(&golden());
    for prefix in ["module.", "model.", "module.model."] {
        let renamed = logits_of(|folder, tensors| {
            let renamed = tensors.into_iter().map(|(name, tensor)| (format!("{prefix}{name}"), tensor));
            write(folder, "model.safetensors", renamed);
        });
        assert_eq!(renamed, expected, "{prefix}");
    }
    let old = logits_of(|folder, tensors| {
        let mut tensors: Vec<_> = tensors
            .into_iter()
            .map(|(name, tensor)| {
                let name = name.replace("LayerNorm.weight", "LayerNorm.gamma");
                (name.replace("LayerNorm.bias", "LayerNorm.beta"), tensor)
            })
            .collect();
        let ids = TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap();
        tensors.push(("distilbert.embeddings.position_ids".into(), ids));
        write(folder, "model.safetensors", tensors);
    });
    assert_eq!(old, expected);
}

/// Checkpoints of PyTorch: see `tests/golden/make_pickles.py`.
#[cfg(feature = "candle")]
mod pickles {
    use proptest::prelude::*;

    use super::*;

    fn checkpoint(name: &str) -> Vec<u8> {
        fs::read(golden().join("../pickles").join(name)).unwrap()
    }

    /// The model of these checkpoints, with its weights in this file.
    fn load_file(file: &str, bytes: &[u8], n_layers: usize) -> Result<Classifier, String> {
        let copy = without_weights();
        let mut config: serde_json::Value = serde_json::from_slice(&checkpoint("config.json")).unwrap();
        config["n_layers"] = n_layers.into();
        fs::write(copy.path().join("config.json"), config.to_string()).unwrap();
        fs::write(copy.path().join(file), bytes).unwrap();
        Classifier::load(copy.path()).map_err(|error| error.to_string())
    }

    fn load(checkpoint: &[u8]) -> Result<Classifier, String> {
        load_file("pytorch_model.bin", checkpoint, 1)
    }

    #[test]
    fn a_checkpoint_has_the_same_logits() {
        let classifier = load(&checkpoint("parameters.bin")).unwrap();
        let safetensors = load_file("model.safetensors", &checkpoint("model.safetensors"), 1).unwrap();
        assert_eq!(classifier.logits(&TEXTS).unwrap(), safetensors.logits(&TEXTS).unwrap());
    }

    #[test]
    fn what_is_not_a_tensor_is_refused() {
        for (name, parts) in [
            ("call.bin", ["print", "as 'code', not a tensor"]),
            ("training.bin", ["not a tensor", "as '"]),
            ("list.bin", ["a list", "not a dictionary of tensors"]),
            ("legacy.bin", ["older pickle", "safe_serialization=True"]),
        ] {
            let message = load(&checkpoint(name)).unwrap_err();
            assert!(parts.iter().all(|part| message.contains(part)), "{name}: {message}");
        }
    }

    #[test]
    fn the_model_is_that_of_the_configuration() {
        let message = load_file("pytorch_model.bin", &checkpoint("parameters.bin"), 2).unwrap_err();
        assert!(message.contains("no tensor 'distilbert.transformer.layer.1"), "{message}");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        /// Whatever a byte becomes, loading ends with a model or an error. The pickle is at the start of the file.
        #[test]
        fn flipped_bytes_never_panic(at in 0_usize..6_000, byte: u8) {
            let mut bytes = checkpoint("parameters.bin");
            bytes[at] = byte;
            let _ = load(&bytes);
        }
    }
}
