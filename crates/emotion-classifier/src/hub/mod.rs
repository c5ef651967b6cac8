//! Models of the Hugging Face hub, in the cache that Python's `huggingface_hub` uses.

pub(crate) mod cache;
mod client;
pub(crate) mod download;
mod fetch;
pub(crate) mod id;
mod settings;
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use crate::error::{Error, Result};
use crate::hub::cache::CachedModel;
use crate::hub::fetch::folder_of;
use crate::hub::settings::Settings;

/// The folder that holds a model's files, which are downloaded into the hub's cache unless they are there.
///
/// `id` is `owner/name` or `owner/name@revision`. A model in the cache is used as it is. The cache, the address of the
/// hub and the token are those of `huggingface_hub`: see [`Settings::of`].
pub(crate) fn folder(id: &str) -> Result<PathBuf> {
    folder_of(&Settings::of_process(), id).map_err(|reason| Error::Hub { id: id.into(), reason })
}

/// Downloads a model of the Hugging Face hub into the cache, unless it is there, and returns the folder of its files.
///
/// `id` is `owner/name`, `owner/name@revision` or a name of the Spark NLP hub that is known to this crate. The cache,
/// the token and the address of the hub are given by the variables of the environment that Python's `huggingface_hub`
/// reads, such as `HF_HOME` and `HF_TOKEN`.
///
/// # Errors
///
/// [`Error::Hub`] if `id` is not the id of a model, or if the model cannot be downloaded.
pub fn pull(id: &str) -> Result<PathBuf> {
    let Some(resolved) = id::resolve(id) else {
        return Err(Error::Hub {
            id: id.into(),
            reason: "it is not an id: give owner/name, or owner/name@revision".into(),
        });
    };
    folder(resolved)
}

/// Whether a name is `owner/name`, with an optional `@revision`, or an alias of such an id.
#[must_use]
pub fn is_hub_id(name: &str) -> bool {
    id::resolve(name).is_some()
}

/// The models in the cache of the Hugging Face hub, in the order of their ids; none if there is no cache.
///
/// # Errors
///
/// [`Error::Read`] if a folder of the cache cannot be read.
pub fn cached_models() -> Result<Vec<CachedModel>> {
    cache::models(&Settings::of_process().cache)
}

/// The folder of a model in the cache of the Hugging Face hub: that of its revision, without a download.
///
/// # Errors
///
/// [`Error::Hub`] if `id` is not the id of a model, or if the model is not in the cache.
pub fn cached_folder(id: &str) -> Result<PathBuf> {
    let resolved = id::resolve(id).unwrap_or(id);
    let settings = Settings { is_offline: true, ..Settings::of_process() };
    folder_of(&settings, resolved).map_err(|_| Error::Hub {
        id: id.into(),
        reason: format!("it is not in the cache at '{}': download it first", settings.cache.display()),
    })
}
