//! Drives readers and copiers over anything that can be read and sought, such as a local file.

use std::io::{self, Read, Seek, SeekFrom, Write};

use arrow::array::RecordBatch;
use bytes::Bytes;

use crate::error::FileError;
use crate::step::{Copier, CopyStep, Need, TextBatch, TextReader, TextStep};

/// Bytes of a stream that are read at once.
const CHUNK: usize = 1 << 20;

/// Why a file was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DriveError {
    /// Something is wrong with the file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file cannot be read, or the output cannot be written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Reads all texts of a file and passes them on.
///
/// # Errors
///
/// [`DriveError`], if the file cannot be read.
pub fn read_texts(
    reader: &mut dyn TextReader,
    input: &mut (impl Read + Seek),
    mut each: impl FnMut(TextBatch),
) -> Result<(), DriveError> {
    let mut position = 0;
    loop {
        match reader.step()? {
            TextStep::Need(need) => reader.supply(fetch(input, &need, &mut position)?)?,
            TextStep::Texts(batch) => each(batch),
            TextStep::End => return Ok(()),
        }
    }
}

/// Copies a file with the columns that `added` gives for the next rows of a row group.
///
/// # Errors
///
/// [`DriveError`], if the file cannot be read, or the output cannot be written.
pub fn copy(
    copier: &mut dyn Copier,
    input: &mut (impl Read + Seek),
    output: &mut impl Write,
    mut added: impl FnMut(usize, usize) -> RecordBatch,
) -> Result<(), DriveError> {
    let (mut position, mut out) = (0, Vec::new());
    loop {
        let step = copier.step(&mut out)?;
        output.write_all(&out)?;
        out.clear();
        match step {
            CopyStep::Need(need) => copier.supply(fetch(input, &need, &mut position)?)?,
            CopyStep::Rows { row_group, rows } => copier.add(&added(row_group, rows))?,
            CopyStep::Output => {}
            CopyStep::End => return Ok(output.flush()?),
        }
    }
}

/// Reads what is needed; `position` is the end of the last chunk.
fn fetch(input: &mut (impl Read + Seek), need: &Need, position: &mut u64) -> io::Result<Vec<Bytes>> {
    match need {
        Need::Chunk => {
            let mut chunk = Vec::new();
            input.seek(SeekFrom::Start(*position))?;
            input.take(CHUNK as u64).read_to_end(&mut chunk)?;
            *position += chunk.len() as u64;
            Ok(if chunk.is_empty() { Vec::new() } else { vec![chunk.into()] })
        }
        Need::Ranges(ranges) => {
            let mut buffers = Vec::with_capacity(ranges.len());
            for range in ranges {
                input.seek(SeekFrom::Start(range.start))?;
                let mut bytes = Vec::new();
                input.take(range.end - range.start).read_to_end(&mut bytes)?;
                buffers.push(bytes.into());
            }
            Ok(buffers)
        }
    }
}
