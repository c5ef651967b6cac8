//! Lines on the standard error.

use std::io::Write;

use crate::escapes::visible;

/// Prints a line, if there is still somebody to read it: `eprintln!` panics where the reader has gone.
pub fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{}", visible(&line.to_string()));
}
