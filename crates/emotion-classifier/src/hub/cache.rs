//! The cache of models, in the layout of Python's `huggingface_hub`.
//!
//! ```text
//! models--owner--name/
//!     blobs/HASH                     the contents of files
//!     refs/REVISION                  the commit of a branch or a tag
//!     snapshots/COMMIT/FILE          links to the contents
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::hub::id::is_commit;
use crate::weights::file::{self, WeightFiles};
use crate::weights::index;

/// The files of one model, of all its revisions.
pub(crate) struct ModelCache {
    folder: PathBuf,
}

impl ModelCache {
    pub(crate) fn new(cache: &Path, name: &str) -> Self {
        Self { folder: cache.join(format!("models--{}", name.replace('/', "--"))) }
    }

    /// The folder of a commit's files.
    pub(crate) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The folder of a revision, if there is one.
    pub(crate) fn snapshot_of(&self, revision: &str) -> Option<PathBuf> {
        let commit = fs::read_to_string(self.folder.join("refs").join(revision));
        let commit = commit.map_or_else(|_| revision.to_owned(), |commit| commit.trim().to_owned());
        Some(self.snapshot(&commit)).filter(|folder| is_commit(&commit) && folder.is_dir())
    }

    /// Notes which commit a branch or tag stands for.
    pub(crate) fn remember(&self, revision: &str, commit: &str) -> io::Result<()> {
        if revision == commit {
            return Ok(());
        }
        let reference = self.folder.join("refs").join(revision);
        fs::create_dir_all(reference.parent().unwrap_or(&self.folder))?;
        fs::write(reference, commit)
    }

    /// The file of a content, by its hash.
    pub(crate) fn blob(&self, hash: &str) -> io::Result<PathBuf> {
        let folder = self.folder.join("blobs");
        fs::create_dir_all(&folder)?;
        Ok(folder.join(hash))
    }

    /// Gives a content the name of a file of a commit.
    pub(crate) fn link(&self, blob: &Path, commit: &str, file: &str) -> io::Result<()> {
        let path = self.snapshot(commit).join(file);
        fs::create_dir_all(path.parent().unwrap_or(&self.folder))?;
        // What is there does not exist as a file: a link whose content was removed.
        if path.is_symlink() {
            fs::remove_file(&path)?;
        }
        link(blob, &path, file.split('/').count())
    }
}

/// Links `path`, which is `depth` folders below that of a commit, to a content.
#[cfg(unix)]
fn link(blob: &Path, path: &Path, depth: usize) -> io::Result<()> {
    let name = blob.file_name().unwrap_or_default();
    let up: PathBuf = std::iter::repeat_n("..", depth + 1).collect();
    match std::os::unix::fs::symlink(up.join("blobs").join(name), path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Where links need privileges, the content is copied.
#[cfg(not(unix))]
fn link(blob: &Path, path: &Path, _: usize) -> io::Result<()> {
    fs::copy(blob, path).map(drop)
}

/// Whether a folder holds a configuration, weights and a tokenizer.
pub(crate) fn is_complete(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).exists();
    let has_shards = || {
        let json = fs::read(folder.join(file::INDEX)).unwrap_or_default();
        index::shards(&json).is_ok_and(|shards| shards.iter().all(|shard| has(shard)))
    };
    let weights = WeightFiles::NAMES.into_iter().find(|file| has(file));
    has("config.json")
        && weights.is_some_and(|file| file != file::INDEX || has_shards())
        && ["tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spm.model"].into_iter().any(has)
}

/// A model in the cache of the Hugging Face hub, at one commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CachedModel {
    /// `owner/name`.
    pub id: String,
    /// The hash of the commit.
    pub commit: String,
    /// The branches and tags that stand for the commit, in order.
    pub revisions: Vec<String>,
    /// The folder of the files.
    pub folder: PathBuf,
    /// The size of the files in bytes.
    pub bytes: u64,
}

