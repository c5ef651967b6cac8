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
mod printable;
mod report;
mod session;
mod set_aside;
mod sql;
mod standard_error;
mod standard_output;
mod stores;
mod table;

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use emotion_label::job::message;

use standard_error::say;
use standard_output::is_closed;

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
        Command::Eval(arguments) => eval::run(arguments).await,
        Command::Report(arguments) => report::run(arguments).await.map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("Error: {}", message(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}
