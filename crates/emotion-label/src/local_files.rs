//! Local files under any name.
//!
//! A path of `object_store` holds no control characters, so that its local store neither opens a file whose name has a
//! tab nor lists the folder of one. Here `%09` in a path stands for a tab, where there is no file of that very name.

use std::fmt::{self, Display, Formatter};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Component, Path as FilePath, PathBuf, Prefix};
use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attributes, CopyOptions, Error, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tokio::task::spawn_blocking;
use walkdir::{DirEntry, WalkDir};

use crate::format::FileType;

/// The folder that says which files of a Delta table are live.
pub(crate) const DELTA_LOG: &str = "_delta_log";

/// A name without control characters, by which [`LocalFiles`] finds the file.
#[must_use]
pub fn escaped(name: &str) -> String {
    let escaped = |character: char| match character {
        '\0'..='\x1f' | '\x7f' => format!("%{:02X}", u32::from(character)),
        other => other.to_string(),
    };
    name.chars().map(escaped).collect()
}

/// The name that an [`escaped`] one stands for.
#[must_use]
pub fn unescaped(name: &str) -> String {
    let mut pieces = name.split('%');
    let mut unescaped = pieces.next().unwrap_or_default().to_string();
    for piece in pieces {
        let code = piece.get(..2).filter(|code| code.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'A'..=b'F')));
        if let Some(byte) = code.and_then(|code| u8::from_str_radix(code, 16).ok()).filter(u8::is_ascii_control) {
            unescaped.push(char::from(byte));
            unescaped += &piece[2..];
        } else {
            unescaped.push('%');
            unescaped += piece;
        }
    }
    unescaped
}

/// Local files, those with control characters in their names included.
#[derive(Debug, Default)]
pub struct LocalFiles(Arc<LocalFileSystem>);

impl LocalFiles {
    /// The files of this machine.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The file for which `object_store` has no name.
    fn nameless(&self, location: &Path) -> Option<PathBuf> {
        let name = unescaped(location.as_ref());
        let is_plain = name == location.as_ref() || self.0.path_to_filesystem(location).is_ok_and(|path| path.exists());
        (!is_plain).then(|| FilePath::new("/").join(name))
    }
}

fn metadata(path: &FilePath, location: Path) -> Result<ObjectMeta> {
    let read = || {
        let metadata = fs::metadata(path)?;
        Ok(ObjectMeta {
            location,
            last_modified: metadata.modified()?.into(),
            size: metadata.len(),
            e_tag: None,
            version: None,
        })
    };
    read().map_err(|source| failed(path, source))
}

fn failed(path: &FilePath, source: io::Error) -> Error {
    match source.kind() {
        ErrorKind::NotFound => Error::NotFound { path: path.display().to_string(), source: source.into() },
        _ => Error::Generic { store: "LocalFileSystem", source: source.into() },
    }
}

fn open(path: PathBuf, location: Path, options: &GetOptions) -> Result<GetResult> {
    let meta = metadata(&path, location)?;
    options.check_preconditions(&meta)?;
    let file = File::open(&path).map_err(|source| failed(&path, source))?;
    let range = match &options.range {
        Some(range) => range
            .as_range(meta.size)
            .map_err(|source| Error::Generic { store: "LocalFileSystem", source: source.into() })?,
        None => 0..meta.size,
    };
    Ok(GetResult { payload: GetResultPayload::File(file, path), meta, range, attributes: Attributes::default() })
}

/// All files under a folder down to a depth, those behind links included, and the logs of Delta tables on that depth.
/// The files in the folder have the depth 1.
fn walk(folder: PathBuf, depth: usize) -> Vec<Result<ObjectMeta>> {
    let is_wanted = |entry: &DirEntry| {
        let is_deepest = entry.depth() == depth && entry.file_type().is_dir();
        !is_deepest || entry.file_name() == DELTA_LOG
    };
    let with_logs = depth.saturating_add(1);
    let entries = WalkDir::new(folder).min_depth(1).max_depth(with_logs).follow_links(true).into_iter();
    let entries = entries.filter_entry(is_wanted);
    let meta = move |entry: walkdir::Result<DirEntry>| match entry {
        Ok(entry) if entry.file_type().is_dir() => None,
        Ok(entry) => match location(entry.path()).and_then(|location| metadata(entry.path(), location)) {
            Err(Error::NotFound { .. }) => None,
            meta => Some(meta),
        },
        // A link to a folder around it, in which the pattern does not look.
        Err(error) if error.depth() >= depth && error.loop_ancestor().is_some() => None,
        // The file is elsewhere, and was not fetched.
        Err(error) if error.path().is_some_and(is_table_link) => {
            Some(Err(Error::Generic { store: "LocalFileSystem", source: error.into() }))
        }
        // Files that were removed meanwhile, and other links to nothing.
        Err(error) if error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound) => None,
        Err(error) => Some(Err(Error::Generic { store: "LocalFileSystem", source: error.into() })),
    };
    entries.filter_map(meta).collect()
}

