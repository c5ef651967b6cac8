//! Embeds the emotion functions in a program, with SQL and with the `DataFrame` API.
//!
//! Run it from the root of the repository: `cargo run --example embed`

use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::functions::core::expr_ext::FieldAccessor;
use datafusion::functions_aggregate::expr_fn::count;
use datafusion::prelude::*;
use datafusion_emotion::EmotionExt;
use datafusion_emotion::expr_fn::{emotion_classify, emotion_scores};

#[tokio::main]
async fn main() -> Result<()> {
    let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
    let ctx = SessionContext::new_with_state(state);
    let reviews = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/reviews.parquet");
    ctx.register_parquet("reviews", reviews, ParquetReadOptions::default()).await?;

    println!("With SQL: which emotions does each source express?");
    ctx.sql(
        "SELECT source, emotion_classify(text) AS emotion, count(*) AS texts
         FROM reviews
         WHERE text IS NOT NULL
         GROUP BY source, emotion
         ORDER BY source, texts DESC",
    )
    .await?
    .show()
    .await?;

    println!("With the DataFrame API: the same for all sources, and the angriest texts.");
    let reviews = ctx.table("reviews").await?.filter(col("text").is_not_null())?;
    reviews
        .clone()
        .aggregate(vec![emotion_classify(col("text")).alias("emotion")], vec![count(lit(1)).alias("texts")])?
        .sort(vec![col("texts").sort(false, false)])?
        .show()
        .await?;
    reviews
        .select(vec![emotion_scores(col("text")).field("anger").alias("anger"), col("text")])?
        .distinct()?
        .sort(vec![col("anger").sort(false, false)])?
        .show_limit(5)
        .await
}
