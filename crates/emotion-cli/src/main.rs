//! The `emotion` program: SQL with emotion labels, labels for lines of text, how good they are, and what they show.

mod atomic_file;
mod character;
mod classify;
mod cluster;
#[cfg(feature = "hub")]
mod downloads;
mod escapes;
mod eval;
mod examples;
mod label;
mod licenses;
mod logging;
mod memory;
mod model;
mod models;
mod numbers;
mod report;
mod session;
mod set_aside;
mod shell;
mod sql;
mod standard_error;
mod standard_output;
mod stores;
mod table;
mod text_table;
mod version;

use std::io;
use std::process::ExitCode;
use std::thread::JoinHandle;

use anyhow::Result;
use clap::{ArgAction, CommandFactory, FromArgMatches, Parser, Subcommand};
use emotion_label::job::message;

use standard_error::say;
use standard_output::is_closed;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Emotion labels for text, in SQL.
///
/// A model is built in: no download, server or GPU is needed.
#[derive(Parser)]
#[command(name = "emotion", version, arg_required_else_help = true, after_help = examples::PROGRAM)]
struct Program {
    /// Print to standard error what the program does: models loaded, downloads, slow batches; twice for details.
    /// `RUST_LOG` selects messages by library
    #[arg(short, long, action = ArgAction::Count, global = true)]
    verbose: u8,

    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    #[command(after_help = examples::SQL)]
    Sql(sql::Arguments),
    #[command(after_help = examples::CLASSIFY)]
    Classify(classify::Arguments),
    #[command(after_help = examples::LABEL)]
    Label(label::Arguments),
    #[command(after_help = examples::EVAL)]
    Eval(eval::Arguments),
    #[command(after_help = examples::REPORT)]
    Report(report::Arguments),
    #[command(after_help = examples::MODELS)]
    Models(models::Arguments),
    #[command(after_help = examples::COMPLETIONS)]
    Completions(shell::CompletionsArguments),
    #[command(after_help = examples::MAN)]
    Man(shell::ManArguments),
    /// Print the licenses of the program, of the built-in model and of the packages in the program
    Licenses,
}

/// The stack of the thread that plans queries, and that of the threads that execute them: expressions are trees, which
/// DataFusion walks recursively. See [`sql::depth`](sql).
const PLANNING_STACK: usize = 256 << 20;
const EXECUTION_STACK: usize = 16 << 20;

fn main() -> ExitCode {
    let planning = std::thread::Builder::new().name("emotion".into()).stack_size(PLANNING_STACK);
    match planning.spawn(start).map(JoinHandle::join) {
        Ok(Ok(Ok(code))) => code,
        // The panic is printed.
        Ok(Err(_)) => ExitCode::from(PANICKED),
        Ok(Ok(Err(error))) | Err(error) => {
            say(format_args!("Error: the threads of the program cannot be started: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// The exit code of a program of Rust that panics.
const PANICKED: u8 = 101;

fn start() -> io::Result<ExitCode> {
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    Ok(runtime.enable_all().thread_stack_size(EXECUTION_STACK).build()?.block_on(program()))
}

async fn program() -> ExitCode {
    let Program { verbose, command } = arguments();
    logging::start(verbose);
    #[cfg(feature = "hub")]
    downloads::show();
    match run(command).await {
        Ok(code) => code,
        Err(error) if is_closed(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("Error: {}", message(error.as_ref())));
            ExitCode::FAILURE
        }
    }
}

/// The arguments of the program, which ends here if they are wrong.
fn arguments() -> Program {
    let mut command = Program::command();
    // It takes time to find, because the model is loaded.
    if std::env::args_os().nth(1).is_some_and(|first| first == "--version") {
        command = command.long_version(&*version::long().leak());
    }
    Program::from_arg_matches(&command.get_matches()).unwrap_or_else(|error| error.exit())
}

async fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Label(arguments) => return label::run(arguments).await,
        Command::Eval(arguments) => return eval::run(arguments).await,
        Command::Sql(arguments) => sql::run(arguments).await?,
        Command::Classify(arguments) => classify::run(&arguments)?,
        Command::Report(arguments) => report::run(arguments).await?,
        Command::Models(arguments) => models::run(&arguments)?,
        Command::Completions(arguments) => shell::completions(&arguments, Program::command())?,
        Command::Man(arguments) => shell::man(&arguments, Program::command())?,
        Command::Licenses => licenses::print()?,
    }
    Ok(ExitCode::SUCCESS)
}
