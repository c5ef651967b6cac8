//! Models of the Hugging Face hub, in the cache that Python's `huggingface_hub` uses.

use std::path::{Component, Path, PathBuf};

use hf_hub::api::sync::{ApiBuilder, ApiError, ApiRepo};
use hf_hub::{Repo, RepoType};

use crate::error::{Error, Result};
use crate::tokenizer::file::TokenizerFiles;
use crate::weights::file::{self, WeightFiles};
use crate::weights::index;

/// Downloads a model's files into the hub's cache and returns the folder that holds them.
///
/// `id` is `owner/name` or `owner/name@revision`. A model in the cache is used as it is. The cache, the address of the
/// hub and the token are those of `huggingface_hub`: see [`Hub::of`].
pub(crate) fn folder(id: &str) -> Result<PathBuf> {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Hub::of(variable).folder(id).map_err(|reason| Error::Hub { id: id.into(), reason })
}

/// Whether `text` is `owner/name` with an optional `@revision` rather than a path: one slash, and
/// parts that begin with a letter or digit.
pub(crate) fn is_id(text: &str) -> bool {
    let name = text.split_once('@').map_or(text, |(name, _)| name);
    let plain = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split_once('/').is_some_and(|(owner, name)| plain(owner) && plain(name))
}

/// Where models are downloaded from and kept.
struct Hub {
    cache: PathBuf,
    endpoint: String,
    token: Option<String>,
    is_offline: bool,
}

impl Hub {
    /// The hub that these environment variables describe.
    ///
    /// - The cache: `HF_HUB_CACHE`, or else `HUGGINGFACE_HUB_CACHE`, or else the folder `hub` of `HF_HOME`, which is by
    ///   default the folder `huggingface` of `XDG_CACHE_HOME` or of `~/.cache`.
    /// - The token: `HF_TOKEN`, or else `HUGGING_FACE_HUB_TOKEN`, or else the file that `HF_TOKEN_PATH` names, by
    ///   default `token` in `HF_HOME`.
    /// - The address of the hub: `HF_ENDPOINT`.
    /// - Nothing is downloaded if `HF_HUB_OFFLINE`, or else `TRANSFORMERS_OFFLINE`, is `1`, `true`, `yes` or `on`.
    ///
    /// Source: `constants.py` and `utils/_auth.py` of `huggingface_hub` 0.36.
    fn of(variable: impl Fn(&str) -> Option<String>) -> Self {
        let user = std::env::home_dir().unwrap_or_default();
        let path = |name: &str| {
            variable(name).map(|value| value.strip_prefix("~/").map_or(PathBuf::from(&value), |rest| user.join(rest)))
        };
        let home = path("HF_HOME")
            .unwrap_or_else(|| path("XDG_CACHE_HOME").unwrap_or_else(|| user.join(".cache")).join("huggingface"));
        let token_file = path("HF_TOKEN_PATH").unwrap_or_else(|| home.join("token"));
        let token = variable("HF_TOKEN")
            .or_else(|| variable("HUGGING_FACE_HUB_TOKEN"))
            .or_else(|| std::fs::read_to_string(token_file).ok())
            .map(|token| token.trim().to_owned())
            .filter(|token| !token.is_empty());
        let offline = variable("HF_HUB_OFFLINE").or_else(|| variable("TRANSFORMERS_OFFLINE")).unwrap_or_default();
        Self {
            cache: path("HF_HUB_CACHE").or_else(|| path("HUGGINGFACE_HUB_CACHE")).unwrap_or_else(|| home.join("hub")),
            endpoint: variable("HF_ENDPOINT")
                .map_or_else(|| "https://huggingface.co".into(), |address| address.trim_end_matches('/').into()),
            token,
            is_offline: ["1", "true", "yes", "on"].contains(&offline.to_ascii_lowercase().as_str()),
        }
    }

