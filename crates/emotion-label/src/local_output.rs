//! The rule for every local file that is written.
//!
//! An output is a regular file or absent, and no input, by whatever name. A link stays: the file that it points to is
//! replaced. A named pipe and `/dev/null` are written in place, where the content is a stream.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::address::path_of;
use crate::format::FileType;

/// Where a local output is written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum LocalOutput {
    /// A regular file, or nothing yet, at this path, which is no link. It is to be replaced at once when its content is
    /// complete.
    File(PathBuf),
    /// A named pipe or `/dev/null`, which is written in place.
    Stream(PathBuf),
}

/// Why an output is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("cannot write to '{path}', which is {what}: {advice}")]
pub struct InvalidOutput {
    path: String,
    what: &'static str,
    advice: &'static str,
}

/// The local files that a program reads, by whatever names.
#[derive(Debug, Clone, Default)]
pub struct InputFiles(HashSet<Identity>);

/// What tells a file from all others, whatever its names are.
#[cfg(unix)]
type Identity = (u64, u64);
#[cfg(not(unix))]
type Identity = PathBuf;

impl InputFiles {
    /// These files and the tables in these folders; `-` is the standard input. What does not exist is left out.
    #[must_use]
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut files = HashSet::new();
        for name in names {
            let path = Path::new(if name == "-" { "/dev/stdin" } else { path_of(name) });
            if !path.is_dir() {
                files.extend(identity(path));
                continue;
            }
            let entries = WalkDir::new(path).follow_links(true).into_iter().filter_map(Result::ok);
            let tables = entries.filter(|entry| FileType::of(&entry.path().to_string_lossy()).is_some());
            files.extend(tables.filter_map(|entry| identity(entry.path())));
        }
        Self(files)
    }
}

impl LocalOutput {
    /// Where the output of this name is written by a program that reads these inputs.
    ///
    /// # Errors
    ///
    /// [`InvalidOutput`], if it is a folder, a device other than `/dev/null`, a socket, a link to nothing, or one of
    /// the inputs.
    pub fn of(path: &Path, inputs: &InputFiles) -> Result<Self, InvalidOutput> {
        let refused = |what, advice| Err(InvalidOutput { path: path.display().to_string(), what, advice });
        let found = match fs::metadata(path) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound && path.is_symlink() => {
                return refused("a link to a file that does not exist", "create the file, or remove the link");
            }
            // Whether a file can be created there is found out by creating it.
            Err(_) => return Ok(Self::File(path.into())),
        };
        if found.is_dir() {
            return refused("a folder", "name a file");
        }
        if found.is_file() {
            if identity(path).is_some_and(|identity| inputs.0.contains(&identity)) {
                return refused("an input", "choose another name for the output");
            }
            return Ok(Self::File(path.canonicalize().unwrap_or_else(|_| path.into())));
        }
        if is_pipe(found.file_type()) || path.canonicalize().is_ok_and(|path| path == Path::new("/dev/null")) {
            return Ok(Self::Stream(path.into()));
        }
        refused("a device or a socket", "name a file, or '-' for the standard output")
    }
}

/// The identity of a regular file.
#[cfg(unix)]
fn identity(path: &Path) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    let found = fs::metadata(path).ok()?;
    found.is_file().then(|| (found.dev(), found.ino()))
}

#[cfg(not(unix))]
fn identity(path: &Path) -> Option<Identity> {
    path.canonicalize().ok().filter(|path| path.is_file())
}

#[cfg(unix)]
fn is_pipe(file_type: fs::FileType) -> bool {
    std::os::unix::fs::FileTypeExt::is_fifo(&file_type)
}

#[cfg(not(unix))]
fn is_pipe(_: fs::FileType) -> bool {
    false
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn outputs_are_files_or_nothing_and_no_inputs() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().canonicalize().unwrap();
        let path = |name: &str| folder.join(name);
        let data = path("data");
        fs::create_dir(&data).unwrap();
        for name in ["data/a.csv", "old.html"] {
            fs::write(path(name), "text\n").unwrap();
        }
        symlink(path("data/a.csv"), path("link.csv")).unwrap();
        symlink(path("old.html"), path("link.html")).unwrap();
        symlink(path("nothing"), path("dangling")).unwrap();
        fs::hard_link(path("data/a.csv"), path("hard.csv")).unwrap();
        let of =
            |name: &str, input: &str| LocalOutput::of(&path(name), &InputFiles::of([&*path(input).to_string_lossy()]));
        assert_eq!(of("new.html", "data"), Ok(LocalOutput::File(path("new.html"))));
        assert_eq!(of("link.html", "data"), Ok(LocalOutput::File(path("old.html"))));
        for input in ["data", "data/a.csv", "link.csv", "hard.csv"] {
            for name in ["data/a.csv", "link.csv", "hard.csv"] {
                let refused = of(name, input).unwrap_err().to_string();
                assert!(refused.ends_with("which is an input: choose another name for the output"), "{refused}");
            }
        }
        assert!(of("data", "old.html").unwrap_err().to_string().contains("a folder"));
        assert!(of("dangling", "data").unwrap_err().to_string().contains("a link to a file that does not exist"));
    }

    #[test]
    fn devices_are_refused_but_for_null() {
        let of = |path| LocalOutput::of(Path::new(path), &InputFiles::default());
        assert_eq!(of("/dev/null"), Ok(LocalOutput::Stream("/dev/null".into())));
        assert!(of("/dev/zero").unwrap_err().to_string().contains("a device or a socket"));
    }
}
