//! Downloads of models into the cache.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::hub::cache::{ModelCache, is_complete};
use crate::hub::client::{Client, Content, Facts, Failure, Listing};
use crate::hub::download::{self, Download};
use crate::hub::id::HubId;
use crate::hub::settings::Settings;
use crate::tokenizer::file::TokenizerFiles;
use crate::weights::file::{self, WeightFiles};
use crate::weights::index;

/// The folder of a model in the cache, to which it is downloaded if it is not there; or why it cannot be had.
pub(crate) fn folder_of(settings: &Settings, id: &str) -> Result<PathBuf, String> {
    let id = HubId::parse(id)?;
    let cache = ModelCache::new(&settings.cache, id.name);
    let cached = cache.snapshot_of(id.revision);
    if let Some(folder) = cached.as_ref().filter(|folder| is_complete(folder)) {
        return Ok(folder.clone());
    }
    if settings.is_offline {
        let found = match cached {
            Some(folder) => format!("'{}' does not hold all of its files", folder.display()),
            None => format!("revision '{}' is not in the cache at '{}'", id.revision, settings.cache.display()),
        };
        return Err(format!(
            "{found}, and HF_HUB_OFFLINE is set: unset it to download the model, or set HF_HUB_CACHE or HF_HOME to \
             the cache that holds it"
        ));
    }
    Fetch { client: Client::new(settings), settings, id, cache }.run()
}

/// The download of one model.
struct Fetch<'a> {
    client: Client,
    settings: &'a Settings,
    id: HubId<'a>,
    cache: ModelCache,
}

impl Fetch<'_> {
    /// Downloads the files of a model that are not in the cache, all of one commit.
    fn run(&self) -> Result<PathBuf, String> {
        let listing = self.client.list(self.id).map_err(|failure| self.explained(&failure))?;
        let folder = self.cache.snapshot(&listing.commit);
        self.get(&listing, "config.json")?;
        for file in TokenizerFiles::NAMES.into_iter().filter(|file| listing.has(file)) {
            self.get(&listing, file)?;
        }
        let weights = WeightFiles::NAMES.into_iter().find(|file| listing.has(file));
        let has = |file: &str| listing.has(file);
        let weights = weights.ok_or_else(|| format!("it has no model.safetensors: {}", file::cure(has)))?;
        self.get(&listing, weights)?;
        if weights == file::INDEX {
            let json = fs::read(folder.join(weights)).map_err(|e| format!("{weights}: {e}"))?;
            for shard in index::shards(&json)? {
                self.get(&listing, &shard)?;
            }
        }
        let remembered = self.cache.remember(self.id.revision, &listing.commit);
        remembered.map_err(|error| Failure::Cache(error).to_string())?;
        Ok(folder)
    }

    fn get(&self, listing: &Listing, file: &str) -> Result<(), String> {
        if self.cache.snapshot(&listing.commit).join(file).exists() {
            return Ok(());
        }
        let downloaded = self.download(&listing.commit, file, &listing.facts(file));
        downloaded.map_err(|failure| format!("{file}: {}", self.explained(&failure)))
    }

    /// Downloads a file, of which the list of files says what is `listed`.
    fn download(&self, commit: &str, file: &str, listed: &Facts) -> Result<(), Failure> {
        let content = self.client.open(self.id.name, commit, file, 0)?;
        let expected = Expected::of(&content.facts, listed)?;
        let blob = self.cache.blob(&expected.name).map_err(Failure::Cache)?;
        if !is_of_size(&blob, expected.size) {
            log::info!("downloading {file} of {} ({} bytes)", self.id.name, expected.size);
            let mut part = Part::open(&blob).map_err(Failure::Cache)?;
            // Another process may have completed it in the meantime.
            if !is_of_size(&blob, expected.size) {
                self.complete(&mut part, content, commit, file, &expected)?;
                part.finish(&blob).map_err(Failure::Cache)?;
            }
        }
        self.cache.link(&blob, commit, file).map_err(Failure::Cache)
    }

    /// Downloads what a part lacks, and checks the whole.
    fn complete(
        &self,
        part: &mut Part,
        first: Content,
        commit: &str,
        file: &str,
        expected: &Expected,
    ) -> Result<(), Failure> {
        if part.bytes > expected.size {
            part.cut(0).map_err(Failure::Cache)?;
        }
        let mut content = Some(first);
        let report = |bytes| {
            download::report(&Download { model: self.id.name, file, bytes, size: expected.size });
        };
        report(part.bytes);
        while part.bytes < expected.size {
            let before = part.bytes;
            let copied = match content.take().filter(|content| content.offset == before) {
                Some(content) => self.copy(content, part, expected.size, &report),
                None => self.resume(part, commit, file, expected.size, &report),
            };
            match copied {
                Ok(()) if part.bytes == expected.size => break,
                // A connection that broke is opened again for as long as that brings the file forward.
                Ok(()) | Err(Failure::Silent(_) | Failure::Network(_)) if part.bytes > before => {
                    log::warn!("the download of {file} stopped at byte {} and is resumed", part.bytes);
                }
                Ok(()) => {
                    return Err(Failure::Answer(format!("it has {} bytes, not {}", part.bytes, expected.size)));
                }
                Err(failure) => return Err(failure),
            }
        }
        if let Some(sha256) = &expected.sha256 {
            let found = part.sha256().map_err(Failure::Cache)?;
            if !found.eq_ignore_ascii_case(sha256) {
                part.cut(0).map_err(Failure::Cache)?;
                return Err(Failure::Answer(format!("its SHA-256 is {found}, not {sha256}; try again")));
            }
        }
        Ok(())
    }

    /// Requests what a part lacks, or the whole if the server ignores where that begins.
    fn resume(
        &self,
        part: &mut Part,
        commit: &str,
        file: &str,
        size: u64,
        report: &dyn Fn(u64),
    ) -> Result<(), Failure> {
        let content = self.client.open(self.id.name, commit, file, part.bytes)?;
        if content.offset > part.bytes {
            return Err(Failure::Answer(format!("it begins at byte {}, not {}", content.offset, part.bytes)));
        }
        part.cut(content.offset).map_err(Failure::Cache)?;
        self.copy(content, part, size, report)
    }

    /// Appends a content to a part, which must not become larger than `size`.
    fn copy(&self, mut content: Content, part: &mut Part, size: u64, report: &dyn Fn(u64)) -> Result<(), Failure> {
        let mut buffer = vec![0; 1 << 16];
        loop {
            let count = content.reader.read(&mut buffer).map_err(|error| self.client.interrupted(&error))?;
            if count == 0 {
                return Ok(());
            }
            if part.bytes + count as u64 > size {
                return Err(Failure::Answer(format!("it has more than {size} bytes")));
            }
            part.append(&buffer[..count]).map_err(Failure::Cache)?;
            report(part.bytes);
        }
    }

    /// Why the hub did not answer, and what to do about it.
    fn explained(&self, failure: &Failure) -> String {
        let HubId { name, revision } = self.id;
        let page = format!("{}/{name}", self.settings.endpoint);
        match failure {
            Failure::Status { status: 401 | 403, .. } if self.settings.token.is_some() => format!(
                "{failure}: the token of HF_TOKEN, or of the token file, has no access to it; if the model is gated, \
                 accept its terms at {page}, and use a token that may read it"
            ),
            Failure::Status { is_gated: true, .. } => format!(
                "{failure}: the model is gated; accept its terms at {page}, and set HF_TOKEN to a token that may read \
                 it (or run `hf auth login`)"
            ),
            Failure::Status { status: 401 | 403, .. } => format!(
                "{failure}: it does not exist, or it is private or gated; accept its terms at {page}, and set HF_TOKEN \
                 to a token that may read it (or run `hf auth login`)"
            ),
            Failure::Status { status: 404, .. } => {
                format!("{failure}: there is no such model, or it has no revision '{revision}'; see {page}")
            }
            Failure::Cache(_) => {
                format!("{failure}; check the folder '{}', or set HF_HUB_CACHE", self.settings.cache.display())
            }
            Failure::Answer(_) => format!("{failure}; check HF_ENDPOINT, which is {}", self.settings.endpoint),
            Failure::Status { .. } | Failure::Silent(_) | Failure::Network(_) => {
                format!("{failure}; check the id and the network, or download the model's folder and give its path")
            }
        }
    }
}

