//! The logs of the servers, on standard error or in files.

use ballista_core::config::LogRotationPolicy;
use tracing_appender::rolling;
use tracing_subscriber::EnvFilter;

/// Starts logging at the levels of `RUST_LOG`, or `levels` if it is not set, to files in `folder`, or to standard error
/// without a folder.
pub fn start(levels: &str, folder: Option<&str>, rotation: &LogRotationPolicy, file: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(levels));
    let log = tracing_subscriber::fmt().with_ansi(false).with_env_filter(filter);
    let Some(folder) = folder else {
        return log.with_writer(std::io::stderr).init();
    };
    let files = match rotation {
        LogRotationPolicy::Minutely => rolling::minutely(folder, file),
        LogRotationPolicy::Hourly => rolling::hourly(folder, file),
        LogRotationPolicy::Daily => rolling::daily(folder, file),
        LogRotationPolicy::Never => rolling::never(folder, file),
    };
    log.with_writer(files).init();
}
