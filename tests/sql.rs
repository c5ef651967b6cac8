//! The functions through SQL and the `DataFrame` API, registered without planner rules or options.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int32Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
};
use arrow::datatypes::{DataType, Float32Type, Int32Type};
use arrow::util::pretty::pretty_format_batches;
use datafusion::datasource::MemTable;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::*;
use datafusion_emotion::{EmotionExt, EmotionOptions, Error, expr_fn, functions_of};
use emotion_classifier::{BackendChoice, Classifier, Device, Precision};

const TEXTS: [Option<&str>; 6] = [
    Some("I am so happy for you!"),
    None,
    Some(""),
    Some("Go away, I hate you!"),
    Some("I am so happy for you!"),
    Some("I miss her so much, I cannot stop crying."),
];

fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(model)
}

fn context(partitions: usize) -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(partitions).with_information_schema(true);
    let mut context = SessionContext::new_with_config(config);
    datafusion_emotion::register_all(&mut context).unwrap();
    context
}

fn with_texts(column: ArrayRef) -> SessionContext {
    let context = context(2);
    let batch = RecordBatch::try_from_iter_with_nullable([("text", column, true)]).unwrap();
    context.register_batch("texts", batch).unwrap();
    context
}

async fn with_reviews(partitions: usize) -> Result<SessionContext> {
    let context = context(partitions);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/reviews.parquet");
    context.register_parquet("reviews", path.to_str().unwrap(), ParquetReadOptions::default()).await?;
    Ok(context)
}

async fn rows(context: &SessionContext, sql: &str) -> Result<RecordBatch> {
    let frame = context.sql(sql).await?;
    let schema = Arc::clone(frame.schema().inner());
    Ok(arrow::compute::concat_batches(&schema, &frame.collect().await?)?)
}

async fn error(context: &SessionContext, sql: &str) -> String {
    match context.sql(sql).await {
        Ok(_) => panic!("{sql} was planned"),
        Err(error) => error.to_string(),
    }
}

async fn optimized_plan(context: &SessionContext, sql: &str) -> Result<String> {
    Ok(context.sql(sql).await?.into_optimized_plan()?.display_indent().to_string())
}

fn labels(batch: &RecordBatch) -> Vec<Option<&str>> {
    batch.column(0).as_string::<i32>().iter().collect()
}

#[tokio::test]
async fn every_string_type_gives_the_same_labels() -> Result<()> {
    let dictionary: DictionaryArray<Int32Type> = TEXTS.into_iter().collect();
    let columns: [ArrayRef; 4] = [
        Arc::new(StringArray::from_iter(TEXTS)),
        Arc::new(LargeStringArray::from_iter(TEXTS)),
        Arc::new(StringViewArray::from_iter(TEXTS)),
        Arc::new(dictionary),
    ];
    let direct = Classifier::default_model().unwrap().classify(&TEXTS.map(Option::unwrap_or_default)).unwrap();
    let expected: Vec<_> =
        TEXTS.iter().zip(&direct).map(|(text, prediction)| text.map(|_| &*prediction.label)).collect();
    assert_eq!(expected[0], Some("joy"));
    assert_eq!(expected[1], None);
    assert_eq!(expected[3], Some("anger"));
    assert_eq!(expected[5], Some("sadness"));

    for column in columns {
        let data_type = column.data_type().clone();
        let context = with_texts(column);
        let sql = "SELECT emotion_classify(text) FROM texts";
        let batch = rows(&context, sql).await?;
        assert_eq!(batch.column(0).data_type(), &DataType::Utf8);
        assert_eq!(labels(&batch), expected, "{data_type}");
        let plan = optimized_plan(&context, sql).await?;
        assert!(!plan.contains("CAST"), "a needless cast of {data_type}: {plan}");
    }
    Ok(())
}

