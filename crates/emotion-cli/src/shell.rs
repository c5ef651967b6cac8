//! `emotion completions` and `emotion man`.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, Command};
use clap_complete::Shell;

use crate::standard_output::StandardOutput;

/// Print a script that completes the commands and options of this program in a shell
#[derive(Args)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

/// Print the manual of this program, or write the pages of all commands into a folder
#[derive(Args)]
pub struct ManArguments {
    /// A folder to write a page for each command to, such as ~/.local/share/man/man1
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub fn completions(arguments: &CompletionsArguments, mut program: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "emotion", &mut script);
    let mut out = StandardOutput::open();
    out.write_all(&script)?;
    Ok(out.flush()?)
}

pub fn man(arguments: &ManArguments, mut program: Command) -> Result<()> {
    program.build();
    let Some(folder) = &arguments.folder else {
        let mut out = StandardOutput::open();
        out.write_all(&page(program)?)?;
        return Ok(out.flush()?);
    };
    fs::create_dir_all(folder).with_context(|| format!("cannot create the folder '{}'", folder.display()))?;
    for command in program.get_subcommands().filter(|command| command.get_name() != "help") {
        let name = format!("emotion-{}", command.get_name());
        // clap takes names that live as long as the program.
        write(folder, &name, command.clone().name(&*name.clone().leak()))?;
    }
    write(folder, "emotion", program)
}

fn write(folder: &Path, name: &str, command: Command) -> Result<()> {
    let path = folder.join(format!("{name}.1"));
    fs::write(&path, page(command)?).with_context(|| format!("cannot write '{}'", path.display()))
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command).render(&mut page)?;
    Ok(page)
}
