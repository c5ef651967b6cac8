//! Where labeled files go, and what a job remembers: a folder, or a place in an object store.
//!
//! Nothing stands under its name before it is complete and will outlast a power failure.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path as FilePath, PathBuf, is_separator};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use datafusion::datasource::listing::ListingTableUrl;
use datafusion::prelude::SessionContext;
use futures::TryStreamExt;
use object_store::buffered::BufWriter;
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::task::{JoinHandle, spawn_blocking};

use crate::address::{local, path_of, without_separator};
use crate::format::{FileType, Output};
use crate::job::error::{Context, LabelError, Result};
use crate::job::seal::hexadecimal;
use crate::local_output::{InputFiles, LocalOutput};

pub struct Storage {
    place: Place,
    address: ListingTableUrl,
    /// The one file to write, if the output is no folder.
    file: Option<String>,
    /// The type of that file, by the name it was given.
    file_type: Option<FileType>,
    shown: String,
}

/// Folder of the journal for files that are not complete, each under a [unique name](unique_name).
const WRITING: &str = "writing";

/// A file that was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Written {
    pub bytes: u64,
    sha256: String,
    /// The tag that an object store gave it.
    tag: Option<String>,
}

enum Place {
    Folder(PathBuf),
    Store { store: Arc<dyn ObjectStore>, prefix: Path },
}

