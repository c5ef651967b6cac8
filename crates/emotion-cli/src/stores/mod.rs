//! Connects a session to the object stores of the addresses that statements and arguments name.

mod aws_profile;
mod s3;

use std::collections::HashMap;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::prelude::SessionContext;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, ObjectStore};

/// Connects the session to the store that holds what an address names, with the credentials of the environment.
/// Returns without effect if the name is that of a local file, or if the session knows the store.
pub async fn connect(context: &SessionContext, name: &str) -> Result<()> {
    connect_with(context, name, Settings::default()).await
}

/// The same with settings of a statement, which replace those of the environment.
pub async fn connect_with(context: &SessionContext, name: &str, settings: Settings) -> Result<()> {
    if !name.contains("://") || name.starts_with("file://") {
        return Ok(());
    }
    let address = ListingTableUrl::parse(name).with_context(|| format!("'{name}' is not an address"))?;
    let runtime = context.runtime_env();
    match runtime.object_store(&address) {
        Ok(known) if settings.0.is_empty() => check_container(known.as_ref(), &address),
        _ => {
            let store = store(&address, settings).await.with_context(|| format!("cannot reach '{name}'"))?;
            runtime.register_object_store(address.get_url(), store);
            Ok(())
        }
    }
}

/// An error if an address such as `abfss://container@account/…` is in another container than the known store of its
/// account, because DataFusion knows stores by the account alone.
fn check_container(known: &dyn ObjectStore, address: &ListingTableUrl) -> Result<()> {
    let container = address.get_url().username();
    if container.is_empty() || known.to_string().contains(&format!("container: {container}")) {
        return Ok(());
    }
    bail!("'{}' is in another container than earlier addresses of its account: use az://{container}/", address.as_str())
}

async fn store(address: &ListingTableUrl, settings: Settings) -> Result<Arc<dyn ObjectStore>> {
    let url = address.get_url().as_str();
    Ok(match address.scheme() {
        "s3" | "s3a" => Arc::new(s3::store(url, settings.keys("aws.")?).await?),
        "gs" | "gcs" => {
            let url = url.replacen("gcs://", "gs://", 1);
            let mut builder = GoogleCloudStorageBuilder::from_env().with_url(url);
            for (key, value) in settings.keys("gcp.")? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build()?)
        }
        "az" | "abfs" | "abfss" => {
            let mut builder = MicrosoftAzureBuilder::from_env().with_url(url);
            for (key, value) in settings.keys("azure.")? {
                builder = builder.with_config(key, value);
            }
            Arc::new(builder.build()?)
        }
        "http" | "https" => {
            let options = ClientOptions::new().with_allow_http(true);
            let origin = address.object_store();
            Arc::new(HttpBuilder::new().with_client_options(options).with_url(origin.as_str()).build()?)
        }
        other => bail!("'{other}://' is not known: known are s3, gs, az, http and https"),
    })
}

/// The options of a statement that are those of a store, such as `aws.region`. They may be secrets.
#[derive(Clone, Default)]
pub struct Settings(Vec<(String, String)>);

impl Settings {
    /// Takes the settings out of a statement's options, since the formats of files do not know them.
    pub fn taken_from(options: &mut HashMap<String, String>) -> Self {
        let is_setting = |key: &str| ["aws.", "gcp.", "azure."].iter().any(|prefix| key.starts_with(prefix));
        Self(options.extract_if(|key, _| is_setting(key)).collect())
    }

    /// The keys and values for one kind of store.
    fn keys<K: FromStr<Err = object_store::Error>>(self, prefix: &str) -> Result<Vec<(K, String)>> {
        let key_of = |(name, value): (String, String)| match name.strip_prefix(prefix).map(|key| known_as(key).parse())
        {
            Some(Ok(key)) => Ok((key, value)),
            _ => bail!("'{name}' is not an option of this store"),
        };
        self.0.into_iter().map(key_of).collect()
    }
}

/// The name of an option in the library, where DataFusion's documentation has another.
fn known_as(option: &str) -> &str {
    match option {
        "nosign" => "skip_signature",
        "application_credentials_path" => "application_credentials",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use object_store::aws::AmazonS3ConfigKey;

    use super::*;

    fn settings(options: &[(&str, &str)]) -> Settings {
        let owned = options.iter().map(|&(key, value)| (key.into(), value.into()));
        Settings::taken_from(&mut owned.collect())
    }

    #[test]
    fn settings_of_stores_are_taken_and_those_of_formats_left() {
        let mut options: HashMap<String, String> =
            [("aws.region", "eu-west-1"), ("format.has_header", "true")].map(|(k, v)| (k.into(), v.into())).into();
        options.insert("aws.nosign".into(), "true".into());
        let settings = Settings::taken_from(&mut options);
        assert_eq!(options.into_keys().collect::<Vec<_>>(), ["format.has_header"]);
        let mut keys = settings.keys("aws.").unwrap();
        keys.sort_by(|one, other| one.1.cmp(&other.1));
        let (region, unsigned) = (AmazonS3ConfigKey::Region, AmazonS3ConfigKey::SkipSignature);
        assert_eq!(keys, [(region, "eu-west-1".to_owned()), (unsigned, "true".to_owned())]);
    }

    #[test]
    fn settings_of_other_stores_and_unknown_ones_are_refused() {
        for name in ["gcp.service_account_key", "aws.nonsense"] {
            let error = settings(&[(name, "x")]).keys::<AmazonS3ConfigKey>("aws.").unwrap_err();
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[tokio::test]
    async fn stores_are_known_after_their_names_and_others_are_refused() {
        let context = SessionContext::new();
        for name in ["http://127.0.0.1:9/a/b.parquet", "az://box/b.parquet"] {
            let account = settings(&[("azure.account_name", "me")]);
            connect_with(&context, name, if name.starts_with("az") { account } else { Settings::default() })
                .await
                .unwrap();
            let address = ListingTableUrl::parse(name).unwrap();
            assert!(context.runtime_env().object_store(&address).is_ok(), "{name}");
        }
        for name in ["data/reviews.parquet", "file:///tmp/a.csv"] {
            connect(&context, name).await.unwrap();
        }
        let account = settings(&[("azure.account_key", "a2V5")]);
        connect_with(&context, "abfss://one@me.dfs.core.windows.net/a.csv", account).await.unwrap();
        connect(&context, "abfss://one@me.dfs.core.windows.net/b.csv").await.unwrap();
        let error = connect(&context, "abfss://two@me.dfs.core.windows.net/a.csv").await.unwrap_err();
        assert!(error.to_string().contains("az://two/"), "{error}");
        let error = connect(&context, "hdfs://host/a.parquet").await.unwrap_err();
        assert!(format!("{error:#}").contains("known are s3"), "{error:#}");
    }
}
