//! The prompt of `emotion sql`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use datafusion::prelude::SessionContext;
use datafusion_cli::command::{Command, OutputFormat};
use datafusion_cli::print_options::PrintOptions;
use emotion_label::job::message;
use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use tokio::signal;

use crate::escapes::visible;
use crate::sql::completion::PromptHelper;
use crate::sql::execute::execute;
use crate::standard_error::say;

/// Reads statements and commands, and runs each, until the input ends.
pub async fn run(context: &SessionContext, options: &mut PrintOptions) -> Result<()> {
    let mut editor: Editor<PromptHelper, DefaultHistory> = Editor::new()?;
    editor.set_helper(Some(PromptHelper::new(context, options.color)));
    let history = history();
    if let Some(history) = &history {
        // There is none yet.
        let _ = editor.load_history(history);
    }
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                editor.add_history_entry(line.trim_end())?;
                if is_quit(&line) {
                    break;
                }
                tokio::select! {
                    result = answer(context, &line, options) => if let Err(error) = result {
                        say(visible(&message(error.as_ref())));
                    },
                    _ = signal::ctrl_c() => say("^C"),
                }
                if let Some(helper) = editor.helper_mut() {
                    helper.refresh(context);
                }
            }
            Err(ReadlineError::Interrupted) => {
                say("^C");
                if let Some(helper) = editor.helper() {
                    helper.reset_hint();
                }
            }
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error).context("cannot read from the terminal"),
        }
    }
    if let Some(history) = history {
        fs::create_dir_all(history.parent().unwrap_or(&history))
            .map_err(ReadlineError::from)
            .and_then(|()| editor.save_history(&history))
            .with_context(|| format!("cannot write the history '{}'", history.display()))?;
    }
    Ok(())
}

fn is_quit(line: &str) -> bool {
    matches!(line.trim().strip_prefix('\\').map(str::parse), Some(Ok(Command::Quit)))
}

async fn answer(context: &SessionContext, line: &str, options: &mut PrintOptions) -> Result<()> {
    let Some(command) = line.trim().strip_prefix('\\') else { return execute(context, line, options).await };
    let command = command.split_whitespace().collect::<Vec<_>>().join(" ");
    let unknown = || format!("'\\{command}' is not a command: '\\?' lists all");
    match command.parse::<Command>().ok().with_context(unknown)? {
        Command::OutputFormat(None) => say(format_args!("The output format is {:?}.", options.format)),
        Command::OutputFormat(Some(format)) => {
            format.parse::<OutputFormat>().ok().with_context(unknown)?.execute(options)?;
        }
        command => command.execute(context, options).await?,
    }
    Ok(())
}

/// The file of the history: `emotion/history` in `XDG_STATE_HOME`, by default `~/.local/state`.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    Some(state.join("emotion/history"))
}
