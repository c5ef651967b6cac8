//! `emotion-executor`: runs the stages of queries that a scheduler assigns to it.

use std::sync::Arc;

use anyhow::{Context, Result};
use ballista_executor::config::Config;
use ballista_executor::executor_process::{ExecutorProcessConfig, start_executor_process};
use ballista_executor::health::spawn_health_server;
use clap::{CommandFactory, FromArgMatches};
use emotion_ballista::server_options::ServerOptions;
use emotion_ballista::{executor_config, logging};

#[tokio::main]
async fn main() -> Result<()> {
    let command = Config::command()
        .name("emotion-executor")
        .version(env!("CARGO_PKG_VERSION"))
        .about("An executor of a cluster: runs the stages of queries that the scheduler assigns to it");
    let matches = ServerOptions::added_to(command).get_matches();
    let (arguments, options) = (Config::from_arg_matches(&matches)?, ServerOptions::of(&matches));
    let health = options.address(&arguments.bind_host, arguments.bind_health_port)?;
    logging::start(
        &arguments.log_level_setting,
        arguments.log_dir.as_deref(),
        &arguments.log_rotation_policy,
        "emotion-executor.log",
    );
    let scheduler = format!("{}:{}", arguments.scheduler_host, arguments.scheduler_port);
    let config = executor_config(ExecutorProcessConfig::try_from(arguments)?, options.models());

    let (stop, stopped) = tokio::sync::oneshot::channel();
    let probes = spawn_health_server(health, config.health.clone(), stopped);
    let served = start_executor_process(Arc::new(config)).await;
    drop(stop);
    let _ = probes.await;
    served.with_context(|| {
        format!("the executor has stopped: check that the scheduler is at {scheduler} and that the ports are free")
    })
}
