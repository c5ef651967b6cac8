//! Little-endian numbers as float32.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// Each rounded to the nearest float32.
#[expect(clippy::cast_possible_truncation, reason = "the values are to be rounded")]
pub(super) fn f64_values(data: &[u8]) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect()
}

pub(super) fn f32_values(data: &[u8]) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

pub(super) fn f16_values(data: &[u8]) -> Vec<f32> {
    /// The values that are converted at once by instructions of the processor.
    const AT_ONCE: usize = 1024;
    let (halves, _) = data.as_chunks::<2>();
    let mut values = vec![0.0; halves.len()];
    let mut part = [f16::ZERO; AT_ONCE];
    for (halves, values) in halves.chunks(AT_ONCE).zip(values.chunks_mut(AT_ONCE)) {
        let part = &mut part[..halves.len()];
        for (half, bytes) in part.iter_mut().zip(halves) {
            *half = f16::from_le_bytes(*bytes);
        }
        part.convert_to_f32_slice(values);
    }
    values
}

pub(super) fn bf16_values(data: &[u8]) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect()
}
