//! Memory aligned to cache lines: sixteen words of four bytes, so that no load of sixteen crosses two lines.

/// A value of four bytes.
///
/// # Safety
/// The type has a size of four bytes and no padding, and every bit pattern is a value of it. Vector loads and stores
/// reinterpret sixteen of them as a register.
pub(crate) unsafe trait Word: Copy + Default {}

// SAFETY: four bytes, any pattern of which is a number.
unsafe impl Word for f32 {}
// SAFETY: as above.
unsafe impl Word for i32 {}
// SAFETY: as above.
unsafe impl Word for [u8; 4] {}
// SAFETY: as above.
unsafe impl Word for [i8; 4] {}

/// A cache line of 64 bytes.
#[repr(C, align(64))]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Line<T>(pub [T; 16]);

/// The first `count` words of `lines`, which grows if necessary. Words of an earlier use keep their values.
pub(crate) fn words<T: Word>(lines: &mut Vec<Line<T>>, count: usize) -> &mut [T] {
    if lines.len() < count.div_ceil(16) {
        lines.resize(count.div_ceil(16), Line::default());
    }
    &mut as_words(lines)[..count]
}

/// The words of `lines`, end to end.
pub(crate) fn as_words<T: Word>(lines: &mut [Line<T>]) -> &mut [T] {
    const { assert!(size_of::<T>() == 4 && size_of::<Line<T>>() == 64) };
    // SAFETY: a line is sixteen words without padding.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), 16 * lines.len()) }
}

/// Words of one type as words of another.
pub(crate) fn cast<T: Word, U: Word>(words: &[T]) -> &[U] {
    const { assert!(size_of::<T>() == size_of::<U>() && align_of::<T>() == align_of::<U>()) };
    // SAFETY: any pattern of four bytes is a value of both types, which have the same alignment.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), words.len()) }
}