impl Storage {
    /// The output as it was named: a file if that is one's name, else a folder.
    pub fn open(context: &SessionContext, output: &str) -> Result<Self> {
        let output = path_of(output);
        let shown = without_separator(output).to_string();
        let is_file = match Output::of(output) {
            _ if FilePath::new(output).is_dir() => false,
            Ok(Output::File(_)) => true,
            Ok(Output::Standard) => {
                return Err(LabelError::Refused("'-' is not supported as --output: name a file or a folder".into()));
            }
            Ok(_) => false,
            Err(error) => return Err(error.into()),
        };
        let file = is_file.then(|| shown.rsplit(is_separator).next().unwrap_or_default().to_string());
        if output.contains("://") {
            let address = ListingTableUrl::parse(&shown).with_context(|| format!("'{output}' is not an address"))?;
            if address.scheme().starts_with("http") {
                let what =
                    format!("'{output}' cannot be written to: choose a folder or an s3://, gs:// or az:// address");
                return Err(LabelError::Refused(what));
            }
            let store =
                context.runtime_env().object_store(&address).with_context(|| format!("cannot reach '{output}'"))?;
            return Ok(Self::in_store(store, address, file, shown));
        }
        let file_type = if is_file { FileType::of(&shown) } else { None };
        let (path, shown) = if is_file { replaced(&shown)? } else { (PathBuf::from(&shown), shown) };
        if !is_file && path.exists() && !path.is_dir() {
            let what = format!("'{shown}' is no folder, and its name does not tell a format: choose another --output");
            return Err(LabelError::Refused(what));
        }
        let path = absolute(&path).with_context(|| format!("cannot write to '{output}'"))?;
        let address = local(&path)?;
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_string);
        let file = name.filter(|_| is_file);
        let folder = if is_file { path.parent().unwrap_or(FilePath::new("/")).to_path_buf() } else { path };
        Ok(Self { place: Place::Folder(folder), address, file, file_type, shown })
    }

    /// Refuses to write files over what is no regular file, or over an input; `inputs` are the paths of those on this
    /// machine. A file in a folder is no link either: what it points to may be anywhere.
    pub fn check<'a>(&self, names: impl Iterator<Item = &'a str>, inputs: &[String]) -> Result<()> {
        let Place::Folder(folder) = &self.place else { return Ok(()) };
        let mut files = None;
        for path in names.map(|name| folder.join(name)) {
            let Ok(found) = fs::symlink_metadata(&path) else { continue };
            if found.is_symlink() {
                let what = format!("'{}' is a link: remove it, or choose another --output", path.display());
                return Err(LabelError::Refused(what));
            }
            let files = files.get_or_insert_with(|| InputFiles::of(inputs.iter().map(String::as_str)));
            LocalOutput::of(&path, files).map_err(|error| LabelError::Refused(error.to_string()))?;
        }
        Ok(())
    }

    pub fn in_store(
        store: Arc<dyn ObjectStore>,
        address: ListingTableUrl,
        file: Option<String>,
        shown: String,
    ) -> Self {
        let parts: Vec<_> = address.prefix().parts().collect();
        let folder = parts.len() - usize::from(file.is_some());
        let prefix = parts.into_iter().take(folder).collect();
        let file_type = file.as_deref().and_then(FileType::of);
        Self { place: Place::Store { store, prefix }, address, file, file_type, shown }
    }

    /// The one file to write, if the output is no folder.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// The type of the one file to write, by its name.
    pub fn file_type(&self) -> Option<FileType> {
        self.file_type
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// What messages call a file of it.
    pub fn shown_file(&self, name: &str) -> String {
        if self.file.is_some() {
            return match self.shown.rsplit_once(is_separator) {
                Some((folder, _)) => format!("{folder}/{name}"),
                None => name.into(),
            };
        }
        format!("{}/{name}", self.shown)
    }

    /// Whether what stands at this address is part of the output.
    pub fn holds(&self, url: &ListingTableUrl) -> bool {
        url.object_store() == self.address.object_store() && url.prefix().prefix_matches(self.address.prefix())
    }

    /// The name of a file of the job's own, which readers of the output pass over.
    pub fn journal(&self, name: &str) -> String {
        match &self.file {
            Some(file) => format!(".{file}.emotion/{name}"),
            None => format!(".emotion/{name}"),
        }
    }

    /// The store and the path there, unless the output is on this machine.
    pub fn remote(&self, name: &str) -> Option<(Arc<dyn ObjectStore>, Path)> {
        match &self.place {
            Place::Folder(_) => None,
            Place::Store { store, prefix } => Some((Arc::clone(store), at(prefix, name))),
        }
    }

    /// A file that is there for as long as it is open; only on this machine.
    pub fn open_file(&self, name: &str) -> Result<Option<File>> {
        let Place::Folder(folder) = &self.place else { return Ok(None) };
        let path = folder.join(name);
        let cannot = || format!("cannot write in '{}'", self.shown);
        make_folder_of(&path).with_context(cannot)?;
        Ok(Some(File::options().create(true).truncate(false).write(true).open(path).with_context(cannot)?))
    }

    pub async fn read(&self, name: &str) -> Result<Option<Vec<u8>>> {
        let cannot = || format!("cannot read '{}'", self.shown_file(name));
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                if_there(blocking(move || fs::read(path)).await).with_context(cannot)
            }
            Place::Store { store, prefix } => match store.get(&at(prefix, name)).await {
                Ok(found) => Ok(Some(found.bytes().await.with_context(cannot)?.to_vec())),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error).with_context(cannot),
            },
        }
    }

    /// What was written, with the tag that the store gave it.
    pub async fn tagged(&self, name: &str, written: Written) -> Result<Written> {
        Ok(Written { tag: self.tag(name).await?, ..written })
    }

    /// How many bytes a file has; `None` if there is none.
    pub async fn size(&self, name: &str) -> Result<Option<u64>> {
        let cannot = || format!("cannot look at '{}'", self.shown_file(name));
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                if_there(blocking(move || Ok(fs::metadata(path)?.len())).await).with_context(cannot)
            }
            Place::Store { store, prefix } => match store.head(&at(prefix, name)).await {
                Ok(meta) => Ok(Some(meta.size)),
                Err(object_store::Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error).with_context(cannot),
            },
        }
    }

    /// Whether a file has the content that was written. Where its tag is still the one that the store gave to that
    /// content, the content is not read.
    pub async fn holds_what_was_written(&self, name: &str, written: &Written) -> Result<bool> {
        if self.size(name).await? != Some(written.bytes) {
            return Ok(false);
        }
        if written.tag.is_some() && self.tag(name).await? == written.tag {
            return Ok(true);
        }
        Ok(self.sha256(name).await? == written.sha256)
    }

    /// The tag of an object, which changes with its content.
    async fn tag(&self, name: &str) -> Result<Option<String>> {
        let Some((store, path)) = self.remote(name) else { return Ok(None) };
        let meta = store.head(&path).await;
        Ok(meta.with_context(|| format!("cannot look at '{}'", self.shown_file(name)))?.e_tag)
    }

    /// The digest of a file's content.
    async fn sha256(&self, name: &str) -> Result<String> {
        let cannot = || format!("cannot read '{}'", self.shown_file(name));
        let digest_of = |mut file: File| {
            let mut hasher = Sha256::new();
            io::copy(&mut file, &mut Hashing(&mut hasher)).map(|_| hexadecimal(hasher))
        };
        let (store, path) = match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                return blocking(move || digest_of(File::open(path)?)).await.with_context(cannot);
            }
            Place::Store { store, prefix } => (store, at(prefix, name)),
        };
        match store.get(&path).await.with_context(cannot)?.payload {
            GetResultPayload::File(file, _) => blocking(move || digest_of(file)).await.with_context(cannot),
            GetResultPayload::Stream(chunks) => {
                let hasher = chunks.try_fold(Sha256::new(), async |hasher, chunk| Ok(hasher.chain_update(&chunk)));
                Ok(hexadecimal(hasher.await.with_context(cannot)?))
            }
        }
    }

    /// The names of the files in a folder, without its own.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let cannot = || format!("cannot list '{}'", self.shown_file(folder));
        match &self.place {
            Place::Folder(root) => {
                let path = root.join(folder);
                let names = if_there(blocking(move || names(&path)).await).with_context(cannot)?;
                Ok(names.unwrap_or_default())
            }
            Place::Store { store, prefix } => {
                let found = store.list_with_delimiter(Some(&at(prefix, folder))).await.with_context(cannot)?;
                Ok(found.objects.iter().filter_map(|object| object.location.filename().map(str::to_string)).collect())
            }
        }
    }

    /// Writes a small file, at once.
    pub async fn write(&self, name: &str, bytes: Vec<u8>) -> Result<()> {
        let mut upload = self.upload(name).await?;
        upload.write(bytes).await?;
        upload.finish().await?;
        Ok(())
    }

    /// Removes what a run that was killed has left incomplete.
    pub async fn clear(&self) -> Result<()> {
        match self.place {
            Place::Folder(_) => self.remove_folder(&self.journal(WRITING)).await,
            Place::Store { .. } => Ok(()),
        }
    }

    /// Begins a file, which is there when the upload is finished.
    pub async fn upload(&self, name: &str) -> Result<Upload> {
        let shown = self.shown_file(name);
        let target = match &self.place {
            Place::Folder(folder) => {
                let begun = folder.join(self.journal(WRITING)).join(unique_name());
                let path = folder.join(name);
                let create = move || {
                    make_folder_of(&begun)?;
                    make_folder_of(&path)?;
                    Ok(Partial { file: File::create_new(&begun)?, begun, path })
                };
                let file = blocking(create).await.with_context(|| format!("cannot write '{shown}'"))?;
                Target::File(FileWriter { partial: Arc::new(file), hasher: Sha256::new(), pending: None })
            }
            Place::Store { store, prefix } => {
                let writer = BufWriter::new(Arc::clone(store), at(prefix, name)).with_max_concurrency(4);
                Target::Object(Box::new(writer), Sha256::new())
            }
        };
        Ok(Upload { target, bytes: 0, shown })
    }

    /// The time that a small file takes to be written for good, if so many are written side by side and removed again;
    /// `None` in an object store, or where nothing can be written.
    pub async fn write_time(&self, files: u32) -> Option<Duration> {
        let Place::Folder(folder) = &self.place else { return None };
        let folder = folder.ancestors().find(|folder| folder.is_dir())?;
        let started = Instant::now();
        let write = |_| {
            let path = folder.join(format!(".emotion-{}", unique_name()));
            let write = move || {
                let written = File::create_new(&path)?.sync_all().and_then(|()| sync_folder_of(&path));
                fs::remove_file(&path).and(written)
            };
            blocking(write)
        };
        futures::future::try_join_all((0..files).map(write)).await.ok()?;
        Some(started.elapsed() / files)
    }

    /// Removes a file, if it is there.
    pub async fn remove(&self, name: &str) -> Result<()> {
        let cannot = || format!("cannot remove '{}'", self.shown_file(name));
        match &self.place {
            Place::Folder(folder) => {
                let path = folder.join(name);
                if_there(blocking(move || fs::remove_file(path)).await).with_context(cannot)?;
                Ok(())
            }
            Place::Store { store, prefix } => match store.delete(&at(prefix, name)).await {
                Err(error) if !matches!(error, object_store::Error::NotFound { .. }) => Err(error).with_context(cannot),
                _ => Ok(()),
            },
        }
    }

    /// Removes a folder with all that is in it.
    pub async fn remove_folder(&self, folder: &str) -> Result<()> {
        let cannot = || format!("cannot remove '{}'", self.shown_file(folder));
        match &self.place {
            Place::Folder(root) => {
                let path = root.join(folder);
                if_there(blocking(move || fs::remove_dir_all(path)).await).with_context(cannot)?;
                Ok(())
            }
            Place::Store { store, prefix } => {
                let objects: Vec<_> = store.list(Some(&at(prefix, folder))).try_collect().await.with_context(cannot)?;
                for object in objects {
                    store.delete(&object.location).await.with_context(cannot)?;
                }
                Ok(())
            }
        }
    }
}

