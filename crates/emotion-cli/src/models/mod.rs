//! `emotion models`: models in the cache of the Hugging Face hub, and what a model is.

#[cfg(feature = "hub")]
mod cached;
mod show;

use anyhow::Result;
use clap::{Args, Subcommand};

/// Download models of the Hugging Face hub, list those in its cache, and show what a model is
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Download models into the cache that Python's `huggingface_hub` uses, and print their folders
    #[cfg(feature = "hub")]
    Pull(cached::PullArguments),
    /// List the models in the cache: size, architecture and labels
    #[cfg(feature = "hub")]
    List(cached::ListArguments),
    Show(show::Arguments),
}

pub fn run(arguments: &Arguments) -> Result<()> {
    match &arguments.command {
        #[cfg(feature = "hub")]
        Command::Pull(arguments) => cached::pull(arguments),
        #[cfg(feature = "hub")]
        Command::List(arguments) => cached::list(arguments),
        Command::Show(arguments) => show::run(arguments),
    }
}
