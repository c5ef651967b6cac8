//! Throughput through SQL in texts per second beside the classifier alone, over the same distinct texts in Parquet.
//!
//! `cargo bench --workspace --bench sql`. The ratio of `sql/select` to `sql/classifier` is what SQL costs, and the
//! difference of `few/select` and `few/classifier` is what it costs for a small table.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use datafusion::arrow::array::{ArrayRef, RecordBatch, StringArray};
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::{ParquetReadOptions, SessionContext};
use datafusion_emotion::EmotionExt;
use datafusion_emotion::emotion_classifier::Classifier;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const TEXTS: usize = 1024;
/// The rows of a small table.
const FEW: usize = 100;

/// Texts of 22 tokens, special tokens included.
fn texts() -> Vec<String> {
    let words = ["happy", "angry", "sad", "day", "friend", "work", "rain", "never", "love", "fear", "home"];
    let text = |text: usize| -> Vec<&str> {
        (0..20).map(|word| words[(text / 11_usize.pow(word % 3) + word as usize) % 11]).collect()
    };
    (0..TEXTS).map(|at| text(at).join(" ")).collect()
}

/// A session with the tables `texts` and `few`.
async fn session(folder: &TempDir, cache: bool) -> SessionContext {
    let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
    let context = SessionContext::new_with_state(state);
    let texts = texts();
    register(&context, folder, "few", texts[..FEW].to_vec()).await;
    register(&context, folder, "texts", texts).await;
    if !cache {
        context.sql("SET emotion.cache_entries = 0").await.expect("the option is there");
    }
    context
}

/// Writes texts to a Parquet file and registers it as a table.
async fn register(context: &SessionContext, folder: &TempDir, name: &str, texts: Vec<String>) {
    let path = folder.path().join(format!("{name}.parquet")).display().to_string();
    let column: ArrayRef = std::sync::Arc::new(StringArray::from(texts));
    let batch = RecordBatch::try_from_iter([("text", column)]).expect("a column is a batch");
    let frame = context.read_batch(batch).expect("a batch is a table");
    let single = DataFrameWriteOptions::new().with_single_file_output(true);
    frame.write_parquet(&path, single, None).await.expect("Parquet is written");
    context.register_parquet(name, &path, ParquetReadOptions::default()).await.expect("Parquet is read");
}

async fn run(context: &SessionContext, sql: &str) {
    let frame = context.sql(sql).await.expect("the query is planned");
    black_box(frame.collect().await.expect("the query runs"));
}

fn sql(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let folder = TempDir::new().expect("there is room for a folder");
    let uncached = runtime.block_on(session(&folder, false));
    let cached = runtime.block_on(session(&folder, true));
    let classifier = Classifier::default_model().expect("the built-in model loads");
    let texts = texts();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();

    let mut group = criterion.benchmark_group("sql");
    group.sample_size(10).throughput(Throughput::Elements(TEXTS as u64));
    group.bench_function("classifier", |bencher| {
        bencher.iter(|| black_box(classifier.request(&texts).cache(false).run().expect("texts are classified")));
    });
    for (name, context, query) in [
        ("select", &uncached, "SELECT emotion_classify(text) FROM texts"),
        ("group", &uncached, "SELECT emotion_classify(text), count(*) FROM texts GROUP BY 1"),
        ("remembered", &cached, "SELECT emotion_classify(text) FROM texts"),
    ] {
        group.bench_function(name, |bencher| bencher.iter(|| runtime.block_on(run(context, query))));
    }
    group.finish();

    let mut group = criterion.benchmark_group("few");
    group.throughput(Throughput::Elements(FEW as u64));
    group.bench_function("classifier", |bencher| {
        bencher.iter(|| black_box(classifier.request(&texts[..FEW]).cache(false).run().expect("texts are classified")));
    });
    let query = "SELECT emotion_classify(text) FROM few";
    group.bench_function("select", |bencher| bencher.iter(|| runtime.block_on(run(&uncached, query))));
    group.finish();
}

criterion_group!(benches, sql);
criterion_main!(benches);
