//! The prompt of `emotion sql`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use datafusion::prelude::SessionContext;
use emotion_label::job::message;
use rustyline::Editor;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use tokio::signal;

use crate::escapes::visible;
use crate::sql::command::Command;
use crate::sql::execute::execute;
use crate::sql::helper::PromptHelper;
use crate::sql::output::Output;
use crate::standard_error::say;

/// The exit code of a program that is interrupted.
const INTERRUPTED: i32 = 130;

/// Reads statements and commands, and runs each, until the input ends.
pub async fn run(context: &SessionContext, output: &mut Output, has_color: bool) -> Result<()> {
    if !output.is_quiet {
        say(r"A statement ends with a semicolon. \? lists the commands, and \q leaves the prompt.");
    }
    let mut editor: Editor<PromptHelper, DefaultHistory> = Editor::new()?;
    editor.set_helper(Some(PromptHelper::new(context, has_color)));
    let history = history();
    if let Some(history) = &history {
        // There is none yet.
        let _ = editor.load_history(history);
    }
    loop {
        match editor.readline("> ") {
            Ok(line) => {
                editor.add_history_entry(line.trim_end())?;
                if command_in(&line).and_then(Command::parse) == Some(Command::Quit) {
                    break;
                }
                let guard = tokio::spawn(exit_at_second_interrupt());
                tokio::select! {
                    // The signal is waited for first, so that it does not end the program.
                    biased;
                    _ = signal::ctrl_c() => say("^C"),
                    result = answer(context, &line, output) => if let Err(error) = result {
                        say(visible(&message(error.as_ref())));
                    },
                }
                guard.abort();
                if let Some(helper) = editor.helper_mut() {
                    helper.refresh(context);
                }
            }
            Err(ReadlineError::Interrupted) => say("^C"),
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

/// Ends the program when a statement is interrupted twice: planning, in which calls of literals are computed, does not
/// notice the first time until it is done.
async fn exit_at_second_interrupt() {
    for _ in 0..2 {
        if signal::ctrl_c().await.is_err() {
            return;
        }
    }
    std::process::exit(INTERRUPTED);
}

/// The command that a line has instead of SQL.
fn command_in(line: &str) -> Option<&str> {
    line.trim().strip_prefix('\\')
}

async fn answer(context: &SessionContext, line: &str, output: &mut Output) -> Result<()> {
    let Some(command) = command_in(line) else { return execute(context, line, output).await };
    let known = Command::parse(command).with_context(|| format!("'\\{command}' is not a command: '\\?' lists all"))?;
    known.run(context, output).await
}

/// The file of the history: `emotion/history` in `XDG_STATE_HOME`, by default `~/.local/state`.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| Some(std::env::home_dir()?.join(".local/state")))?;
    Some(state.join("emotion/history"))
}
