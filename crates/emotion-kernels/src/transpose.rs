//! Transposition of rows into panels: attention packs the keys of a head this way.

use crate::arithmetic::LANES;
use crate::isa::Isa;
use crate::layout::Rows;
use crate::lines::{Line, Word};

/// Transposes rows into panels of 16 rows: for each column, the words of 16 rows side by side.
///
/// The lanes of missing rows hold arbitrary words.
pub(crate) fn transpose<T: Word>(isa: Isa, x: Rows<'_, T>, panels: &mut [Line<T>]) {
    let done = whole_blocks(isa, x, panels);
    if done == x.width {
        return;
    }
    for index in 0..x.count {
        let panel = &mut panels[index / LANES * x.width..][..x.width];
        for (lanes, value) in panel[done..].iter_mut().zip(&x.row(index)[done..]) {
            lanes.0[index % LANES] = *value;
        }
    }
}

/// Transposes blocks of 16 rows by 16 columns if the instruction set supports it; returns the number of transposed
/// columns.
#[cfg(target_arch = "x86_64")]
fn whole_blocks<T: Word>(isa: Isa, x: Rows<'_, T>, panels: &mut [Line<T>]) -> usize {
    use crate::isa::Level;
    if isa.level() < Level::Avx512 {
        return 0;
    }
    let width = x.width / LANES * LANES;
    for first in (0..x.count).step_by(LANES) {
        // The last row replaces missing rows.
        let rows: [_; LANES] = std::array::from_fn(|i| x.row((first + i).min(x.count - 1)));
        for column in (0..width).step_by(LANES) {
            let block = rows.map(|row| row[column..].first_chunk().expect("16 columns"));
            let out = panels[first / LANES * x.width + column..].first_chunk_mut().expect("16 columns");
            // SAFETY: an `Isa` exists only if this machine has its instructions.
            unsafe { avx512::transpose(block, out) }
        }
    }
    width
}

#[cfg(not(target_arch = "x86_64"))]
fn whole_blocks<T>(_: Isa, _: Rows<'_, T>, _: &mut [Line<T>]) -> usize {
    0
}

#[cfg(target_arch = "x86_64")]
mod avx512 {
    use std::arch::x86_64::{
        __m512, _mm512_castpd_ps, _mm512_castps_pd, _mm512_setzero_ps, _mm512_shuffle_f32x4, _mm512_unpackhi_pd,
        _mm512_unpackhi_ps, _mm512_unpacklo_pd, _mm512_unpacklo_ps,
    };
    use std::mem::transmute_copy;

    use crate::arithmetic::LANES;
    use crate::lines::{Line, Word};

    /// Exchanges words, then pairs of words, then quarters of registers. It is written in loops, because closures
    /// passed to functions of the standard library, which are compiled for every processor, would not be inlined.
    #[target_feature(enable = "avx512f")]
    pub(super) fn transpose<T: Word>(rows: [&[T; LANES]; LANES], columns: &mut [Line<T>; LANES]) {
        const { assert!(size_of::<Line<T>>() == 64) };
        let mut values = [_mm512_setzero_ps(); LANES];
        for (pair, rows) in values.as_chunks_mut::<2>().0.iter_mut().zip(rows.as_chunks::<2>().0) {
            // SAFETY: a row and a register have 64 bytes, any pattern of which is a value.
            let [a, b] = unsafe { [transmute_copy::<[T; LANES], __m512>(rows[0]), transmute_copy(rows[1])] };
            *pair = [_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b)];
        }
        // Of four rows, the columns c, c + 4, c + 8 and c + 12 side by side, for each c.
        let mut fours = [[_mm512_setzero_ps(); 4]; 4];
        for (four, values) in fours.iter_mut().zip(values.as_chunks::<4>().0) {
            for half in 0..2 {
                let (a, b) = (_mm512_castps_pd(values[half]), _mm512_castps_pd(values[2 + half]));
                four[2 * half] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, b));
                four[2 * half + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, b));
            }
        }
        for place in 0..4 {
            let [a, b, c, d] = [fours[0][place], fours[1][place], fours[2][place], fours[3][place]];
            let (even_low, even_high) = (_mm512_shuffle_f32x4::<0x88>(a, b), _mm512_shuffle_f32x4::<0x88>(c, d));
            let (odd_low, odd_high) = (_mm512_shuffle_f32x4::<0xDD>(a, b), _mm512_shuffle_f32x4::<0xDD>(c, d));
            let transposed = [
                _mm512_shuffle_f32x4::<0x88>(even_low, even_high),
                _mm512_shuffle_f32x4::<0x88>(odd_low, odd_high),
                _mm512_shuffle_f32x4::<0xDD>(even_low, even_high),
                _mm512_shuffle_f32x4::<0xDD>(odd_low, odd_high),
            ];
            for (quarter, column) in transposed.into_iter().enumerate() {
                // SAFETY: as above.
                columns[4 * quarter + place] = unsafe { transmute_copy::<__m512, Line<T>>(&column) };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_value_finds_its_place(count in 1_usize..70, width in 1_usize..70, more in 0_usize..5) {
            let stride = width + more;
            let values: Vec<f32> = (0..count * stride).map(|i| i as f32).collect();
            for isa in Isa::available() {
                let mut panels = vec![Line([f32::NAN; LANES]); count.div_ceil(LANES) * width];
                let rows = Rows { values: &values, stride, count, width };
                transpose(isa, rows, &mut panels);
                for row in 0..count {
                    for place in 0..width {
                        let ours = panels[row / LANES * width + place].0[row % LANES];
                        prop_assert_eq!(ours.to_bits(), values[row * stride + place].to_bits(), "{}", isa.name());
                    }
                }
            }
        }
    }
}
