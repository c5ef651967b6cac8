//! Requests to the hub.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use serde::Deserialize;
use ureq::http::{HeaderMap, Response, Uri};
use ureq::{Agent, Body};

use crate::hub::id::{HubId, is_commit};
use crate::hub::settings::Settings;

/// How often an answer may name another address.
const MOST_REDIRECTS: usize = 8;

/// The most bytes of a list of files.
const MOST_LISTING: u64 = 32 << 20;

/// A connection to the hub.
pub(crate) struct Client {
    agent: Agent,
    endpoint: String,
    token: Option<String>,
    timeout: Duration,
}

/// The files of a model at a commit.
#[derive(Deserialize)]
pub(crate) struct Listing {
    #[serde(rename = "sha")]
    pub commit: String,
    siblings: Vec<Sibling>,
}

#[derive(Deserialize)]
struct Sibling {
    rfilename: String,
    size: Option<u64>,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    sha256: Option<String>,
}

impl Listing {
    pub(crate) fn has(&self, file: &str) -> bool {
        self.siblings.iter().any(|sibling| sibling.rfilename == file)
    }

    /// What the list says about a file.
    pub(crate) fn facts(&self, file: &str) -> Facts {
        let sibling = self.siblings.iter().find(|sibling| sibling.rfilename == file);
        let sha256 = sibling.and_then(|sibling| sibling.lfs.as_ref()?.sha256.clone());
        Facts { size: sibling.and_then(|sibling| sibling.size), sha256, ..Facts::default() }
    }
}

/// What the hub says about the content of a file.
#[derive(Debug, Default, Clone)]
pub(crate) struct Facts {
    /// The name of the content, which identifies it: `X-Linked-Etag` or `ETag`.
    pub etag: Option<String>,
    /// The size in bytes.
    pub size: Option<u64>,
    /// The SHA-256 in hexadecimal digits, of files in Git LFS.
    pub sha256: Option<String>,
    /// The commit: `X-Repo-Commit`.
    commit: Option<String>,
}

impl Facts {
    /// Adds what an answer says; what was said before is kept, because the hub says it before the storage.
    fn read(&mut self, headers: &HeaderMap) {
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        let hash = |name: &str| text(name).map(|etag| etag.trim_start_matches("W/").trim_matches('"').to_owned());
        let linked = hash("x-linked-etag");
        if self.sha256.is_none() {
            self.sha256 = linked.clone().filter(|etag| etag.len() == 64 && is_commit(etag));
        }
        self.etag = self.etag.take().or(linked).or_else(|| hash("etag"));
        self.size = self.size.or_else(|| text("x-linked-size")?.parse().ok());
        self.commit = self.commit.take().or_else(|| text("x-repo-commit"));
    }
}

/// The content of a file from an offset on.
pub(crate) struct Content {
    pub facts: Facts,
    pub offset: u64,
    pub reader: Box<dyn Read>,
}

/// Why the hub did not answer as expected.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The hub refused the request.
    Status { status: u16, is_gated: bool },
    /// The server sent nothing for this time.
    Silent(Duration),
    /// The network or the server failed.
    Network(String),
    /// The answer is wrong.
    Answer(String),
    /// The cache cannot be written.
    Cache(io::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status { status, .. } => write!(f, "http status: {status}"),
            Self::Silent(time) => write!(f, "the server sent nothing for {} s", time.as_secs()),
            Self::Network(reason) => f.write_str(reason),
            Self::Answer(reason) => write!(f, "the answer of the server is wrong: {reason}"),
            Self::Cache(error) => write!(f, "cannot write to the cache: {error}"),
        }
    }
}

impl Client {
    pub(crate) fn new(settings: &Settings) -> Self {
        let timeout = Some(settings.timeout);
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .timeout_resolve(timeout)
            .timeout_connect(timeout)
            .timeout_recv_response(timeout)
            .timeout_per_read(timeout)
            .user_agent(concat!("emotion-classifier/", env!("CARGO_PKG_VERSION")));
        Self {
            agent: config.build().new_agent(),
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
            timeout: settings.timeout,
        }
    }

    /// The commit of a revision and its files.
    pub(crate) fn list(&self, id: HubId) -> Result<Listing, Failure> {
        let revision = encoded(id.revision, "");
        let address = format!("{}/api/models/{}/revision/{revision}?blobs=true", self.endpoint, id.name);
        let (_, response) = self.get(&address, 0)?;
        let mut json = Vec::new();
        let mut reader = response.into_body().into_reader().take(MOST_LISTING);
        reader.read_to_end(&mut json).map_err(|error| self.interrupted(&error))?;
        let listing: Listing =
            serde_json::from_slice(&json).map_err(|e| Failure::Answer(format!("no list of files: {e}")))?;
        if !is_commit(&listing.commit) {
            return Err(Failure::Answer(format!("{:?} is not the hash of a commit", listing.commit)));
        }
        Ok(listing)
    }

