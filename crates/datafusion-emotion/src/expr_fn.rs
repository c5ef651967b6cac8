//! Builders of expressions for the DataFrame API, over the model that is built in.
//!
//! For a model of one's own, register it with [`register_all_with`](crate::register_all_with) and
//! take the function from the registry: `ctx.udf("emotion_classify")?.call(vec![col("text")])`.
//!
//! ```
//! use datafusion::prelude::*;
//! use datafusion_emotion::expr_fn::emotion_classify;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let df = dataframe!("text" => ["I miss her so much.", "This is outrageous!"])?;
//! let labels = df.select(vec![emotion_classify(col("text")).alias("emotion")])?;
//! assert_eq!(labels.count().await?, 2);
//! # Ok(())
//! # }
//! ```

use datafusion::logical_expr::{Expr, ScalarUDF};

use crate::model::Model;
use crate::{EmotionClassify, EmotionScores};

/// The most probable label of a text: `emotion_classify(text)`.
#[must_use]
pub fn emotion_classify(text: Expr) -> Expr {
    ScalarUDF::from(EmotionClassify::new(Model::Default)).call(vec![text])
}

/// The probability of every label of a text, as a struct: `emotion_scores(text)`.
#[must_use]
pub fn emotion_scores(text: Expr) -> Expr {
    ScalarUDF::from(EmotionScores::new(Model::Default)).call(vec![text])
}
