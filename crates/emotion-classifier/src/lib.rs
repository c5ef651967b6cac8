//! Text classification with BERT-family models and, with the feature `candle`, `ModernBERT` and `DeBERTa`: texts in,
//! labels and probabilities out.
//!
//! A [`Classifier`] loads sequence classifiers in Hugging Face layout ([`ModelType`] lists the architectures) from
//! a folder, from the hub (feature `hub`), or from this crate itself (feature
//! `default-model`: six emotions). Its predictions are those of Hugging Face `transformers`, and,
//! on the CPU, the prediction of a text has the same bits whatever other texts are classified with it.
//!
//! ```no_run
//! use emotion_classifier::Classifier;
//!
//! # fn main() -> emotion_classifier::Result<()> {
//! let classifier = Classifier::load("path/to/model")?;
//! for prediction in classifier.classify(&["I like you.", "Go away!"])? {
//!     println!("{} {:.3}", prediction.label, prediction.score);
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # The path of a text
//!
//! 1. `request`: a [`ClassifyRequest`] collects texts and options. Equal texts are classified once.
//! 2. `cache`: predictions in the [`TextCache`] are returned from there.
//! 3. `tokenizer`: the other texts become token ids, by the `tokenizers` library or, for ASCII
//!    texts, by a fast path with the same ids. Texts above `max_length` are truncated or split
//!    into windows, as [`LongText`] says.
//! 4. `batch`: sequences of similar lengths are packed end to end into micro-batches, without
//!    padding. `threads` and `team` share them among the threads of a rayon pool.
//! 5. `backends`: the forward pass, packed token ids in and logits out. `packed` runs the kernels
//!    of `emotion-kernels` over the tensors that `architectures` maps onto a common layout;
//!    `candle` (feature `candle`) has more architectures, runs on GPUs, and is the reference of `packed` in tests.
//!    A [`Compute`] chooses between them.
//! 6. `prediction`: logits become probabilities and a [`Prediction`], which the cache keeps.
//!
//! A model is loaded from a `folder` (or the `hub`), whose files are read as `transformers` reads them; it is described
//! by its `config`, and its `weights` are read and checked once; `shared` lets equal models of a process share one [`Classifier`].
//!
//! # Features
//!
//! None is on by default.
//!
//! - `default-model`: embeds the default model, for [`Classifier::default_model`](Classifier).
//! - `hub`: loads models from the Hugging Face hub by id.
//! - `candle`: the candle backend, which adds `ModernBERT` and `DeBERTa`; and `pytorch_model.bin`, a pickle, which is read
//!   without executing anything: an object that is not a tensor is an error.
//! - `cuda`: the candle backend on an NVIDIA GPU. The build needs the CUDA toolkit.
//! - `metal`: the candle backend on an Apple GPU. It was not compiled or measured for this release.
//! - `accelerate`, `mkl`: the candle backend with Apple's or Intel's matrix products on the CPU, which were not compiled
//!   or measured either.

#![warn(missing_debug_implementations)]

mod architectures;
mod backends;
mod batch;
mod cache;
mod classifier;
mod compute;
mod config;
mod device;
mod error;
mod file;
mod folder;
#[cfg(feature = "hub")]
mod hub;
mod inference;
mod model_type;
mod options;
mod precision;
mod prediction;
mod request;
mod shared;
mod statistics;
mod team;
mod threads;
mod tokenizer;
mod weights;

pub use cache::TextCache;
pub use classifier::{Classifier, ClassifierBuilder};
pub use compute::{BackendChoice, Compute, UnknownBackend};
pub use config::{Activation, Config, ProblemType};
pub use device::{Device, UnknownDevice};
pub use emotion_kernels::Isa;
pub use error::{Error, Result};
pub use folder::Origin;
#[cfg(feature = "hub")]
pub use hub::cache::CachedModel;
#[cfg(feature = "hub")]
pub use hub::download::{Download, observe_downloads};
#[cfg(feature = "hub")]
pub use hub::{cached_folder, cached_models, is_hub_id, pull};
pub use model_type::ModelType;
pub use options::{ClassifyOptions, LongText, UnknownLongText};
pub use precision::{Precision, UnknownPrecision};
pub use prediction::{DEFAULT_THRESHOLD, Prediction};
pub use request::{ClassifyRequest, Predictions};
pub use statistics::{Counts, Statistics};
pub use tokenizer::TokenIds;
