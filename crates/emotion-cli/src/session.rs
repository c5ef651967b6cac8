use std::num::NonZeroUsize;
use std::sync::Arc;

use anyhow::{Result, anyhow};
use arrow::datatypes::DataType;
use datafusion::config::ConfigOptions;
use datafusion::error::DataFusionError;
use datafusion::execution::disk_manager::{DiskManagerBuilder, DiskManagerMode};
use datafusion::execution::memory_pool::{GreedyMemoryPool, TrackConsumersPool};
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::logical_expr::ExplainFormat;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_emotion::EmotionExt;
use emotion_label::file_tables::{Readers, advice, set_defaults, with_files};

use crate::cluster;

/// What queries may use; `None` is no limit for memory, and 100 GB for the disk.
#[derive(Default)]
pub struct Resources {
    pub memory: Option<usize>,
    pub disk: Option<usize>,
}

impl Resources {
    fn runtime(&self) -> RuntimeEnvBuilder {
        /// The consumers that an error of exhausted memory names.
        const NAMED_CONSUMERS: NonZeroUsize = NonZeroUsize::new(3).expect("more than 0");
        let mut builder = RuntimeEnvBuilder::new();
        if let Some(bytes) = self.memory {
            let pool = TrackConsumersPool::new(GreedyMemoryPool::new(bytes), NAMED_CONSUMERS);
            builder = builder.with_memory_pool(Arc::new(pool));
        }
        if let Some(bytes) = self.disk {
            let disk = DiskManagerBuilder::default()
                .with_mode(DiskManagerMode::OsTmpDirectory)
                .with_max_temp_directory_size(bytes as u64);
            builder = builder.with_disk_manager_builder(disk);
        }
        builder
    }
}

/// A session in which file names are tables, with these options set. So are addresses, once the session is connected
/// to their stores.
pub async fn session(options: impl IntoIterator<Item = (&'static str, String)>) -> Result<SessionContext> {
    session_on(None, options, Resources::default()).await
}

/// The same with queries that run on the cluster at an address, if there is one, and use these resources.
pub async fn session_on(
    cluster: Option<&str>,
    options: impl IntoIterator<Item = (&'static str, String)>,
    resources: Resources,
) -> Result<SessionContext> {
    let mut config = ConfigOptions::from_env()?;
    if std::env::var_os("DATAFUSION_EXPLAIN_FORMAT").is_none() {
        config.explain.format = ExplainFormat::Tree;
    }
    if std::env::var_os("DATAFUSION_FORMAT_NULL").is_none() {
        config.format.null = "NULL".into();
    }
    set_defaults(&mut config);
    let readers = if cluster.is_some() { Readers::Cluster } else { Readers::Here };
    let config = SessionConfig::from(config).with_information_schema(true).with_extension(Arc::new(readers));
    let runtime = resources.runtime().build_arc()?;
    let mut builder =
        SessionStateBuilder::new().with_config(config).with_runtime_env(runtime).with_default_features().with_emotion();
    let mut names_model = false;
    for (option, value) in options {
        names_model |= option == "emotion.model";
        builder.config().get_or_insert_default().options_mut().set(option, &value)?;
    }
    let state = builder.build();
    if names_model {
        check_model(&state)?;
    }
    let context = match cluster {
        Some(address) => cluster::connect(address, state).await?,
        None => SessionContext::new_with_state(state),
    };
    let context = with_files(context, readers);
    context.refresh_catalogs().await?;
    Ok(context)
}

/// Loads the session's model, so that a wrong name on the command line is reported before anything is read: the type
/// of this function's result depends on the model's labels.
fn check_model(state: &SessionState) -> Result<()> {
    if let Some(function) = state.scalar_functions().get("emotion_scores") {
        function.return_type(&[DataType::Utf8])?;
    }
    Ok(())
}

/// Says what to do about a table that does not exist although its name is that of a file.
pub fn explain(error: DataFusionError) -> anyhow::Error {
    match advice(&error) {
        Some(advice) => anyhow!(advice),
        None => error.into(),
    }
}
