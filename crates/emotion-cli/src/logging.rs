//! Messages of the libraries, on the standard error.

use std::io::Write;

use env_logger::{Builder, Env};

use crate::escapes::visible;

/// Shows the messages that `RUST_LOG` asks for, or else as many as `-v` was given: the steps of this program and the
/// warnings of all libraries, then details of this program, then those of all libraries.
pub fn start(verbosity: u8) {
    let filter = match verbosity {
        0 => "off",
        1 => {
            "warn,emotion=info,emotion_classifier=info,emotion_label=info,datafusion_emotion=info,emotion_ballista=info"
        }
        2 => {
            "info,emotion=debug,emotion_classifier=debug,emotion_label=debug,datafusion_emotion=debug,emotion_ballista=debug"
        }
        _ => "debug",
    };
    Builder::from_env(Env::default().default_filter_or(filter))
        .format(|out, record| {
            let message = visible(&record.args().to_string());
            writeln!(out, "{} {:5} {}: {message}", out.timestamp_seconds(), record.level(), record.target())
        })
        .init();
}