#[tokio::test]
async fn scores_are_a_struct_with_a_field_for_each_label() -> Result<()> {
    let context = with_texts(Arc::new(StringArray::from_iter(TEXTS)));
    let batch = rows(&context, "SELECT emotion_classify(text), emotion_scores(text) FROM texts").await?;
    let scores = batch.column(1).as_struct();
    assert_eq!(scores.column_names(), ["sadness", "joy", "love", "anger", "fear", "surprise"]);
    for (row, label) in labels(&batch).into_iter().enumerate() {
        let values: Vec<Option<f32>> = scores
            .columns()
            .iter()
            .map(AsArray::as_primitive::<Float32Type>)
            .map(|column| column.is_valid(row).then(|| column.value(row)))
            .collect();
        let Some(label) = label else {
            assert!(scores.is_null(row));
            assert_eq!(values, [None; 6]);
            continue;
        };
        let values: Vec<f32> = values.into_iter().flatten().collect();
        assert!((values.iter().sum::<f32>() - 1.0).abs() < 1e-5, "{values:?}");
        let best = (0..6).max_by(|&a, &b| values[a].total_cmp(&values[b])).unwrap();
        assert_eq!(scores.column_names()[best], label);
    }
    let joy = rows(&context, "SELECT emotion_scores(text)['joy'] AS joy FROM texts").await?;
    assert_eq!(joy.column(0).as_ref(), scores.column_by_name("joy").unwrap().as_ref());
    Ok(())
}

#[tokio::test]
async fn of_a_column_that_cannot_be_null_only_labels_can() -> Result<()> {
    let context = context(1);
    let text: ArrayRef = Arc::new(StringArray::from(vec!["I like you."]));
    let batch = RecordBatch::try_from_iter_with_nullable([("text", text, false)])?;
    context.register_batch("texts", batch)?;
    let query =
        "SELECT emotion_classify(text), emotion_scores(text), emotion_score(text), emotion_labels(text) FROM texts";
    let frame = context.sql(query).await?;
    let nullable: Vec<_> = frame.schema().fields().iter().map(|field| field.is_nullable()).collect();
    assert_eq!(nullable, [true, false, false, false]);
    assert_eq!(frame.count().await?, 1);
    Ok(())
}

#[tokio::test]
async fn literals_are_folded_when_the_query_is_planned() -> Result<()> {
    let context = context(1);
    let plan = optimized_plan(&context, "SELECT emotion_classify('I am so happy for you!')").await?;
    assert!(plan.contains("Utf8(\"joy\")"), "{plan}");
    let plan = optimized_plan(&context, "SELECT emotion_classify(NULL), emotion_scores(NULL)").await?;
    assert!(!plan.contains("emotion_classify(Utf8(NULL))"), "{plan}");
    let nulls = rows(&context, "SELECT emotion_classify(NULL) IS NULL AND emotion_scores(NULL) IS NULL").await?;
    assert!(nulls.column(0).as_boolean().value(0));
    Ok(())
}

#[tokio::test]
async fn wrong_arguments_are_refused_when_the_query_is_planned() {
    let context = context(1);
    context
        .register_batch(
            "t",
            RecordBatch::try_from_iter([("n", Arc::new(Int32Array::from(vec![1])) as ArrayRef)]).unwrap(),
        )
        .unwrap();
    for function in ["emotion_classify", "emotion_scores"] {
        let message = error(&context, &format!("SELECT {function}(n) FROM t")).await;
        assert!(message.starts_with(&format!("Error during planning: {function} takes a text")), "{message}");
        for part in ["Int32", "CAST(x AS VARCHAR)"] {
            assert!(message.contains(part), "{message}");
        }
        for (arguments, part) in
            [("", "not with 0 arguments"), ("'a', 'b'", "no model 'b'"), ("'a', 'default', 'c'", "3 arguments")]
        {
            let message = error(&context, &format!("SELECT {function}({arguments})")).await;
            assert!(message.contains(part), "{message}");
        }
    }
}

#[tokio::test]
async fn empty_and_all_null_columns() -> Result<()> {
    let nulls: ArrayRef = Arc::new(StringArray::new_null(3));
    let empty: ArrayRef = Arc::new(StringArray::from(Vec::<&str>::new()));
    for (column, expected) in [(nulls, 3), (empty, 0)] {
        let context = with_texts(column);
        let batch =
            rows(&context, "SELECT emotion_classify(text) AS label, emotion_scores(text) AS scores FROM texts").await?;
        assert_eq!((batch.num_rows(), batch.column(0).null_count()), (expected, expected));
        assert_eq!(batch.column(1).null_count(), expected);
    }
    Ok(())
}

