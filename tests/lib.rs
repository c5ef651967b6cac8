//! What tests share: running the files in `tests/sql` by sqllogictest.
//!
//! A file sees the table `texts (id, text, note)`, and `$MODELS`, the folder of the small models.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use async_trait::async_trait;
use datafusion::error::{DataFusionError, Result};
use datafusion::prelude::*;
use sqllogictest::{AsyncDB, DBOutput, DefaultColumnType, Runner};

/// The Rust blocks of the pages, compiled as doctests.
#[cfg(doctest)]
mod pages {
    #[doc = include_str!("../docs/cluster.md")]
    mod cluster {}
    #[doc = include_str!("../docs/embedding.md")]
    mod embedding {}
    #[doc = include_str!("../docs/models.md")]
    mod models {}
    #[doc = include_str!("../docs/sql.md")]
    mod sql {}
}

/// The texts of the table.
pub const TEXTS: [Option<&str>; 8] = [
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

/// The table, with its texts in a column of any string type.
///
/// # Panics
///
/// The column is not as long as the others.
#[must_use]
pub fn texts(column: ArrayRef) -> RecordBatch {
    let ids: ArrayRef = Arc::new((0..8).collect::<Int64Array>());
    let notes: ArrayRef =
        Arc::new(StringArray::from_iter_values((0..8).map(|i| if i % 2 == 0 { "even" } else { "odd" })));
    RecordBatch::try_from_iter_with_nullable([("id", ids, false), ("text", column, true), ("note", notes, false)])
        .unwrap()
}

/// The texts as plain strings.
#[must_use]
pub fn strings() -> ArrayRef {
    Arc::new(StringArray::from_iter(TEXTS))
}

/// Runs a file against a session, whose table is called `table` where it fails.
///
/// # Panics
///
/// A result is not what the file says.
pub async fn run(context: SessionContext, file: &Path, table: &str) {
    let mut runner = Runner::new(|| async { Ok(Session(context.clone())) });
    runner.set_var("MODELS".into(), Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").display().to_string());
    if let Err(error) = runner.run_file_async(file).await {
        panic!("{table}: {}", error.display(false));
    }
}

/// The files in a folder under `tests/sql`.
///
/// # Panics
///
/// There are none.
#[must_use]
pub fn files(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql").join(folder);
    let mut files: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "slt"));
    files.sort();
    assert!(!files.is_empty(), "no files in {}", folder.display());
    files
}
