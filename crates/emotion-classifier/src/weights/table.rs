//! Tables of which a forward pass reads a few rows, such as word embeddings.

use std::borrow::Cow;

use half::f16;
use half::slice::HalfFloatSliceExt;

/// Rows of weights; in half precision if they are stored so, which takes half of the memory. Widening changes no value.
pub(crate) enum Table {
    Float32(Vec<f32>),
    /// Little-endian.
    Float16(Cow<'static, [u8]>),
}

impl Table {
    /// Fills `row`, whose length is that of all rows, with row `index`.
    ///
    /// # Panics
    ///
    /// If there is no such row.
    pub(crate) fn copy_row(&self, index: usize, row: &mut [f32]) {
        /// Values that are widened at a time.
        const BLOCK: usize = 64;
        let width = row.len();
        match self {
            Self::Float32(values) => row.copy_from_slice(&values[index * width..][..width]),
            Self::Float16(bytes) => {
                let (stored, _) = bytes[2 * index * width..][..2 * width].as_chunks::<2>();
                for (stored, row) in stored.chunks(BLOCK).zip(row.chunks_mut(BLOCK)) {
                    let mut halves = [f16::ZERO; BLOCK];
                    for (half, bytes) in halves.iter_mut().zip(stored) {
                        *half = f16::from_le_bytes(*bytes);
                    }
                    halves[..row.len()].convert_to_f32_slice(row);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_those_of_the_stored_numbers() {
        // More than a block, and not a multiple of one.
        const WIDTH: usize = 150;
        let halves: Vec<f16> = (0..450_u16).map(|number| f16::from_f32(f32::from(number) / 7.0 - 20.0)).collect();
        let values: Vec<f32> = halves.iter().map(|half| half.to_f32()).collect();
        let bytes: Vec<u8> = halves.iter().flat_map(|half| half.to_le_bytes()).collect();
        for table in [Table::Float16(bytes.into()), Table::Float32(values.clone())] {
            for (index, expected) in values.chunks(WIDTH).enumerate() {
                let mut row = [0.0; WIDTH];
                table.copy_row(index, &mut row);
                assert_eq!(row.map(f32::to_bits)[..], expected.iter().map(|value| value.to_bits()).collect::<Vec<_>>());
            }
        }
    }
}
