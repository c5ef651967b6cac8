//! `emotion label` as a filter: from a pipe, or to the standard output.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use emotion_label::format::{Compression, FileType, Format, Output};
use emotion_label::local_output::{InputFiles, LocalOutput};
use futures::Stream;
use tokio::sync::mpsc::{Receiver, channel};

use crate::atomic_file::{self, AtomicFile};
use crate::standard_output::StandardOutput;

/// Names of the standard input.
const INPUTS: [&str; 2] = ["-", "/dev/stdin"];

/// What messages call the standard output.
pub const OUTPUT: &str = "standard output";

/// Bytes that are read at once.
const CHUNK: usize = 1 << 18;

/// Chunks that are read ahead.
const CHUNKS_AHEAD: usize = 2;

/// Whether an input can be read once only, from start to end.
pub fn is_pipe(input: &str) -> bool {
    INPUTS.contains(&input) || fs::metadata(input).is_ok_and(|found| !found.is_file() && !found.is_dir())
}

/// Whether an output is the standard output.
pub fn is_standard(output: &str) -> bool {
    atomic_file::is_standard(Path::new(output))
}

/// Whether an output is written in place, as it comes: the standard output, or a named pipe.
pub fn is_direct(output: &str) -> bool {
    let of = || LocalOutput::of(Path::new(output), &InputFiles::default());
    is_standard(output) || matches!(of(), Ok(LocalOutput::Stream(_)))
}

/// The type of an input that is labeled as it comes: by its name, as was asked for, or that of the output.
pub fn file_type(input: &str, format: Option<Format>, delimiter: Option<u8>, output: &str) -> Result<FileType> {
    if delimiter.is_some() {
        return Ok(FileType::of_separated(input));
    }
    let plain = |format| FileType { format, compression: None };
    let as_output = || FileType::of(output).map(|file| plain(file.format));
    let file = FileType::of(input).or(format.map(plain)).or_else(as_output);
    file.with_context(|| format!("name the format of '{}' with --format", shown(input)))
}

/// What messages call an input.
pub fn shown(input: &str) -> &str {
    if INPUTS.contains(&input) { "standard input" } else { input }
}

/// The content of an input, read on a thread of its own: nobody waits for it when the program ends.
pub fn chunks(input: &str) -> impl Stream<Item = io::Result<Bytes>> + Send + Unpin + use<> {
    let (sender, receiver) = channel(CHUNKS_AHEAD);
    let input = input.to_string();
    std::thread::spawn(move || {
        let mut source = match open(&input) {
            Ok(source) => source,
            Err(error) => return drop(sender.blocking_send(Err(error))),
        };
        let mut buffer = vec![0; CHUNK];
        loop {
            let chunk = match source.read(&mut buffer) {
                Ok(0) => return,
                Ok(length) => Ok(Bytes::copy_from_slice(&buffer[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    });
    let next = |mut receiver: Receiver<_>| async move { receiver.recv().await.map(|chunk| (chunk, receiver)) };
    Box::pin(futures::stream::unfold(receiver, next))
}

fn open(input: &str) -> io::Result<Box<dyn Read>> {
    Ok(if INPUTS.contains(&input) { Box::new(io::stdin()) } else { Box::new(File::open(input)?) })
}

/// Where the rows of a stream go.
pub struct Sink {
    file: AtomicFile,
    name: String,
}

impl Sink {
    /// Opens the output of rows of an input, and says how it is compressed as a whole.
    pub fn open(output: &str, input: &str, file: FileType) -> Result<(Self, Option<Compression>)> {
        if is_standard(output) {
            return Ok((Self::new(OUTPUT, AtomicFile::Standard(StandardOutput::open())), None));
        }
        let of = match FileType::of(output) {
            None if is_direct(output) => FileType { compression: None, ..file },
            _ => match Output::of(output)? {
                Output::File(of) if !output.contains("://") && !Path::new(output).is_dir() => of,
                _ => bail!("a pipe is labeled into a local file or into '-', not into '{output}'"),
            },
        };
        if of.format != file.format {
            let (from, to) = (file.format.name(), of.format.name());
            bail!("{from} from a pipe cannot become {to}: write it to a file first");
        }
        let created = AtomicFile::create(Path::new(output), &[input.to_string()])?;
        Ok((Self::new(output, created), of.compression))
    }

    fn new(name: &str, file: AtomicFile) -> Self {
        Self { file, name: name.into() }
    }

    /// What messages call it.
    pub fn shown(&self) -> &str {
        &self.name
    }

    /// Completes the output; returns where to say what came of it.
    pub fn finish(self) -> Result<Box<dyn Write>> {
        let is_standard = matches!(self.file, AtomicFile::Standard(_));
        self.file.finish()?;
        Ok(if is_standard { Box::new(io::stderr()) } else { Box::new(StandardOutput::open()) })
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