#[tokio::test]
async fn reviews_by_emotion() -> Result<()> {
    let context = with_reviews(2).await?;
    let batch = rows(
        &context,
        "SELECT emotion_classify(text) AS emotion, count(*) AS texts FROM reviews GROUP BY 1 ORDER BY 2 DESC",
    )
    .await?;
    let labels = labels(&batch);
    assert_eq!(labels.len(), 7, "six labels and NULL: {labels:?}");
    assert!(labels.contains(&None));
    let total = rows(&context, "SELECT count(*), count(text) FROM reviews").await?;
    let labelled =
        rows(&context, "SELECT count(*), count(emotion) FROM (SELECT emotion_classify(text) AS emotion FROM reviews)")
            .await?;
    assert_eq!(total.columns(), labelled.columns());
    Ok(())
}

/// Without the cache, which would answer the second query with the bits of the first.
#[tokio::test]
async fn partitions_and_batch_sizes_change_no_bit() -> Result<()> {
    let sql = "SELECT id, emotion_scores(text) AS scores FROM reviews WHERE id % 4 = 0 ORDER BY id";
    let (one, eight) = (with_reviews(1).await?, with_reviews(8).await?);
    for context in [&one, &eight] {
        let mut options = EmotionOptions::default();
        options.set_cache_entries(0);
        context.state_ref().write().config_mut().options_mut().extensions.insert(options);
    }
    eight.sql("SET datafusion.execution.batch_size = 7").await?.collect().await?;
    let expected = rows(&one, sql).await?;
    assert!(expected.num_rows() > 50);
    assert_eq!(rows(&eight, sql).await?, expected);
    Ok(())
}

#[tokio::test]
async fn the_dataframe_api_agrees_with_sql() -> Result<()> {
    let context = with_texts(Arc::new(StringArray::from_iter(TEXTS)));
    let select = "SELECT emotion_classify(text) AS label, emotion_labels(text) AS labels, emotion_scores(text) AS scores FROM texts";
    let expected = rows(&context, select).await?;
    let frame = context.table("texts").await?.select(vec![
        expr_fn::emotion_classify(col("text")).alias("label"),
        expr_fn::emotion_labels(col("text")).alias("labels"),
        expr_fn::emotion_scores(col("text")).alias("scores"),
    ])?;
    let batches = frame.collect().await?;
    assert_eq!(pretty_format_batches(&batches)?.to_string(), pretty_format_batches(&[expected])?.to_string());
    Ok(())
}

#[tokio::test]
async fn the_dataframe_api_heeds_the_threshold() -> Result<()> {
    for (threshold, held) in [(None, 5), (Some(0.9), 4), (Some(1.0), 0)] {
        let mut options = EmotionOptions::default();
        options.threshold = threshold;
        let context = SessionContext::new_with_config(SessionConfig::new().with_option_extension(options));
        let batch = RecordBatch::try_from_iter([("text", Arc::new(StringArray::from_iter(TEXTS)) as ArrayRef)])?;
        let frame = context.read_batch(batch)?.filter(col("text").is_not_null())?;
        let label = expr_fn::emotion_classify(col("text")).alias("label");
        let frame = frame.select(vec![label])?.filter(col("label").is_not_null())?;
        assert_eq!(frame.count().await?, held, "{threshold:?}");
    }
    Ok(())
}

#[tokio::test]
async fn filters_joins_and_windows_take_the_functions() -> Result<()> {
    let context = with_reviews(2).await?;
    let filtered =
        rows(&context, "SELECT emotion_classify(text) FROM reviews WHERE emotion_classify(text) = 'fear'").await?;
    assert!(filtered.num_rows() > 5);
    assert!(labels(&filtered).iter().all(|label| *label == Some("fear")));
    let ranked = rows(
        &context,
        "SELECT text FROM (SELECT text, row_number() OVER (PARTITION BY emotion_classify(text) \
         ORDER BY emotion_scores(text)['anger'] DESC, id) AS rank FROM reviews WHERE id < 40) WHERE rank = 1",
    )
    .await?;
    assert!(ranked.num_rows() >= 2);
    Ok(())
}

#[tokio::test]
async fn concurrent_queries_share_the_model() -> Result<()> {
    let context = with_reviews(2).await?;
    let sql = "SELECT emotion_classify(text) FROM reviews WHERE id < 60 ORDER BY id";
    let (one, two) = tokio::join!(rows(&context, sql), rows(&context, sql));
    assert_eq!(one?, two?);
    Ok(())
}

