//! Completion at the prompt.

use std::borrow::Cow;
use std::collections::BTreeSet;

use datafusion::common::config::Dialect;
use datafusion::prelude::SessionContext;
use datafusion_cli::helper::CliHelper;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::{CmdKind, Highlighter};
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{Context, Helper, Result};

/// The helper of `datafusion-cli`, which completes names of files, with the names of functions.
pub struct PromptHelper {
    inner: CliHelper,
    functions: BTreeSet<String>,
}

impl PromptHelper {
    pub fn new(context: &SessionContext, color: bool) -> Self {
        let dialect = context.state().config_options().sql_parser.dialect;
        let mut helper = Self { inner: CliHelper::new(&dialect, color), functions: BTreeSet::new() };
        helper.refresh(context);
        helper
    }

    /// Takes over what a statement may have changed: the dialect and the functions.
    pub fn refresh(&mut self, context: &SessionContext) {
        let state = context.state();
        let dialect: Dialect = state.config_options().sql_parser.dialect;
        self.inner.set_dialect(&dialect);
        let scalar = state.scalar_functions().keys().chain(state.table_functions().keys());
        let others = state.aggregate_functions().keys().chain(state.window_functions().keys());
        self.functions = scalar.chain(others).cloned().collect();
    }

    pub fn reset_hint(&self) {
        self.inner.reset_hint();
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
}

impl Completer for PromptHelper {
    type Candidate = Pair;

    fn complete(&self, line: &str, position: usize, context: &Context<'_>) -> Result<(usize, Vec<Pair>)> {
        let (start, files) = self.inner.complete(line, position, context)?;
        Ok(if files.is_empty() { self.functions_at(line, position) } else { (start, files) })
    }
}

impl Hinter for PromptHelper {
    type Hint = String;

    fn hint(&self, line: &str, position: usize, context: &Context<'_>) -> Option<String> {
        self.inner.hint(line, position, context)
    }
}

impl Highlighter for PromptHelper {
    fn highlight<'l>(&self, line: &'l str, position: usize) -> Cow<'l, str> {
        self.inner.highlight(line, position)
    }

    fn highlight_hint<'h>(&self, hint: &'h str) -> Cow<'h, str> {
        self.inner.highlight_hint(hint)
    }

    fn highlight_char(&self, line: &str, position: usize, kind: CmdKind) -> bool {
        self.inner.highlight_char(line, position, kind)
    }
}

impl Validator for PromptHelper {
    fn validate(&self, context: &mut ValidationContext<'_>) -> Result<ValidationResult> {
        self.inner.validate(context)
    }
}

impl Helper for PromptHelper {}

#[cfg(test)]
mod tests {
    use datafusion::execution::SessionStateBuilder;
    use datafusion_emotion::EmotionExt;
    use rustyline::history::DefaultHistory;

    use super::*;

    #[test]
    fn names_of_functions_are_completed() {
        let state = SessionStateBuilder::new().with_default_features().with_emotion().build();
        let helper = PromptHelper::new(&SessionContext::new_with_state(state), false);
        let history = DefaultHistory::new();
        let complete = |line: &str| {
            let (start, pairs) = helper.complete(line, line.len(), &Context::new(&history)).unwrap();
            (start, pairs.into_iter().map(|pair| pair.replacement).collect::<Vec<_>>())
        };
        assert_eq!(complete("SELECT emotion_cl"), (7, vec!["emotion_classify(".to_owned()]));
        assert_eq!(complete("select é, EMOTION_LAB"), (11, vec!["emotion_labels(".into()]));
        assert!(complete("SELECT * FROM emotion_").1.contains(&"emotion_models(".into()));
        assert!(complete("SELECT coun").1.contains(&"count(".into()));
        assert_eq!(complete("SELECT ").1, [""; 0]);
    }
}
