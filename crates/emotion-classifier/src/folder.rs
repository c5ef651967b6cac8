use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Result};
#[cfg(feature = "hub")]
use crate::hub;

/// The bytes of a file, read or embedded.
pub(crate) type Bytes = Cow<'static, [u8]>;

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// The model built into this crate.
    BuiltIn,
    /// A folder in Hugging Face layout.
    Folder(PathBuf),
    /// The Hugging Face hub: `owner/name` or `owner/name@revision`.
    Hub(String),
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::BuiltIn => f.write_str("the default model"),
            Self::Folder(folder) => write!(f, "{}", folder.display()),
            Self::Hub(id) => f.write_str(id),
        }
    }
}

/// The files of one model in Hugging Face layout, whatever their origin.
pub(crate) struct ModelFolder {
    pub origin: Origin,
    pub config: Bytes,
    pub weights: Bytes,
    pub tokenizer: TokenizerFiles,
}

/// The two forms in which a model may describe its tokenizer.
pub(crate) enum TokenizerFiles {
    /// `tokenizer.json`, which is self-contained.
    Json(Bytes),
    /// `vocab.txt` and, if there is one, `tokenizer_config.json`.
    Vocab { vocab: Bytes, config: Option<Bytes> },
}

/// The SHA-256 digests of a model's files: models with equal digests are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    pub config: [u8; 32],
    pub weights: [u8; 32],
    pub tokenizer: [u8; 32],
}

impl ModelFolder {
    /// Reads the folder if there is one of that name, otherwise the hub's model of that id.
    pub(crate) fn open(folder_or_id: &str) -> Result<Self> {
        #[cfg(feature = "hub")]
        if hub::is_id(folder_or_id) && !Path::new(folder_or_id).exists() {
            return Self::from_hub(folder_or_id);
        }
        Self::from_folder(Path::new(folder_or_id))
    }

    /// Reads the files that `origin` holds now.
    pub(crate) fn reopen(origin: &Origin) -> Result<Self> {
        match origin {
            #[cfg(feature = "default-model")]
            Origin::BuiltIn => Ok(Self::default_model()),
            Origin::Folder(folder) => Self::from_folder(folder),
            #[cfg(feature = "hub")]
            Origin::Hub(id) => Self::from_hub(id),
            #[cfg(not(all(feature = "default-model", feature = "hub")))]
            other => Err(Error::MissingFolder { path: other.to_string().into() }),
        }
    }

    #[cfg(feature = "hub")]
    pub(crate) fn from_hub(id: &str) -> Result<Self> {
        Ok(Self { origin: Origin::Hub(id.into()), ..Self::from_folder(&hub::folder(id)?)? })
    }

    pub(crate) fn digest(&self) -> Digest {
        let (tokenizer, tokenizer_config) = match &self.tokenizer {
            TokenizerFiles::Json(json) => (json, None),
            TokenizerFiles::Vocab { vocab, config } => (vocab, config.as_ref()),
        };
        let mut config = Sha256::new_with_prefix(&self.config);
        config.update(tokenizer_config.map_or(&[][..], |config| config));
        Digest {
            config: config.finalize().into(),
            weights: Sha256::digest(&self.weights).into(),
            tokenizer: Sha256::digest(tokenizer).into(),
        }
    }

    pub(crate) fn from_folder(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::MissingFolder { path: folder.into() });
        }
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
        Ok(Self { origin: Origin::Folder(folder.into()), config, weights, tokenizer })
    }

    /// The model that is built into this crate: see `data/model/MODEL_CARD.md`.
    #[cfg(feature = "default-model")]
    pub(crate) fn default_model() -> Self {
        Self {
            origin: Origin::BuiltIn,
            config: Cow::Borrowed(built_in::CONFIG),
            weights: Cow::Borrowed(built_in::WEIGHTS),
            tokenizer: TokenizerFiles::Json(Cow::Borrowed(built_in::TOKENIZER)),
        }
    }
}

/// The files of the default model, whose folder `build.rs` finds.
///
/// They are statics because a constant would be copied into every crate that inlines its use.
#[cfg(feature = "default-model")]
mod built_in {
    macro_rules! file {
        ($name:literal) => {
            include_bytes!(concat!(env!("EMOTION_DEFAULT_MODEL"), "/", $name))
        };
    }

    pub(super) static CONFIG: &[u8] = file!("config.json");
    pub(super) static WEIGHTS: &[u8] = file!("model.safetensors");
    pub(super) static TOKENIZER: &[u8] = file!("tokenizer.json");
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
