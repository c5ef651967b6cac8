//! Profiles of the AWS CLI; source: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use std::collections::HashMap;
use std::env::{home_dir, var};
use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use async_trait::async_trait;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::{CredentialProvider, StaticCredentialProvider};
use serde::Deserialize;
use tokio::process::Command;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// Credentials are asked for again this long before they expire.
const MARGIN: Duration = Duration::from_mins(5);

/// How long a command may take.
const PATIENCE: Duration = Duration::from_mins(1);

/// The settings of a profile, of which some are secrets.
pub struct Profile {
    name: String,
    values: HashMap<String, String>,
}

impl Profile {
    /// The profile that `AWS_PROFILE` names, by default `default`; `None` if no profile is named and there is no
    /// default.
    pub fn of_environment() -> Result<Option<Self>> {
        let asked = var("AWS_PROFILE").ok().filter(|name| !name.is_empty());
        let name = asked.clone().unwrap_or_else(|| "default".into());
        let (mut values, mut files) = (HashMap::new(), Vec::new());
        for (variable, file) in
            [("AWS_CONFIG_FILE", ".aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")]
        {
            let path = var(variable).map(PathBuf::from).ok().or_else(|| Some(home_dir()?.join(file)));
            let Some(path) = path else { continue };
            match fs::read_to_string(&path) {
                Ok(text) => values.extend(section(&text, &name)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error).with_context(|| format!("cannot read '{}'", path.display())),
            }
            files.push(format!("'{}'", path.display()));
        }
        match asked {
            Some(name) if values.is_empty() => {
                bail!("AWS_PROFILE names the profile '{name}', which is not in {}", files.join(" or in "))
            }
            _ => Ok(Some(Self { name, values }).filter(|profile| !profile.values.is_empty())),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What provides the credentials of the profile; `None` if it has only other settings. A role or single sign-on
    /// precedes the access key beside it, as in the SDKs of AWS.
    pub fn credentials(self) -> Option<AwsCredentialProvider> {
        const OF_AWS_COMMAND: [&str; 4] = ["role_arn", "sso_session", "sso_start_url", "login_session"];
        let source = if OF_AWS_COMMAND.iter().any(|key| self.get(key).is_some()) {
            Source::AwsCommand(self.name)
        } else if let Some(command) = self.get("credential_process") {
            Source::Process(command.into())
        } else {
            let (key_id, secret_key) =
                (self.get("aws_access_key_id")?.into(), self.get("aws_secret_access_key")?.into());
            let token = self.get("aws_session_token").map(Into::into);
            return Some(Arc::new(StaticCredentialProvider::new(AwsCredential { key_id, secret_key, token })));
        };
        Some(Arc::new(ProcessCredentials { source, last: Mutex::default() }))
    }
}

/// The settings in one section of a file; empty if it has none.
fn section(text: &str, name: &str) -> HashMap<String, String> {
    let mut values = HashMap::new();
    let mut is_inside = false;
    for line in text.lines() {
        if let Some(header) = line.trim().strip_prefix('[').and_then(|line| line.split_once(']')) {
            let header = header.0.trim();
            is_inside = header.strip_prefix("profile ").unwrap_or(header).trim() == name;
        } else if let Some((key, value)) = line.split_once('=')
            && is_inside
            // Settings of a service are indented.
            && !line.starts_with(['#', ';', ' ', '\t'])
        {
            let value = [" #", " ;"].iter().fold(value, |value, mark| value.split(mark).next().unwrap_or_default());
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    values
}

/// What is run for credentials.
enum Source {
    /// The command of `credential_process`.
    Process(String),
    /// The AWS CLI, for the profile of this name, because it implements single sign-on and roles.
    AwsCommand(String),
}

impl Source {
    fn command(&self) -> Command {
        match self {
            Self::Process(command) => in_shell(command),
            Self::AwsCommand(profile) => {
                let mut process = Command::new("aws");
                process.args(["configure", "export-credentials", "--format", "process", "--profile", profile]);
                process
            }
        }
    }

    /// Runs the command.
    async fn run(&self) -> Result<ProcessOutput> {
        let mut command = self.command();
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).kill_on_drop(true).output();
        let output = timeout(PATIENCE, output).await.context("it does not end")?.context("it cannot be started")?;
        if !output.status.success() {
            bail!("it ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("it printed no credentials")
    }

    /// What to do if the command fails.
    fn advice(&self) -> String {
        match self {
            // Its arguments may be secrets.
            Self::Process(command) => format!(
                "the credential_process of the AWS profile failed, which runs '{}'",
                command.split_whitespace().next().unwrap_or_default()
            ),
            Self::AwsCommand(profile) => format!(
                "the AWS profile '{profile}' has no access key, and 'aws configure export-credentials' gave none: install \
                 the AWS CLI and run 'aws sso login --profile {profile}', or set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY"
            ),
        }
    }
}

#[cfg(not(windows))]
fn in_shell(command: &str) -> Command {
    let mut process = Command::new("sh");
    process.args(["-c", command]);
    process
}

/// `cmd` has quoting rules of its own.
#[cfg(windows)]
fn in_shell(command: &str) -> Command {
    let mut process = Command::new("cmd");
    process.raw_arg("/C").raw_arg(format!("\"{command}\""));
    process
}

/// What a command prints; source: <https://docs.aws.amazon.com/sdkref/latest/guide/feature-process-credentials.html>.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ProcessOutput {
    access_key_id: String,
    secret_access_key: String,
    session_token: Option<String>,
    expiration: Option<String>,
}

impl ProcessOutput {
    /// When to ask for credentials again; `None` if they do not expire.
    fn renewal(&self) -> Result<Option<SystemTime>> {
        let Some(expiration) = &self.expiration else { return Ok(None) };
        let nanoseconds = string_to_timestamp_nanos(expiration)?.try_into()?;
        let end = SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds);
        let lifetime = end.duration_since(SystemTime::now()).unwrap_or_default();
        Ok(Some(end - MARGIN.min(lifetime / 2)))
    }
}

/// Credentials that a command provides, again each time they are about to expire.
struct ProcessCredentials {
    source: Source,
    /// With the time of their renewal.
    last: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

/// Without what may be secret.
impl fmt::Debug for ProcessCredentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ProcessCredentials").finish_non_exhaustive()
    }
}

#[async_trait]
impl CredentialProvider for ProcessCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some((credential, renewal)) = &*last
            && renewal.is_none_or(|renewal| SystemTime::now() < renewal)
        {
            return Ok(Arc::clone(credential));
        }
        let output = self.source.run().await.with_context(|| self.source.advice()).map_err(|error| failure(&error))?;
        let renewal = output.renewal().context("the expiration is no time").map_err(|error| failure(&error))?;
        let credential = Arc::new(AwsCredential {
            key_id: output.access_key_id,
            secret_key: output.secret_access_key,
            token: output.session_token,
        });
        *last = Some((Arc::clone(&credential), renewal));
        Ok(credential)
    }
}

