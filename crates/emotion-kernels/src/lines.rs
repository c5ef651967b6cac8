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

/// Memory for float32 values, which starts on a cache line and grows if necessary.
///
/// Rows of activations belong in such memory: where their width is a multiple of 16, no vector of 64 bytes crosses two
/// cache lines. Results that are stored across two lines take up to twice the time of a product. A `Vec<f32>` of the
/// system's allocator starts 16 bytes behind a line if it is large.
#[derive(Debug, Default)]
pub struct AlignedBuffer(Vec<Line<f32>>);

impl AlignedBuffer {
    /// The first `len` values; those that an earlier use did not set are 0.
    ///
    /// ```
    /// let mut buffer = emotion_kernels::AlignedBuffer::default();
    /// buffer.values(20)[19] = 1.0;
    /// assert!(buffer.values(40).as_ptr().cast::<[f32; 16]>().addr().is_multiple_of(64));
    /// assert_eq!(buffer.values(40)[18..21], [0.0, 1.0, 0.0]);
    /// ```
    pub fn values(&mut self, len: usize) -> &mut [f32] {
        words(&mut self.0, len)
    }
}

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
