//! The files in `tests/sql`: each against a session of its own, and those under `every_table` once for every string
//! type and file format that texts come in.

use std::sync::Arc;

use arrow::array::{ArrayRef, DictionaryArray, LargeStringArray, StringViewArray};
use arrow::datatypes::Int32Type;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::error::Result;
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::*;
use datafusion_emotion::EmotionExt;
use emotion_tests::{TEXTS, files, run, strings, texts};
use tempfile::TempDir;

fn context() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(2).with_information_schema(true);
    let state = SessionStateBuilder::new().with_config(config).with_default_features().with_emotion().build();
    SessionContext::new_with_state(state)
}

#[tokio::test(flavor = "multi_thread")]
async fn files_over_a_table_in_memory() {
    for file in files("") {
        let context = context();
        context.register_batch("texts", texts(strings())).unwrap();
        run(context, &file, "memory").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_string_type() {
    let dictionary: DictionaryArray<Int32Type> = TEXTS.into_iter().collect();
    let columns: [ArrayRef; 4] = [
        strings(),
        Arc::new(LargeStringArray::from_iter(TEXTS)),
        Arc::new(StringViewArray::from_iter(TEXTS)),
        Arc::new(dictionary),
    ];
    for column in columns {
        let data_type = column.data_type().to_string();
        for file in files("every_table") {
            let context = context();
            context.register_batch("texts", texts(Arc::clone(&column))).unwrap();
            run(context, &file, &data_type).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_file_format() -> Result<()> {
    let folder = TempDir::new()?;
    let path = |name: &str| folder.path().join(name).display().to_string();
    let writer = context();
    writer.register_batch("texts", texts(strings()))?;
    let written = || writer.table("texts");
    let single = || DataFrameWriteOptions::new().with_single_file_output(true);
    written().await?.write_parquet(&path("t.parquet"), single(), None).await?;
    written().await?.write_json(&path("t.json"), single(), None).await?;
    // In CSV an empty text would be NULL, so a word stands for it.
    let lines = TEXTS.iter().enumerate().map(|(id, text)| {
        let text = text.map_or(String::new(), |text| format!("\"{}\"", if text.is_empty() { "EMPTY" } else { text }));
        format!("{id},{text},{}\n", if id % 2 == 0 { "even" } else { "odd" })
    });
    std::fs::write(path("t.csv"), format!("id,text,note\n{}", lines.collect::<String>()))?;
    for file in files("every_table") {
        for pushdown in ["false", "true"] {
            let parquet = context();
            parquet.sql(&format!("SET datafusion.execution.parquet.pushdown_filters = {pushdown}")).await?;
            parquet.register_parquet("texts", path("t.parquet"), ParquetReadOptions::default()).await?;
            run(parquet, &file, &format!("Parquet, filters pushed down: {pushdown}")).await;
        }
        let json = context();
        json.register_json("texts", path("t.json"), JsonReadOptions::default()).await?;
        run(json, &file, "JSON").await;
        let csv = context();
        csv.register_csv("lines", path("t.csv"), CsvReadOptions::new()).await?;
        let texts =
            "CREATE VIEW texts AS SELECT id, CASE text WHEN 'EMPTY' THEN '' ELSE text END AS text, note FROM lines";
        csv.sql(texts).await?;
        run(csv, &file, "CSV").await;
    }
    Ok(())
}
