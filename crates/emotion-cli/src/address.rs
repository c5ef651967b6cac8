//! Addresses of local files.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use datafusion::datasource::listing::ListingTableUrl;

/// The `file://` address of an absolute path, which need not exist.
pub fn local(path: &Path) -> Result<ListingTableUrl> {
    let root = ListingTableUrl::parse("file:///").context("files have addresses")?;
    let mut url = root.get_url().clone();
    let parts =
        path.iter().skip(1).map(|part| part.to_str().with_context(|| format!("'{}' is no text", part.display())));
    let mut parts = parts.collect::<Result<Vec<_>>>()?;
    if path.is_dir() {
        parts.push("");
    }
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(parts);
    }
    Ok(ListingTableUrl::try_new(url, None)?)
}

/// The path from the root of what exists. A link to a file keeps its name, which tells the format; the name of what it
/// points to often does not.
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