#[tokio::test]
async fn functions_are_documented() -> Result<()> {
    let context = context(1);
    for function in ["emotion_classify", "emotion_scores"] {
        let sql = format!(
            "SELECT DISTINCT description, syntax_example FROM information_schema.routines \
             WHERE routine_name = '{function}'"
        );
        let batch = rows(&context, &sql).await?;
        assert_eq!(batch.num_rows(), 1, "{function}");
        let syntax = batch.column(1).as_string::<i32>().value(0);
        assert_eq!(syntax, format!("{function}(text [, model])"));
    }
    Ok(())
}

#[tokio::test]
async fn a_model_of_ones_own() -> Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/gelu-json");
    let classifier = Arc::new(Classifier::load(folder).unwrap());
    let mut context = context(1);
    datafusion_emotion::register_all_with(&mut context, Arc::clone(&classifier))?;
    let column: ArrayRef = Arc::new(StringArray::from_iter(TEXTS));
    let batch = RecordBatch::try_from_iter_with_nullable([("text", column, true)])?;
    let schema = batch.schema();
    context.register_table("texts", Arc::new(MemTable::try_new(schema, vec![vec![batch]])?))?;
    let result = rows(&context, "SELECT emotion_classify(text), emotion_scores(text) FROM texts").await?;
    let expected = classifier.classify(&["I am so happy for you!"]).unwrap();
    assert_eq!(labels(&result)[0], Some(&*expected[0].label));
    assert_eq!(result.column(1).as_struct().column_names(), ["negative", "neutral", "positive"]);
    Ok(())
}

#[tokio::test]
async fn functions_of_a_model_carry_its_options() -> Result<()> {
    let mut options = EmotionOptions::default();
    options.max_length = Some(4);
    let context = SessionContext::new();
    for function in functions_of("mood", options.clone())? {
        context.register_udf(function.as_ref().clone());
    }
    options.threshold = Some(1.0);
    for function in functions_of("sure", options)? {
        context.register_udf(function.as_ref().clone());
    }
    let none = rows(&context, "SELECT sure_classify(text) FROM (VALUES ('I like you very much.')) AS texts (text)");
    assert_eq!(labels(&none.await?), [None]);
    let sql = "SELECT mood_annotate(text) AS seen, mood_classify(text) = mood_annotate(text)['label'] AS same \
               FROM (VALUES ('I like you very much.'), (NULL)) AS texts (text)";
    let batch = rows(&context, sql).await?;
    let seen = batch.column(0).as_struct();
    assert_eq!(seen.column_by_name("tokens").unwrap().as_primitive::<Int32Type>().value(0), 4);
    assert!(seen.column_by_name("truncated").unwrap().as_boolean().value(0));
    assert!(seen.is_null(1));
    assert!(batch.column(1).as_boolean().value(0));
    let error = error(&context, "SELECT mood_score(text, 'jog') FROM (VALUES ('x')) AS texts (text)").await;
    assert!(error.contains("did you mean 'joy'?"), "{error}");
    Ok(())
}

#[test]
fn functions_of_a_model_refuse_what_it_does_not_compute() {
    let mut options = EmotionOptions::default();
    options.device = Device::Metal;
    let error = functions_of("mood", options.clone()).unwrap_err();
    assert!(matches!(error, Error::Model(emotion_classifier::Error::Device { .. })), "{error}");
    options.device = Device::Cpu;
    options.backend = BackendChoice::Candle;
    options.precision = Precision::Int8;
    let error = functions_of("mood", options).unwrap_err();
    assert!(matches!(error, Error::Model(emotion_classifier::Error::Precision { .. })), "{error}");
}

#[test]
fn a_session_with_a_model_keeps_the_automatic_choice_of_the_backend() {
    let backend = |model, chosen| {
        let classifier = Classifier::builder().backend(chosen).load(golden(model)).unwrap();
        let state = SessionStateBuilder::new().with_default_features();
        let state = state.with_emotion_model("given", Arc::new(classifier)).build();
        state.config_options().extensions.get::<EmotionOptions>().unwrap().backend
    };
    assert_eq!(backend("modernbert", BackendChoice::Auto), BackendChoice::Auto);
    assert_eq!(backend("bert", BackendChoice::Auto), BackendChoice::Auto);
    assert_eq!(backend("bert", BackendChoice::Candle), BackendChoice::Candle);
}
