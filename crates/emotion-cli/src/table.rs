use anyhow::Result;
use clap::Args;
use datafusion::prelude::SessionContext;
use emotion_label::analysis::TableFiles;
use emotion_label::file_tables::address_of;

use crate::character::ascii;
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
    pub fn names(&self) -> &[String] {
        &self.files
    }

    /// The files, whose object stores the session knows afterwards.
    pub async fn open(&self, context: &SessionContext) -> Result<TableFiles> {
        // Without a delimiter, the catalog of the session does it for each name that is a table.
        let addresses = self.files.iter().filter(|name| self.delimiter.is_some() && name.contains("://"));
        for address in addresses {
            object_store(context, &address_of(address)?).await?;
        }
        Ok(TableFiles { names: self.files.clone(), delimiter: self.delimiter })
    }
}