/// A file on its way.
pub struct Upload {
    target: Target,
    bytes: u64,
    shown: String,
}

enum Target {
    File(FileWriter),
    Object(Box<BufWriter>, Sha256),
}

/// Writes a local file, one piece on other threads while the caller makes the next.
struct FileWriter {
    partial: Arc<Partial>,
    /// The digest of the pieces before the pending one.
    hasher: Sha256,
    pending: Option<JoinHandle<io::Result<Sha256>>>,
}

/// Bytes from which a piece is digested on a thread of its own.
const LARGE: usize = 1 << 20;

impl FileWriter {
    async fn write(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.settle().await?;
        let (partial, mut hasher) = (Arc::clone(&self.partial), std::mem::take(&mut self.hasher));
        self.pending = Some(spawn_blocking(move || {
            if bytes.len() < LARGE {
                hasher.update(&bytes);
                return (&partial.file).write_all(&bytes).map(|()| hasher);
            }
            thread::scope(|scope| {
                let digest = scope.spawn(|| hasher.chain_update(&bytes));
                (&partial.file).write_all(&bytes)?;
                digest.join().map_err(|_| io::Error::other("the digest panicked"))
            })
        }));
        Ok(())
    }

    /// Waits until the pending piece is written.
    async fn settle(&mut self) -> io::Result<()> {
        if let Some(pending) = self.pending.take() {
            self.hasher = pending.await.map_err(io::Error::other)??;
        }
        Ok(())
    }

