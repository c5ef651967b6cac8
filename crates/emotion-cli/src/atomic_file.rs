//! Local files that have their names when they are complete.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use emotion_label::local_output::{InputFiles, LocalOutput};
use tempfile::NamedTempFile;

use crate::standard_output::StandardOutput;

/// Names of the standard output.
const STANDARD: [&str; 2] = ["-", "/dev/stdout"];

/// An output that is being written.
pub enum AtomicFile {
    Standard(StandardOutput),
    /// A named pipe or a device, which is written in place.
    Stream(File),
    /// A file that replaces another, or nothing, when it is complete.
    File(NamedTempFile, PathBuf),
}

/// Whether an output is the standard output.
pub fn is_standard(output: &Path) -> bool {
    STANDARD.iter().any(|name| output == Path::new(name))
}

/// Refuses an output that is no regular file, pipe or absent file, or that is one of the inputs.
pub fn check(output: &Path, inputs: &[String]) -> Result<()> {
    if !is_standard(output) {
        LocalOutput::of(output, &InputFiles::of(inputs.iter().map(String::as_str)))?;
    }
    Ok(())
}

/// Writes an output at once.
pub fn write(output: &Path, inputs: &[String], content: &[u8]) -> Result<()> {
    let mut file = AtomicFile::create(output, inputs)?;
    file.write_all(content).with_context(|| format!("cannot write '{}'", output.display()))?;
    file.finish()
}

impl AtomicFile {
    /// Begins an output of a program that reads these inputs.
    pub fn create(output: &Path, inputs: &[String]) -> Result<Self> {
        if is_standard(output) {
            return Ok(Self::Standard(StandardOutput::open()));
        }
        let cannot = || format!("cannot write '{}'", output.display());
        let inputs = InputFiles::of(inputs.iter().map(String::as_str));
        let LocalOutput::File(path) = LocalOutput::of(output, &inputs)? else {
            return Ok(Self::Stream(File::options().write(true).open(output).with_context(cannot)?));
        };
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let file = new_file().tempfile_in(folder).with_context(cannot)?;
        Ok(Self::File(file, path))
    }

    /// Gives the file its name.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        if let Self::File(file, path) = self {
            let cannot = || format!("cannot write '{}'", path.display());
            file.as_file().sync_all().with_context(cannot)?;
            file.persist(&path).with_context(cannot)?;
        }
        Ok(())
    }

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Standard(output) => output,
            Self::Stream(file) => file,
            Self::File(file, _) => file,
        }
    }
}

impl Write for AtomicFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.writer().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer().flush()
    }
}

/// A file that others may read as far as the process's mask allows, as with any other.
fn new_file() -> tempfile::Builder<'static, 'static> {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "only Unix has a mask"))]
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    builder
}
