//! The cluster on which queries and labeling jobs run. A program built without the feature `cluster` refuses every
//! address.

#[cfg(feature = "cluster")]
pub use emotion_ballista::connect;

#[cfg(not(feature = "cluster"))]
pub use absent::connect;

#[cfg(not(feature = "cluster"))]
mod absent {
    use datafusion::error::{DataFusionError, Result};
    use datafusion::execution::SessionState;
    use datafusion::prelude::SessionContext;

    pub async fn connect(address: &str, _: SessionState) -> Result<SessionContext> {
        Err(DataFusionError::Configuration(format!(
            "cannot use the cluster at '{address}': this program was built without the feature 'cluster'; build it \
             with --features cluster, or use the program of a release"
        )))
    }
}
