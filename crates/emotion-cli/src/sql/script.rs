//! SQL in files.

use std::path::Path;

use anyhow::{Context, Result};

/// The SQL in a file.
pub fn read_script(file: &Path) -> Result<String> {
    let script = std::fs::read_to_string(file);
    let script = script.with_context(|| format!("cannot read the SQL file '{}'", file.display()))?;
    Ok(without_mark(&script))
}

/// The script without the byte order mark that some editors begin a file with.
pub fn without_mark(script: &str) -> String {
    script.strip_prefix('\u{feff}').unwrap_or(script).into()
}
