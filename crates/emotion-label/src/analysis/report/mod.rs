//! A page that shows what emotions a table of texts holds.

mod columns;
mod figures;
mod html;
mod palette;

use datafusion::prelude::SessionContext;

pub use columns::ReportColumns;

use crate::analysis::error::{AnalysisError, Result, refused};
use crate::analysis::report::figures::Figures;
use crate::analysis::table_files::TableFiles;
use crate::job::Cancel;

/// The name of the table that the figures are drawn from.
const TABLE: &str = "labeled";

/// A page about the emotions in a table: counts, shares over time and by group, and scores.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Report {
    /// Rows with a label.
    pub texts: u64,
    /// An HTML page that needs no network.
    pub html: String,
}

impl Report {
    /// The report on all rows of the files.
    ///
    /// The session needs the functions `emotion_classify` and `emotion_score` if no column holds the labels.
    ///
    /// # Errors
    ///
    /// The files cannot be read, a column is missing or has a wrong type, no row has a label, the model fails, or the
    /// report is cancelled.
    pub async fn of(
        context: &SessionContext,
        files: &TableFiles,
        columns: &ReportColumns,
        title: &str,
        cancel: &Cancel,
    ) -> Result<Self> {
        tokio::select! {
            report = Self::compute(context, files, columns, title) => report,
            () = cancel.cancelled() => Err(AnalysisError::Cancelled),
        }
    }

    async fn compute(
        context: &SessionContext,
        files: &TableFiles,
        columns: &ReportColumns,
        title: &str,
    ) -> Result<Self> {
        let table = files.union(context).await?;
        let labeled = columns.select(context, table, &files.names.join(", ")).await?;
        // In a session of its own, the name is free.
        let config = context.copied_config().with_create_default_catalog_and_schema(true);
        let session = SessionContext::new_with_config_rt(config, context.runtime_env());
        session.register_table(TABLE, labeled.into_view())?;
        let figures = Figures::of(&session).await?;
        if let (Some(name), None, 1..) = (&columns.time, &figures.over_time, figures.without_time) {
            return refused(format!(
                "no value of the column '{name}' is a time such as 2026-03-31 12:30 of the years 1678 to 2261"
            ));
        }
        let html = html::page(title, &files.names, &figures).into_string();
        Ok(Self { texts: figures.rows - figures.unlabeled, html })
    }
}
