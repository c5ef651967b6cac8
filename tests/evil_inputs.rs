//! Texts and columns that nobody would write by hand: none may panic, hang or disagree.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, StringViewArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer};
use arrow::datatypes::Float32Type;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::*;
use datafusion_emotion::EmotionExt;
use emotion_classifier::Classifier;

fn context() -> SessionContext {
    let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
    SessionContext::new_with_state(state)
}

async fn scores(context: &SessionContext, column: ArrayRef) -> Result<RecordBatch> {
    let batch = RecordBatch::try_from_iter_with_nullable([("text", column, true)])?;
    context.deregister_table("t")?;
    context.register_batch("t", batch)?;
    let frame = context.sql("SELECT emotion_classify(text) AS label, emotion_score(text, 'joy') AS joy FROM t").await?;
    let schema = Arc::clone(frame.schema().inner());
    Ok(arrow::compute::concat_batches(&schema, &frame.collect().await?)?)
}

fn evil_texts() -> Vec<String> {
    let mut texts: Vec<String> = vec![
        "a".repeat(10 << 20),
        "so happy ".repeat((10 << 20) / 9),
        "é".repeat(1 << 20),
        "\u{301}".repeat(1000),
        "e\u{301}\u{302}\u{303}".repeat(300),
        "\u{200f}\u{202e}happy\u{202c}".into(),
        "\0\0\0".into(),
        "happy\0sad".into(),
        " ".repeat(1 << 20),
        "\n\t\r\u{a0}\u{3000}".into(),
        "🙂".repeat(5000),
        "日本語".repeat(3000),
        "[CLS] [SEP] [PAD] [MASK] [UNK]".into(),
        "##ing ##ed".into(),
        "\u{fffd}\u{fffe}\u{10ffff}".into(),
        "'; DROP TABLE t; --".into(),
        "a\u{feff}b".into(),
    ];
    texts.push((0..100_000).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" "));
    texts
}

#[tokio::test(flavor = "multi_thread")]
async fn evil_texts_get_the_classifiers_answer() -> Result<()> {
    let context = context();
    let texts = evil_texts();
    let result = scores(&context, Arc::new(StringArray::from(texts.clone()))).await?;
    let classifier = Classifier::default_model().unwrap();
    let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
    for (row, prediction) in classifier.classify(&borrowed).unwrap().iter().enumerate() {
        assert_eq!(result.column(0).as_string::<i32>().value(row), &*prediction.label);
        let joy = result.column(1).as_primitive::<Float32Type>().value(row);
        assert_eq!(joy.to_bits(), prediction.probabilities[1].to_bits());
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_text_in_windows() -> Result<()> {
    let context = context();
    context.sql("SET emotion.long_text = 'window'").await?;
    let long = "I am so happy today. ".repeat(400);
    let texts = StringArray::from(vec![long.as_str(), "\0", "", "e\u{301}"]);
    let result = scores(&context, Arc::new(texts)).await?;
    assert_eq!(result.column(0).as_string::<i32>().value(0), "joy");
    assert_eq!(result.column(0).null_count(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_distinct_words() -> Result<()> {
    // As many texts as cache entries would be slow to infer; the words are in few texts.
    let context = context();
    let words: Vec<String> = (0..100_000).map(|word| format!("word{word}")).collect();
    let texts: Vec<String> = words.chunks(1000).map(|words| words.join(" ")).collect();
    let result = scores(&context, Arc::new(StringArray::from(texts))).await?;
    assert_eq!((result.num_rows(), result.column(0).null_count()), (100, 0));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_no_row_one_row_and_nulls() -> Result<()> {
    let context = context();
    let nulls: ArrayRef = Arc::new(StringArray::new_null(5));
    let empty: ArrayRef = Arc::new(StringArray::new_null(0));
    let one: ArrayRef = Arc::new(StringArray::from(vec!["I like you."]));
    let null_type: ArrayRef = Arc::new(arrow::array::NullArray::new(3));
    for (column, rows, null_count) in [(nulls, 5, 5), (empty, 0, 0), (one, 1, 0), (null_type, 3, 3)] {
        let result = scores(&context, column).await?;
        assert_eq!((result.num_rows(), result.column(0).null_count()), (rows, null_count));
        assert_eq!(result.column(1).null_count(), null_count);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn sliced_arrays() -> Result<()> {
    let context = context();
    let texts: Vec<Option<String>> = (0..50).map(|i| (i % 7 > 0).then(|| format!("slice number {i}"))).collect();
    let whole = scores(&context, Arc::new(StringArray::from(texts.clone()))).await?;
    for array in [Arc::new(StringArray::from(texts.clone())) as ArrayRef, Arc::new(StringViewArray::from_iter(texts))] {
        let part = scores(&context, array.slice(13, 20)).await?;
        assert_eq!(part, whole.slice(13, 20));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_under_null_slots() -> Result<()> {
    let context = context();
    let offsets = OffsetBuffer::new(vec![0, 4, 11, 15].into());
    let values = Buffer::from(b"goodgarbagegood".to_vec());
    let valid = NullBuffer::from(vec![true, false, true]);
    let array = StringArray::new(offsets, values, Some(valid));
    let result = scores(&context, Arc::new(array)).await?;
    let clean = scores(&context, Arc::new(StringArray::from(vec![Some("good"), None, Some("good")]))).await?;
    assert_eq!(result, clean);
    Ok(())
}
