//! Profiles of the AWS command line; source: <https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html>.

use std::collections::HashMap;
use std::env::{home_dir, var};
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use arrow::compute::kernels::cast_utils::string_to_timestamp_nanos;
use async_trait::async_trait;
use object_store::aws::{AwsCredential, AwsCredentialProvider};
use object_store::{CredentialProvider, StaticCredentialProvider};
use serde::Deserialize;
use tokio::sync::Mutex;

/// Credentials are asked for again this long before they end.
const MARGIN: Duration = Duration::from_mins(5);

/// The settings of a profile.
#[derive(Debug)]
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
        let mut values = HashMap::new();
        for (variable, file) in
            [("AWS_CONFIG_FILE", ".aws/config"), ("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")]
        {
            let path = var(variable).map(PathBuf::from).ok().or_else(|| Some(home_dir()?.join(file)));
            let text = path.and_then(|path| fs::read_to_string(path).ok()).unwrap_or_default();
            values.extend(section(&text, &name));
        }
        match asked {
            Some(name) if values.is_empty() => {
                bail!(
                    "AWS_PROFILE names the profile '{name}', which is neither in ~/.aws/config nor in ~/.aws/credentials"
                )
            }
            _ => Ok(Some(Self { name, values }).filter(|profile| !profile.values.is_empty())),
        }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// What gives the credentials of the profile; `None` if it has only other settings.
    pub fn credentials(self) -> Option<AwsCredentialProvider> {
        if let (Some(key_id), Some(secret_key)) = (self.get("aws_access_key_id"), self.get("aws_secret_access_key")) {
            let token = self.get("aws_session_token").map(Into::into);
            let credential = AwsCredential { key_id: key_id.into(), secret_key: secret_key.into(), token };
            return Some(Arc::new(StaticCredentialProvider::new(credential)));
        }
        let source = if let Some(command) = self.get("credential_process") {
            Source::Process(command.into())
        } else if ["sso_session", "sso_start_url", "role_arn", "login_session"]
            .iter()
            .any(|key| self.get(key).is_some())
        {
            Source::AwsCommand(self.name)
        } else {
            return None;
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
            values.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    values
}

/// What is run for credentials.
#[derive(Debug, Clone)]
enum Source {
    /// The command of `credential_process`.
    Process(String),
    /// The AWS command line, for the profile of this name, because it implements single sign-on and roles.
    AwsCommand(String),
}

impl Source {
    fn command(&self) -> Command {
        let shell = if cfg!(windows) { ["cmd", "/C"] } else { ["sh", "-c"] };
        match self {
            Self::Process(command) => {
                let mut process = Command::new(shell[0]);
                process.args([shell[1], command]);
                process
            }
            Self::AwsCommand(profile) => {
                let mut process = Command::new("aws");
                process.args(["configure", "export-credentials", "--format", "process", "--profile", profile]);
                process
            }
        }
    }

    /// Runs the command.
    fn run(&self) -> Result<ProcessOutput> {
        let output = self.command().stdin(Stdio::null()).stderr(Stdio::inherit()).output();
        let output = output.context("it cannot be started")?;
        if !output.status.success() {
            bail!("it ended with {}", output.status);
        }
        serde_json::from_slice(&output.stdout).context("it printed no credentials")
    }

    /// What to do if the command fails.
    fn advice(&self) -> String {
        match self {
            Self::Process(command) => format!("the credential_process '{command}' of the AWS profile failed"),
            Self::AwsCommand(profile) => format!(
                "the AWS profile '{profile}' has no access key, and 'aws configure export-credentials' gave none: install \
                 the AWS command line and run 'aws sso login --profile {profile}', or set AWS_ACCESS_KEY_ID and \
                 AWS_SECRET_ACCESS_KEY"
            ),
        }
    }
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
    fn end(&self) -> Option<SystemTime> {
        let nanoseconds = string_to_timestamp_nanos(self.expiration.as_deref()?).ok()?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_nanos(nanoseconds.try_into().ok()?))
    }
}

/// Credentials that a command gives, again each time they are about to end.
#[derive(Debug)]
struct ProcessCredentials {
    source: Source,
    last: Mutex<Option<(Arc<AwsCredential>, Option<SystemTime>)>>,
}

#[async_trait]
impl CredentialProvider for ProcessCredentials {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut last = self.last.lock().await;
        if let Some((credential, end)) = &*last
            && end.is_none_or(|end| SystemTime::now() + MARGIN < end)
        {
            return Ok(Arc::clone(credential));
        }
        let source = self.source.clone();
        let run = tokio::task::spawn_blocking(move || source.run().with_context(|| source.advice()));
        let output = run.await.map_err(Into::into).flatten().map_err(|error| failure(&error))?;
        let end = output.end();
        let credential = Arc::new(AwsCredential {
            key_id: output.access_key_id,
            secret_key: output.secret_access_key,
            token: output.session_token,
        });
        *last = Some((Arc::clone(&credential), end));
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
        let config = "# mine\n[default]\nregion = eu-west-1\n\n[profile dev]\nregion=us-east-2\ns3 =\n  region = no\n";
        assert_eq!(profile(config, "default").get("region"), Some("eu-west-1"));
        assert_eq!(profile(config, "dev").get("region"), Some("us-east-2"));
        assert!(section(config, "de").is_empty());
        assert!(profile(config, "dev").credentials().is_none());
        let keys = "[dev]\naws_access_key_id = AKIA\nAWS_SECRET_ACCESS_KEY = a=b\n";
        assert_eq!(profile(keys, "dev").get("aws_secret_access_key"), Some("a=b"));
        assert_eq!(key_of(profile(keys, "dev")).await.unwrap(), "AKIA");
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
        for (expiration, runs) in [("2999-01-01T00:00:00Z", 1), ("2001-01-01T00:00:00Z", 3)] {
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
        for command in ["exit 3", "echo nonsense"] {
            let error = key_of(profile(&format!("[p]\ncredential_process = {command}"), "p")).await.unwrap_err();
            assert!(error.to_string().contains(command), "{error}");
        }
    }
}
