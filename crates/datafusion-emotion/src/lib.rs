//! Emotion classification of text in Apache DataFusion.
//!
//! | function | result |
//! |---|---|
//! | `emotion_classify(text)` | the most probable label, as `Utf8` |
//! | `emotion_labels(text)` | the labels that hold, the most probable first, as a list of `Utf8` |
//! | `emotion_score(text)`, `emotion_score(text, label)` | that label's probability, as `Float32` |
//! | `emotion_scores(text)` | a struct with the probability of every label |
//! | `emotion_annotate(text)` | a struct of label, score, scores, tokens and truncated |
//! | `emotion_models()`, `emotion_stats()` | tables of the models, and of what was done |
//!
//! Text may be `Utf8`, `LargeUtf8`, `Utf8View`, or a dictionary of one of them. NULL gives NULL,
//! and `''` is a text like any other. The functions are immutable: a row's result has the same
//! bits whatever its batch, partition or neighbours, and a literal is folded when the query is
//! planned. A text that this process has seen is looked up, not inferred again.
//!
//! [`EmotionExt::with_emotion`] installs everything into a session; [`register_all`] adds just the
//! scalar functions to any registry, and [`functions_of`] makes functions that carry their options.
//!
//! ```
//! use datafusion::execution::SessionStateBuilder;
//! use datafusion::prelude::*;
//! use datafusion_emotion::EmotionExt;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
//! let ctx = SessionContext::new_with_state(state);
//! let batches = ctx.sql("SELECT emotion_classify('I am so happy for you!') AS e").await?.collect().await?;
//! let labels = batches[0].column(0);
//! assert_eq!(arrow::util::display::array_value_to_string(labels, 0)?, "joy");
//! # Ok(())
//! # }
//! ```

mod annotation;
#[cfg(feature = "proto")]
mod codec;
mod error;
#[cfg(feature = "default-model")]
pub mod expr_fn;
mod function_factory;
mod functions;
mod inference;
mod install;
mod model;
mod options;
mod planner;
mod shared;
mod text_column;
#[cfg(feature = "default-model")]
pub mod udfs;
mod usage;

#[cfg(feature = "proto")]
pub use codec::{EmotionLogicalCodec, EmotionPhysicalCodec};
pub use emotion_classifier;
pub use error::Error;
pub use functions::functions_of;
#[cfg(feature = "default-model")]
pub use install::register_all;
pub use install::{EmotionExt, register_all_with};
pub use options::EmotionOptions;
pub use planner::inference_exec::annotated;
pub use planner::query_planner::InferencePlanner;
