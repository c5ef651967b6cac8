use anyhow::Result;
use clap::Args;
use datafusion::prelude::SessionContext;
use emotion_label::analysis::TableFiles;

use crate::character::ascii;
use crate::stores::connect;

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
    pub fn names(&self) -> &[String] {
        &self.files
    }

    /// The files, whose object stores the session knows afterwards.
    pub async fn open(&self, context: &SessionContext) -> Result<TableFiles> {
        for name in &self.files {
            connect(context, name).await?;
        }
        Ok(TableFiles { names: self.files.clone(), delimiter: self.delimiter })
    }
}