    async fn finish(mut self) -> io::Result<Sha256> {
        self.settle().await?;
        let partial = self.partial;
        blocking(move || partial.publish()).await?;
        Ok(self.hasher)
    }

    /// Leaves nothing behind.
    async fn abort(mut self) {
        // The error that brought us here is the one to tell.
        let _ = self.settle().await;
        let _ = fs::remove_file(&self.partial.begun);
    }
}

/// A local file that has another name until it is complete.
struct Partial {
    file: File,
    /// Its name until then.
    begun: PathBuf,
    path: PathBuf,
}

impl Partial {
    /// Gives the file its name, once its content has reached the disk.
    fn publish(&self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.begun, &self.path)?;
        sync_folder_of(&self.path)
    }
}

impl Upload {
    /// Appends bytes. An error may be that of the bytes before them.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.bytes += bytes.len() as u64;
        let cannot = || format!("cannot write '{}'", self.shown);
        match &mut self.target {
            Target::File(writer) => writer.write(bytes).await.with_context(cannot),
            Target::Object(writer, hasher) => {
                hasher.update(&bytes);
                writer.put(bytes.into()).await.with_context(cannot)
            }
        }
    }

    /// Gives the file its name.
    pub async fn finish(self) -> Result<Written> {
        let cannot = || format!("cannot write '{}'", self.shown);
        let hasher = match self.target {
            Target::File(writer) => writer.finish().await.with_context(cannot)?,
            Target::Object(mut writer, hasher) => {
                writer.shutdown().await.with_context(cannot)?;
                hasher
            }
        };
        Ok(Written { bytes: self.bytes, sha256: hexadecimal(hasher), tag: None })
    }

    /// Leaves nothing behind.
    pub async fn abort(self) {
        match self.target {
            Target::File(writer) => writer.abort().await,
            // The error that brought us here is the one to tell.
            Target::Object(mut writer, _) => drop(writer.abort().await),
        }
    }
}