    /// The content of a file of a commit from `offset` on, or from its beginning if the server ignores the offset.
    pub(crate) fn open(&self, name: &str, commit: &str, file: &str, offset: u64) -> Result<Content, Failure> {
        let address = format!("{}/{name}/resolve/{commit}/{}", self.endpoint, encoded(file, "/"));
        let (mut facts, response) = self.get(&address, offset)?;
        if let Some(other) = facts.commit.as_ref().filter(|other| *other != commit) {
            return Err(Failure::Answer(format!("it is of the commit {other:?}")));
        }
        let header = |name: &str| response.headers().get(name).and_then(|value| value.to_str().ok());
        let range = header("content-range").filter(|_| response.status() == 206).and_then(range);
        let whole = || header("content-length").and_then(|length| length.parse().ok());
        facts.size = facts.size.or_else(|| range.map_or_else(whole, |(_, size)| size));
        let offset = range.map_or(0, |(first, _)| first);
        Ok(Content { facts, offset, reader: Box::new(response.into_body().into_reader()) })
    }

    /// Follows redirects. The token is sent to the hub alone.
    fn get(&self, address: &str, offset: u64) -> Result<(Facts, Response<Body>), Failure> {
        let mut facts = Facts::default();
        let mut address: Uri = address.parse().map_err(|e| Failure::Network(format!("{address:?}: {e}")))?;
        let hub = address.clone();
        for _ in 0..MOST_REDIRECTS {
            let mut request = self.agent.get(&address).header("Accept-Encoding", "identity");
            if offset > 0 {
                request = request.header("Range", format!("bytes={offset}-"));
            }
            if let Some(token) = self.token.as_ref().filter(|_| has_same_origin(&address, &hub)) {
                request = request.header("Authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(|error| self.failed(error))?;
            facts.read(response.headers());
            let status = response.status();
            if status.is_success() {
                return Ok((facts, response));
            }
            if !status.is_redirection() {
                let code = response.headers().get("x-error-code");
                return Err(Failure::Status {
                    status: status.as_u16(),
                    is_gated: code.is_some_and(|code| code == "GatedRepo"),
                });
            }
            let location = response.headers().get("location").and_then(|value| value.to_str().ok());
            address = redirected(&address, location.unwrap_or_default())?;
        }
        Err(Failure::Answer("it redirects too often".into()))
    }

    fn failed(&self, error: ureq::Error) -> Failure {
        match error {
            ureq::Error::Timeout(_) => Failure::Silent(self.timeout),
            ureq::Error::Io(error) => self.interrupted(&error),
            other => Failure::Network(other.to_string()),
        }
    }

    /// Why the body of an answer ended early.
    pub(crate) fn interrupted(&self, error: &io::Error) -> Failure {
        let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
        let is_timeout = error.kind() == io::ErrorKind::TimedOut || matches!(inner, Some(ureq::Error::Timeout(_)));
        if is_timeout { Failure::Silent(self.timeout) } else { Failure::Network(error.to_string()) }
    }
}

fn has_same_origin(one: &Uri, two: &Uri) -> bool {
    one.scheme() == two.scheme() && one.authority() == two.authority()
}

/// The address to which an answer refers, which may lack the server.
fn redirected(from: &Uri, location: &str) -> Result<Uri, Failure> {
    let wrong = || Failure::Answer(format!("it redirects to {location:?}"));
    let to: Uri = location.parse().map_err(|_| wrong())?;
    let mut parts = to.into_parts();
    if parts.authority.is_none() {
        parts.authority = from.authority().cloned();
        parts.scheme = from.scheme().cloned();
    }
    let to = Uri::from_parts(parts).map_err(|_| wrong())?;
    if from.scheme_str() == Some("https") && to.scheme_str() != Some("https") {
        return Err(wrong());
    }
    Ok(to)
}

/// The first byte and the size of the whole from a header such as `bytes 10-19/20`.
fn range(header: &str) -> Option<(u64, Option<u64>)> {
    let (range, size) = header.strip_prefix("bytes ")?.split_once('/')?;
    Some((range.split_once('-')?.0.parse().ok()?, size.parse().ok()))
}

/// The text as a part of an address: all but letters, digits, `-._~` and `kept` as percent codes.
fn encoded(text: &str, kept: &str) -> String {
    let is_kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || kept.as_bytes().contains(&byte);
    let code = |byte: u8| if is_kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") };
    text.bytes().map(code).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_encoded_in_addresses() {
        assert_eq!(encoded("refs/pr/1", ""), "refs%2Fpr%2F1");
        assert_eq!(encoded("shards/1 #ä?.safetensors", "/"), "shards/1%20%23%C3%A4%3F.safetensors");
    }

    #[test]
    fn a_redirect_may_lack_the_server_but_not_the_encryption() {
        let from: Uri = "https://hub.example/a/b".parse().unwrap();
        let to = |location: &str| redirected(&from, location).map(|to| to.to_string()).ok();
        assert_eq!(to("/c?d=1").as_deref(), Some("https://hub.example/c?d=1"));
        assert_eq!(to("https://other.example/c").as_deref(), Some("https://other.example/c"));
        assert_eq!(to("http://other.example/c"), None);
        assert_eq!(to(""), None);
    }

    #[test]
    fn ranges_are_read() {
        assert_eq!(range("bytes 10-19/20"), Some((10, Some(20))));
        assert_eq!(range("bytes 0-19/*"), Some((0, None)));
        assert_eq!(range("bytes */20"), None);
    }
}
