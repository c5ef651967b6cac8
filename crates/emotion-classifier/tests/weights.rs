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
