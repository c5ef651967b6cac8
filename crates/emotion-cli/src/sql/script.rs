//! SQL in files.

use std::path::Path;

use anyhow::{Context, Result};

use crate::sql::standard_input;

/// The SQL in a file.
pub fn read_script(file: &Path) -> Result<String> {
    let of_file = || format!("cannot read the SQL file '{}'", file.display());
    let script = if standard_input::is_named(file) {
        String::from_utf8(standard_input::take()?).with_context(of_file)?
    } else {
        std::fs::read_to_string(file).with_context(of_file)?
    };
    Ok(without_mark(&script))
}

/// The script without the byte order mark that some editors begin a file with.
pub fn without_mark(script: &str) -> String {
    script.strip_prefix('\u{feff}').unwrap_or(script).into()
}
