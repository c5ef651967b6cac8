//! A service that answers many queries concurrently, each in its own session.
//!
//! Run it from the root of the repository: `cargo run --example service`

use std::time::Duration;

use datafusion::arrow::util::pretty::pretty_format_batches;
use datafusion::common::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::*;
use datafusion_emotion::EmotionExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

const QUERIES: [&str; 4] = [
    "SELECT emotion_classify(text) AS emotion, count(*) AS texts FROM reviews GROUP BY 1 ORDER BY 2 DESC",
    "SELECT source, avg(emotion_score(text, 'anger')) AS anger FROM reviews GROUP BY 1 ORDER BY 2 DESC",
    "SELECT text FROM reviews WHERE emotion_classify(text) = 'surprise' ORDER BY text LIMIT 3",
    "SELECT emotion_score(text, 'jog') FROM reviews",
];

/// Answers one request in a new session, which shares tables, functions and models with `ctx`.
///
/// A query that takes too long is dropped; its inference ends at the next micro-batch.
async fn answer(ctx: &SessionContext, query: &str) -> Result<String> {
    let session = SessionContext::new_with_state(ctx.state());
    let batches = timeout(Duration::from_mins(1), async { session.sql(query).await?.collect().await }).await;
    let Ok(batches) = batches else { return Ok(format!("{query}\ntook more than a minute")) };
    Ok(format!("{query}\n{}", pretty_format_batches(&batches?)?))
}

#[tokio::main]
async fn main() -> Result<()> {
    let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
    let ctx = SessionContext::new_with_state(state);
    let reviews = concat!(env!("CARGO_MANIFEST_DIR"), "/../data/reviews.parquet");
    ctx.register_parquet("reviews", reviews, ParquetReadOptions::default()).await?;

    // All queries share one inference thread per core, and a text that several of them need at once is classified once.
    let mut requests = JoinSet::new();
    for query in QUERIES {
        let ctx = ctx.clone();
        requests.spawn(async move { answer(&ctx, query).await });
    }
    while let Some(request) = requests.join_next().await {
        match request.expect("no request panics") {
            Ok(answer) => println!("{answer}\n"),
            Err(error) => println!("error: {}\n", error.strip_backtrace()),
        }
    }
    Ok(())
}
