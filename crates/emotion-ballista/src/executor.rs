use std::path::PathBuf;
use std::sync::Arc;

use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use ballista_executor::executor_process::ExecutorProcessConfig;
use datafusion::execution::SessionStateBuilder;
use datafusion_emotion::{EmotionExt, EmotionLogicalCodec, EmotionPhysicalCodec};

use crate::configuration::session_config;
use crate::engine::EmotionEngine;
use crate::stores::runtime;

/// Adds the functions, options and codecs of this project to an executor, and the object stores whose credentials are
/// in the environment.
///
/// Plans may name models that are in one of the folders `models`, the built-in model, and models of the hub.
#[must_use]
pub fn executor_config(mut config: ExecutorProcessConfig, models: Vec<PathBuf>) -> ExecutorProcessConfig {
    let place = match &config.external_host {
        Some(host) => format!("executor {} at {host}:{}", config.executor_id, config.port),
        None => format!("executor {}", config.executor_id),
    };
    let logical = EmotionLogicalCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), &place);
    let logical = logical.with_model_folders(models.clone());
    let physical = EmotionPhysicalCodec::new(Arc::new(BallistaPhysicalExtensionCodec::default()), &place);
    let physical = physical.with_model_folders(models);
    config.override_logical_codec = Some(Arc::new(logical));
    config.override_physical_codec = Some(Arc::new(physical));
    config.override_config_producer = Some(Arc::new(session_config));
    config.override_execution_engine = Some(Arc::new(EmotionEngine::default()));
    let work_dir = config.work_dir.clone();
    config.override_runtime_producer = Some(Arc::new(move |_| runtime(work_dir.as_deref())));
    config.override_function_registry = Some(Arc::new(functions()));
    config
}

fn functions() -> BallistaFunctionRegistry {
    let state = SessionStateBuilder::new().with_config(session_config()).with_default_features().with_emotion().build();
    BallistaFunctionRegistry {
        scalar_functions: state.scalar_functions().clone(),
        aggregate_functions: state.aggregate_functions().clone(),
        window_functions: state.window_functions().clone(),
        higher_order_functions: state.higher_order_functions().clone(),
    }
}
