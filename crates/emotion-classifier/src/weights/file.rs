//! The files that hold a model's tensors.

use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
use crate::file::{self, Bytes};
use crate::weights::{header, index};

const SAFETENSORS: &str = "model.safetensors";
pub(crate) const INDEX: &str = "model.safetensors.index.json";
const PICKLE: &str = "pytorch_model.bin";

/// The weights of a model, in the first of these forms that its folder has.
pub(crate) enum WeightFiles {
    /// `model.safetensors`.
    Single(Bytes),
    /// `model.safetensors.index.json` and the files it names, in the order of their names.
    Sharded { index: Bytes, shards: Vec<Shard> },
    /// `pytorch_model.bin`.
    #[cfg(feature = "candle")]
    Pickle(Bytes),
}

/// One of several safetensors files.
pub(crate) struct Shard {
    pub name: String,
    pub bytes: Bytes,
}

impl WeightFiles {
    /// The names of the files, the first choice first.
    #[cfg(all(feature = "hub", feature = "candle"))]
    pub(crate) const NAMES: [&'static str; 3] = [SAFETENSORS, INDEX, PICKLE];
    #[cfg(all(feature = "hub", not(feature = "candle")))]
    pub(crate) const NAMES: [&'static str; 2] = [SAFETENSORS, INDEX];

    /// Reads the weights of a folder, which have at most `most` bytes.
    pub(crate) fn open(folder: &Path, most: u64) -> Result<Self> {
        if let Some(bytes) = safetensors(folder, SAFETENSORS, most)? {
            return Ok(Self::Single(bytes));
        }
        if let Some(index) = file::optional(folder, INDEX, file::MOST_SETTINGS)? {
            let shards = shards(folder, &index, most)?;
            return Ok(Self::Sharded { index, shards });
        }
        #[cfg(feature = "candle")]
        if let Some(bytes) = file::optional(folder, PICKLE, most)? {
            return Ok(Self::Pickle(bytes));
        }
        Err(Error::MissingFile {
            origin: folder.display().to_string(),
            file: SAFETENSORS,
            cure: cure(|name| folder.join(name).exists()),
        })
    }

    /// The files that hold tensors, with their names.
    pub(crate) fn files(&self) -> Vec<(&str, &[u8])> {
        match self {
            Self::Single(bytes) => vec![(SAFETENSORS, bytes)],
            Self::Sharded { shards, .. } => shards.iter().map(|shard| (&*shard.name, &*shard.bytes)).collect(),
            #[cfg(feature = "candle")]
            Self::Pickle(bytes) => vec![(PICKLE, bytes)],
        }
    }

    /// The file that assigns tensors to shards.
    pub(crate) fn index(&self) -> Option<&[u8]> {
        let Self::Sharded { index, .. } = self else { return None };
        Some(index)
    }

    /// The SHA-256 of the file, or of all shards one after another.
    pub(crate) fn sha256(&self) -> [u8; 32] {
        match self {
            Self::Single(bytes) => Sha256::digest(bytes).into(),
            Self::Sharded { shards, .. } => {
                let mut hash = Sha256::new();
                for shard in shards {
                    hash.update(&shard.bytes);
                }
                hash.finalize().into()
            }
            #[cfg(feature = "candle")]
            Self::Pickle(bytes) => Sha256::digest(bytes).into(),
        }
    }
}

/// The bytes of a safetensors file, if there is one of that name. Of a large file the header is checked first.
fn safetensors(folder: &Path, name: &str, most: u64) -> Result<Option<Bytes>> {
    if let Some((mut file, size)) = file::open(folder, name, most)?
        && size > LARGE
    {
        let wrong =
            |reason| Error::Weights { origin: folder.display().to_string(), reason: format!("{name}: {reason}") };
        header::check(&mut file, size).map_err(wrong)?;
    }
    file::optional(folder, name, most)
}

/// A file of more bytes is not read before its header is.
const LARGE: u64 = 1 << 20;

fn shards(folder: &Path, json: &[u8], most: u64) -> Result<Vec<Shard>> {
    let wrong = |reason| Error::Weights { origin: folder.display().to_string(), reason };
    let names = index::shards(json).map_err(wrong)?;
    let mut rest = most;
    let read = |name: String| match safetensors(folder, &name, rest)? {
        Some(bytes) => {
            rest = rest.saturating_sub(bytes.len() as u64);
            Ok(Shard { name, bytes })
        }
        None => Err(wrong(format!("{INDEX} names '{name}', which is missing: copy or download it as well"))),
    };
    names.into_iter().map(read).collect()
}

/// What to do with a model that has no weights of the forms that are read; `has` tells which files it has.
pub(crate) fn cure(has: impl Fn(&str) -> bool) -> &'static str {
    if has(PICKLE) {
        return "it holds a pickle (pytorch_model.bin), which can run code and is never opened; convert it with \
                `model.save_pretrained(folder, safe_serialization=True)`";
    }
    if has("pytorch_model.bin.index.json") {
        return "it holds several pickles (pytorch_model.bin.index.json), which are not read; convert them with \
                `model.save_pretrained(folder, safe_serialization=True)`";
    }
    if has("adapter_config.json") {
        return ADAPTER_CURE;
    }
    if has("tf_model.h5") {
        return "it holds weights of TensorFlow (tf_model.h5), which are not read; convert them with \
                `AutoModelForSequenceClassification.from_pretrained(folder, from_tf=True).save_pretrained(folder)`";
    }
    if has("flax_model.msgpack") {
        return "it holds weights of Flax (flax_model.msgpack), which are not read; convert them with \
                `AutoModelForSequenceClassification.from_pretrained(folder, from_flax=True).save_pretrained(folder)`";
    }
    if has("model.onnx") || has("onnx") {
        return "it holds an ONNX export, which is not read; take the model from which it was exported, saved with \
                `model.save_pretrained(folder, safe_serialization=True)`";
    }
    "save the model with `model.save_pretrained(folder, safe_serialization=True)`"
}

/// What to do with the folder of an adapter, which has the weights of a few layers only.
pub(crate) const ADAPTER_CURE: &str = "it holds an adapter (adapter_config.json), not a whole model; merge it into its \
     base model with `AutoPeftModelForSequenceClassification.from_pretrained(folder).merge_and_unload()\
     .save_pretrained(merged)` and give that folder";
