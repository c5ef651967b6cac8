//! The commands of the prompt, which begin with a backslash.

use std::path::Path;

use anyhow::{Context, Result};
use clap::ValueEnum;
use datafusion::prelude::SessionContext;

use crate::sql::execute::execute;
use crate::sql::output::{MaxRows, Output, OutputFormat};
use crate::sql::script::read_script;
use crate::standard_error::say;

/// The commands and what they do.
const HELP: &str = r"\d               list the tables
\d NAME          describe a table, or a file: \d 'data/reviews.parquet'
\h               list the functions
\h NAME          describe the functions with this word in their names
\i FILE          run the SQL in a file
\format          show the output format
\format FORMAT   set it: table, csv, tsv, json or nd-json
\quiet on|off    print only results, or also row counts and times
\?               list the commands
\q               leave the prompt";

const TABLES: &str = "SELECT table_catalog, table_schema, table_name, table_type FROM information_schema.tables \
                      WHERE table_schema <> 'information_schema' ORDER BY 1, 2, 3";

const FUNCTIONS: &str = "SELECT DISTINCT routine_name FROM information_schema.routines ORDER BY 1";

/// The query for the functions with a word in their names.
fn functions_with(word: &str) -> String {
    let word = word.replace('\'', "''");
    format!(
        "SELECT DISTINCT routine_name, function_type, syntax_example, description FROM information_schema.routines \
         WHERE routine_name ILIKE '%{word}%' ORDER BY 1"
    )
}

/// A command.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Quit,
    Help,
    /// SQL that does what the command says.
    Sql(String),
    Include(&'a Path),
    ShowFormat,
    SetFormat(OutputFormat),
    SetQuiet(bool),
}

impl<'a> Command<'a> {
    /// Reads a line after its backslash; `None` if it is no command.
    pub fn parse(line: &'a str) -> Option<Self> {
        let (name, argument) = line.trim().split_once(char::is_whitespace).unwrap_or((line.trim(), ""));
        Some(match (name, argument.trim().trim_end_matches(';').trim_end()) {
            ("q" | "quit", "") => Self::Quit,
            ("?" | "help", "") => Self::Help,
            ("d", "") => Self::Sql(TABLES.into()),
            ("d", table) => Self::Sql(format!("DESCRIBE {table}")),
            ("h", "") => Self::Sql(FUNCTIONS.into()),
            ("h", word) => Self::Sql(functions_with(word)),
            ("i", file) if !file.is_empty() => Self::Include(Path::new(file)),
            ("format", "") => Self::ShowFormat,
            ("format", format) => Self::SetFormat(OutputFormat::from_str(format, true).ok()?),
            ("quiet", "on") => Self::SetQuiet(true),
            ("quiet", "off") => Self::SetQuiet(false),
            _ => return None,
        })
    }

    /// Does what the command says; `Quit` is left to the prompt.
    pub async fn run(self, context: &SessionContext, output: &mut Output) -> Result<()> {
        match self {
            Self::Quit => {}
            Self::Help => say(HELP),
            Self::Sql(sql) => {
                let all = Output { max_rows: MaxRows::UNLIMITED, ..output.clone() };
                execute(context, &sql, &all).await?;
            }
            Self::Include(file) => execute(context, &read_script(file)?, output).await?,
            Self::ShowFormat => {
                let format = output.format.to_possible_value().context("the format has no name")?;
                say(format_args!("The output format is {}.", format.get_name()));
            }
            Self::SetFormat(format) => output.format = format,
            Self::SetQuiet(is_quiet) => output.is_quiet = is_quiet,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_with_their_arguments() {
        let sql = |text: &str| Some(Command::Sql(text.into()));
        assert_eq!(Command::parse("q"), Some(Command::Quit));
        assert_eq!(Command::parse("d;"), None);
        assert_eq!(Command::parse(" d  'my file.csv' ;"), sql("DESCRIBE 'my file.csv'"));
        assert_eq!(Command::parse("h emotion_classify"), sql(&functions_with("emotion_classify")));
        assert_eq!(Command::parse("i a b.sql"), Some(Command::Include(Path::new("a b.sql"))));
        assert_eq!(Command::parse("format ND-JSON"), Some(Command::SetFormat(OutputFormat::NdJson)));
        for wrong in ["", "nonsense", "q now", "i", "format xml", "quiet", "quiet maybe"] {
            assert_eq!(Command::parse(wrong), None, "{wrong}");
        }
    }
}
