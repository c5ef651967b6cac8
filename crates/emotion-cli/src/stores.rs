use std::sync::Arc;

use anyhow::{Context, Result, bail};
use datafusion::datasource::listing::ListingTableUrl;
use datafusion::prelude::SessionContext;
use datafusion_cli::object_storage::{
    AwsOptions, GcpOptions, get_gcs_object_store_builder, get_s3_object_store_builder,
};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::http::HttpBuilder;
use object_store::{ClientOptions, ObjectStore};

/// The store that holds what an address names, with the credentials of the environment; the session knows it
/// afterwards.
pub async fn object_store(context: &SessionContext, address: &ListingTableUrl) -> Result<Arc<dyn ObjectStore>> {
    let runtime = context.runtime_env();
    if let Ok(store) = runtime.object_store(address) {
        return Ok(store);
    }
    let store = connect(address).await.with_context(|| format!("cannot reach '{}'", address.as_str()))?;
    runtime.register_object_store(address.get_url(), Arc::clone(&store));
    Ok(store)
}

async fn connect(address: &ListingTableUrl) -> Result<Arc<dyn ObjectStore>> {
    let url = address.get_url();
    Ok(match address.scheme() {
        "s3" => Arc::new(get_s3_object_store_builder(url, &AwsOptions::default(), false).await?.build()?),
        "gs" | "gcs" => Arc::new(get_gcs_object_store_builder(url, &GcpOptions::default())?.build()?),
        "az" | "abfs" | "abfss" => Arc::new(MicrosoftAzureBuilder::from_env().with_url(url.as_str()).build()?),
        "http" | "https" => {
            let options = ClientOptions::new().with_allow_http(true);
            let origin = address.object_store();
            Arc::new(HttpBuilder::new().with_client_options(options).with_url(origin.as_str()).build()?)
        }
        other => bail!("'{other}://' is not known: known are s3, gs, az, http and https"),
    })
}
