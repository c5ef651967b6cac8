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
    let halves: Vec<f16> = data.as_chunks().0.iter().map(|bytes| f16::from_le_bytes(*bytes)).collect();
    halves.to_f32_vec()
}

pub(super) fn bf16_values(data: &[u8]) -> Vec<f32> {
    data.as_chunks().0.iter().map(|bytes| bf16::from_le_bytes(*bytes).to_f32()).collect()
}
