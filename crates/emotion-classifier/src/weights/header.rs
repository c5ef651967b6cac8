//! The start of a safetensors file, by which it is refused before it is read.

use std::io::Read;

use safetensors::SafeTensors;

/// The most bytes of a header that are read, as in the library.
const MOST_HEADER: u64 = 100_000_000;

/// Checks that a file of `size` bytes begins with a header whose tensors fill the rest of the file.
pub(super) fn check(file: &mut impl Read, size: u64) -> Result<(), String> {
    let mut start = Vec::new();
    read(file, 8, &mut start)?;
    check_kind(&start, size)?;
    let damaged = |reason: &str| damaged(reason, size);
    let length = start.first_chunk().map_or(0, |length| u64::from_le_bytes(*length));
    if length > MOST_HEADER || length.saturating_add(8) > size {
        return Err(damaged("the header is larger than the file"));
    }
    read(file, length, &mut start)?;
    let (length, metadata) = SafeTensors::read_metadata(&start).map_err(|e| damaged(&e.to_string()))?;
    if (8 + length + metadata.data_len()) as u64 != size {
        return Err(damaged("the tensors of the header do not fill the file"));
    }
    Ok(())
}

fn read(file: &mut impl Read, bytes: u64, into: &mut Vec<u8>) -> Result<(), String> {
    file.take(bytes).read_to_end(into).map_err(|e| format!("the header cannot be read: {e}"))?;
    Ok(())
}

/// Refuses a pickle that has the name of a safetensors file; `start` is its start, `size` its size in bytes.
pub(super) fn check_kind(start: &[u8], size: u64) -> Result<(), String> {
    if !is_pickle(start, size) {
        return Ok(());
    }
    Err("model.safetensors is a PyTorch pickle, not safetensors: pickles can run code; convert it with \
         `model.save_pretrained(folder, safe_serialization=True)`"
        .into())
}

/// A zip archive (PyTorch since 1.6) or a bare pickle stream (before).
fn is_pickle(start: &[u8], size: u64) -> bool {
    let length_fits = start.first_chunk().is_some_and(|n| u64::from_le_bytes(*n) <= size);
    start.starts_with(b"PK\x03\x04") || (start.starts_with(&[0x80]) && !length_fits)
}

/// Why a file of `size` bytes is no safetensors file.
pub(super) fn damaged(reason: &str, size: u64) -> String {
    format!("{reason} ({size} bytes): the file is truncated or damaged; copy or download it again")
}
