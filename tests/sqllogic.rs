//! The files in `tests/sql`, run by sqllogictest: each against a session of its own, and those
//! under `every_table` once for every string type and file format that texts come in.
//!
//! A file sees the table `texts (id, text, note)`, and `$MODELS`, the folder of the small models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Int64Array, LargeStringArray, RecordBatch, StringArray, StringViewArray,
};
use arrow::datatypes::{DataType, Int32Type};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::dataframe::DataFrameWriteOptions;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::prelude::*;
use datafusion_emotion::EmotionExt;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};
use tempfile::TempDir;

const TEXTS: [Option<&str>; 8] = [
    Some("I am so happy for you!"),
    None,
    Some(""),
    Some("Go away, I hate you!"),
    Some("I am so happy for you!"),
    Some("I miss her so much, I cannot stop crying."),
    Some("I was terrified of the dark."),
    Some("日本 mixed with ünïcode 🙂"),
];

struct Session(SessionContext);

#[async_trait]
impl AsyncDB for Session {
    type Error = DataFusionError;
    type ColumnType = DefaultColumnType;

    async fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>> {
        let frame = self.0.sql(sql).await?;
        let types: Vec<_> = frame.schema().fields().iter().map(|field| column_type(field.data_type())).collect();
        let batches = frame.collect().await?;
        if types.is_empty() {
            return Ok(DBOutput::StatementComplete(0));
        }
        let mut rows = Vec::new();
        for batch in &batches {
            rows.extend(cells(batch)?);
        }
        Ok(DBOutput::Rows { types, rows })
    }

    async fn shutdown(&mut self) {}

    fn engine_name(&self) -> &'static str {
        "datafusion-emotion"
    }
}

fn column_type(data_type: &DataType) -> DefaultColumnType {
    match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => DefaultColumnType::Text,
        other if other.is_integer() => DefaultColumnType::Integer,
        other if other.is_floating() => DefaultColumnType::FloatingPoint,
        _ => DefaultColumnType::Any,
    }
}

/// The rows of a batch as sqllogictest writes them.
fn cells(batch: &RecordBatch) -> Result<Vec<Vec<String>>> {
    let options = FormatOptions::default().with_null("NULL");
    let columns: Vec<_> =
        batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options)).collect::<Result<_, _>>()?;
    let cell = |column: &ArrayFormatter<'_>, row| match column.value(row).to_string() {
        empty if empty.is_empty() => "(empty)".to_string(),
        text => text,
    };
    Ok((0..batch.num_rows()).map(|row| columns.iter().map(|column| cell(column, row)).collect()).collect())
}

fn context() -> SessionContext {
    let config = SessionConfig::new().with_target_partitions(2).with_information_schema(true);
    let state = SessionStateBuilder::new().with_config(config).with_default_features().with_emotion().build();
    SessionContext::new_with_state(state)
}

fn texts(column: ArrayRef) -> RecordBatch {
    let ids: ArrayRef = Arc::new((0..8).collect::<Int64Array>());
    let notes: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..8).map(|i| if i % 2 == 0 { "even" } else { "odd" })));
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("text", column, true), ("note", notes, false)])
        .unwrap()
}

fn strings() -> ArrayRef {
    Arc::new(StringArray::from_iter(TEXTS))
}

async fn run(context: SessionContext, file: &Path, table: &str) {
    let mut runner = Runner::new(|| async { Ok(Session(context.clone())) });
    runner.set_var("MODELS".into(), Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").display().to_string());
    if let Err(error) = runner.run_file_async(file).await {
        panic!("{table}: {}", error.display(false));
    }
}

fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    files
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
