use std::path::PathBuf;
use std::sync::Arc;

use ballista_core::optimizer::ballista_default_optimizer_rules;
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use ballista_scheduler::config::SchedulerConfig;
use datafusion::error::Result;
use datafusion::execution::{SessionState, SessionStateBuilder};
use datafusion::prelude::SessionConfig;
use datafusion_emotion::{EmotionExt, EmotionLogicalCodec, EmotionPhysicalCodec};

use crate::configuration::session_config;
use crate::stores::runtime;

/// Adds the functions, options, planner rules and codecs of this project to a scheduler, and the object stores whose
/// credentials are in the environment.
///
/// Plans may name models that are in one of the folders `models`, the built-in model, and models of the hub.
#[must_use]
pub fn scheduler_config(mut config: SchedulerConfig, models: Vec<PathBuf>) -> SchedulerConfig {
    let place = format!("the scheduler at {}:{}", config.external_host, config.bind_port);
    let logical = EmotionLogicalCodec::new(Arc::new(BallistaLogicalExtensionCodec::default()), &place);
    let logical = logical.with_model_folders(models.clone());
    let physical = EmotionPhysicalCodec::new(Arc::new(BallistaPhysicalExtensionCodec::default()), &place);
    let physical = physical.with_model_folders(models);
    config.override_logical_codec = Some(Arc::new(logical));
    config.override_physical_codec = Some(Arc::new(physical));
    config.override_config_producer = Some(Arc::new(session_config));
    config.override_session_builder = Some(Arc::new(session_state));
    config
}

fn session_state(config: SessionConfig) -> Result<SessionState> {
    let state = SessionStateBuilder::new()
        .with_runtime_env(runtime(None)?)
        .with_config(config)
        .with_default_features()
        .with_optimizer_rules(ballista_default_optimizer_rules())
        .with_emotion();
    Ok(state.build())
}
