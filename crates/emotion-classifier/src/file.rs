//! Files of a model's folder, as bytes.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::path::Path;

use crate::error::{Error, Result};

/// The bytes of a file, read or embedded.
pub(crate) type Bytes = Cow<'static, [u8]>;

/// The bytes of a file of a folder, if there is one of that name.
pub(crate) fn optional(folder: &Path, name: &str) -> Result<Option<Bytes>> {
    let path = folder.join(name);
    match std::fs::read(&path) {
        Ok(bytes) if is_git_lfs_pointer(&bytes) => Err(Error::GitLfsPointer { path }),
        Ok(bytes) => Ok(Some(bytes.into())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// The bytes of a file that every model has; `cure` says what to do if it is missing.
pub(crate) fn required(folder: &Path, file: &'static str, cure: &'static str) -> Result<Bytes> {
    optional(folder, file)?.ok_or_else(|| Error::MissingFile { origin: folder.display().to_string(), file, cure })
}

/// Whether this is the text that Git LFS puts in the place of a file until the file is fetched.
fn is_git_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.len() < 1024 && bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}
