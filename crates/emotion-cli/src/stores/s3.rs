//! Amazon S3 and the stores that speak its protocol.

use std::env::var_os;
use std::time::Duration;

use anyhow::Result;
use object_store::ClientOptions;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey as Key, resolve_bucket_region};
use tokio::time::timeout;

use crate::stores::aws_profile::Profile;

/// How long a machine that is no instance of EC2 waits to find that out.
const PATIENCE: Duration = Duration::from_secs(2);

/// The store of a bucket. The first of these that has credentials gives them: the settings, variables such as
/// `AWS_ACCESS_KEY_ID`, the profile, and the instance of EC2; without any, requests are not signed, as public buckets
/// take them.
pub async fn store(url: &str, settings: Vec<(Key, String)>) -> Result<AmazonS3> {
    let mut builder = AmazonS3Builder::from_env().with_url(url);
    for (key, value) in settings {
        builder = builder.with_config(key, value);
    }
    let profile = Profile::of_environment()?;
    if let Some(profile) = &profile {
        builder = with_places(builder, profile);
    }
    if !has_credentials(&builder) {
        builder = if let Some(credentials) = profile.and_then(Profile::credentials) {
            builder.with_credentials(credentials)
        } else {
            let is_instance = gives_credentials(&builder).await;
            builder.with_skip_signature(!is_instance)
        };
    }
    if is_unset(&builder, Key::Region) && is_unset(&builder, Key::Endpoint) && is_unset(&builder, Key::S3Endpoint) {
        builder = with_region_of_bucket(builder, url).await;
    }
    Ok(builder.build()?)
}

/// The builder with the region and the endpoint of a profile where they are not set.
fn with_places(mut builder: AmazonS3Builder, profile: &Profile) -> AmazonS3Builder {
    for (key, name) in [(Key::Region, "region"), (Key::Endpoint, "endpoint_url")] {
        if let (true, Some(value)) = (is_unset(&builder, key), profile.get(name)) {
            builder = builder.with_config(key, value);
        }
    }
    builder
}

fn is_unset(builder: &AmazonS3Builder, key: Key) -> bool {
    builder.get_config_value(&key).is_none()
}

/// Whether settings or variables name credentials, or say that requests are not signed.
fn has_credentials(builder: &AmazonS3Builder) -> bool {
    let is_set = |key| !is_unset(builder, key);
    let is_unsigned = builder.get_config_value(&Key::SkipSignature).is_some_and(|value| value == "true");
    is_unsigned
        || is_set(Key::AccessKeyId)
        || is_set(Key::WebIdentityTokenFile)
        || is_set(Key::ContainerCredentialsRelativeUri)
        || is_set(Key::ContainerCredentialsFullUri)
}

/// Whether the instance metadata service of EC2 gives credentials.
async fn gives_credentials(builder: &AmazonS3Builder) -> bool {
    if var_os("AWS_EC2_METADATA_DISABLED").is_some_and(|value| value == "true") {
        return false;
    }
    let once = RetryConfig { max_retries: 0, ..RetryConfig::default() };
    let Ok(store) = builder.clone().with_retry(once).build() else { return false };
    let asked = timeout(PATIENCE, store.credentials().get_credential()).await;
    asked.is_ok_and(|credential| credential.is_ok())
}

/// The builder with the region that S3 names for a bucket; if there is no answer, the store's own default holds.
async fn with_region_of_bucket(builder: AmazonS3Builder, url: &str) -> AmazonS3Builder {
    let bucket = url.split(['/', '?']).nth(2).unwrap_or_default();
    match resolve_bucket_region(bucket, &ClientOptions::new()).await {
        Ok(region) => builder.with_region(region),
        Err(_) => builder,
    }
}
