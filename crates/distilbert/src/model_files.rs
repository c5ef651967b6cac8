use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;

use crate::{Error, Result};

/// The bytes of a file, read or embedded.
pub(crate) type Bytes = Cow<'static, [u8]>;

/// The files of one model in Hugging Face layout, wherever they came from.
pub(crate) struct ModelFiles {
    /// The folder or hub id, for messages.
    pub origin: String,
    pub config: Bytes,
    pub weights: Bytes,
    pub tokenizer: TokenizerFiles,
}

/// The two ways in which a model may describe its tokenizer.
pub(crate) enum TokenizerFiles {
    /// `tokenizer.json`, whole and self-contained.
    Json(Bytes),
    /// `vocab.txt` and, if there is one, `tokenizer_config.json`.
    Vocab { vocab: Bytes, config: Option<Bytes> },
}

impl ModelFiles {
    pub(crate) fn from_folder(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::MissingFolder { path: folder.into() });
        }
        let origin = folder.display().to_string();
        let config = required(
            folder,
            "config.json",
            "give the folder that `save_pretrained` of Hugging Face transformers wrote",
        )?;
        let cure = if folder.join("pytorch_model.bin").exists() {
            "it holds a pickle (pytorch_model.bin), which can run code and is never opened; convert it with \
             `model.save_pretrained(folder, safe_serialization=True)`"
        } else {
            "save the model with `model.save_pretrained(folder, safe_serialization=True)`"
        };
        let weights = required(folder, "model.safetensors", cure)?;
        let tokenizer = match optional(folder, "tokenizer.json")? {
            Some(json) => TokenizerFiles::Json(json),
            None => TokenizerFiles::Vocab {
                vocab: required(
                    folder,
                    "vocab.txt",
                    "it has no tokenizer.json either; save the tokenizer beside the model with \
                     `tokenizer.save_pretrained(folder)`",
                )?,
                config: optional(folder, "tokenizer_config.json")?,
            },
        };
        Ok(Self { origin, config, weights, tokenizer })
    }

    /// The model that is built into this crate: see `data/model/MODEL_CARD.md`.
    #[cfg(feature = "default-model")]
    pub(crate) fn default_model() -> Self {
        macro_rules! file {
            ($name:literal) => {
                include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/model/", $name))
            };
        }
        Self {
            origin: "the default model".into(),
            config: Cow::Borrowed(file!("config.json")),
            weights: Cow::Borrowed(file!("model.safetensors")),
            tokenizer: TokenizerFiles::Json(Cow::Borrowed(file!("tokenizer.json"))),
        }
    }
}

fn optional(folder: &Path, file: &str) -> Result<Option<Bytes>> {
    let path = folder.join(file);
    match std::fs::read(&path) {
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path, source }),
    }
}

fn required(folder: &Path, file: &'static str, cure: &'static str) -> Result<Bytes> {
    optional(folder, file)?.ok_or_else(|| Error::MissingFile { origin: folder.display().to_string(), file, cure })
}
