//! The standard output, whose reader may end before its writer, as `head` does.

use std::io::{self, ErrorKind, Stdout, Write};

use arrow::error::ArrowError;

/// The standard output. An error of it can be told from those of files and connections: see [`is_closed`].
pub struct StandardOutput(Stdout);

impl StandardOutput {
    pub fn open() -> Self {
        Self(io::stdout())
    }
}

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(marked)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(marked)
    }
}

/// The reader of the standard output has closed it.
#[derive(Debug)]
struct Closed;

impl std::fmt::Display for Closed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the reader of the standard output has closed it")
    }
}

impl std::error::Error for Closed {}

fn marked(error: io::Error) -> io::Error {
    if error.kind() == ErrorKind::BrokenPipe { io::Error::new(ErrorKind::BrokenPipe, Closed) } else { error }
}

/// Whether the reader of the standard output has closed it, which is no fault of either program.
pub fn is_closed(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let is_inner = inner.and_then(|inner| inner.downcast_ref::<Closed>()).is_some();
        // Arrow keeps only the message of an error in writing CSV.
        let is_message = || cause.is::<ArrowError>() && cause.to_string().contains(&Closed.to_string());
        is_inner || is_message()
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;
    use datafusion::error::DataFusionError;

    use super::*;

    fn broken() -> io::Error {
        ErrorKind::BrokenPipe.into()
    }

    #[test]
    fn only_the_standard_output_is_closed_quietly() {
        let closed = || Err::<(), _>(marked(broken()));
        assert!(is_closed(&closed().context("cannot write the labeled rows").unwrap_err()));
        assert!(is_closed(&ArrowError::CsvError(marked(broken()).to_string()).into()));
        let upload = Err::<(), _>(broken()).context("cannot write 's3://bucket/out.csv'").unwrap_err();
        assert!(!is_closed(&upload));
        assert!(!is_closed(&DataFusionError::IoError(broken()).into()));
    }
}
