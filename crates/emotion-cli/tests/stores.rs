//! Files in object stores: where credentials come from, and what an error says.
#![cfg(unix)]

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Output;

use common::{assert_fails, emotion, output_of, root, run};
use tempfile::TempDir;

/// A store in the protocol of S3 with the bucket `box`, which holds the sample file as `a.parquet` for whoever signs
/// with this access key; for anybody, if there is no key.
fn serve(key: Option<&'static str>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let content = fs::read(root().join("data/reviews.parquet")).unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up early is no concern of the store's.
            let _ = answer(stream, key, &content);
        }
    });
    endpoint
}

fn answer(mut stream: TcpStream, key: Option<&str>, content: &[u8]) -> std::io::Result<()> {
    let lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let header = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name));
    let authorization = header("authorization: ").unwrap_or_default();
    let is_allowed = key.map_or(authorization.is_empty(), |key| authorization.contains(&format!("Credential={key}/")));
    // None of the credentials here has a session token.
    if !is_allowed || header("x-amz-security-token: ").is_some() {
        return stream.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    if !lines[0].contains(" /box/a.parquet ") {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let range = header("range: bytes=").and_then(|range| range.split_once('-')).unwrap_or_default();
    let first: usize = range.0.parse().unwrap_or(0);
    let last = range.1.parse().map_or(content.len(), |last: usize| content.len().min(last + 1));
    write!(
        stream,
        "HTTP/1.1 {}\r\nETag: \"e\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\nContent-Length: {}\r\n\
         Content-Range: bytes {first}-{}/{}\r\nConnection: close\r\n\r\n",
        if range.1.is_empty() { "200 OK" } else { "206 Partial Content" },
        last - first,
        last - 1,
        content.len(),
    )?;
    if lines[0].starts_with("HEAD") { Ok(()) } else { stream.write_all(&content[first..last]) }
}

/// Counts the rows of the file with these variables, and with the profiles in this folder.
fn count(endpoint: &str, variables: &[(&str, &str)], folder: &TempDir) -> Output {
    emotion(&["sql", "--format", "csv", "-c", "SELECT count(*) AS n FROM 's3://box/a.parquet'"])
        .env_clear()
        .env("AWS_ENDPOINT", endpoint)
        .env("AWS_ALLOW_HTTP", "true")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_CONFIG_FILE", folder.path().join("config"))
        .env("AWS_SHARED_CREDENTIALS_FILE", folder.path().join("credentials"))
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn credentials_come_from_variables_profiles_and_commands() {
    let folder = TempDir::new().unwrap();
    let process = r#"credential_process = /bin/echo '{"AccessKeyId": "KEY", "SecretAccessKey": "s"}'"#;
    let profiles = format!("[profile command]\n{process}\n[profile bare]\nsso_start_url = https://x\n");
    fs::write(folder.path().join("config"), profiles).unwrap();
    let keys = "[default]\naws_access_key_id = KEY\naws_secret_access_key = s\n";
    fs::write(folder.path().join("credentials"), keys).unwrap();
    let signed = serve(Some("KEY"));
    for variables in [
        &[("AWS_ACCESS_KEY_ID", "KEY"), ("AWS_SECRET_ACCESS_KEY", "s"), ("AWS_PROFILE", "bare")][..],
        &[],
        &[("AWS_PROFILE", "command")],
    ] {
        assert_eq!(output_of(&count(&signed, variables, &folder)), "n\n282\n", "{variables:?}");
    }
    let wrong = [("AWS_ACCESS_KEY_ID", "OTHER"), ("AWS_SECRET_ACCESS_KEY", "s")];
    assert_fails(&count(&signed, &wrong, &folder), &["403"]);
    assert_fails(&count(&signed, &[("AWS_PROFILE", "bare")], &folder), &["'bare'", "aws sso login --profile bare"]);
    assert_fails(&count(&signed, &[("AWS_PROFILE", "nobody")], &folder), &["'nobody'", "/config"]);
}

#[test]
fn requests_without_credentials_are_not_signed() {
    let public = serve(None);
    let nothing = TempDir::new().unwrap();
    assert_eq!(output_of(&count(&public, &[], &nothing)), "n\n282\n");
}

#[test]
fn options_of_a_table_replace_those_of_the_environment() {
    let endpoint = serve(Some("TABLE"));
    let sql = format!(
        "CREATE EXTERNAL TABLE t STORED AS PARQUET LOCATION 's3://box/a.parquet' OPTIONS \
         ('aws.access_key_id' 'TABLE', 'aws.secret_access_key' 's', 'aws.endpoint' '{endpoint}', \
         'aws.allow_http' 'true'); SELECT count(*) AS n FROM t"
    );
    let query = |sql: &str| {
        let mut command = emotion(&["sql", "--format", "csv", "-c", sql]);
        // The token belongs to the other key, and the profile is not needed.
        command.env_clear().env("AWS_ACCESS_KEY_ID", "OTHER").env("AWS_SECRET_ACCESS_KEY", "s");
        command.env("AWS_SESSION_TOKEN", "token").env("AWS_PROFILE", "nobody").output().unwrap()
    };
    assert_eq!(output_of(&query(&sql)), "n\n282\n");
    assert_fails(&query(&sql.replace("aws.allow_http", "aws.nonsense")), &["'aws.nonsense' is not an option"]);
    assert_fails(
        &run(&["sql", "-c", "SELECT * FROM 'hdfs://box/a.parquet'"]),
        &["known are s3, gs, az, http and https"],
    );
}
