//! Cache lines: sixteen values of four bytes, so placed that no load of sixteen crosses two lines.

/// One line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line<T>(pub [T; 16]);

impl<T> Line<T> {
    const FULL: () = assert!(size_of::<T>() == 4 && size_of::<Self>() == 64);
}

/// Room for `count` values, end to end, which hold whatever they held before.
pub(crate) fn room<T: Copy + Default>(lines: &mut Vec<Line<T>>, count: usize) -> &mut [T] {
    const { Line::<T>::FULL };
    if lines.len() < count.div_ceil(16) {
        lines.resize(count.div_ceil(16), Line::default());
    }
    // SAFETY: a line is sixteen values and nothing else.
    let values = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), 16 * lines.len()) };
    &mut values[..count]
}
