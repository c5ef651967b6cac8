//! Cache lines: sixteen values of four bytes, so placed that no load of sixteen crosses two lines.

/// One line.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line<T>(pub [T; 16]);

impl<T> Line<T> {
    const FULL: () = assert!(size_of::<T>() == 4 && size_of::<Self>() == 64);
}

/// Makes room for `count` values, end to end; those that are new are the type's default.
pub(crate) fn resize<T: Copy + Default>(lines: &mut Vec<Line<T>>, count: usize) -> &mut [T] {
    const { Line::<T>::FULL };
    lines.resize(count.div_ceil(16), Line::default());
    // SAFETY: a line is sixteen values and nothing else.
    let values = unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), 16 * lines.len()) };
    &mut values[..count]
}