fn failure(error: &anyhow::Error) -> object_store::Error {
    object_store::Error::Generic { store: "S3", source: format!("{error:#}").into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(text: &str, name: &str) -> Profile {
        Profile { name: name.into(), values: section(text, name) }
    }

    async fn key_of(profile: Profile) -> object_store::Result<String> {
        let provider = profile.credentials().expect("the profile has credentials");
        Ok(provider.get_credential().await?.key_id.clone())
    }

    #[tokio::test]
    async fn sections_of_both_files_are_read() {
        let config =
            "# mine\n[default]\nregion = eu-west-1 # a\n\n[profile dev]\nregion=us-east-2\ns3 =\n  region = no\n";
        assert_eq!(profile(config, "default").get("region"), Some("eu-west-1"));
        assert_eq!(profile(config, "dev").get("region"), Some("us-east-2"));
        assert!(section(config, "de").is_empty());
        assert!(profile(config, "dev").credentials().is_none());
        let keys = "[dev]\naws_access_key_id = AKIA\nAWS_SECRET_ACCESS_KEY = a=b\n";
        assert_eq!(profile(keys, "dev").get("aws_secret_access_key"), Some("a=b"));
        assert_eq!(key_of(profile(keys, "dev")).await.unwrap(), "AKIA");
        let with_role = format!("{keys}role_arn = arn:aws:iam::1:role/r\n");
        let error = key_of(profile(&with_role, "dev")).await.unwrap_err();
        assert!(
            error.to_string().contains("aws sso login --profile dev"),
            "the key alone is another identity: {error}"
        );
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_gives_credentials_until_they_end() {
        let folder = tempfile::TempDir::new().unwrap();
        let counter = folder.path().join("runs");
        let provider = |expiration: &str| {
            let json = format!(
                r#"{{"Version": 1, "AccessKeyId": "AKIA", "SecretAccessKey": "s", "Expiration": "{expiration}"}}"#
            );
            let process = format!("credential_process = echo x >> '{}'; echo '{json}'", counter.display());
            profile(&format!("[p]\n{process}\n"), "p").credentials().unwrap()
        };
        for (expiration, runs) in [("2200-01-01T00:00:00Z", 1), ("2001-01-01T00:00:00Z", 3)] {
            let _ = fs::remove_file(&counter);
            let provider = provider(expiration);
            for _ in 0..3 {
                assert_eq!(provider.get_credential().await.unwrap().key_id, "AKIA");
            }
            assert_eq!(fs::read_to_string(&counter).unwrap().lines().count(), runs, "{expiration}");
        }
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_command_that_fails_is_named() {
        let expired = r#"{"AccessKeyId": "a", "SecretAccessKey": "b", "Expiration": "soon"}"#;
        for (command, part) in [
            ("false --secret", "which runs 'false'"),
            ("echo --secret", "which runs 'echo'"),
            (&format!("echo '{expired}'"), "the expiration is no time"),
        ] {
            let error = key_of(profile(&format!("[p]\ncredential_process = {command}"), "p")).await.unwrap_err();
            assert!(error.to_string().contains(part) && !error.to_string().contains("secret"), "{error}");
        }
    }
}
