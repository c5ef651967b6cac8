//! The scalar functions as [`ScalarUDF`]s, over the model that is built in.
//!
//! They heed the session's options. For another model take a function from the registry,
//! `ctx.udf("emotion_classify")`, or make it with [`functions_of`](crate::functions_of).
//!
//! ```
//! use datafusion::prelude::*;
//! use datafusion_emotion::udfs::emotion_classify_udf;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> datafusion::error::Result<()> {
//! let ctx = SessionContext::new();
//! ctx.register_udf(emotion_classify_udf().as_ref().clone());
//! let labels = ctx.sql("SELECT emotion_classify('I miss her so much.')").await?;
//! assert_eq!(labels.count().await?, 1);
//! # Ok(())
//! # }
//! ```

use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::ScalarUDF;

use crate::functions::text_function::TextFunction;
use crate::functions::{emotion_annotate, emotion_classify, emotion_labels, emotion_score, emotion_scores};
use crate::model::Model;
use crate::shared::Shared;

/// `emotion_classify(text [, model]) -> Utf8`: the most probable label of a text.
#[must_use]
pub fn emotion_classify_udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| built_in(emotion_classify::function));
    Arc::clone(&UDF)
}

/// `emotion_labels(text [, model]) -> List(Utf8)`: the labels of a text that hold, the most probable first.
#[must_use]
pub fn emotion_labels_udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| built_in(emotion_labels::function));
    Arc::clone(&UDF)
}

/// `emotion_score(text [, label] [, model]) -> Float32`: the probability of a label.
#[must_use]
pub fn emotion_score_udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| built_in(emotion_score::function));
    Arc::clone(&UDF)
}

/// `emotion_scores(text [, model]) -> Struct`: the probability of every label.
#[must_use]
pub fn emotion_scores_udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| built_in(emotion_scores::function));
    Arc::clone(&UDF)
}

/// `emotion_annotate(text [, model]) -> Struct`: label, score, scores, tokens and truncated.
#[must_use]
pub fn emotion_annotate_udf() -> Arc<ScalarUDF> {
    static UDF: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| built_in(emotion_annotate::function));
    Arc::clone(&UDF)
}

/// The five functions of this module.
#[must_use]
pub fn all() -> Vec<Arc<ScalarUDF>> {
    vec![
        emotion_classify_udf(),
        emotion_labels_udf(),
        emotion_score_udf(),
        emotion_scores_udf(),
        emotion_annotate_udf(),
    ]
}

/// The function over the model that is built in.
fn built_in(function: fn(&Arc<Shared>, &Arc<Model>) -> TextFunction) -> Arc<ScalarUDF> {
    static SHARED: LazyLock<Arc<Shared>> = LazyLock::new(Arc::default);
    Arc::new(function(&SHARED, &Model::built_in()).into())
}
