//! Downloads from servers on this machine, good and bad.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::hub::fetch::folder_of;
use crate::hub::settings::Settings;

const COMMIT: &str = "0123abc";

fn settings(variables: &[(&str, &str)]) -> Settings {
    Settings::of(|name| variables.iter().find(|(other, _)| *other == name).map(|(_, value)| (*value).to_owned()))
}

/// A cache that holds one model, of the revisions `main` and `commit`.
fn cache(commit: &str) -> TempDir {
    let cache = TempDir::new().unwrap();
    let model = cache.path().join("models--a--b");
    let folder = model.join("snapshots").join(commit);
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(model.join("refs")).unwrap();
    fs::write(model.join("refs/main"), commit).unwrap();
    for file in ["config.json", "model.safetensors", "vocab.txt"] {
        fs::write(folder.join(file), "").unwrap();
    }
    cache
}

#[test]
fn a_cached_model_needs_no_network() {
    let cache = cache(COMMIT);
    let folder = cache.path().join("models--a--b/snapshots").join(COMMIT);
    let settings = settings(&[("HF_HUB_CACHE", cache.path().to_str().unwrap()), ("HF_HUB_OFFLINE", "1")]);
    for id in ["a/b", "a/b@main", "a/b@0123abc"] {
        assert_eq!(folder_of(&settings, id).as_deref(), Ok(&*folder), "{id}");
    }
    for id in ["a/c", "a/b@v2"] {
        let message = folder_of(&settings, id).unwrap_err();
        assert!(message.contains("HF_HUB_OFFLINE") && message.contains(cache.path().to_str().unwrap()), "{message}");
    }
    for id in ["a/b@../main", "a/b@/etc", "a/b@"] {
        assert!(folder_of(&settings, id).unwrap_err().contains("not a revision"), "{id}");
    }
    fs::remove_file(folder.join("vocab.txt")).unwrap();
    assert!(folder_of(&settings, "a/b").unwrap_err().contains("does not hold all of its files"));
}

/// A request: its path, and the values of two of its headers.
struct Request {
    path: String,
    token: Option<String>,
    first_byte: Option<usize>,
}

impl Request {
    fn read(stream: &TcpStream) -> Self {
        let lines = BufReader::new(stream.try_clone().unwrap()).lines().map_while(Result::ok);
        let head: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
        let after = |text: &str| {
            let line = head.iter().find(|line| line.to_ascii_lowercase().contains(text))?;
            Some(line[line.to_ascii_lowercase().find(text)? + text.len()..].to_owned())
        };
        let path = head.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
        Self {
            path: path.into(),
            token: after("bearer "),
            first_byte: after("range: bytes=").and_then(|range| range.trim_end_matches('-').parse().ok()),
        }
    }

    /// The file of the model `a/b` that is requested.
    fn file(&self) -> Option<&str> {
        self.path.strip_prefix("/a/b/resolve/0123abc/")
    }
}

/// A server that answers each request with the bytes that `answer` makes of it, and hangs up; its address.
fn serve(answer: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> String {
    serve_by(answer, drop)
}

/// The same, but it does not hang up.
fn serve_and_hold(answer: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> String {
    let mut held = Vec::new();
    serve_by(answer, move |stream| held.push(stream))
}

fn serve_by(
    answer: impl Fn(&Request) -> Vec<u8> + Send + 'static,
    mut end: impl FnMut(TcpStream) + Send + 'static,
) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let answer = answer(&Request::read(&stream));
            // A client may hang up early.
            let _ = stream.write_all(&answer);
            end(stream);
        }
    });
    address
}

fn response(status: &str, headers: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}").into_bytes()
}

const FILES: [&str; 3] = ["config.json", "tokenizer.json", "model.safetensors"];

