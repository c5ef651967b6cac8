#[cfg(feature = "default-model")]
use std::borrow::Cow;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::config::Config;
use crate::error::{Error, Result};
use crate::file::{self, Bytes};
#[cfg(feature = "hub")]
use crate::hub;
use crate::tokenizer::file::TokenizerFiles;
use crate::weights::file::{ADAPTER_CURE, WeightFiles};

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
    pub weights: WeightFiles,
    pub tokenizer: TokenizerFiles,
}

/// The SHA-256 digests of a model's files: models with equal digests are the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Digest {
    pub config: [u8; 32],
    pub weights: [u8; 32],
    pub tokenizer: [u8; 32],
    /// Of the three others, of the names and sizes of the files, and of what assigns tensors to shards.
    pub model: [u8; 32],
}

impl ModelFolder {
    /// Reads the folder if there is one of that name, otherwise the hub's model of that id.
    pub(crate) fn open(folder_or_id: &str) -> Result<Self> {
        #[cfg(feature = "hub")]
        if let Some(id) = hub_id(folder_or_id) {
            return Self::from_hub(id);
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
        Self::read(Origin::Hub(id.into()), &hub::folder(id)?)
    }

    pub(crate) fn digest(&self) -> Digest {
        let [config, weights, tokenizer] = match self.origin {
            #[cfg(feature = "default-model")]
            Origin::BuiltIn => built_in::DIGESTS,
            _ => self.file_digests(),
        };
        let mut model = Sha256::new();
        for digest in [config, weights, tokenizer] {
            model.update(digest);
        }
        for (name, bytes) in self.weights.files().into_iter().chain(self.tokenizer.files()) {
            model.update((name.len() as u64).to_le_bytes());
            model.update(name);
            model.update((bytes.len() as u64).to_le_bytes());
        }
        model.update(self.weights.index().unwrap_or_default());
        Digest { config, weights, tokenizer, model: model.finalize().into() }
    }

    /// The digests of configuration, weights and tokenizer.
    fn file_digests(&self) -> [[u8; 32]; 3] {
        [Sha256::digest(&self.config).into(), self.weights.sha256(), self.tokenizer.sha256()]
    }

    pub(crate) fn from_folder(folder: &Path) -> Result<Self> {
        Self::read(Origin::Folder(folder.into()), folder)
    }

    fn read(origin: Origin, folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::MissingFolder { path: folder.into() });
        }
        let config = config_of(folder)?;
        // The configuration bounds the weights, so that no huge file is read in vain.
        let most = Config::parse(&origin.to_string(), &config)?.most_weight_bytes();
        let weights = WeightFiles::open(folder, most)?;
        let tokenizer = TokenizerFiles::open(folder)?;
        Ok(Self { origin, config, weights, tokenizer })
    }

    /// The model that is built into this crate: see `data/model/MODEL_CARD.md`.
    #[cfg(feature = "default-model")]
    pub(crate) fn default_model() -> Self {
        Self {
            origin: Origin::BuiltIn,
            config: Cow::Borrowed(built_in::CONFIG),
            weights: WeightFiles::Single(Cow::Borrowed(built_in::WEIGHTS)),
            tokenizer: TokenizerFiles { json: Some(Cow::Borrowed(built_in::TOKENIZER)), ..TokenizerFiles::default() },
        }
    }
}

/// The bytes of a folder's `config.json`.
fn config_of(folder: &Path) -> Result<Bytes> {
    let cure = if folder.join("adapter_config.json").exists() {
        ADAPTER_CURE
    } else {
        "give the folder that `save_pretrained` of Hugging Face transformers wrote"
    };
    file::required(folder, "config.json", file::MOST_SETTINGS, cure)
}

impl Config {
    /// The configuration of the model in a folder, whose other files are not read.
    ///
    /// # Errors
    ///
    /// [`Error::MissingFolder`], [`Error::MissingFile`] or [`Error::Read`] if there is no `config.json` to read, and
    /// [`Error::Config`] if the model is not supported.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        if !folder.is_dir() {
            return Err(Error::MissingFolder { path: folder.into() });
        }
        Self::parse(&folder.display().to_string(), &config_of(folder)?)
    }
}

/// The hub id that the name of a model stands for, unless it is a folder.
#[cfg(feature = "hub")]
pub(crate) fn hub_id(folder_or_id: &str) -> Option<&str> {
    hub::id::resolve(folder_or_id).filter(|_| !Path::new(folder_or_id).exists())
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

    /// The SHA-256 of these files, in this order.
    pub(super) const DIGESTS: [[u8; 32]; 3] = include!(concat!(env!("OUT_DIR"), "/digests.rs"));
}

#[cfg(all(test, feature = "default-model"))]
mod tests {
    use half::f16;
    use safetensors::{Dtype, SafeTensors};

    use super::*;

    #[test]
    fn the_digests_of_the_built_in_model_are_those_of_its_files() {
        assert_eq!(ModelFolder::default_model().file_digests(), built_in::DIGESTS);
    }

    /// They are not checked when the model is loaded.
    #[test]
    fn the_weights_of_the_built_in_model_are_finite() {
        for (name, tensor) in SafeTensors::deserialize(built_in::WEIGHTS).unwrap().tensors() {
            assert_eq!(tensor.dtype(), Dtype::F16, "{name}");
            let (values, _) = tensor.data().as_chunks();
            assert!(values.iter().all(|value| f16::from_le_bytes(*value).is_finite()), "{name}");
        }
    }
}
