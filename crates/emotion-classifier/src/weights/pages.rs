//! The pages of the program that hold the built-in model.

use std::fs::read_to_string;

/// A multiple of the size of a page.
const PAGE: usize = if cfg!(target_arch = "x86_64") { 4096 } else { 65536 };

/// Whether `bytes` are mapped read-only from a file, so that the system can read them again.
///
/// The bytes of a program that an executable packer compressed are not: it unpacks itself into anonymous memory.
pub(super) fn are_releasable(bytes: &'static [u8]) -> bool {
    let maps = read_to_string("/proc/self/maps").unwrap_or_default();
    let range = bytes.as_ptr_range();
    maps.lines().any(|mapping| holds(mapping, range.start.addr(), range.end.addr()) == Some(true))
}

/// Whether a line of `/proc/self/maps` is a read-only mapping of a file that holds the addresses from `start` to `end`.
fn holds(mapping: &str, start: usize, end: usize) -> Option<bool> {
    let mut fields = mapping.split_ascii_whitespace();
    let (first, last) = fields.next()?.split_once('-')?;
    let address = |digits| usize::from_str_radix(digits, 16).ok();
    let (first, last) = (address(first)?, address(last)?);
    let read_only = !fields.next()?.contains('w');
    let inode = fields.nth(2)?;
    Some(first <= start && end <= last && read_only && inode != "0")
}

/// Returns the memory of `bytes`, which must be releasable, to the system. It reads the file again when they are used.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables))]
pub(super) fn release(bytes: &'static [u8]) {
    let skipped = bytes.as_ptr().align_offset(PAGE);
    let Some(bytes) = bytes.get(skipped..) else { return };
    let bytes = &bytes[..bytes.len() / PAGE * PAGE];
    #[cfg(target_os = "linux")]
    #[expect(unsafe_code, reason = "the standard library has no such function")]
    // SAFETY: The range consists of whole pages of a constant of the program. Nothing writes to them, and as they are
    // mapped from a file, they have the same bytes when they are read again.
    unsafe {
        libc::madvise(bytes.as_ptr().cast_mut().cast(), bytes.len(), libc::MADV_DONTNEED);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_read_only_mappings_of_files_are_releasable() {
        let holds = |mapping| holds(mapping, 0x2000, 0x3000);
        assert_eq!(holds("1000-4000 r--p 00000000 fe:00 1234    /usr/bin/emotion"), Some(true));
        assert_eq!(holds("2000-3000 r-xp 00001000 fe:00 1234    /usr/bin/emotion"), Some(true));
        assert_eq!(holds("1000-4000 rw-p 00000000 fe:00 1234    /usr/bin/emotion"), Some(false));
        assert_eq!(holds("1000-4000 r--p 00000000 00:00 0"), Some(false));
        assert_eq!(holds("1000-2fff r--p 00000000 fe:00 1234    /usr/bin/emotion"), Some(false));
        assert_eq!(holds("2001-4000 r--p 00000000 fe:00 1234    /usr/bin/emotion"), Some(false));
        assert_eq!(holds("not a mapping"), None);
    }

    #[test]
    fn memory_that_was_allocated_is_not_releasable() {
        assert!(!are_releasable(Box::leak(vec![1_u8; 1 << 16].into_boxed_slice())));
    }
}
