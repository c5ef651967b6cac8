//! Object stores of servers, which sessions do not configure.

use std::sync::Arc;

use datafusion::error::{DataFusionError, Result};
use datafusion::execution::object_store::{DefaultObjectStoreRegistry, ObjectStoreRegistry};
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use object_store::ObjectStore;
use url::Url;

/// A runtime that reads local files, S3, Google Cloud Storage, Azure and HTTP, and spills into `folder`.
pub(crate) fn runtime(folder: Option<&str>) -> Result<Arc<RuntimeEnv>> {
    let stores = EnvironmentStores { known: DefaultObjectStoreRegistry::new() };
    let builder = RuntimeEnvBuilder::new().with_object_store_registry(Arc::new(stores));
    match folder {
        Some(folder) => builder.with_temp_file_path(folder).build_arc(),
        None => builder.build_arc(),
    }
}

/// Connects to a store when a query first uses it, with the credentials in variables such as `AWS_ACCESS_KEY_ID`.
#[derive(Debug)]
struct EnvironmentStores {
    known: DefaultObjectStoreRegistry,
}

impl ObjectStoreRegistry for EnvironmentStores {
    fn register_store(&self, url: &Url, store: Arc<dyn ObjectStore>) -> Option<Arc<dyn ObjectStore>> {
        self.known.register_store(url, store)
    }

    fn deregister_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        self.known.deregister_store(url)
    }

    fn get_store(&self, url: &Url) -> Result<Arc<dyn ObjectStore>> {
        if let Ok(store) = self.known.get_store(url) {
            return Ok(store);
        }
        let settings = std::env::vars().map(|(name, value)| (name.to_lowercase(), value));
        let settings = settings.chain([("allow_http".to_string(), "true".to_string())]);
        let (store, _) = object_store::parse_url_opts(url, settings).map_err(|error| {
            DataFusionError::Configuration(format!(
                "cannot reach '{url}' ({error}): check the address and this server's \
                 environment, which holds the credentials"
            ))
        })?;
        let store: Arc<dyn ObjectStore> = Arc::from(store);
        self.known.register_store(url, Arc::clone(&store));
        Ok(store)
    }
}
