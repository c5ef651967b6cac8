//! Emotion classification of text in Apache DataFusion.
//!
//! | function | result |
//! |---|---|
//! | `emotion_classify(text)` | the most probable label, as `Utf8` |
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
pub mod expr_fn;
mod function_factory;
mod functions;
mod inference;
mod model;
mod options;
mod planner;
mod session;
mod text_column;
mod usage;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use emotion_classifier::Classifier;

#[cfg(feature = "proto")]
pub use codec::{EmotionLogicalCodec, EmotionPhysicalCodec};
pub use emotion_classifier;
pub use error::Error;
pub use functions::functions_of;
pub use options::EmotionOptions;
pub use planner::{InferencePlanner, annotated};
pub use session::EmotionExt;

use functions::scalar_udfs;
use model::Model;
use session::Session;

/// Registers the scalar functions of this crate, over the model that is built in.
///
/// The model is loaded when a query first needs it, once a process. There are no options, and
/// nothing of the planning that [`EmotionExt::with_emotion`] installs: a query that is stopped
/// finishes the record batch it is at, and every row of a batch is inferred.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let session = Arc::<Session>::default();
    register(registry, &session, session.models.built_in())
}

/// Registers the scalar functions of this crate, over a model of one's own.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use datafusion::prelude::SessionContext;
/// use datafusion_emotion::emotion_classifier::Classifier;
///
/// let classifier = Arc::new(Classifier::load("path/to/model")?);
/// let mut ctx = SessionContext::new();
/// datafusion_emotion::register_all_with(&mut ctx, classifier)?;
/// # Ok(())
/// # }
/// ```
pub fn register_all_with(registry: &mut dyn FunctionRegistry, classifier: Arc<Classifier>) -> Result<()> {
    register(registry, &Arc::default(), &Model::given("given", classifier))
}

fn register(registry: &mut dyn FunctionRegistry, session: &Arc<Session>, model: &Arc<Model>) -> Result<()> {
    for udf in scalar_udfs(session, model) {
        registry.register_udf(udf)?;
    }
    Ok(())
}
