//! Addresses of local files.

use std::io;
use std::path::{Path, PathBuf};

use datafusion::common::plan_datafusion_err;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::Result;

use crate::local_files::escaped;

/// The `file://` address of an absolute path, which need not exist, as [`LocalFiles`] understands it.
///
/// [`LocalFiles`]: crate::local_files::LocalFiles
///
/// # Errors
///
/// The path is not UTF-8.
pub fn local(path: &Path) -> Result<ListingTableUrl> {
    let mut url = ListingTableUrl::parse("file:///")?.get_url().clone();
    let not_text = || plan_datafusion_err!("the name '{}' is not UTF-8", path.display());
    let parts = path.iter().skip(1).map(|part| part.to_str().map(escaped).ok_or_else(not_text));
    let mut parts = parts.collect::<Result<Vec<_>>>()?;
    if path.is_dir() {
        parts.push(String::new());
    }
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(parts);
    }
    ListingTableUrl::try_new(url, None)
}

/// The path from the root of what exists. A link to a file keeps its name, which tells the format; the name of what it
/// points to often does not.
///
/// # Errors
///
/// The path does not exist.
pub fn absolute(path: &Path) -> io::Result<PathBuf> {
    let target = path.canonicalize()?;
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if target.is_file() => {
            let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
            Ok(parent.canonicalize()?.join(name))
        }
        _ => Ok(target),
    }
}
