//! DistilBERT sequence classification on the CPU: texts in, labels and probabilities out.
//!
//! A [`Classifier`] loads any `DistilBertForSequenceClassification` model in Hugging Face layout
//! from a folder, from the hub (feature `hub`), or from this crate itself (feature
//! `default-model`: six emotions). It gives the answer that Hugging Face `transformers` gives,
//! and gives a text the same bits whatever texts stand beside it.
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
//! The way of a text: [`Classifier`] → [`TextCache`] → tokenizer → packed micro-batches ([`Batch`]) → [`Encoder`]
//! → classification head → [`Prediction`].

mod ascii;
mod batch;
mod cache;
mod classifier;
mod config;
mod encoder;
mod error;
mod head;
#[cfg(feature = "hub")]
mod hub;
mod linear;
mod model_files;
mod options;
mod packed;
mod reference;
mod shared;
mod statistics;
mod team;
mod threads;
mod tokenizer;
mod weights;

pub use batch::Batch;
pub use cache::TextCache;
pub use classifier::{Classifier, ClassifierBuilder, Prediction};
pub use config::{Activation, Config, ProblemType};
pub use emotion_kernels::{Precision, UnknownPrecision};
pub use encoder::Encoder;
pub use error::{Error, Result};
pub use model_files::Origin;
pub use options::{ClassifyOptions, LongText};
pub use packed::PackedEncoder;
pub use reference::ReferenceEncoder;
pub use statistics::{Counts, Statistics};
pub use tokenizer::TokenIds;
pub use weights::Weights;