/// What a file must be.
struct Expected {
    /// The name of its content in the cache.
    name: String,
    size: u64,
    sha256: Option<String>,
}

impl Expected {
    /// What the answer and the list of files say of a file, if they agree.
    fn of(answer: &Facts, listed: &Facts) -> Result<Self, Failure> {
        let wrong = |reason: String| Err(Failure::Answer(reason));
        let Some(name) = answer.etag.clone() else { return wrong("it has no ETag".into()) };
        if !is_blob_name(&name) {
            return wrong(format!("its ETag {name:?} is not the hash of a file"));
        }
        let size = match (answer.size, listed.size) {
            (Some(one), Some(other)) if one != other => {
                return wrong(format!("it has {one} bytes, but {other} in the list of files"));
            }
            (one, other) => one.or(other),
        };
        let Some(size) = size else { return wrong("it has no size".into()) };
        Ok(Self { name, size, sha256: listed.sha256.clone().or_else(|| answer.sha256.clone()) })
    }
}

/// Whether an `ETag` can be the name of a file.
fn is_blob_name(etag: &str) -> bool {
    (1..=128).contains(&etag.len())
        && etag.starts_with(|c: char| c.is_ascii_alphanumeric())
        && etag.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn is_of_size(path: &Path, size: u64) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.len() == size)
}

/// The part of a file that is here, which is locked until it is complete; a later download continues it.
struct Part {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl Part {
    /// Opens the part of a content, once no other process downloads it.
    fn open(blob: &Path) -> io::Result<Self> {
        let mut path = blob.as_os_str().to_owned();
        path.push(".incomplete");
        let path = PathBuf::from(path);
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path)?;
        match file.lock() {
            // Some network file systems have no locks; there, two downloads at once may disturb each other.
            Err(error) if error.kind() != io::ErrorKind::Unsupported => return Err(error),
            _ => {}
        }
        let bytes = file.metadata()?.len();
        Ok(Self { path, file, bytes })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    /// Keeps the first bytes alone.
    fn cut(&mut self, bytes: u64) -> io::Result<()> {
        self.bytes = self.bytes.min(bytes);
        self.file.set_len(self.bytes)
    }

    fn sha256(&self) -> io::Result<String> {
        let mut file = File::open(&self.path)?;
        let mut hash = Sha256::new();
        let mut buffer = vec![0; 1 << 20];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hash.update(&buffer[..count]);
        }
        Ok(hash.finalize().iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}")))
    }

    fn finish(self, blob: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, blob)
    }
}
