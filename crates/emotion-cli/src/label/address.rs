//! Addresses of local files.

use std::path::Path;

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
