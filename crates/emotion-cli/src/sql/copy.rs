//! The file that COPY writes, which has its name when it is complete.
//!
//! `DataFusion` closes the file of a query that fails, so that it looks complete.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use emotion_label::file_tables::Readers;
use tempfile::{Builder, TempPath};

/// A file that replaces another, or nothing, when it is complete.
pub struct CopyTarget {
    written: TempPath,
    path: PathBuf,
}

impl CopyTarget {
    /// Lets a COPY to one file of this machine write to another file beside it; `None` of other plans, and of a COPY
    /// into a folder, into a pipe or a device, to an object store, or on a cluster.
    pub fn redirect(context: &SessionContext, plan: &mut LogicalPlan) -> Result<Option<Self>> {
        let LogicalPlan::Copy(copy) = plan else { return Ok(None) };
        let readers = context.state().config().get_extension::<Readers>();
        let path = Path::new(&copy.output_url);
        let is_file = path.extension().is_some() && !copy.output_url.ends_with('/') && copy.partition_by.is_empty();
        if readers.as_deref() != Some(&Readers::Here) || !is_file || copy.output_url.contains("://") {
            return Ok(None);
        }
        // The file that a link points to is replaced, not the link.
        let path = match fs::metadata(path) {
            Ok(found) if !found.is_file() => return Ok(None),
            Ok(_) => path.canonicalize()?,
            Err(_) => path.to_path_buf(),
        };
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let (_, extensions) = name.trim_start_matches('.').split_once('.').unwrap_or_default();
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let cannot = || format!("cannot write '{}'", path.display());
        fs::create_dir_all(folder).with_context(cannot)?;
        let written = Builder::new()
            .prefix(".copy-")
            .suffix(&format!(".{extensions}"))
            .tempfile_in(folder)
            .with_context(cannot)?;
        let written = written.into_temp_path();
        // A query without rows may write no file.
        fs::remove_file(&written).with_context(cannot)?;
        copy.output_url = written.to_string_lossy().into_owned();
        Ok(Some(Self { written, path }))
    }

    /// Gives the file its name.
    pub fn finish(self) -> Result<()> {
        if !self.written.exists() {
            return Ok(());
        }
        let cannot = || format!("cannot write '{}'", self.path.display());
        fs::File::open(&self.written).and_then(|file| file.sync_all()).with_context(cannot)?;
        self.written.persist(&self.path).with_context(cannot)
    }
}
