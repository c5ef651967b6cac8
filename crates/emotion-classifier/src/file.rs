//! Files of a model's folder, as bytes.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::error::{Error, Result};

/// The bytes of a file, read or embedded.
pub(crate) type Bytes = Cow<'static, [u8]>;

/// The most bytes of a file of settings, such as `config.json`; those of models have some kilobytes.
pub(crate) const MOST_SETTINGS: u64 = 16 << 20;

/// The bytes of a file of a folder, if there is one of that name, which may have at most `most` bytes.
pub(crate) fn optional(folder: &Path, name: &str, most: u64) -> Result<Option<Bytes>> {
    let Some((mut file, size)) = open(folder, name, most)? else { return Ok(None) };
    let path = folder.join(name);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
    // A file that grows meanwhile is not read further.
    match file.by_ref().take(size).read_to_end(&mut bytes) {
        Ok(_) if is_git_lfs_pointer(&bytes) => Err(Error::GitLfsPointer { path }),
        Ok(_) => Ok(Some(bytes.into())),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// The bytes of a file that every model has; `cure` says what to do if it is missing.
pub(crate) fn required(folder: &Path, file: &'static str, most: u64, cure: &'static str) -> Result<Bytes> {
    optional(folder, file, most)?.ok_or_else(|| Error::MissingFile { origin: folder.display().to_string(), file, cure })
}

/// Opens a regular file of at most `most` bytes, and returns its size. A pipe or a device, whose reading may never end,
/// is refused before it is opened.
pub(crate) fn open(folder: &Path, name: &str, most: u64) -> Result<Option<(File, u64)>> {
    let path = folder.join(name);
    let wrong = |reason: String| Error::Read { path: path.clone(), source: io::Error::other(reason) };
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(Error::Read { path, source }),
    };
    if !metadata.is_file() {
        return Err(wrong("it is not a regular file: put a copy of the file in its place".into()));
    }
    if metadata.len() > most {
        return Err(wrong(format!(
            "it has {} bytes, and no more than {most} fit the model: copy or download it again",
            metadata.len()
        )));
    }
    match File::open(&path) {
        Ok(file) => Ok(Some((file, metadata.len()))),
        Err(source) => Err(Error::Read { path, source }),
    }
}

/// Whether this is the text that Git LFS puts in the place of a file until the file is fetched.
fn is_git_lfs_pointer(bytes: &[u8]) -> bool {
    bytes.len() < 1024 && bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}