    fn folder(&self, id: &str) -> Result<PathBuf, String> {
        let (name, revision) = id.split_once('@').unwrap_or((id, "main"));
        if revision.is_empty() || !Path::new(revision).components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(format!("'{revision}' is not a revision: give a branch, a tag or a commit"));
        }
        let model = self.cache.join(format!("models--{}", name.replace('/', "--")));
        let cached = snapshot(&model, revision);
        if let Some(folder) = cached.as_ref().filter(|folder| is_complete(folder)) {
            return Ok(folder.clone());
        }
        if self.is_offline {
            let found = match cached {
                Some(folder) => format!("'{}' does not hold all of its files", folder.display()),
                None => format!("revision '{revision}' is not in the cache at '{}'", self.cache.display()),
            };
            return Err(format!(
                "{found}, and HF_HUB_OFFLINE is set: unset it to download the model, or set HF_HUB_CACHE or HF_HOME to \
                 the cache that holds it"
            ));
        }
        self.download(name, revision, &model)
    }

    /// Downloads the files of a model that are not in the cache, all of one commit.
    fn download(&self, name: &str, revision: &str, model: &Path) -> Result<PathBuf, String> {
        let builder = ApiBuilder::new().with_cache_dir(self.cache.clone()).with_endpoint(self.endpoint.clone());
        let api = builder.with_token(self.token.clone()).with_progress(false).build().map_err(|e| e.to_string())?;
        let repo = |revision: &str| api.repo(Repo::with_revision(name.into(), RepoType::Model, revision.into()));
        let info = repo(revision).info().map_err(|e| self.denied(name, revision, &e))?;
        let has = |file: &str| info.siblings.iter().any(|sibling| sibling.rfilename == file);
        let commit = repo(&info.sha);
        let folder = model.join("snapshots").join(&info.sha);
        let get = |file: &str| self.get(&commit, name, &folder, file);

        get("config.json")?;
        for file in TokenizerFiles::NAMES.into_iter().filter(|file| has(file)) {
            get(file)?;
        }
        let weights = WeightFiles::NAMES.into_iter().find(|file| has(file));
        let weights = weights.ok_or_else(|| format!("it has no model.safetensors: {}", file::cure(has)))?;
        get(weights)?;
        if weights == file::INDEX {
            let json = std::fs::read(folder.join(weights)).map_err(|e| format!("{weights}: {e}"))?;
            for shard in index::shards(&json)? {
                get(&shard)?;
            }
        }
        remember(model, revision, &info.sha).map_err(|e| format!("cannot write to the cache: {e}"))?;
        Ok(folder)
    }

    fn get(&self, commit: &ApiRepo, name: &str, folder: &Path, file: &str) -> Result<(), String> {
        if folder.join(file).exists() {
            return Ok(());
        }
        commit.download(file).map(drop).map_err(|e| format!("{file}: {}", self.denied(name, "main", &e)))
    }

    /// Why the hub did not answer, and what to do about it.
    fn denied(&self, name: &str, revision: &str, error: &ApiError) -> String {
        let page = format!("{}/{name}", self.endpoint);
        match status(error) {
            Some(401 | 403) if self.token.is_some() => format!(
                "{error}: the token of HF_TOKEN, or of the token file, has no access to it; if the model is gated, \
                 accept its terms at {page}, and use a token that may read it"
            ),
            Some(401 | 403) => format!(
                "{error}: it does not exist, or it is private or gated; accept its terms at {page}, and set HF_TOKEN to \
                 a token that may read it (or run `hf auth login`)"
            ),
            Some(404) => format!("{error}: there is no such model, or it has no revision '{revision}'; see {page}"),
            _ => format!("{error}; check the id and the network, or download the model's folder and give its path"),
        }
    }
}

/// The folder of a revision in the cache, if there is one.
fn snapshot(model: &Path, revision: &str) -> Option<PathBuf> {
    let commit = std::fs::read_to_string(model.join("refs").join(revision));
    let commit = commit.map_or_else(|_| revision.to_owned(), |commit| commit.trim().to_owned());
    let is_name = Path::new(&commit).components().all(|part| matches!(part, Component::Normal(_)));
    Some(model.join("snapshots").join(commit)).filter(|folder| is_name && folder.is_dir())
}

/// Notes which commit a branch or tag stands for, as `huggingface_hub` does.
fn remember(model: &Path, revision: &str, commit: &str) -> std::io::Result<()> {
    if revision == commit {
        return Ok(());
    }
    let reference = model.join("refs").join(revision);
    std::fs::create_dir_all(reference.parent().unwrap_or(model))?;
    std::fs::write(reference, commit)
}

