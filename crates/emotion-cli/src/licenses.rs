//! `emotion licenses`.

use std::io::Write;

use anyhow::Result;

use crate::standard_output::StandardOutput;

/// Prints the licenses of the program, of the built-in model and of the packages that the program contains.
pub fn print() -> Result<()> {
    let mut out = StandardOutput::open();
    write!(
        out,
        "{}\n{RULE}\nThe built-in model\n{RULE}\n\n{}\n{RULE}\nPackages\n{RULE}\n\n{}",
        include_str!("../LICENSE"),
        include_str!("../NOTICE"),
        include_str!("../PACKAGES.txt"),
    )?;
    Ok(out.flush()?)
}

const RULE: &str =
    "----------------------------------------------------------------------------------------------------";
