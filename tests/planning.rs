//! What the planner saves, told by counting forward passes.
//!
//! Each test has texts of its own, since the cache belongs to the process.

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::UInt64Type;
use arrow::util::pretty::pretty_format_batches;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::prelude::*;
use datafusion_emotion::EmotionExt;
use futures::StreamExt;
use tempfile::TempDir;

const PREFIXES: [&str; 6] = [
    "I am so happy and delighted",
    "I hate this, it makes me furious",
    "I am terrified and afraid",
    "I feel so sad and lonely",
    "I love her tenderly",
    "I was amazed and surprised",
];

/// `rows` rows of which each text occurs `repeats` times: `id`, `cheap` (one in ten), `ts`, `text`.
fn table(name: &str, rows: i64, repeats: i64) -> RecordBatch {
    let ids: ArrayRef = Arc::new((0..rows).collect::<Int64Array>());
    let cheap: ArrayRef = Arc::new((0..rows).map(|id| id % 10).collect::<Int64Array>());
    let ts: ArrayRef = Arc::new((0..rows).map(|id| (id * 7919) % rows).collect::<Int64Array>());
    let text = |id: i64| {
        let number = id % (rows / repeats);
        format!("{} {name} {number}", PREFIXES[usize::try_from(number).unwrap() % 6])
    };
    let texts: ArrayRef = Arc::new(StringArray::from_iter_values((0..rows).map(text)));
    RecordBatch::try_from_iter([("id", ids), ("cheap", cheap), ("ts", ts), ("text", texts)]).unwrap()
}

fn context() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(2);
    let state = SessionStateBuilder::new().with_config(config).with_default_features().with_emotion().build();
    SessionContext::new_with_state(state)
}

fn in_memory(name: &str, rows: i64, repeats: i64) -> SessionContext {
    let context = context();
    context.register_batch("t", table(name, rows, repeats)).unwrap();
    context
}

/// The table as a Parquet file, read with filters pushed into the scan or not.
async fn in_parquet(folder: &TempDir, name: &str, rows: i64, repeats: i64, pushdown: bool) -> Result<SessionContext> {
    let path = folder.path().join("t.parquet").display().to_string();
    let options = DataFrameWriteOptions::new().with_single_file_output(true);
    in_memory(name, rows, repeats).table("t").await?.write_parquet(&path, options, None).await?;
    let context = context();
    context.sql(&format!("SET datafusion.execution.parquet.pushdown_filters = {pushdown}")).await?;
    context.register_parquet("t", &path, ParquetReadOptions::default()).await?;
    Ok(context)
}

async fn run(context: &SessionContext, sql: &str) -> Result<usize> {
    Ok(context.sql(sql).await?.collect().await?.iter().map(RecordBatch::num_rows).sum())
}

async fn forward_passes(context: &SessionContext) -> u64 {
    let frame = context.sql("SELECT forward_passes FROM emotion_stats()").await.unwrap();
    frame.collect().await.unwrap()[0].column(0).as_primitive::<UInt64Type>().value(0)
}

/// The rows of a query's result, and the forward passes that it took.
async fn rows_and_passes(context: &SessionContext, sql: &str) -> (usize, u64) {
    let before = forward_passes(context).await;
    let rows = run(context, sql).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
    (rows, forward_passes(context).await - before)
}

async fn passes(context: &SessionContext, sql: &str) -> u64 {
    rows_and_passes(context, sql).await.1
}

async fn plan(context: &SessionContext, sql: &str) -> String {
    let frame = context.sql(&format!("EXPLAIN {sql}")).await.unwrap();
    pretty_format_batches(&frame.collect().await.unwrap()).unwrap().to_string()
}

const EVERYTHING: &str = "SELECT emotion_classify(text), emotion_score(text), emotion_scores(text)['joy'], \
     emotion_score(text, 'fear'), emotion_annotate(text)['tokens'] FROM t WHERE emotion_classify(text) = 'joy'";

