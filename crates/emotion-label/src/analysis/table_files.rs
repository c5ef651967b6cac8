use datafusion::common::TableReference;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SessionContext};

use crate::analysis::columns::{check_column, column};
use crate::analysis::error::{AnalysisError, Context, Result};
use crate::file_tables::{Readers, address_of, advice, table, table_of};
use crate::format::{FileType, Format};
use crate::listed_files::listed;

/// Files and folders that are read as tables.
#[derive(Debug, Clone)]
pub struct TableFiles {
    /// Paths of local files and folders, and addresses of object stores that the session knows.
    pub names: Vec<String>,
    /// Reads the files as CSV with this ASCII character between fields, whatever their extensions.
    pub delimiter: Option<u8>,
}

impl TableFiles {
    /// The rows of these columns of one of the files.
    pub(crate) async fn columns(
        &self,
        context: &SessionContext,
        file: &str,
        columns: &[&str],
    ) -> Result<SendableRecordBatchStream> {
        let frame = self.open(context, file).await?;
        for name in columns {
            check_column(&frame, name, file)?;
        }
        let frame = frame.select(columns.iter().map(|name| column(name)).collect::<Vec<_>>());
        let cannot = || format!("cannot read '{file}'");
        frame.with_context(cannot)?.execute_stream().await.with_context(cannot)
    }

    /// The rows of all files, one after the other.
    pub(crate) async fn union(&self, context: &SessionContext) -> Result<DataFrame> {
        let mut all: Option<DataFrame> = None;
        for file in &self.names {
            let frame = self.open(context, file).await?;
            let Some(before) = all else {
                all = Some(frame);
                continue;
            };
            // A union goes by position, and the files may have their columns in different orders.
            let names: Vec<String> = before.schema().fields().iter().map(|field| field.name().clone()).collect();
            for name in &names {
                check_column(&frame, name, file)?;
            }
            let united = || format!("'{file}' has other columns than the files before");
            let frame = frame.select(names.iter().map(|name| column(name)).collect::<Vec<_>>()).with_context(united)?;
            all = Some(before.union(frame).with_context(united)?);
        }
        all.ok_or_else(|| AnalysisError::Refused("no file is named: name at least one".into()))
    }

    async fn open(&self, context: &SessionContext, file: &str) -> Result<DataFrame> {
        let Some(delimiter) = self.delimiter else {
            return context.table(TableReference::bare(file)).await.map_err(explain);
        };
        let cannot = || format!("cannot read '{file}' as CSV");
        let url = address_of(file).with_context(cannot)?;
        let state = context.state();
        if let Some(files) = listed(file, true).await.with_context(cannot)? {
            let table = table_of(&state, files, Some(delimiter), Readers::Here).await;
            return table.and_then(|table| context.read_table(table)).with_context(cannot);
        }
        let compression = FileType::of(file).and_then(|file| file.compression);
        let file_type = FileType { format: Format::Csv, compression };
        let table = table(&state, &url, file_type, Some(delimiter), Readers::Here).await;
        table.and_then(|table| context.read_table(table)).with_context(cannot)
    }
}

fn explain(error: DataFusionError) -> AnalysisError {
    match (advice(&error), error) {
        (Some(advice), _) => AnalysisError::Refused(advice),
        (None, DataFusionError::External(what)) => AnalysisError::Refused(what.to_string()),
        (None, error) => error.into(),
    }
}
