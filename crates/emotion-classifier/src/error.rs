use std::path::PathBuf;

use crate::device::Device;
use crate::model_type::ModelType;
use crate::precision::{Precision, names};

/// The result of this crate's fallible functions.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a model could not be loaded or a text could not be classified. Each message says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The model folder does not exist, or is not a folder.
    #[error(
        "no model folder at '{}': give a folder that holds config.json, model.safetensors and \
         tokenizer.json (or vocab.txt), such as `save_pretrained` of Hugging Face transformers writes",
        path.display()
    )]
    MissingFolder {
        /// The path that was given.
        path: PathBuf,
    },

    /// A file that every model needs is not in the folder.
    #[error("the model at '{origin}' has no {file}: {cure}")]
    MissingFile {
        /// The folder or hub id.
        origin: String,
        /// The file's name.
        file: &'static str,
        /// What to do about it.
        cure: &'static str,
    },

    /// A file exists but could not be read.
    #[error("cannot read '{}': {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },

    /// A file of the model is a Git LFS pointer: the repository was cloned without Git LFS.
    #[error(
        "'{}' is a Git LFS pointer, not the file itself: run `git lfs install` and `git lfs pull` in the folder, or \
         download the file",
        path.display()
    )]
    GitLfsPointer {
        /// The file.
        path: PathBuf,
    },

    /// `config.json` is malformed, or describes a model that is not supported.
    #[error("config.json of the model at '{origin}': {reason}")]
    Config {
        /// The folder or hub id.
        origin: String,
        /// What is wrong, and the cure.
        reason: String,
    },

    /// The tokenizer's files are malformed or do not fit the model.
    #[error("tokenizer of the model at '{origin}': {reason}")]
    Tokenizer {
        /// The folder or hub id.
        origin: String,
        /// What is wrong, and the cure.
        reason: String,
    },

    /// The files of the weights are malformed or do not fit `config.json`.
    #[error("weights of the model at '{origin}': {reason}")]
    Weights {
        /// The folder or hub id.
        origin: String,
        /// What is wrong, and the cure.
        reason: String,
    },

    /// `max_length` is outside the range that the model takes.
    #[error("max_length {given} is out of range: this model takes from {least} to {most} tokens")]
    MaxLength {
        /// The requested length in tokens.
        given: usize,
        /// The least length: the special tokens and one token of text.
        least: usize,
        /// The lesser of [`Config::max_tokens`](crate::Config::max_tokens) and the tokenizer's `model_max_length`.
        most: usize,
    },

    /// The threshold is no probability.
    #[error("threshold {0} is out of range: it must be a probability from 0 to 1")]
    Threshold(f32),

    /// A model could not be loaded from the hub.
    #[error("cannot load '{id}' from the Hugging Face hub: {reason}")]
    Hub {
        /// The hub id.
        id: String,
        /// What is wrong, and the cure.
        reason: String,
    },

    /// The request was cancelled before it was complete.
    #[error("the classification was cancelled")]
    Cancelled,

    /// The requested threads could not be started.
    #[error("cannot start threads: {0}; ask for fewer")]
    Threads(String),

    /// The files of a model have changed since it was first loaded.
    #[error("the files of the model at '{origin}' have changed since it was loaded: load it again under its name")]
    Changed {
        /// The folder or hub id.
        origin: String,
    },

    /// A text could not be tokenized, or has a token for which the model has no embedding.
    #[error("cannot tokenize a text: {0}")]
    Tokenize(String),

    /// The logits of a text are infinite or not a number.
    #[error(
        "the model at '{origin}' computes logits that are not finite: its weights overflow float32, so they are damaged \
         or the training diverged; copy or download them again, or use another checkpoint"
    )]
    NotFinite {
        /// The folder or hub id.
        origin: String,
    },

    /// The forward pass failed.
    #[error("the forward pass failed: {0}")]
    Forward(String),

    /// The backend cannot compute the model, or is not in this build.
    #[error("the {backend} backend {reason}")]
    Backend {
        /// The backend's name.
        backend: &'static str,
        /// What it lacks, and the cure.
        reason: String,
    },

    /// The device cannot be used.
    #[error("cannot compute on '{device}': {reason}")]
    Device {
        /// The requested device.
        device: Device,
        /// What is missing, and the cure.
        reason: String,
    },

    /// The backend does not compute the architecture in the requested precision on the requested device.
    #[error(
        "the {backend} backend does not compute {model_type} in {precision} on '{device}': choose {}",
        names(supported)
    )]
    Precision {
        /// The backend's name.
        backend: &'static str,
        /// The architecture.
        model_type: ModelType,
        /// The requested precision.
        precision: Precision,
        /// The requested device.
        device: Device,
        /// What it computes in there.
        supported: &'static [Precision],
    },
}