#[tokio::test(flavor = "multi_thread")]
async fn each_distinct_text_is_inferred_once() -> Result<()> {
    let folder = TempDir::new()?;
    for pushdown in [false, true] {
        let context = in_parquet(&folder, &format!("once {pushdown}"), 300, 5, pushdown).await?;
        let (rows, inferred) = rows_and_passes(&context, EVERYTHING).await;
        assert!((20..250).contains(&rows), "{rows}");
        assert_eq!(inferred, 60, "{}", plan(&context, EVERYTHING).await);
        assert_eq!(passes(&context, EVERYTHING).await, 0, "they are remembered");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_as_well() -> Result<()> {
    let folder = TempDir::new()?;
    for pushdown in [false, true] {
        let context = in_parquet(&folder, "no cache", 60, 5, pushdown).await?;
        context.sql("SET emotion.cache_entries = 0").await?;
        assert_eq!(passes(&context, EVERYTHING).await, 12, "{}", plan(&context, EVERYTHING).await);
        let nested = "SELECT label, emotion_score(text) FROM (SELECT text, emotion_classify(text) AS label FROM t) AS s \
                      WHERE label = 'joy' ORDER BY emotion_score(text)";
        assert_eq!(passes(&context, nested).await, 12, "{}", plan(&context, nested).await);
        let grouped = "SELECT emotion_classify(text), avg(emotion_score(text)) FROM t GROUP BY 1 ORDER BY 2";
        assert_eq!(passes(&context, grouped).await, 12, "{}", plan(&context, grouped).await);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_cheap_predicate_drops_is_not_inferred() -> Result<()> {
    let folder = TempDir::new()?;
    for pushdown in [false, true] {
        for (at, predicate) in [
            "cheap < 5 AND emotion_classify(text) = 'joy'",
            "emotion_classify(text) = 'joy' AND cheap < 5",
            "emotion_score(text) > 0.1 AND cheap < 5 AND emotion_classify(text) <> 'love' AND id >= 0",
        ]
        .into_iter()
        .enumerate()
        {
            let context = in_parquet(&folder, &format!("cheap {pushdown} {at}"), 200, 1, pushdown).await?;
            let sql = format!("SELECT id FROM t WHERE {predicate}");
            assert_eq!(passes(&context, &sql).await, 100, "{}", plan(&context, &sql).await);
        }
        let context = in_parquet(&folder, &format!("outer {pushdown}"), 200, 1, pushdown).await?;
        let outer =
            "SELECT * FROM (SELECT id, cheap, emotion_classify(text) AS e FROM t) AS s WHERE cheap = 3 AND e = 'joy'";
        assert_eq!(passes(&context, outer).await, 20, "{}", plan(&context, outer).await);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_stops_inference_soon() {
    let context = in_memory("limited hits", 4000, 1);
    let sql = "SELECT id FROM t WHERE emotion_classify(text) = 'joy' LIMIT 10";
    let (rows, inferred) = rows_and_passes(&context, sql).await;
    assert_eq!(rows, 10);
    assert!(inferred < 300, "{inferred} of 4000: {}", plan(&context, sql).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_without_a_filter_infers_what_it_returns() -> Result<()> {
    let folder = TempDir::new()?;
    let context = in_parquet(&folder, "limited", 2000, 1, false).await?;
    for sql in [
        "SELECT id, emotion_classify(text) FROM t LIMIT 10",
        "SELECT emotion_labels(text) FROM t WHERE id >= 1500 LIMIT 10",
        "SELECT emotion_classify(text) FROM (SELECT text FROM t WHERE id >= 500) AS s LIMIT 10",
        "SELECT e FROM (SELECT id, emotion_classify(text) AS e FROM t WHERE id >= 1000) AS s LIMIT 10",
    ] {
        assert_eq!(rows_and_passes(&context, sql).await, (10, 10), "{sql}: {}", plan(&context, sql).await);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_that_keeps_ten_rows_goes_first() -> Result<()> {
    let folder = TempDir::new()?;
    for (at, sql) in [
        "SELECT emotion_classify(text) FROM t ORDER BY ts LIMIT 10",
        "SELECT id, emotion_classify(text) AS e, emotion_score(text) FROM t WHERE cheap < 8 ORDER BY ts DESC, id LIMIT 10",
        "SELECT * FROM (SELECT id, ts, emotion_classify(text) AS e FROM t) AS s ORDER BY ts LIMIT 10",
        "SELECT e FROM (SELECT id AS i, ts AS time, emotion_classify(text) AS e FROM t) AS s ORDER BY time LIMIT 10",
    ]
    .into_iter()
    .enumerate()
    {
        let context = in_parquet(&folder, &format!("sorted {at}"), 500, 1, false).await?;
        assert_eq!(rows_and_passes(&context, sql).await, (10, 10), "{sql}: {}", plan(&context, sql).await);
    }
    let context = in_parquet(&folder, "offset", 500, 1, false).await?;
    let offset = "SELECT emotion_classify(text) FROM t ORDER BY ts LIMIT 10 OFFSET 5";
    let (rows, inferred) = rows_and_passes(&context, offset).await;
    assert_eq!(rows, 10);
    assert!(inferred <= 15, "{inferred}: {}", plan(&context, offset).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sort_by_emotion_still_sorts() -> Result<()> {
    let context = in_memory("by score", 100, 1);
    let sql = "SELECT id, emotion_score(text, 'joy') AS joy FROM t ORDER BY joy DESC LIMIT 5";
    assert_eq!(rows_and_passes(&context, sql).await, (5, 100));
    let all = "SELECT max(emotion_score(text, 'joy')) = (SELECT max(joy) FROM (SELECT emotion_score(text, 'joy') AS joy \
               FROM t ORDER BY joy DESC LIMIT 5)) AS same FROM t";
    let same = context.sql(all).await?.collect().await?;
    assert!(same[0].column(0).as_boolean().value(0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn branches_infer_their_rows_alone() {
    let context = in_memory("branch", 100, 1);
    let sql = "SELECT CASE WHEN cheap = 0 THEN emotion_classify(text) ELSE 'none' END FROM t";
    assert_eq!(passes(&context, sql).await, 10);
    let context = in_memory("coalesce", 100, 1);
    let sql = "SELECT coalesce(CASE WHEN cheap > 0 THEN 'none' END, emotion_classify(text)) FROM t";
    assert_eq!(passes(&context, sql).await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_query() -> Result<()> {
    let folder = TempDir::new()?;
    let context = in_parquet(&folder, "kinds", 60, 3, false).await?;
    let expected = context.sql("SELECT id, emotion_classify(text) AS e FROM t ORDER BY id").await?.collect().await?;
    let expected = pretty_format_batches(&expected)?.to_string();
    for (setup, sql) in [
        ("CREATE VIEW v AS SELECT id, emotion_classify(text) AS e FROM t", "SELECT id, e FROM v ORDER BY id"),
        ("PREPARE p AS SELECT id, emotion_classify(text) AS e FROM t WHERE id >= $1 ORDER BY id", "EXECUTE p(0)"),
        ("CREATE TABLE m AS SELECT id, emotion_classify(text) AS e FROM t", "SELECT id, e FROM m ORDER BY id"),
        ("CREATE TABLE i (id BIGINT, e VARCHAR)", "SELECT id, e FROM i ORDER BY id"),
        ("INSERT INTO i SELECT id, emotion_classify(text) FROM t", "SELECT id, e FROM i ORDER BY id"),
        ("", "SELECT a.id, emotion_classify(b.text) AS e FROM t a JOIN t b ON a.id = b.id ORDER BY a.id"),
        (
            "",
            "SELECT a.id, b.e FROM t a JOIN (SELECT DISTINCT emotion_classify(text) AS e FROM t) b \
              ON emotion_classify(a.text) = b.e ORDER BY a.id",
        ),
        ("", "SELECT id, unnest([emotion_classify(text)]) AS e FROM t ORDER BY id"),
        (
            "",
            "SELECT id, first_value(emotion_classify(text)) OVER (PARTITION BY id ORDER BY emotion_score(text)) AS e \
              FROM t ORDER BY id",
        ),
        ("", "SELECT id, min(emotion_classify(text)) AS e FROM t GROUP BY id ORDER BY id"),
        (
            "",
            "SELECT id, emotion_classify(text) AS e FROM t WHERE emotion_classify(text) IN \
              (SELECT emotion_classify(text) FROM t) ORDER BY id",
        ),
        ("", "SELECT id, (SELECT max(emotion_classify(s.text)) FROM t s WHERE s.id = t.id) AS e FROM t ORDER BY id"),
        (
            "",
            "WITH w AS (SELECT * FROM t) SELECT id, emotion_classify(text) AS e FROM w WHERE EXISTS \
              (SELECT 1 FROM t x WHERE emotion_classify(x.text) = 'joy') ORDER BY id",
        ),
        (
            "",
            "SELECT id, e FROM (SELECT id, emotion_classify(text) AS e FROM t WHERE id < 30 UNION ALL \
              SELECT id, emotion_classify(text) FROM t WHERE id >= 30) u ORDER BY id",
        ),
        ("", "SELECT id, emotion_annotate(text)['label'] AS e FROM t ORDER BY id"),
    ] {
        if !setup.is_empty() {
            run(&context, setup).await.unwrap_or_else(|e| panic!("{setup}: {e}"));
        }
        if setup.starts_with("CREATE TABLE i ") {
            continue;
        }
        let batches = match context.sql(sql).await {
            Ok(frame) => frame.collect().await,
            Err(e) => Err(e),
        };
        let batches = batches.unwrap_or_else(|e| panic!("{sql}: {e}"));
        assert_eq!(pretty_format_batches(&batches)?.to_string(), expected, "{setup}; {sql}");
    }
    assert_eq!(forward_passes(&context).await, 20, "each distinct text once in all these queries");
    let out = folder.path().join("out.parquet").display().to_string();
    run(&context, &format!("COPY (SELECT id, emotion_classify(text) AS e FROM t ORDER BY id) TO '{out}'")).await?;
    let copied = context.read_parquet(&out, ParquetReadOptions::default()).await?.sort_by(vec![col("id")])?;
    assert_eq!(pretty_format_batches(&copied.collect().await?)?.to_string(), expected);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_windows_and_sets() {
    let context = in_memory("groups", 60, 3);
    for sql in [
        "SELECT emotion_classify(text), cheap % 2, count(*) FROM t GROUP BY CUBE (emotion_classify(text), cheap % 2)",
        "SELECT count(*) FILTER (WHERE emotion_classify(text) = 'joy'), array_agg(id ORDER BY emotion_score(text)) FROM t",
        "SELECT emotion_classify(text) AS e FROM t GROUP BY e HAVING avg(emotion_score(text)) > 0 ORDER BY count(*)",
        "SELECT DISTINCT emotion_classify(text) FROM t",
        "SELECT rank() OVER (PARTITION BY emotion_classify(text) ORDER BY emotion_score(text) DESC) FROM t",
    ] {
        let (rows, _) = rows_and_passes(&context, sql).await;
        assert!(rows > 0, "{sql}");
    }
    assert_eq!(forward_passes(&context).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn functions_of_models_are_extracted_too() -> Result<()> {
    let context = in_memory("functions", 60, 3);
    let model = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/gelu-json");
    let model = model.display();
    run(&context, &format!("CREATE FUNCTION s(STRING) RETURNS STRING LANGUAGE DISTILBERT AS '{model}'")).await?;
    run(&context, &format!("CREATE FUNCTION c(STRING) RETURNS REAL LANGUAGE DISTILBERT AS '{model}'")).await?;
    run(&context, "SET emotion.cache_entries = 0").await?;
    let sql = "SELECT s(text), c(text), emotion_scores(text, 's') FROM t WHERE s(text) IS NOT NULL AND cheap < 100";
    assert_eq!(rows_and_passes(&context, sql).await, (60, 20), "{}", plan(&context, sql).await);
    run(&context, &format!("CREATE FUNCTION l(STRING) RETURNS STRING[] LANGUAGE DISTILBERT AS '{model}'")).await?;
    let sql =
        "SELECT l(text), emotion_labels(text, 's'), s(text) FROM t WHERE cardinality(emotion_labels(text, 's')) > 0";
    assert_eq!(rows_and_passes(&context, sql).await, (60, 20), "{}", plan(&context, sql).await);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn explain_analyze_shows_what_was_done() -> Result<()> {
    let context = in_memory("explained", 60, 3);
    let sql = "EXPLAIN ANALYZE SELECT emotion_classify(text) FROM t";
    let batches = context.sql(sql).await?.collect().await?;
    let plan = pretty_format_batches(&batches)?.to_string();
    let line = plan.lines().find(|line| line.contains("InferenceExec")).unwrap();
    for metric in ["forward_passes=20", "distinct_texts=20", "cache_hits=0", "tokens=", "inference_time="] {
        assert!(line.contains(metric), "{metric}: {line}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_query_stops_inferring() -> Result<()> {
    let context = in_memory("stopped", 20_000, 1);
    let mut stream = context.sql("SELECT emotion_classify(text) FROM t").await?.execute_stream().await?;
    assert!(stream.next().await.is_some());
    // While it is at work on the next rows.
    let _ = tokio::time::timeout(Duration::from_millis(30), stream.next()).await;
    drop(stream);
    let mut last = forward_passes(&context).await;
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let now = forward_passes(&context).await;
        if now == last {
            break;
        }
        last = now;
    }
    assert!(last < 10_000, "{last} of 20000");
    assert_eq!(run(&context, "SELECT emotion_classify('still well')").await?, 1);
    Ok(())
}

/// A large model takes seconds to load, in which other queries run and this one can be dropped.
#[tokio::test]
async fn models_are_loaded_by_the_stream() -> Result<()> {
    let (context, folder) = (in_memory("loaded", 4, 1), TempDir::new()?);
    for file in ["config.json", "model.safetensors", "tokenizer.json"] {
        let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/gelu-json");
        std::fs::copy(golden.join(file), folder.path().join(file))?;
    }
    let path = folder.path().display();
    run(&context, &format!("CREATE FUNCTION f(STRING) RETURNS STRING LANGUAGE DISTILBERT AS '{path}'")).await?;
    run(&context, "SET emotion.precision = 'int8'").await?;
    let plan = context.sql("SELECT f(text) FROM t").await?.create_physical_plan().await?;
    // In another precision, its files are read again.
    folder.close()?;
    let mut stream = datafusion::physical_plan::execute_stream(plan, context.task_ctx())?;
    assert!(stream.next().await.is_some_and(|batch| batch.is_err()));
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn other_work_goes_on_during_an_inference() -> Result<()> {
    let context = in_memory("starving", 1500, 1);
    let before = forward_passes(&context).await;
    let long = run(&context, "SELECT sum(emotion_score(text)) FROM t");
    let mut ticks = 0;
    let ticking = async {
        loop {
            tokio::time::sleep(Duration::from_millis(1)).await;
            run(&context, "SELECT 1").await.unwrap();
            ticks += 1;
        }
    };
    tokio::select! {
        rows = long => assert_eq!(rows?, 1),
        () = ticking => {}
    }
    assert_eq!(forward_passes(&context).await - before, 1500);
    assert!(ticks > 20, "the runtime's only thread came around {ticks} times");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn running_queries_keep_the_model_that_is_replaced() -> Result<()> {
    let context = in_memory("replaced", 1000, 1);
    let model = |name: &str| std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name);
    let create = |name| {
        format!(
            "CREATE OR REPLACE FUNCTION f(STRING) RETURNS STRING LANGUAGE DISTILBERT AS '{}'",
            model(name).display()
        )
    };
    run(&context, &create("gelu-json")).await?;
    let mut stream = context.sql("SELECT f(text) AS label FROM t").await?.execute_stream().await?;
    let first = stream.next().await.unwrap()?;
    run(&context, &create("relu-cased")).await?;
    let mut labels: Vec<String> = Vec::new();
    let mut collect = |batch: &RecordBatch| {
        labels.extend(batch.column(0).as_string::<i32>().iter().flatten().map(String::from));
    };
    collect(&first);
    while let Some(batch) = stream.next().await {
        collect(&batch?);
    }
    assert_eq!(labels.len(), 1000);
    assert!(labels.iter().all(|label| ["negative", "neutral", "positive"].contains(&label.as_str())));
    let replaced = context.sql("SELECT DISTINCT f(text) AS label FROM t").await?.collect().await?;
    let replaced: Vec<&str> = replaced.iter().flat_map(|batch| batch.column(0).as_string::<i32>()).flatten().collect();
    assert!(replaced.iter().all(|label| ["a", "b", "c", "d", "e"].contains(label)), "{replaced:?}");
    Ok(())
}

/// A session with the rule of the planner and one without it, over the same tables.
fn planned_and_plain() -> Result<[SessionContext; 2]> {
    let config = SessionConfig::new().with_target_partitions(4);
    let state = SessionStateBuilder::new().with_config(config.clone()).with_default_features().with_emotion().build();
    let planned = SessionContext::new_with_state(state);
    let mut plain = SessionContext::new_with_config(config);
    datafusion_emotion::register_all(&mut plain)?;
    for context in [&planned, &plain] {
        context.register_batch("t", table("same", 50_000, 50_000 / 60))?;
        context.register_batch("u", table("same", 60, 1))?;
    }
    Ok([planned, plain])
}

#[tokio::test(flavor = "multi_thread")]
async fn planning_changes_no_result() -> Result<()> {
    let [planned, plain] = planned_and_plain()?;
    for (sql, ordered) in [
        ("SELECT id, emotion_classify(text), emotion_score(text) FROM t ORDER BY ts LIMIT 30000", true),
        ("SELECT id, emotion_classify(text) FROM t ORDER BY cheap DESC, ts LIMIT 20 OFFSET 12000", true),
        ("SELECT emotion_classify(text) AS e, id FROM t WHERE cheap < 3 ORDER BY e, id DESC LIMIT 7", true),
        ("SELECT id FROM t WHERE emotion_classify(text) = 'joy' ORDER BY ts LIMIT 25", true),
        (
            "SELECT id, emotion_score(text) AS s FROM t WHERE emotion_classify(text) <> 'joy' ORDER BY s, id LIMIT 9",
            true,
        ),
        (
            "SELECT e, count(*) FROM (SELECT emotion_classify(text) AS e FROM t ORDER BY ts LIMIT 12000) GROUP BY e",
            false,
        ),
        ("SELECT DISTINCT ON (e) emotion_classify(text) AS e, id FROM t ORDER BY e, id", true),
        (
            "SELECT a.id, emotion_classify(a.text) FROM u a LEFT JOIN u b ON a.id = b.id + 30 AND emotion_classify(a.text) = emotion_classify(b.text)",
            false,
        ),
        (
            "SELECT a.id FROM u a WHERE NOT EXISTS (SELECT 1 FROM u b WHERE emotion_classify(b.text) = emotion_classify(a.text) AND b.id < a.id)",
            false,
        ),
        (
            "SELECT a.e, b.e, count(*) FROM (SELECT emotion_classify(text) AS e, cheap FROM u) a, (SELECT emotion_classify(text) AS e, cheap FROM u) b WHERE a.cheap = b.cheap GROUP BY 1, 2",
            false,
        ),
        (
            "SELECT emotion_classify(text) AS e FROM u WHERE cheap < 3 INTERSECT SELECT emotion_classify(text) FROM u WHERE cheap > 5",
            false,
        ),
        (
            "SELECT emotion_classify(text), cheap, count(*) FROM t GROUP BY ROLLUP (emotion_classify(text), cheap)",
            false,
        ),
        (
            "SELECT id, sum(emotion_score(text)) OVER (PARTITION BY emotion_classify(text) ORDER BY id ROWS 2 PRECEDING) FROM u",
            false,
        ),
        (
            "SELECT * FROM (SELECT id, row_number() OVER (PARTITION BY emotion_classify(text) ORDER BY emotion_score(text), id) AS n FROM u) WHERE n <= 2",
            false,
        ),
        (
            "SELECT upper(emotion_classify(text)) || '!' AS e, count(DISTINCT cheap) FROM t GROUP BY upper(emotion_classify(text)) || '!'",
            false,
        ),
        ("SELECT CASE emotion_classify(text) WHEN 'joy' THEN emotion_score(text, 'joy') ELSE -1 END FROM u", false),
        ("SELECT id FROM u WHERE emotion_classify(text) = 'joy' OR cheap = 3", false),
        ("SELECT id FROM u WHERE NOT (emotion_classify(text) = 'joy' AND cheap = 3)", false),
        ("SELECT emotion_classify(upper(text)), emotion_classify(text || '!') FROM u", false),
        (
            "SELECT s.e, s.text FROM (SELECT text, emotion_classify(text) AS e FROM u UNION SELECT text, 'none' FROM u) s WHERE s.e IN ('joy', 'none')",
            false,
        ),
        ("SELECT text AS emotion, emotion_classify(text) AS text FROM u", false),
        ("SELECT emotion_annotate(text) AS \"emotion_annotate(u.text)\", emotion_classify(text) FROM u", false),
        (
            "SELECT \"emotion_annotate(v.text)\", emotion_classify(text) FROM (SELECT text, id AS \"emotion_annotate(v.text)\" FROM u) v",
            false,
        ),
        (
            "WITH RECURSIVE r AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT n, emotion_classify(u.text) FROM r JOIN u ON r.n = u.id",
            false,
        ),
        (
            "SELECT emotion_classify(text) FROM u WHERE id = (SELECT max(id) FROM u WHERE emotion_classify(text) = 'fear')",
            false,
        ),
        ("SELECT count(*) FROM u HAVING min(emotion_classify(text)) = 'anger'", false),
        ("SELECT emotion_classify(text) FROM u WHERE false", false),
        ("SELECT id, unnest(emotion_labels(text)) FROM u WHERE array_has(emotion_labels(text), 'joy')", false),
        ("SELECT emotion_labels(text) AS l, emotion_annotate(text)['label'], count(*) FROM t GROUP BY 1, 2", false),
        ("SELECT e FROM (SELECT emotion_classify(text) AS e, unnest([1, 2]) AS n FROM u) WHERE n = 2", false),
        (
            "SELECT a.e FROM (SELECT id, emotion_classify(text) AS e FROM u) a FULL JOIN (SELECT id FROM u WHERE cheap = 1) b USING (id) WHERE a.e = 'joy'",
            false,
        ),
    ] {
        let [ours, theirs] = [rows(&planned, sql, ordered).await?, rows(&plain, sql, ordered).await?];
        assert_eq!(ours, theirs, "{sql}: {}", plan(&planned, sql).await);
    }
    Ok(())
}

/// The annotations of many calls are fields of groups; one text is NULL in some rows.
#[tokio::test(flavor = "multi_thread")]
async fn groups_of_annotations_change_no_result() -> Result<()> {
    let [planned, plain] = planned_and_plain()?;
    let calls = (0..20).map(|number| {
        let text = format!("CASE WHEN id > {number} THEN text || '{number}' END");
        format!(
            "emotion_classify({text}), emotion_score({text}, 'joy'), emotion_labels({text}), emotion_annotate({text})"
        )
    });
    let many = format!("SELECT id, {} FROM u WHERE id < 40", calls.collect::<Vec<_>>().join(", "));
    assert_eq!(rows(&planned, &many, false).await?, rows(&plain, &many, false).await?);
    Ok(())
}

/// A plan is as deep for thousands of calls as for a few, so that neither planning nor execution exhausts the stack.
#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_calls_have_a_flat_plan() -> Result<()> {
    let context = in_memory("many", 4, 4);
    let depth = |plan: &str| plan.matches("InferenceExec").count();
    let list = |calls: usize, of: &dyn Fn(usize) -> String| (0..calls).map(of).collect::<Vec<_>>();
    let distinct = |number: usize| format!("emotion_classify(concat(text, '{number}'))");
    for calls in [10, 1000] {
        let select = list(calls, &|number| format!("{} AS c{number}", distinct(number))).join(", ");
        let select = format!("SELECT {select} FROM t WHERE id < 0");
        assert_eq!(run(&context, &select).await?, 0);
        assert_eq!(depth(&plan(&context, &select).await), 1);
    }
    // DataFusion finds each column of a projection by comparing its name with all names of the input.
    let select = list(200, &|number| format!("{} AS c{number}", distinct(number))).join(", ");
    let columns = columns_of_inference(&context, &format!("SELECT {select} FROM t")).await?;
    assert!(columns < 20, "{columns} columns");
    // DataFusion's time for a conjunction is quadratic.
    for calls in [10, 200] {
        let all = list(calls, &|number| format!("{} <> 'x'", distinct(number))).join(" AND ");
        let filter = format!("SELECT id FROM t WHERE id < 0 AND {all}");
        assert_eq!(run(&context, &filter).await?, 0);
        assert_eq!(depth(&plan(&context, &filter).await), 8);
    }
    let repeated = list(1000, &|number| format!("emotion_classify(text || '{}') AS c{number}", number % 3));
    assert_eq!(rows_and_passes(&context, &format!("SELECT {} FROM t", repeated.join(", "))).await, (4, 3));
    Ok(())
}

/// The number of columns of the inference in the plan of a query.
async fn columns_of_inference(context: &SessionContext, sql: &str) -> Result<usize> {
    let mut plan = context.sql(sql).await?.create_physical_plan().await?;
    while plan.name() != "InferenceExec" {
        let child = Arc::clone(plan.children()[0]);
        plan = child;
    }
    Ok(plan.schema().fields().len())
}

/// The annotations of a query below another are used again, also where many are let through at once.
#[tokio::test(flavor = "multi_thread")]
async fn columns_are_let_through_together() {
    for count in [5, 40] {
        let context = in_memory(&format!("let through {count}"), 40, 4);
        let calls: Vec<String> =
            (0..count).map(|number| format!("emotion_classify(text || '{number}') AS c{number}")).collect();
        let inner = format!("SELECT id AS i, text, {} FROM t WHERE id >= 0", calls.join(", "));
        let again: Vec<String> = (0..count + 2).map(|number| format!("emotion_score(text || '{number}')")).collect();
        let sql = format!("SELECT i, c0, {} FROM ({inner}) AS s WHERE c1 <> 'x' LIMIT 40", again.join(", "));
        let (rows, inferred) = rows_and_passes(&context, &sql).await;
        assert_eq!((rows, inferred), (40, 10 * (count + 2)), "{}", plan(&context, &sql).await);
        assert_eq!(plan(&context, &sql).await.matches("InferenceExec").count(), 2, "{}", plan(&context, &sql).await);
    }
}

/// A query that reads everything classifies whole batches; one that may stop early begins with few rows.
#[tokio::test(flavor = "multi_thread")]
async fn only_what_may_stop_early_begins_with_few_rows() -> Result<()> {
    let context = in_memory("first rows", 1000, 1);
    let label = "emotion_classify(text) AS e";
    for sql in [
        format!("SELECT {label} FROM t"),
        format!("SELECT e, count(*) FROM (SELECT {label} FROM t) GROUP BY e"),
        format!("SELECT e, count(*) FROM (SELECT {label} FROM t) GROUP BY e LIMIT 3"),
        format!("SELECT id, {label} FROM t ORDER BY e LIMIT 3"),
        "SELECT id FROM t WHERE emotion_classify(text) = 'joy' ORDER BY id LIMIT 3".into(),
        "SELECT id FROM t WHERE emotion_classify(text) = 'joy'".into(),
    ] {
        let plan = plan(&context, &sql).await;
        assert!(plan.contains("InferenceExec") && !plan.contains("first_rows"), "{sql}: {plan}");
    }
    for sql in [
        "SELECT id FROM t WHERE emotion_classify(text) = 'joy' LIMIT 3".into(),
        format!("SELECT DISTINCT {label} FROM t LIMIT 3"),
        "SELECT id FROM (SELECT id, text FROM t ORDER BY ts LIMIT 500) WHERE emotion_classify(text) = 'joy' LIMIT 3"
            .into(),
    ] {
        let plan = plan(&context, &sql).await;
        assert!(plan.contains("first_rows=32"), "{sql}: {plan}");
    }
    let frame = context.sql(&format!("EXPLAIN ANALYZE SELECT {label} FROM t")).await?;
    let analyzed = pretty_format_batches(&frame.collect().await?)?.to_string();
    let line = analyzed.lines().find(|line| line.contains("InferenceExec")).unwrap();
    assert!(line.contains("output_batches=1,"), "{line}");
    Ok(())
}

/// The program has stacks of 256 and 16 MiB for chains of at most 2000 operators; those of a tenth of the operators fit a
/// tenth of the stacks.
#[test]
fn a_chain_of_calls_fits_the_stack() {
    let calls = (0..200).map(|number| format!("emotion_classify(concat(text, '{number}')) <> 'x'"));
    let sql = format!("SELECT id FROM t WHERE id < 0 AND {}", calls.collect::<Vec<_>>().join(" AND "));
    let query = move || {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.enable_all().thread_stack_size((16 << 20) / 10).build().unwrap();
        runtime.block_on(async { run(&in_memory("chain", 4, 4), &sql).await.unwrap() })
    };
    let planning = std::thread::Builder::new().stack_size((256 << 20) / 10).spawn(query).unwrap();
    assert_eq!(planning.join().unwrap(), 0);
}

/// The model of a later conjunct runs only over the rows that earlier ones keep.
#[tokio::test(flavor = "multi_thread")]
async fn a_conjunct_saves_those_after_it() {
    let context = in_memory("conjuncts", 60, 1);
    let sql = "SELECT id FROM t WHERE emotion_classify(text) = 'no label' AND emotion_classify(text || '!') = 'joy'";
    assert_eq!(rows_and_passes(&context, sql).await, (0, 60), "{}", plan(&context, sql).await);
}

/// Texts, tokens and predictions count against the memory of the session.
#[tokio::test(flavor = "multi_thread")]
async fn inference_reserves_memory() -> Result<()> {
    let limited = |bytes: usize| -> Result<SessionContext> {
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(bytes, 1.0).build_arc()?;
        let state = SessionStateBuilder::new().with_runtime_env(runtime).with_default_features().with_emotion().build();
        let context = SessionContext::new_with_state(state);
        context.register_batch("t", table("memory", 2000, 1))?;
        let long: ArrayRef = Arc::new(StringArray::from(vec!["I like you so much. ".repeat(50_000)]));
        context.register_batch("long", RecordBatch::try_from_iter([("text", long)])?)?;
        Ok(context)
    };
    let sql = "SELECT emotion_classify(text) FROM t";
    let error = run(&limited(10_000)?, sql).await.unwrap_err().to_string();
    assert!(error.contains("InferenceExec[0]") && error.contains("Resources exhausted"), "{error}");
    let context = limited(2_000_000)?;
    assert_eq!(run(&context, sql).await?, 2000);
    run(&context, "SET emotion.long_text = 'window'").await?;
    let error = run(&limited(500_000)?, "SELECT emotion_classify(text) FROM long").await.unwrap_err().to_string();
    assert!(error.contains("Resources exhausted"), "{error}");
    assert_eq!(context.runtime_env().memory_pool.reserved(), 0);
    Ok(())
}

/// The rows of a query's result, sorted where SQL does not say their order.
async fn rows(context: &SessionContext, sql: &str, ordered: bool) -> Result<Vec<String>> {
    let frame = context.sql(sql).await.map_err(|e| e.context(sql.to_string()))?;
    let batches = frame.collect().await.map_err(|e| e.context(sql.to_string()))?;
    let mut rows: Vec<String> =
        pretty_format_batches(&batches)?.to_string().lines().skip(3).map(String::from).collect();
    if !ordered {
        rows.sort_unstable();
    }
    Ok(rows)
}
