//! Addresses of local files.

use std::io;
use std::path::{Path, PathBuf, is_separator};

use datafusion::common::plan_datafusion_err;
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::error::Result;
use object_store::path::Path as ObjectPath;

use crate::local_files::parts;

/// The `file://` address of an absolute path, which need not exist, as [`LocalFiles`] understands it.
///
/// [`LocalFiles`]: crate::local_files::LocalFiles
///
/// # Errors
///
/// The path is not UTF-8, or is not on a disk of this machine.
pub fn local(path: &Path) -> Result<ListingTableUrl> {
    let mut url = ListingTableUrl::parse("file:///")?.get_url().clone();
    let mut parts = parts(path).map_err(|what| plan_datafusion_err!("the name '{}' {what}", path.display()))?;
    if path.is_dir() {
        parts.push(String::new());
    }
    if let Ok(mut segments) = url.path_segments_mut() {
        segments.clear().extend(parts);
    }
    ListingTableUrl::try_new(url, None)
}

/// The address of a file in the store of another.
///
/// # Errors
///
/// The other address has no path.
pub fn in_store_of(other: &ListingTableUrl, file: &ObjectPath) -> Result<ListingTableUrl> {
    let mut url = other.get_url().clone();
    let segments = url.path_segments_mut().map_err(|()| plan_datafusion_err!("'{other}' has no path"));
    segments?.clear().extend(file.as_ref().split('/'));
    ListingTableUrl::try_new(url, None)
}

/// The path of a local file, which is named by its path or by a `file://` address.
#[must_use]
pub fn path_of(name: &str) -> &str {
    let Some(path) = name.strip_prefix("file://") else { return name };
    if cfg!(windows) { without_root(path) } else { path }
}

/// A path of Windows in an address, which has a slash before the disk.
fn without_root(path: &str) -> &str {
    match path.as_bytes() {
        [b'/', disk, b':', ..] if disk.is_ascii_alphabetic() => &path[1..],
        _ => path,
    }
}

/// A name without separators at its end.
#[must_use]
pub fn without_separator(name: &str) -> &str {
    name.trim_end_matches(is_separator)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_slash_before_the_disk() {
        assert_eq!(without_root("/C:/data/a.csv"), "C:/data/a.csv");
        assert_eq!(without_root("/c:a/b"), "c:a/b");
        assert_eq!(without_root("/data/a.csv"), "/data/a.csv");
    }

    #[test]
    fn a_path_or_an_address_names_a_file() {
        assert_eq!(path_of("a.csv"), "a.csv");
        let absolute = if cfg!(windows) { "C:/data/a.csv" } else { "/data/a.csv" };
        let address = format!("file://{}{absolute}", if cfg!(windows) { "/" } else { "" });
        assert_eq!(path_of(&address), absolute);
    }
}

#[cfg(all(test, windows))]
mod windows_tests {
    use super::*;

    #[test]
    fn an_address_has_the_disk() {
        for path in [r"C:\data\a.csv", r"\\?\C:\data\a.csv"] {
            assert_eq!(local(Path::new(path)).unwrap().as_str(), "file:///C:/data/a.csv");
        }
    }
}
