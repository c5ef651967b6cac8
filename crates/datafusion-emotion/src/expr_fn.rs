//! Builders of expressions for the DataFrame API, over the model that is built in.
//!
//! They heed the session's options, but for `emotion.model`. For another model take the function
//! from the registry: `ctx.udf("emotion_classify")?.call(vec![col("text")])`.
//!
//! ```
//! use datafusion::prelude::*;
//! use datafusion_emotion::expr_fn::{emotion_classify, emotion_score_of};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let df = dataframe!("text" => ["I miss her so much.", "This is outrageous!"])?;
//! let labels = df.select(vec![
//!     emotion_classify(col("text")).alias("emotion"),
//!     emotion_score_of(col("text"), lit("anger")).alias("anger"),
//! ])?;
//! assert_eq!(labels.count().await?, 2);
//! # Ok(())
//! # }
//! ```

use datafusion::logical_expr::Expr;

use crate::udfs::{
    emotion_annotate_udf, emotion_classify_udf, emotion_labels_udf, emotion_score_udf, emotion_scores_udf,
};

/// The most probable label of a text: `emotion_classify(text)`.
#[must_use]
pub fn emotion_classify(text: Expr) -> Expr {
    emotion_classify_udf().call(vec![text])
}

/// The labels of a text that hold, the most probable first, as a list: `emotion_labels(text)`.
#[must_use]
pub fn emotion_labels(text: Expr) -> Expr {
    emotion_labels_udf().call(vec![text])
}

/// The most probable label's probability: `emotion_score(text)`.
#[must_use]
pub fn emotion_score(text: Expr) -> Expr {
    emotion_score_udf().call(vec![text])
}

/// The probability of one label: `emotion_score(text, label)`.
#[must_use]
pub fn emotion_score_of(text: Expr, label: Expr) -> Expr {
    emotion_score_udf().call(vec![text, label])
}

/// The probability of every label of a text, as a struct: `emotion_scores(text)`.
#[must_use]
pub fn emotion_scores(text: Expr) -> Expr {
    emotion_scores_udf().call(vec![text])
}

/// Label, score, scores, tokens and truncated of a text, as a struct: `emotion_annotate(text)`.
#[must_use]
pub fn emotion_annotate(text: Expr) -> Expr {
    emotion_annotate_udf().call(vec![text])
}
