//! `emotion-scheduler`: accepts queries and assigns their stages to executors.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::{Config, SchedulerConfig};
use ballista_scheduler::scheduler_process::start_server;
use clap::{CommandFactory, FromArgMatches};
use emotion_ballista::server_options::ServerOptions;
use emotion_ballista::{logging, scheduler_config};

/// The stack of a thread. Plans of long queries are deeply nested.
const STACK_BYTES: usize = 32 << 20;

fn main() -> Result<()> {
    let command = Config::command()
        .name("emotion-scheduler")
        .version(env!("CARGO_PKG_VERSION"))
        .about("The scheduler of a cluster: accepts queries and assigns their stages to executors");
    let matches = ServerOptions::added_to(command).get_matches();
    let (arguments, options) = (Config::from_arg_matches(&matches)?, ServerOptions::of(&matches));
    let address = options.address(&arguments.bind_host, arguments.bind_port)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().thread_stack_size(STACK_BYTES).build()?;
    runtime.block_on(run(arguments, address, options.models()))
}

async fn run(arguments: Config, address: SocketAddr, models: Vec<PathBuf>) -> Result<()> {
    logging::start(
        &arguments.log_level_setting,
        arguments.log_dir.as_deref(),
        &arguments.log_rotation_policy,
        "emotion-scheduler.log",
    );
    let config = scheduler_config(SchedulerConfig::try_from(arguments)?, models);
    let cluster = BallistaCluster::new_from_config(&config).await?;
    let served = start_server(cluster, address, Arc::new(config)).await;
    served.with_context(|| format!("cannot serve at {address}: choose another port with --bind-port if it is taken"))
}
