//! The time to plan a query of many calls over distinct texts, beside the same query with `upper`.
//!
//! `cargo bench --workspace --bench planning`. The overhead of a call should not depend on the number of calls.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::SessionContext;
use datafusion_emotion::EmotionExt;
use tokio::runtime::Runtime;

async fn session() -> SessionContext {
    let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
    let context = SessionContext::new_with_state(state);
    let table = "CREATE TABLE t AS SELECT 'I like you.' AS text";
    context.sql(table).await.expect("the statement is planned").collect().await.expect("the table is created");
    context
}

async fn plan(context: &SessionContext, sql: &str) {
    let frame = context.sql(sql).await.expect("the query is valid");
    black_box(frame.create_physical_plan().await.expect("the query is planned"));
}

fn planning(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime starts");
    let context = runtime.block_on(session());
    let mut group = criterion.benchmark_group("planning");
    group.sample_size(10);
    for calls in [100_u64, 1000, 3000] {
        group.throughput(Throughput::Elements(calls));
        for function in ["upper", "emotion_classify"] {
            let select: Vec<String> =
                (0..calls).map(|number| format!("{function}(concat(text, '{number}')) AS c{number}")).collect();
            let sql = format!("SELECT {} FROM t", select.join(", "));
            group.bench_with_input(BenchmarkId::new(function, calls), &sql, |bencher, sql| {
                bencher.iter(|| runtime.block_on(plan(&context, sql)));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, planning);
criterion_main!(benches);