/// All models of a cache, in the order of their ids and commits.
pub(crate) fn models(cache: &Path) -> Result<Vec<CachedModel>> {
    let mut models = Vec::new();
    for (name, folder) in folders(cache)? {
        let Some(name) = name.strip_prefix("models--") else { continue };
        let mut revisions = BTreeMap::new();
        collect_revisions(&folder.join("refs"), "", &mut revisions)?;
        for (commit, folder) in folders(&folder.join("snapshots"))? {
            let is_of_commit = |(_, of): &(&String, &String)| **of == commit;
            let revisions = revisions.iter().filter(is_of_commit).map(|(revision, _)| revision.clone()).collect();
            let bytes = size(&folder)?;
            models.push(CachedModel { id: name.replacen("--", "/", 1), commit, revisions, folder, bytes });
        }
    }
    Ok(models)
}

/// The folders in a folder by their names, in order; none if the folder is not there.
fn folders(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let is_folder = |path: &PathBuf| path.is_dir() && !path.is_symlink();
    let named = |path: PathBuf| Some((path.file_name()?.to_str()?.to_owned(), path));
    Ok(entries(folder)?.into_iter().filter(is_folder).filter_map(named).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |source| Error::Read { path: folder.into(), source };
    match fs::read_dir(folder) {
        Ok(entries) => entries.map(|entry| entry.map(|entry| entry.path()).map_err(failed)).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// Adds the commit of each branch and tag in a folder, whose names begin with `prefix`.
fn collect_revisions(folder: &Path, prefix: &str, revisions: &mut BTreeMap<String, String>) -> Result<()> {
    for path in entries(folder)? {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let name = format!("{prefix}{name}");
        if path.is_dir() && !path.is_symlink() {
            collect_revisions(&path, &format!("{name}/"), revisions)?;
        } else if let Ok(commit) = fs::read_to_string(&path) {
            revisions.insert(name, commit.trim().into());
        }
    }
    Ok(())
}

/// The size of all files below a folder. A link counts as the file to which it leads; one that leads nowhere counts
/// nothing.
fn size(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for path in entries(folder)? {
        bytes += if path.is_dir() && !path.is_symlink() {
            size(&path)?
        } else {
            fs::metadata(&path).map_or(0, |metadata| metadata.len())
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn models_of_the_cache_are_listed_with_their_revisions() {
        let root = TempDir::new().unwrap();
        assert_eq!(models(&root.path().join("none")).unwrap(), []);
        let cache = ModelCache::new(root.path(), "a/b--c");
        for (commit, revision) in [("0a", "main"), ("0a", "refs/pr/1"), ("0b", "v1")] {
            let blob = cache.blob(&format!("hash-{commit}")).unwrap();
            fs::write(&blob, "12345").unwrap();
            cache.link(&blob, commit, "config.json").unwrap();
            cache.link(&blob, commit, "shards/1").unwrap();
            cache.remember(revision, commit).unwrap();
        }
        fs::create_dir(root.path().join("datasets--a--b")).unwrap();
        let models = models(root.path()).unwrap();
        let described: Vec<_> =
            models.iter().map(|model| (&*model.id, &*model.commit, model.revisions.join(" "), model.bytes)).collect();
        assert_eq!(described, [("a/b--c", "0a", "main refs/pr/1".into(), 10), ("a/b--c", "0b", "v1".into(), 10)]);
        assert_eq!(fs::read_to_string(models[0].folder.join("shards/1")).unwrap(), "12345");
        assert_eq!(cache.snapshot_of("v1").as_ref(), Some(&models[1].folder));
    }

    #[test]
    fn a_reference_to_a_path_is_no_snapshot() {
        let root = TempDir::new().unwrap();
        let cache = ModelCache::new(root.path(), "a/b");
        fs::create_dir_all(cache.snapshot("0a")).unwrap();
        fs::create_dir_all(root.path().join("outside")).unwrap();
        cache.remember("main", "../../outside").unwrap();
        assert_eq!(cache.snapshot_of("main"), None);
        assert_eq!(cache.snapshot_of("0a"), Some(cache.snapshot("0a")));
    }
}
