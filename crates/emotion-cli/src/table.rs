use std::sync::Arc;

use anyhow::{Context, Result, bail};
use arrow::array::{ArrayRef, AsArray, LargeStringArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use clap::Args;
use datafusion::common::{Column, TableReference};
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{CsvReadOptions, DataFrame, SessionContext};
use datafusion_cli::object_storage::instrumented::InstrumentedObjectStoreRegistry;
use emotion_label::format::{FileType, Format};

use crate::character::ascii;
use crate::file_tables::{Readers, address_of, table};
use crate::session::{explain, session};
use crate::stores::object_store;

/// Which files to read.
#[derive(Args)]
pub struct TableArguments {
    /// Files or folders: Parquet, CSV, TSV, JSON, Arrow or Avro by their extensions; also at s3:// and https://
    #[arg(required = true, value_name = "FILE")]
    files: Vec<String>,

    /// Read the files as CSV with this character between fields, whatever their extensions; \t is a tab
    #[arg(long, value_name = "CHARACTER", value_parser = ascii)]
    delimiter: Option<u8>,
}

impl TableArguments {
    pub fn files(&self) -> &[String] {
        &self.files
    }

    /// The rows of these columns of one of the files, in their order.
    pub async fn columns(&self, file: &str, columns: &[&str]) -> Result<SendableRecordBatchStream> {
        let in_order = [("datafusion.execution.target_partitions", "1".to_string())];
        let context = session(in_order, Arc::new(InstrumentedObjectStoreRegistry::new())).await?;
        let frame = self.open(&context, file).await?;
        for name in columns {
            check_column(&frame, name, file)?;
        }
        let columns = columns.iter().map(|name| Expr::Column(Column::new_unqualified(*name)));
        let frame = frame.select(columns.collect::<Vec<_>>());
        let cannot = || format!("cannot read '{file}'");
        frame.with_context(cannot)?.execute_stream().await.with_context(cannot)
    }

    /// The rows of all files, one after the other.
    pub async fn union(&self, context: &SessionContext) -> Result<DataFrame> {
        let mut all: Option<DataFrame> = None;
        for file in &self.files {
            let frame = self.open(context, file).await?;
            all = Some(match all {
                Some(all) => {
                    all.union(frame).with_context(|| format!("'{file}' has other columns than the files before"))?
                }
                None => frame,
            });
        }
        all.context("no file was named")
    }

    async fn open(&self, context: &SessionContext, file: &str) -> Result<DataFrame> {
        let Some(delimiter) = self.delimiter else {
            return context.table(TableReference::bare(file)).await.map_err(explain);
        };
        let cannot = || format!("cannot read '{file}' as CSV");
        let url = address_of(file).with_context(cannot)?;
        if url.is_collection() {
            let options = CsvReadOptions::new().delimiter(delimiter).file_extension("").newlines_in_values(true);
            return context.read_csv(file, options).await.with_context(cannot);
        }
        object_store(context, &url).await?;
        let compression = FileType::of(file).and_then(|file| file.compression);
        let file_type = FileType { format: Format::Csv, compression };
        let table = table(&context.state(), &url, file_type, Some(delimiter), Readers::Here).await;
        table.and_then(|table| context.read_table(table)).with_context(cannot)
    }
}

/// Refuses the name of a column that is not there.
pub fn check_column(frame: &DataFrame, name: &str, file: &str) -> Result<()> {
    let names: Vec<&str> = frame.schema().fields().iter().map(|field| field.name().as_str()).collect();
    if names.contains(&name) {
        return Ok(());
    }
    bail!("'{file}' has no column '{name}': it has {}", names.join(", "))
}

/// Whether a column of this type holds texts.
pub fn is_text(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(_, values) => values.is_string(),
        other => other.is_string() || *other == DataType::Null,
    }
}

/// A column of texts, whatever their type is.
pub fn strings(column: &ArrayRef, name: &str) -> Result<LargeStringArray> {
    if !is_text(column.data_type()) {
        bail!("the column '{name}' holds {}, not texts: name another", column.data_type());
    }
    Ok(cast(column, &DataType::LargeUtf8)?.as_string::<i64>().clone())
}
