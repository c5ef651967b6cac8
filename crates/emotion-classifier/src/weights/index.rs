//! `model.safetensors.index.json`: which tensor is in which shard.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use serde::Deserialize;

#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// The shard of each tensor, by the tensor's name, or why the index is wrong. No shard is outside the model's folder.
pub(crate) fn parse(json: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let wrong = |reason: String| format!("model.safetensors.index.json is not an index: {reason}");
    let index: Index = serde_json::from_slice(json).map_err(|e| wrong(e.to_string()))?;
    if index.weight_map.is_empty() {
        return Err(wrong("it names no tensors".into()));
    }
    match index.weight_map.values().find(|shard| !is_inside(shard)) {
        Some(outside) => Err(wrong(format!("it names '{outside}', which is not a file of the model's folder"))),
        None => Ok(index.weight_map),
    }
}

/// The names of all shards, in order.
pub(crate) fn shards(json: &[u8]) -> Result<BTreeSet<String>, String> {
    Ok(parse(json)?.into_values().collect())
}

fn is_inside(name: &str) -> bool {
    let is_plain = |component| matches!(component, Component::Normal(_));
    !name.is_empty() && !name.contains(['\\', '\0']) && Path::new(name).components().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_files_of_the_folder() {
        for inside in ["model-00001-of-00002.safetensors", "shards/1.safetensors", "a..b"] {
            assert!(is_inside(inside), "{inside}");
        }
        for outside in ["", "/etc/passwd", "../model.safetensors", "a/../../b", "..", ".\\b", "a\0"] {
            assert!(!is_inside(outside), "{outside}");
        }
    }
}
