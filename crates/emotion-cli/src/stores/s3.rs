//! Amazon S3 and the stores that speak its protocol.

use std::env::{var, vars};
use std::time::Duration;

use anyhow::Result;
use object_store::ClientOptions;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key, resolve_bucket_region};
use tokio::time::timeout;

use crate::stores::aws_profile::Profile;

/// How long to wait for the metadata service of EC2.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store of a bucket. The first of these that has credentials provides them: the settings, variables such as
/// `AWS_ACCESS_KEY_ID`, the profile, and the role of the EC2 instance. Without any, requests are not signed, which
/// public buckets accept.
pub async fn store(url: &str, settings: Vec<(Key, String)>) -> Result<AmazonS3> {
    let mut builder = from_environment(&settings).with_url(url);
    for (key, value) in settings {
        builder = builder.with_config(key, value);
    }
    let has_credentials = has_credentials(&builder);
    let profile = match Profile::of_environment() {
        // A profile that does not exist matters only if its credentials are needed.
        Err(_) if has_credentials => None,
        profile => profile?,
    };
    if let Some(profile) = &profile {
        builder = with_places(builder, profile);
    }
    if !has_credentials {
        if let Some(credentials) = profile.and_then(Profile::credentials) {
            builder = builder.with_credentials(credentials);
        } else if !gives_credentials(&builder).await {
            builder = builder.with_skip_signature(true);
        }
    }
    if !is_set(&builder, Key::Region) && !is_set(&builder, Key::Endpoint) && !is_set(&builder, Key::S3Endpoint) {
        builder = with_region_of_bucket(builder, url).await;
    }
    Ok(builder.build()?)
}

/// The builder with the variables that are not empty; without the session token of other credentials, if the settings
/// have an access key.
fn from_environment(settings: &[(Key, String)]) -> AmazonS3Builder {
    let has_key = settings.iter().any(|(key, _)| *key == Key::AccessKeyId);
    let of_aws = vars().filter(|(name, value)| name.starts_with("AWS_") && !value.is_empty());
    let keys = of_aws.filter_map(|(name, value)| Some((name.to_ascii_lowercase().parse::<Key>().ok()?, value)));
    let keys = keys.filter(|(key, _)| !(has_key && *key == Key::Token));
    keys.fold(AmazonS3Builder::new(), |builder, (key, value)| builder.with_config(key, value))
}

/// The builder with the region and the endpoint of a profile where they are not set.
fn with_places(mut builder: AmazonS3Builder, profile: &Profile) -> AmazonS3Builder {
    for (key, name) in [(Key::Region, "region"), (Key::Endpoint, "endpoint_url")] {
        if let (false, Some(value)) = (is_set(&builder, key), profile.get(name)) {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

fn is_set(builder: &AmazonS3Builder, key: Key) -> bool {
    builder.get_config_value(&key).is_some()
}

/// Whether settings or variables name credentials, or say that requests are not signed.
fn has_credentials(builder: &AmazonS3Builder) -> bool {
    let are_set = |keys: &[Key]| keys.iter().all(|key| is_set(builder, *key));
    builder.get_config_value(&Key::SkipSignature).is_some_and(|value| is_true(&value))
        || are_set(&[Key::AccessKeyId])
        || are_set(&[Key::WebIdentityTokenFile, Key::RoleArn])
        || are_set(&[Key::ContainerCredentialsRelativeUri])
        || are_set(&[Key::ContainerCredentialsFullUri, Key::ContainerAuthorizationTokenFile])
}

fn is_true(value: &str) -> bool {
    matches!(value.to_ascii_lowercase().as_str(), "1" | "true" | "on" | "yes" | "y")
}

/// Whether the metadata service of EC2 provides credentials.
async fn gives_credentials(builder: &AmazonS3Builder) -> bool {
    if var("AWS_EC2_METADATA_DISABLED").is_ok_and(|value| is_true(&value)) {
        return false;
    }
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let Ok(store) = builder.clone().with_retry(once).build() else { return false };
    let asked = timeout(PATIENCE, store.credentials().get_credential()).await;
    asked.is_ok_and(|credential| credential.is_ok())
}

/// The builder with the region that S3 names for a bucket. Without an answer, the default of the store applies.
async fn with_region_of_bucket(builder: AmazonS3Builder, url: &str) -> AmazonS3Builder {
    let bucket = url.split(['/', '?']).nth(2).unwrap_or_default();
    match resolve_bucket_region(bucket, &ClientOptions::new()).await {
        Ok(region) => builder.with_region(region),
        Err(_) => builder,
    }
}
