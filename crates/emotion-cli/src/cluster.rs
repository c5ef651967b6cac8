//! The cluster on which queries and labeling jobs run. A program built without the feature `cluster` refuses every
//! address.

#[cfg(feature = "cluster")]
pub use emotion_ballista::{connect, execute};

#[cfg(not(feature = "cluster"))]
pub use absent::{connect, execute};

#[cfg(not(feature = "cluster"))]
mod absent {
    use std::sync::Arc;

    use datafusion::error::{DataFusionError, Result};
    use datafusion::execution::{SendableRecordBatchStream, SessionState};
    use datafusion::physical_plan::ExecutionPlan;
    use datafusion::prelude::SessionContext;

    fn absent<T>(address: &str) -> Result<T> {
        Err(DataFusionError::Configuration(format!(
            "cannot use the cluster at '{address}': this program was built without the feature 'cluster'"
        )))
    }

    #[expect(clippy::unused_async, reason = "the signature of the function that it stands for")]
    pub async fn connect(address: &str, _: SessionState) -> Result<SessionContext> {
        absent(address)
    }

    #[expect(clippy::unused_async, reason = "the signature of the function that it stands for")]
    pub async fn execute(
        address: &str,
        _: &SessionContext,
        _: Arc<dyn ExecutionPlan>,
    ) -> Result<SendableRecordBatchStream> {
        absent(address)
    }
}
