//! What the prompt does while a statement is typed: it completes names, colors words, and tells where a statement ends.

use std::borrow::Cow;
use std::collections::BTreeSet;

use datafusion::prelude::SessionContext;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, dialect_from_str};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer, TokenizerError};
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper};

const KEYWORD: &str = "\x1b[36m";
const TEXT: &str = "\x1b[32m";
const END: &str = "\x1b[0m";

/// Completes names of functions, and of files between quotation marks.
pub struct PromptHelper {
    files: FilenameCompleter,
    functions: BTreeSet<String>,
    dialect: Box<dyn Dialect>,
    has_color: bool,
}

impl PromptHelper {
    pub fn new(context: &SessionContext, has_color: bool) -> Self {
        let (files, dialect) = (FilenameCompleter::new(), Box::new(GenericDialect {}));
        let mut helper = Self { files, functions: BTreeSet::new(), dialect, has_color };
        helper.refresh(context);
        helper
    }

    /// Takes over what a statement may have changed: the dialect and the functions.
    pub fn refresh(&mut self, context: &SessionContext) {
        let state = context.state();
        if let Some(dialect) = dialect_from_str(state.config_options().sql_parser.dialect) {
            self.dialect = dialect;
        }
        let scalar = state.scalar_functions().keys().chain(state.table_functions().keys());
        let others = state.aggregate_functions().keys().chain(state.window_functions().keys());
        self.functions = scalar.chain(others).cloned().collect();
    }

    /// The tokens of a text as they are written.
    fn tokens(&self, text: &str) -> Result<Vec<Token>, TokenizerError> {
        Tokenizer::new(self.dialect.as_ref(), text).with_unescape(false).tokenize()
    }

    /// Whether a text ends within a string or a comment.
    fn is_open(&self, text: &str) -> bool {
        let error = self.tokens(text).err();
        error.is_some_and(|error| error.message.starts_with("Unterminated") || error.message.contains("EOF"))
    }

    /// The functions whose names begin with the word before `position`, and where the word begins.
    fn functions_at(&self, line: &str, position: usize) -> (usize, Vec<Pair>) {
        let before = &line[..position];
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let word = &before[before.trim_end_matches(is_part).len()..];
        let prefix = word.to_ascii_lowercase();
        if prefix.is_empty() {
            return (position, Vec::new());
        }
        let matching = self.functions.iter().filter(|name| name.starts_with(&prefix));
        let pairs = matching.map(|name| Pair { display: name.clone(), replacement: format!("{name}(") });
        (position - word.len(), pairs.collect())
    }

    /// Whether the input is whole: a command, or a statement with its semicolon.
    fn is_whole(&self, input: &str) -> bool {
        if input.trim().is_empty() || input.trim_start().starts_with('\\') {
            return true;
        }
        if self.is_open(input) {
            return false;
        }
        // Execution shows the error of a text without tokens.
        let Ok(tokens) = self.tokens(input) else { return true };
        let last = tokens.iter().rfind(|token| !matches!(token, Token::Whitespace(_)));
        last.is_none_or(|token| *token == Token::SemiColon)
    }
}

impl Completer for PromptHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, context: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        if self.is_open(&line[..position]) {
            return self.files.complete(line, position, context);
        }
        Ok(self.functions_at(line, position))
    }
}

impl Hinter for PromptHelper {
    type Hint = String;
}

impl Highlighter for PromptHelper {
    fn highlight<'l>(&self, line: &'l str, _: usize) -> Cow<'l, str> {
        let is_sql = self.has_color && !line.starts_with('\\');
        let tokens = self.tokens(line).ok().filter(|_| is_sql).unwrap_or_default();
        // Some tokens are written in a normal form, such as <> for !=.
        if tokens.iter().map(Token::to_string).collect::<String>() != line {
            return line.into();
        }
        let colored = tokens.iter().map(|token| match token {
            Token::Word(word) if word.keyword != Keyword::NoKeyword => format!("{KEYWORD}{token}{END}"),
            Token::SingleQuotedString(_) => format!("{TEXT}{token}{END}"),
            other => other.to_string(),
        });
        colored.collect()
    }

    fn highlight_char(&self, line: &str, _: usize, _: CmdKind) -> bool {
        self.has_color && !line.is_empty()
    }
}

impl Validator for PromptHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        Ok(if self.is_whole(context.input()) { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Helper for PromptHelper {}

#[cfg(test)]
mod tests {
    use datafusion::execution::SessionStateBuilder;
    use datafusion_emotion::EmotionExt;
    use rustyline::history::DefaultHistory;

    use super::*;

    fn helper(has_color: bool) -> PromptHelper {
        let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
        PromptHelper::new(&SessionContext::new_with_state(state), has_color)
    }

    fn complete(line: &str) -> (usize, Vec<String>) {
        let history = DefaultHistory::new();
        let (start, pairs) = helper(false).complete(line, line.len(), &Context::new(&history)).unwrap();
        (start, pairs.into_iter().map(|pair| pair.replacement).collect())
    }

    #[test]
    fn names_of_functions_are_completed() {
        assert_eq!(complete("SELECT emotion_cl"), (7, vec!["emotion_classify(".to_owned()]));
        assert_eq!(complete("select é, EMOTION_LAB"), (11, vec!["emotion_labels(".into()]));
        assert!(complete("SELECT * FROM emotion_").1.contains(&"emotion_models(".into()));
        assert!(complete("SELECT coun").1.contains(&"count(".into()));
        assert_eq!(complete("SELECT ").1, [""; 0]);
    }

    #[cfg(unix)]
    #[test]
    fn names_of_files_are_completed_within_quotation_marks() {
        assert_eq!(complete("SELECT * FROM 'src/sql/hel").1, ["src/sql/helper.rs"]);
        assert_eq!(complete("SELECT 'a' FROM src/sql/hel").1, [""; 0]);
    }

    #[test]
    fn a_statement_ends_with_a_semicolon_outside_of_strings() {
        let helper = helper(false);
        for whole in [
            "",
            "SELECT 1;",
            "SELECT 1; -- one\n",
            "\\d",
            "SELECT ';';\n",
            "SELEC nonsense;",
            "-- a comment",
            "SELECT (s)._id;",
        ] {
            assert!(helper.is_whole(whole), "{whole}");
        }
        for part in ["SELECT 1", "SELECT ';", "SELECT 1 /* ;", "SELECT 1 -- ;"] {
            assert!(!helper.is_whole(part), "{part}");
        }
    }

    #[test]
    fn colors_change_no_character() {
        let line = "SELECT  'a''b' AS \"c\\n\" /* d */ FROM t;";
        let colored = helper(true).highlight(line, 0).into_owned();
        let plain = [KEYWORD, TEXT, END].iter().fold(colored.clone(), |text, color| text.replace(color, ""));
        assert_eq!(plain, line);
        assert!(colored.contains("\x1b[36mSELECT\x1b[0m"));
        assert_eq!(helper(false).highlight(line, 0), line);
        assert_eq!(helper(true).highlight("SELECT a != 1;", 0), "SELECT a != 1;");
        assert_eq!(helper(true).highlight("\\format", 0), "\\format");
    }
}