/// The list of the files of the model, each of which has its name as its content.
fn listing() -> Vec<u8> {
    let files = FILES.map(|file| format!(r#"{{"rfilename":"{file}"}}"#)).join(",");
    response("200 OK", "", &format!(r#"{{"sha":"{COMMIT}","siblings":[{files}]}}"#))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |digits, byte| format!("{digits}{byte:02x}"))
}

/// The answer of a good hub, whose weights have these headers.
fn good(request: &Request, headers_of_weights: &str) -> Vec<u8> {
    match request.file() {
        None => listing(),
        Some("model.safetensors") => response("200 OK", headers_of_weights, "model.safetensors"),
        Some(file) => response("200 OK", &format!("ETag: \"{file}\"\r\nX-Repo-Commit: {COMMIT}\r\n"), file),
    }
}

/// Tries to download `a/b` into an empty cache from a server, with a timeout of one second.
fn download(endpoint: &str) -> (TempDir, Result<std::path::PathBuf, String>) {
    let cache = TempDir::new().unwrap();
    let path = cache.path().join("inner/hub");
    let variables = [
        ("HF_HUB_CACHE", path.to_str().unwrap()),
        ("HF_HOME", "/none"),
        ("HF_ENDPOINT", endpoint),
        ("HF_HUB_DOWNLOAD_TIMEOUT", "1"),
    ];
    let folder = folder_of(&settings(&variables), "a/b");
    (cache, folder)
}

/// The files below a folder, by their paths.
fn files(folder: &Path) -> Vec<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(self::files(&path));
        } else {
            files.push(path.display().to_string());
        }
    }
    files
}

#[track_caller]
fn assert_refused(endpoint: &str, parts: &[&str]) {
    let (cache, folder) = download(endpoint);
    let message = folder.unwrap_err();
    for part in parts {
        assert!(message.contains(part), "no '{part}' in: {message}");
    }
    let inside = cache.path().join("inner/hub/models--a--b");
    for file in files(cache.path()) {
        assert!(Path::new(&file).starts_with(&inside), "{file} was written");
    }
    let snapshots = inside.join("snapshots");
    assert!(!snapshots.join(COMMIT).join("model.safetensors").exists(), "the weights were kept");
}

#[test]
fn models_are_downloaded_into_the_cache() {
    let address = serve(|request| {
        assert_eq!(request.token.as_deref(), Some("hf_x"));
        if request.path == "/api/models/a/b/revision/refs%2Fpr%2F1?blobs=true" {
            let files = ["config.json", "tokenizer.json", "added_tokens.json", "model.safetensors", "other.bin"];
            let files = files.map(|file| format!(r#"{{"rfilename":"{file}"}}"#)).join(",");
            return response("200 OK", "", &format!(r#"{{"sha":"0123abc","siblings":[{files}]}}"#));
        }
        let file = request.file().unwrap();
        assert_ne!(file, "other.bin");
        response("200 OK", &format!("ETag: W/\"{file}\"\r\nX-Repo-Commit: 0123abc\r\n"), file)
    });
    let cache = TempDir::new().unwrap();
    let cache = cache.path().to_str().unwrap();
    let variables = [("HF_HUB_CACHE", cache), ("HF_TOKEN", "hf_x"), ("HF_ENDPOINT", &*address)];
    let folder = folder_of(&settings(&variables), "a/b@refs/pr/1").unwrap();
    for file in ["config.json", "tokenizer.json", "added_tokens.json", "model.safetensors"] {
        assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), file);
    }
    let offline = settings(&[("HF_HUB_CACHE", cache), ("HF_HUB_OFFLINE", "1")]);
    assert_eq!(folder_of(&offline, "a/b@refs/pr/1").as_ref(), Ok(&folder));
    assert_eq!(folder_of(&offline, "a/b@0123abc").as_ref(), Ok(&folder));
    let left: Vec<_> = files(Path::new(cache)).into_iter().filter(|file| file.ends_with(".incomplete")).collect();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_model_that_is_gated_private_or_absent() {
    let address = serve(|request| {
        let (status, headers) = match &*request.path {
            path if path.contains("absent") => ("404 Not Found", ""),
            path if path.contains("gated") => ("401 Unauthorized", "X-Error-Code: GatedRepo\r\n"),
            _ => ("403 Forbidden", ""),
        };
        response(status, headers, "")
    });
    let cache = TempDir::new().unwrap();
    let cache = cache.path().to_str().unwrap();
    let variables = [("HF_HUB_CACHE", cache), ("HF_HOME", cache), ("HF_ENDPOINT", &*address), ("HF_TOKEN", "hf_x")];
    let message = |variables: &[(&str, &str)], id: &str| folder_of(&settings(variables), id).unwrap_err();
    let gated = message(&variables[..3], "a/gated");
    assert!(gated.contains("is gated") && gated.contains("set HF_TOKEN") && gated.contains("/a/gated"), "{gated}");
    let private = message(&variables[..3], "a/private");
    assert!(private.contains("set HF_TOKEN") && private.contains("private"), "{private}");
    let denied = message(&variables, "a/gated");
    assert!(denied.contains("the token of HF_TOKEN") && denied.contains("gated"), "{denied}");
    let absent = message(&variables, "a/absent@v9");
    assert!(absent.contains("no such model") && absent.contains("'v9'"), "{absent}");
}

#[test]
fn no_header_names_a_file_outside_the_cache() {
    for (etag, shown) in [
        ("../../../../../stolen", "../../../../../stolen"),
        ("/tmp/stolen", "/tmp/stolen"),
        ("..", "\"..\""),
        (".hidden", ".hidden"),
        ("a\\b", "is not the hash of a file"),
    ] {
        for header in ["ETag", "X-Linked-Etag"] {
            let headers = format!("{header}: \"{etag}\"\r\nX-Repo-Commit: {COMMIT}\r\n");
            assert_refused(&serve(move |request| good(request, &headers)), &["model.safetensors", shown]);
        }
    }
    let headers = "ETag: \"x\"\r\nX-Repo-Commit: ../../../stolen\r\n";
    assert_refused(&serve(|request| good(request, headers)), &["../../../stolen"]);
    let listing = |_: &Request| response("200 OK", "", r#"{"sha":"../../../stolen","siblings":[]}"#);
    assert_refused(&serve(listing), &["../../../stolen", "is not the hash of a commit"]);
}

#[test]
fn sizes_and_digests_are_checked() {
    let size = |size: &str| format!("ETag: \"x\"\r\nX-Linked-Size: {size}\r\n");
    let (more, less) = (size("18"), size("16"));
    assert_refused(&serve(move |request| good(request, &more)), &["it has 17 bytes, not 18"]);
    assert_refused(&serve(move |request| good(request, &less)), &["more than 16 bytes"]);

    let digest = |text: &str| hexadecimal(&Sha256::digest(text));
    let (right, wrong) = (digest("model.safetensors"), digest("another"));
    let headers = format!("X-Linked-Etag: \"{wrong}\"\r\n");
    assert_refused(&serve(move |request| good(request, &headers)), &["its SHA-256 is", &right, &wrong]);
    let headers = format!("X-Linked-Etag: \"{right}\"\r\nX-Linked-Size: 17\r\n");
    let (_cache, folder) = download(&serve(move |request| good(request, &headers)));
    assert_eq!(fs::read_to_string(folder.unwrap().join("model.safetensors")).unwrap(), "model.safetensors");

    let listing = |sha256: &str, size: u64| {
        let weights = format!(r#"{{"rfilename":"model.safetensors","size":{size},"lfs":{{"sha256":"{sha256}"}}}}"#);
        let others = r#"{"rfilename":"tokenizer.json"},{"rfilename":"config.json"}"#;
        response("200 OK", "", &format!(r#"{{"sha":"{COMMIT}","siblings":[{weights},{others}]}}"#))
    };
    let headers = "ETag: \"x\"\r\n";
    for (listing, part) in [(listing(&wrong, 17), "its SHA-256 is"), (listing(&right, 18), "18 in the list of files")] {
        let answer =
            move |request: &Request| if request.file().is_none() { listing.clone() } else { good(request, headers) };
        assert_refused(&serve(answer), &[part]);
    }
}

#[test]
fn a_silent_server_times_out() {
    let begin = Instant::now();
    // A part of the weights, and nothing more.
    let silent = |request: &Request| {
        let mut answer = good(request, "ETag: \"x\"\r\n");
        if request.file() == Some("model.safetensors") {
            answer.truncate(answer.len() - 5);
        }
        answer
    };
    assert_refused(
        &serve_and_hold(silent),
        &["model.safetensors", "sent nothing for 1 s", "check the id and the network"],
    );

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    assert_refused(&address, &["sent nothing for 1 s"]);
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

/// Serves the weights by an `answer` to each request for them.
fn serve_weights(answer: impl Fn(&Request) -> Vec<u8> + Send + 'static) -> String {
    serve(move |request| match request.file() {
        Some("model.safetensors") => answer(request),
        _ => good(request, ""),
    })
}

#[test]
fn a_broken_download_is_resumed() {
    const WHOLE: &str = "model.safetensors";
    // Each answer has five bytes of those that remain, and then the connection ends.
    let address = serve_weights(|request| {
        let first = request.first_byte.unwrap_or(0);
        let end = WHOLE.len().min(first + 5);
        let rest = WHOLE.len() - first;
        let head = format!(
            "HTTP/1.1 206 Partial Content\r\nConnection: close\r\nContent-Length: {rest}\r\nETag: \"x\"\r\n\
             Content-Range: bytes {first}-{}/{}\r\n\r\n",
            WHOLE.len() - 1,
            WHOLE.len()
        );
        [head.as_bytes(), &WHOLE.as_bytes()[first..end]].concat()
    });
    let (_cache, folder) = download(&address);
    assert_eq!(fs::read_to_string(folder.unwrap().join(WHOLE)).unwrap(), WHOLE);

    // A server that ignores the range begins anew; what is here is not appended to.
    let cache = TempDir::new().unwrap();
    let blobs = cache.path().join("models--a--b/blobs");
    fs::create_dir_all(&blobs).unwrap();
    for left in ["model", "a part that is longer than the file"] {
        fs::write(blobs.join("y.incomplete"), left).unwrap();
        let address = serve_weights(|_| response("200 OK", "ETag: \"y\"\r\n", WHOLE));
        let variables = [("HF_HUB_CACHE", cache.path().to_str().unwrap()), ("HF_ENDPOINT", &address)];
        let folder = folder_of(&settings(&variables), "a/b").unwrap();
        assert_eq!(fs::read_to_string(folder.join(WHOLE)).unwrap(), WHOLE);
        fs::remove_file(folder.join(WHOLE)).unwrap();
        fs::remove_file(blobs.join("y")).unwrap();
    }

    let skips = serve_weights(|request| {
        let headers = "ETag: \"x\"\r\nContent-Range: bytes 9-16/17\r\n";
        let range =
            if request.first_byte.is_some() { headers } else { "ETag: \"x\"\r\nContent-Range: bytes 3-16/17\r\n" };
        response("206 Partial Content", range, "del.safetensors")
    });
    assert_refused(&skips, &["it begins at byte"]);
}

#[test]
fn the_token_is_sent_to_the_hub_alone() {
    let storage = serve(|request| {
        assert_eq!(request.token, None);
        response("200 OK", "ETag: \"md5\"\r\n", request.path.trim_start_matches("/storage/"))
    });
    let hub = serve(move |request| {
        assert_eq!(request.token.as_deref(), Some("hf_x"));
        match request.file() {
            None if request.path.starts_with("/relative/") => {
                let file = &request.path["/relative/".len()..];
                response(
                    "302 Found",
                    &format!("Location: {storage}/storage/{file}\r\nX-Linked-Etag: \"{file}\"\r\n"),
                    "",
                )
            }
            None => listing(),
            Some(file) => response("307 Temporary Redirect", &format!("Location: /relative/{file}\r\n"), "moved"),
        }
    });
    let cache = TempDir::new().unwrap();
    let variables = [("HF_HUB_CACHE", cache.path().to_str().unwrap()), ("HF_TOKEN", "hf_x"), ("HF_ENDPOINT", &*hub)];
    let folder = folder_of(&settings(&variables), "a/b").unwrap();
    for file in FILES {
        assert_eq!(fs::read_to_string(folder.join(file)).unwrap(), file);
        assert!(cache.path().join("models--a--b/blobs").join(file).exists(), "{file}");
    }
    let endless = serve(|_| response("302 Found", "Location: /again\r\n", ""));
    assert_refused(&endless, &["redirects too often"]);
}
