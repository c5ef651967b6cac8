//! Models by hub id: downloaded once, then from the cache, with and without a network.
#![cfg(feature = "hub")]

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;

fn golden(model: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(model)
}

/// The commit of the branch `main`.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// A hub of one model, `owner/name`, on this machine; counts the requests that it answers.
struct Hub {
    endpoint: String,
    requests: Arc<AtomicUsize>,
}

impl Hub {
    fn serve(folder: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                counter.fetch_add(1, Ordering::Relaxed);
                // A client that hangs up early is no concern of the hub's.
                let _ = answer(stream, &folder);
            }
        });
        Self { endpoint, requests }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::Relaxed)
    }
}

/// Answers a request for the list of files, or for a range of one, with the headers that the hub's clients need.
fn answer(mut stream: TcpStream, folder: &Path) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let request = lines.next().unwrap_or_default();
    let range = lines
        .by_ref()
        .take_while(|line| !line.is_empty())
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("range: bytes=").map(str::to_owned));
    let path = request.split(' ').nth(1).unwrap_or_default();
    if path == "/api/models/owner/name/revision/main?blobs=true" {
        return list(&mut stream, folder);
    }
    let name = path.strip_prefix(&format!("/owner/name/resolve/{COMMIT}/"));
    let Some(content) = name.and_then(|name| fs::read(folder.join(name)).ok()) else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let range = range.unwrap_or_default();
    let (first, last) = range.split_once('-').unwrap_or_default();
    let first: usize = first.parse().unwrap_or(0);
    let last = last.parse().map_or(content.len(), |last: usize| content.len().min(last + 1));
    let part = &content[first..last];
    write!(
        stream,
        "HTTP/1.1 206 Partial Content\r\nETag: \"{}\"\r\nx-repo-commit: {COMMIT}\r\nContent-Length: {}\r\n\
         Content-Range: bytes {first}-{}/{}\r\nConnection: close\r\n\r\n",
        name.unwrap_or_default(),
        part.len(),
        last - 1,
        content.len(),
    )?;
    stream.write_all(part)
}

/// Answers with the commit and the files of the model.
fn list(stream: &mut TcpStream, folder: &Path) -> std::io::Result<()> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().display().to_string()));
    let names = names.collect::<std::io::Result<Vec<_>>>()?;
    let files: Vec<_> = names.iter().map(|name| format!("{{\"rfilename\": \"{name}\"}}")).collect();
    let body = format!("{{\"sha\": \"{COMMIT}\", \"siblings\": [{}]}}", files.join(","));
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

fn classify(model: &str, home: &Path, endpoint: &str, offline: bool) -> Output {
    emotion(&["classify", "--format", "csv", "--model", model, "I like you."], home, endpoint, offline)
}

fn emotion(arguments: &[&str], home: &Path, endpoint: &str, offline: bool) -> Output {
    Command::new(env!("CARGO_BIN_EXE_emotion"))
        .args(arguments)
        .env_remove("HF_TOKEN")
        .env_remove("HF_HUB_CACHE")
        .env("HF_HOME", home)
        .env("HF_ENDPOINT", endpoint)
        .env("HF_HUB_OFFLINE", if offline { "1" } else { "0" })
        .output()
        .unwrap()
}

#[track_caller]
fn assert_fails(output: &Output, parts: &[&str]) {
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    for part in parts {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
    assert!(!message.contains("panicked"), "{message}");
}

#[test]
fn a_model_is_downloaded_once_and_then_needs_no_network() {
    for (model, header) in [("gelu-json", "negative,neutral,positive"), ("relu-cased", "a,b,c,d,e")] {
        let hub = Hub::serve(golden(model));
        let home = TempDir::new().unwrap();
        assert_fails(
            &classify("owner/name", home.path(), &hub.endpoint, true),
            &["HF_HUB_OFFLINE", "is not in the cache"],
        );
        assert_eq!(hub.requests(), 0);

        let first = classify("owner/name", home.path(), &hub.endpoint, false);
        let printed = String::from_utf8_lossy(&first.stdout).into_owned();
        assert!(printed.starts_with(&format!("text,label,score,{header}\n")), "{first:?}");
        assert!(hub.requests() > 0);

        let requests = hub.requests();
        let offline = classify("owner/name", home.path(), &hub.endpoint, true);
        assert_eq!(String::from_utf8_lossy(&offline.stdout), printed, "{offline:?}");
        assert_eq!(hub.requests(), requests);
    }
}

#[test]
fn what_the_hub_lacks_is_named() {
    let hub = Hub::serve(golden("gelu-json"));
    let home = TempDir::new().unwrap();
    let unknown = classify("owner/unknown", home.path(), &hub.endpoint, false);
    assert_fails(&unknown, &["owner/unknown", "404", "there is no such model"]);

    let folder = TempDir::new().unwrap();
    fs::copy(golden("gelu-json").join("config.json"), folder.path().join("config.json")).unwrap();
    let hub = Hub::serve(folder.path().into());
    let without_weights = classify("owner/name", home.path(), &hub.endpoint, false);
    assert_fails(&without_weights, &["owner/name", "it has no model.safetensors"]);
}

#[test]
fn a_hub_that_is_away_is_named() {
    let home = TempDir::new().unwrap();
    let output = classify("owner/name", home.path(), "http://127.0.0.1:1", false);
    assert_fails(&output, &["owner/name", "check the id and the network"]);
}

#[test]
fn models_are_pulled_listed_and_shown() {
    let hub = Hub::serve(golden("gelu-json"));
    let home = TempDir::new().unwrap();
    let run = |arguments: &[&str], offline| emotion(arguments, home.path(), &hub.endpoint, offline);
    let printed = |output: &Output| {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(!printed(&run(&["models", "list"], false)).contains("owner"));
    assert_fails(&run(&["models", "show", "owner/name"], false), &["owner/name", "is not in the cache", "download it"]);
    assert_fails(&run(&["models", "pull", "owner"], false), &["'owner'", "owner/name@revision"]);
    assert_fails(&run(&["models", "pull", "owner/name@a..b"], false), &["\"a..b\" is not a revision"]);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);

    let folder = printed(&run(&["models", "pull", "owner/name"], false));
    assert!(folder.trim_end().ends_with(&format!("snapshots/{COMMIT}")), "{folder}");
    assert!(Path::new(folder.trim_end()).join("model.safetensors").exists());

    let list = printed(&run(&["models", "list"], true));
    for part in ["owner/name", "main (01234567)", "kB", "DistilBERT", "negative, neutral, positive"] {
        assert!(list.contains(part), "no '{part}' in {list}");
    }
    let json: serde_json::Value =
        serde_json::from_str(&printed(&run(&["models", "list", "--format", "json"], true))).unwrap();
    assert_eq!(
        (&json["model"], &json["revisions"][0], &json["commit"]),
        (&"owner/name".into(), &"main".into(), &COMMIT.into())
    );

    for model in ["owner/name", folder.trim_end()] {
        let shown = printed(&run(&["models", "show", model], true));
        assert!(shown.contains("DistilBERT") && shown.contains("negative, neutral, positive"), "{shown}");
        let json = printed(&run(&["models", "show", model, "--json"], true));
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["labels"][2], "positive");
        assert_eq!(json["weights_sha256"].as_str().map(str::len), Some(64));
    }
    let built_in = printed(&run(&["models", "show"], true));
    assert!(built_in.contains("sadness, joy, love, anger, fear, surprise"), "{built_in}");
}
