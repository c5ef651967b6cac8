//! Emotion classification of text as Apache DataFusion scalar functions.
//!
//! | function | result |
//! |---|---|
//! | `emotion_classify(text)` | the most probable label, as `Utf8` |
//! | `emotion_scores(text)` | a struct with the probability of every label, as `Float32` |
//!
//! Text may be `Utf8`, `LargeUtf8`, `Utf8View`, or a dictionary of one of them. NULL gives NULL,
//! and `''` is a text like any other. Both functions are immutable: a row's result has the same
//! bits whatever its batch, partition or neighbours, and a literal is folded when the query is
//! planned. Within a record batch each distinct text is inferred once.
//!
//! ```
//! use datafusion::prelude::*;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let mut ctx = SessionContext::new();
//! datafusion_emotion::register_all(&mut ctx)?;
//! let batches = ctx.sql("SELECT emotion_classify('I am so happy for you!') AS e").await?.collect().await?;
//! let labels = batches[0].column(0);
//! assert_eq!(arrow::util::display::array_value_to_string(labels, 0)?, "joy");
//! # Ok(())
//! # }
//! ```

mod error;
pub mod expr_fn;
mod functions;
mod model;
mod text_column;

use std::sync::Arc;

use datafusion::error::Result;
use datafusion::execution::FunctionRegistry;
use distilbert::Classifier;

pub use distilbert;
pub use error::Error;
pub use functions::emotion_classify::EmotionClassify;
pub use functions::emotion_scores::EmotionScores;

use functions::scalar_udfs;
use model::Model;

/// Registers every function of this crate, over the model that is built in.
///
/// The model is loaded when a query first needs it, once a process.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    register(registry, &Model::Default)
}

/// Registers every function of this crate, over a model of one's own.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use std::sync::Arc;
/// use datafusion::prelude::SessionContext;
/// use datafusion_emotion::distilbert::Classifier;
///
/// let classifier = Arc::new(Classifier::load("path/to/model")?);
/// let mut ctx = SessionContext::new();
/// datafusion_emotion::register_all_with(&mut ctx, classifier)?;
/// # Ok(())
/// # }
/// ```
pub fn register_all_with(registry: &mut dyn FunctionRegistry, classifier: Arc<Classifier>) -> Result<()> {
    register(registry, &Model::Given(classifier))
}

fn register(registry: &mut dyn FunctionRegistry, model: &Model) -> Result<()> {
    for udf in scalar_udfs(model) {
        registry.register_udf(udf)?;
    }
    Ok(())
}
