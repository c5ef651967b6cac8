use std::path::PathBuf;

use hf_hub::api::sync::{ApiBuilder, ApiRepo};
use hf_hub::{Cache, CacheRepo, Repo, RepoType};

use crate::error::{Error, Result};

/// Downloads a model's files into the hub's cache and returns the folder that holds them.
///
/// `id` is `owner/name` or `owner/name@revision`. Files in the cache (`HF_HOME`, shared with
/// Python's `huggingface_hub`) are used as they are; with `HF_HUB_OFFLINE=1` nothing is downloaded.
/// `HF_ENDPOINT` sets the hub's address.
pub(crate) fn folder(id: &str) -> Result<PathBuf> {
    let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
    let repo = Repo::with_revision(name.into(), RepoType::Model, revision.into());
    let source = if offline() {
        Source::Cache(Cache::from_env().repo(repo))
    } else {
        let api = ApiBuilder::from_env().with_progress(false).build();
        Source::Hub(Box::new(api.map_err(|e| wrong(id, &e.to_string()))?.repo(repo)))
    };

    let config = source.get("config.json").map_err(|reason| wrong(id, &reason))?;
    source.get("model.safetensors").map_err(|reason| {
        wrong(id, &format!("{reason} (only models with weights as model.safetensors can be used)"))
    })?;
    if source.get("tokenizer.json").is_err() {
        source.get("vocab.txt").map_err(|reason| wrong(id, &reason))?;
        // Some models have none: their tokenizer is BERT's default.
        let _ = source.get("tokenizer_config.json");
    }
    let folder = config.parent().map(PathBuf::from);
    folder.ok_or_else(|| wrong(id, "the cache has no folder for it"))
}

/// Whether `text` is `owner/name` with an optional `@revision` rather than a path: one slash, and
/// parts that begin with a letter or digit.
pub(crate) fn is_id(text: &str) -> bool {
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name))
}

fn wrong(id: &str, reason: &str) -> Error {
    Error::Hub { id: id.into(), reason: reason.into() }
}

fn offline() -> bool {
    let value = std::env::var("HF_HUB_OFFLINE").unwrap_or_default();
    matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

/// Where files come from; the hub looks in the cache first.
enum Source {
    Cache(CacheRepo),
    Hub(Box<ApiRepo>),
}

impl Source {
    /// The path of a file in the cache, or why there is none.
    fn get(&self, file: &str) -> Result<PathBuf, String> {
        match self {
            Self::Cache(cache) => cache.get(file).ok_or_else(|| {
                format!("{file} is not in the cache and HF_HUB_OFFLINE is set: unset it once, to download the model")
            }),
            Self::Hub(api) => api.get(file).map_err(|e| {
                format!("{file}: {e}; check the id and the network, or download the model's folder and give its path")
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hub_ids_are_told_from_paths() {
        for id in ["a/b", "bhadresh-savani/distilbert-base-uncased-emotion", "a/b@v1.0"] {
            assert!(is_id(id), "{id}");
        }
        for path in ["a", "./a", "../a/b", "/a/b", "a/b/c", "a/", "C:\\a"] {
            assert!(!is_id(path), "{path}");
        }
    }
}
