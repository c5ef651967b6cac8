//! Checkpoints of early versions: tensors without the prefix of the model, `LayerNorm.gamma` and `LayerNorm.beta`.

mod golden;

use std::fs;

use emotion_classifier::Classifier;
use tempfile::TempDir;

/// A safetensors file with its tensors renamed.
fn rename_tensors(bytes: &[u8], rename: impl Fn(&str) -> String) -> Vec<u8> {
    let length = usize::try_from(u64::from_le_bytes(bytes[..8].try_into().unwrap())).unwrap();
    let header: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let header: serde_json::Map<_, _> = header.into_iter().map(|(name, tensor)| (rename(&name), tensor)).collect();
    let header = serde_json::to_vec(&header).unwrap();
    [&(header.len() as u64).to_le_bytes()[..], &header, &bytes[8 + length..]].concat()
}

fn early(name: &str) -> String {
    name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")
}

#[test]
fn a_checkpoint_with_early_names_has_the_same_logits() {
    for name in golden::MODELS {
        let expected = Classifier::load(golden::path(name)).unwrap().logits(&["I like you."]).unwrap();
        let prefix = match name {
            "bert" => "bert.",
            "electra" => "electra.",
            "roberta" | "xlm-roberta" | "camembert" => "roberta.",
            _ => "distilbert.",
        };
        let without_prefix = |name: &str| name.strip_prefix(prefix).unwrap_or(name).to_owned();
        let renames: [&dyn Fn(&str) -> String; 3] = [&early, &without_prefix, &|name| early(&without_prefix(name))];
        for rename in renames {
            let copy = TempDir::new().unwrap();
            for file in fs::read_dir(golden::path(name)).unwrap() {
                let file = file.unwrap();
                fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
            }
            let weights = fs::read(golden::path(name).join("model.safetensors")).unwrap();
            fs::write(copy.path().join("model.safetensors"), rename_tensors(&weights, rename)).unwrap();
            assert_eq!(Classifier::load(copy.path()).unwrap().logits(&["I like you."]).unwrap(), expected, "{name}");
        }
    }
}