/// Digests what is written to it.
struct Hashing<'a>(&'a mut Sha256);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A name that no other run uses: one that was dropped may still be writing its last file.
fn unique_name() -> String {
    static BEGUN: AtomicU64 = AtomicU64::new(0);
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    format!("{}-{}-{}", std::process::id(), since.as_nanos(), BEGUN.fetch_add(1, Relaxed))
}

/// Runs file operations, which may take long, on another thread.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)?
}

/// The result of an operation on a file; `None` if there is no such file.
fn if_there<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// The names in a folder, as far as they are UTF-8.
fn names(folder: &FilePath) -> io::Result<Vec<String>> {
    let name = |entry: io::Result<fs::DirEntry>| Ok(entry?.file_name().into_string().ok());
    fs::read_dir(folder)?.filter_map(|entry| name(entry).transpose()).collect()
}

/// The object of this name, whose characters such as `[`, `#` and `%` stand for themselves.
fn at(prefix: &Path, name: &str) -> Path {
    let name = Path::parse(name).unwrap_or_else(|_| Path::from(name));
    prefix.parts().chain(name.parts()).collect()
}

/// Makes the folder of a file, so that it is there even after a power failure.
fn make_folder_of(path: &FilePath) -> io::Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    if folder.is_dir() || folder.as_os_str().is_empty() {
        return Ok(());
    }
    make_folder_of(folder)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(error),
        _ => sync_folder_of(folder),
    }
}

/// Makes a new name last.
fn sync_folder_of(path: &FilePath) -> io::Result<()> {
    match path.parent() {
        #[cfg(unix)]
        Some(folder) if !folder.as_os_str().is_empty() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}

/// The file that an output of this name replaces, and its name in messages.
fn replaced(shown: &str) -> Result<(PathBuf, String)> {
    let path = FilePath::new(shown);
    let refused = |what: String| Err(LabelError::Refused(what));
    match LocalOutput::of(path, &InputFiles::default()) {
        Ok(LocalOutput::File(file)) if path.is_symlink() => {
            let shown = file.display().to_string();
            Ok((file, shown))
        }
        Ok(LocalOutput::File(_)) => Ok((path.into(), shown.into())),
        Ok(_) => refused(format!("'{shown}' is no file, and a job with a journal needs one: choose another --output")),
        Err(error) => refused(error.to_string()),
    }
}

/// The path from the root, of which the last parts need not be there.
fn absolute(path: &FilePath) -> io::Result<PathBuf> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) if !parent.as_os_str().is_empty() => Ok(absolute(parent)?.join(name)),
        _ => std::path::absolute(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn objects_have_the_names_of_their_inputs() {
        for name in ["a [1].csv", "50%off.csv", "c#.csv", "b/x~y.csv", "a%09b.csv"] {
            assert_eq!(at(&Path::from("out"), name).as_ref(), format!("out/{name}"));
        }
    }

    #[tokio::test]
    async fn runs_do_not_share_files_under_way() {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("out");
        let open = || Storage::open(&SessionContext::new(), output.to_str().unwrap()).unwrap();
        let (dropped, next) = (open(), open());
        let mut first = dropped.upload("a").await.unwrap();
        first.write(b"half".into()).await.unwrap();
        let mut second = next.upload("b").await.unwrap();
        second.write(b"whole".into()).await.unwrap();
        first.finish().await.unwrap();
        second.finish().await.unwrap();
        assert_eq!(next.read("a").await.unwrap().as_deref(), Some(&b"half"[..]));
        assert_eq!(next.read("b").await.unwrap().as_deref(), Some(&b"whole"[..]));
    }
}
