//! The start of a safetensors file, by which it is refused before it is read.

use std::io::Read;

use safetensors::tensor::Metadata;

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
    let mut header = Vec::new();
    read(file, length, &mut header)?;
    // `SafeTensors::read_metadata` would need the tensors, too.
    let metadata: Metadata = serde_json::from_slice(&header).map_err(|e| damaged(&e.to_string()))?;
    if 8 + length + metadata.data_len() as u64 != size {
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

#[cfg(test)]
mod tests {
    use safetensors::tensor::{Dtype, TensorView};

    use super::check;

    #[test]
    fn a_header_is_checked_without_its_tensors() {
        let tensor = TensorView::new(Dtype::F32, vec![2], &[0; 8]).unwrap();
        let file = safetensors::serialize([("a", tensor)], None).unwrap();
        let header = &file[..file.len() - 8];
        assert_eq!(check(&mut &*header, file.len() as u64), Ok(()));
        assert!(check(&mut &*header, file.len() as u64 + 1).is_err());
        assert!(check(&mut &header[..9], file.len() as u64).is_err());
    }
}