/// Whether a folder holds a configuration, weights and a tokenizer.
fn is_complete(folder: &Path) -> bool {
    let has = |file: &str| folder.join(file).exists();
    let has_shards = || {
        let json = std::fs::read(folder.join(file::INDEX)).unwrap_or_default();
        index::shards(&json).is_ok_and(|shards| shards.iter().all(|shard| has(shard)))
    };
    let weights = WeightFiles::NAMES.into_iter().find(|file| has(file));
    has("config.json")
        && weights.is_some_and(|file| file != file::INDEX || has_shards())
        && ["tokenizer.json", "vocab.txt", "vocab.json", "sentencepiece.bpe.model", "spm.model"].into_iter().any(has)
}

/// The status with which the hub refused a request.
fn status(error: &ApiError) -> Option<u16> {
    let text = error.to_string();
    let digits = text.rsplit_once("status: ")?.1;
    digits.get(..3)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::TcpListener;

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn hub_ids_are_told_from_paths() {
        for id in ["a/b", "bhadresh-savani/distilbert-base-uncased-emotion", "a/b@v1.0"] {
            assert!(is_id(id), "{id}");
        }
        for path in ["a", "./a", "../a/b", "/a/b", "a/b/c", "a/", "C:\\a"] {
            assert!(!is_id(path), "{path}");
        }
    }

    fn hub(variables: &[(&str, &str)]) -> Hub {
        Hub::of(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_cache_is_where_python_keeps_it() {
        let home = std::env::home_dir().unwrap();
        for (variables, cache) in [
            (&[][..], home.join(".cache/huggingface/hub")),
            (&[("XDG_CACHE_HOME", "/x")], "/x/huggingface/hub".into()),
            (&[("HF_HOME", "/h"), ("XDG_CACHE_HOME", "/x")], "/h/hub".into()),
            (&[("HF_HOME", "~/h")], home.join("h/hub")),
            (&[("HUGGINGFACE_HUB_CACHE", "/g"), ("HF_HOME", "/h")], "/g".into()),
            (&[("HF_HUB_CACHE", "/c"), ("HUGGINGFACE_HUB_CACHE", "/g"), ("HF_HOME", "/h")], "/c".into()),
        ] {
            assert_eq!(hub(variables).cache, cache, "{variables:?}");
        }
    }

    #[test]
    fn the_token_the_address_and_the_network() {
        let folder = TempDir::new().unwrap();
        let home = folder.path().to_str().unwrap();
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        std::fs::write(folder.path().join("other"), "hf_other").unwrap();
        let other = format!("{home}/other");
        assert_eq!(hub(&[("HF_HOME", home)]).token.as_deref(), Some("hf_file"));
        assert_eq!(hub(&[("HF_HOME", home), ("HF_TOKEN_PATH", &other)]).token.as_deref(), Some("hf_other"));
        assert_eq!(hub(&[("HF_HOME", home), ("HF_TOKEN", " hf_x ")]).token.as_deref(), Some("hf_x"));
        assert_eq!(hub(&[("HF_HOME", "/none")]).token, None);
        assert_eq!(hub(&[("HF_ENDPOINT", "https://mirror.example/")]).endpoint, "https://mirror.example");
        for (value, is_offline) in [("1", true), ("ON", true), ("0", false), ("no", false)] {
            assert_eq!(hub(&[("HF_HUB_OFFLINE", value)]).is_offline, is_offline);
            assert_eq!(hub(&[("TRANSFORMERS_OFFLINE", value)]).is_offline, is_offline);
        }
    }

    /// A cache that holds one model, of the revisions `main` and `commit`.
    fn cache(commit: &str) -> TempDir {
        let cache = TempDir::new().unwrap();
        let model = cache.path().join("models--a--b");
        let folder = model.join("snapshots").join(commit);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::create_dir_all(model.join("refs")).unwrap();
        std::fs::write(model.join("refs/main"), commit).unwrap();
        for file in ["config.json", "model.safetensors", "vocab.txt"] {
            std::fs::write(folder.join(file), "").unwrap();
        }
        cache
    }

    #[test]
    fn a_cached_model_needs_no_network() {
        let cache = cache("0123abc");
        let folder = cache.path().join("models--a--b/snapshots/0123abc");
        let hub = hub(&[("HF_HUB_CACHE", cache.path().to_str().unwrap()), ("HF_HUB_OFFLINE", "1")]);
        for id in ["a/b", "a/b@main", "a/b@0123abc"] {
            assert_eq!(hub.folder(id).as_deref(), Ok(&*folder), "{id}");
        }
        for id in ["a/c", "a/b@v2"] {
            let message = hub.folder(id).unwrap_err();
            assert!(
                message.contains("HF_HUB_OFFLINE") && message.contains(cache.path().to_str().unwrap()),
                "{message}"
            );
        }
        for id in ["a/b@../main", "a/b@/etc", "a/b@"] {
            assert!(hub.folder(id).unwrap_err().contains("not a revision"), "{id}");
        }
        std::fs::remove_file(folder.join("vocab.txt")).unwrap();
        assert!(hub.folder("a/b").unwrap_err().contains("does not hold all of its files"));
    }

    /// A hub that answers each request with what `answer` says of its first line and its token; its address.
    fn serve(answer: fn(&str, Option<&str>) -> String) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(std::io::Result::ok);
                let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
                let token = head.iter().find_map(|line| line.split_once("Bearer ")).map(|(_, token)| token);
                stream.write_all(answer(&head[0], token).as_bytes()).unwrap();
            }
        });
        address
    }

    fn response(status: &str, headers: &str, body: &str) -> String {
        let length = body.len();
        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}")
    }

    #[test]
    fn models_are_downloaded_into_the_cache() {
        let address = serve(|request, token| {
            assert_eq!(token, Some("hf_x"));
            let path = request.split(' ').nth(1).unwrap();
            if path == "/api/models/a/b/revision/v1" {
                let files = ["config.json", "tokenizer.json", "added_tokens.json", "model.safetensors", "other.bin"];
                let files = files.map(|file| format!(r#"{{"rfilename":"{file}"}}"#)).join(",");
                return response("200 OK", "", &format!(r#"{{"sha":"0123abc","siblings":[{files}]}}"#));
            }
            let file = path.strip_prefix("/a/b/resolve/0123abc/").unwrap();
            assert_ne!(file, "other.bin");
            let size = file.len();
            let headers = format!("ETag: \"{file}\"\r\nX-Repo-Commit: 0123abc\r\nContent-Range: bytes 0-0/{size}\r\n");
            response("206 Partial Content", &headers, file)
        });
        let cache = TempDir::new().unwrap();
        let cache = cache.path().to_str().unwrap();
        let variables = [("HF_HUB_CACHE", cache), ("HF_TOKEN", "hf_x"), ("HF_ENDPOINT", &*address)];
        let folder = hub(&variables).folder("a/b@v1").unwrap();
        for file in ["config.json", "tokenizer.json", "added_tokens.json", "model.safetensors"] {
            assert_eq!(std::fs::read_to_string(folder.join(file)).unwrap(), file);
        }
        let offline = hub(&[("HF_HUB_CACHE", cache), ("HF_HUB_OFFLINE", "1")]);
        assert_eq!(offline.folder("a/b@v1").as_ref(), Ok(&folder));
        assert_eq!(offline.folder("a/b@0123abc").as_ref(), Ok(&folder));
    }

    #[test]
    fn a_model_that_is_gated_private_or_absent() {
        let address = serve(|request, _| {
            let status = if request.contains("absent") { "404 Not Found" } else { "403 Forbidden" };
            response(status, "", "")
        });
        let cache = TempDir::new().unwrap();
        let cache = cache.path().to_str().unwrap();
        let variables = [("HF_HUB_CACHE", cache), ("HF_HOME", cache), ("HF_ENDPOINT", &*address), ("HF_TOKEN", "hf_x")];
        let message = hub(&variables[..3]).folder("a/gated").unwrap_err();
        assert!(message.contains("set HF_TOKEN") && message.contains("/a/gated"), "{message}");
        let message = hub(&variables).folder("a/gated").unwrap_err();
        assert!(message.contains("the token of HF_TOKEN") && message.contains("gated"), "{message}");
        let message = hub(&variables).folder("a/absent@v9").unwrap_err();
        assert!(message.contains("no such model") && message.contains("'v9'"), "{message}");
    }
}
