//! The `emotion` program: SQL with emotion labels, labels for lines of text, how good they are, and what they show.

mod atomic_file;
mod character;
mod classify;
mod cluster;
mod eval;
mod file_tables;
mod label;
mod memory;
mod model;
mod numbers;
mod page;
mod report;
mod session;
mod sql;
mod standard_error;
mod stores;
mod table;

use std::io::ErrorKind;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use datafusion::error::DataFusionError;
use emotion_label::job::message;

use standard_error::say;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Emotion labels for text, in SQL.
///
/// A model is built in: no download, server or GPU is needed.
#[derive(Parser)]
#[command(name = "emotion", version, arg_required_else_help = true)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Sql(sql::Arguments),
    Classify(classify::Arguments),
    Label(label::Arguments),
    Eval(eval::Arguments),
    Report(report::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Program::parse().command {
        Command::Sql(arguments) => sql::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Classify(arguments) => classify::run(&arguments).map(|()| ExitCode::SUCCESS),
        Command::Label(arguments) => label::run(arguments).await,
        Command::Eval(arguments) => eval::run(arguments).await.map(|()| ExitCode::SUCCESS),
        Command::Report(arguments) => report::run(arguments).await.map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("Error: {}", message(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// Whether the reader of our output went away, as `head` does: no fault of ours, or of theirs.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| match cause.downcast_ref::<std::io::Error>() {
        Some(error) => error.kind() == ErrorKind::BrokenPipe,
        // Of what went wrong in writing, Arrow keeps the message alone.
        None => cause.is::<DataFusionError>() && cause.to_string().contains("Broken pipe"),
    })
}