/// The files under the folder of this location, down to a depth, and the logs of Delta tables on that depth. The files
/// in the folder have the depth 1.
pub(crate) fn list(location: &str, depth: usize) -> BoxStream<'static, Result<ObjectMeta>> {
    let folder = path_at(location);
    let walk = async move {
        spawn_blocking(move || walk(folder, depth)).await.unwrap_or_else(|error| vec![Err(error.into())])
    };
    futures::stream::once(walk).flat_map(futures::stream::iter).boxed()
}

/// Whether a path is a link whose name is that of a table.
fn is_table_link(path: &FilePath) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.is_symlink() && !name.starts_with(['.', '_']) && FileType::of(&name).is_some()
}

/// The parts of a path from the root, escaped: names, and on Windows a disk before them. An error is what is wrong with
/// the path.
pub(crate) fn parts(path: &FilePath) -> std::result::Result<Vec<String>, &'static str> {
    let mut parts = Vec::new();
    for component in path.components() {
        match component {
            Component::Prefix(prefix) => match prefix.kind() {
                Prefix::Disk(disk) | Prefix::VerbatimDisk(disk) => parts.push(format!("{}:", char::from(disk))),
                _ => return Err("is not that of a file on a disk of this machine"),
            },
            Component::Normal(part) => parts.push(escaped(part.to_str().ok_or("is not UTF-8")?)),
            Component::RootDir | Component::CurDir | Component::ParentDir => {}
        }
    }
    Ok(parts)
}

fn location(path: &FilePath) -> Result<Path> {
    let cannot = |what| failed(path, io::Error::other(format!("the name '{}' {what}", path.display())));
    Ok(Path::parse(parts(path).map_err(cannot)?.join("/"))?)
}

/// The path of a file that has this location in [`LocalFiles`].
pub(crate) fn path_at(location: &str) -> PathBuf {
    // A disk at the start of the location replaces the root.
    let path = |location: &str| FilePath::new("/").join(location);
    let literal = path(location);
    if !location.contains('%') || literal.exists() { literal } else { path(&unescaped(location)) }
}

impl Display for LocalFiles {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for LocalFiles {
    async fn put_opts(&self, location: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        self.0.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        let Some(path) = self.nameless(location) else { return self.0.get_opts(location, options).await };
        let location = location.clone();
        spawn_blocking(move || open(path, location, &options)).await?
    }

    fn delete_stream(&self, locations: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        list(prefix.map_or("", Path::as_ref), usize::MAX)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

#[cfg(all(test, unix))]
mod tests {
    use futures::TryStreamExt;
    use object_store::ObjectStoreExt;

    use super::*;

    #[test]
    fn control_characters_have_names() {
        assert_eq!(escaped("a\tb%20\n"), "a%09b%20%0A");
        assert_eq!(unescaped("a%09b%20%0A%"), "a\tb%20\n%");
        assert_eq!(unescaped("%é%0"), "%é%0");
    }

    #[tokio::test]
    async fn files_of_any_name_are_listed_and_read() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let names = ["a\tb.csv", "c%09d.csv", "e%20f.csv", "g.csv"];
        for name in names {
            fs::write(folder.join(name), name).unwrap();
        }
        let store = LocalFiles::new();
        let prefix = Path::from_absolute_path(&folder).unwrap();
        let mut found: Vec<_> = store.list(Some(&prefix)).try_collect().await.unwrap();
        found.sort_by(|one, other| one.location.cmp(&other.location));
        let read = found.iter().map(|meta| async { store.get(&meta.location).await.unwrap().bytes().await.unwrap() });
        assert_eq!(futures::future::join_all(read).await, names);
        assert_eq!(store.get_range(&found[0].location, 1..3).await.unwrap(), "\tb");
        assert!(matches!(store.head(&Path::parse("x%09y").unwrap()).await, Err(Error::NotFound { .. })));
    }
}

#[cfg(all(test, windows))]
mod windows_tests {
    use super::*;

    #[test]
    fn a_location_has_the_parts_of_the_path() {
        let of = |path| location(FilePath::new(path)).unwrap();
        for path in [r"C:\data\a.csv", r"C:/data/a.csv", r"\\?\C:\data\a.csv"] {
            assert_eq!(of(path).as_ref(), "C:/data/a.csv");
        }
    }
}
