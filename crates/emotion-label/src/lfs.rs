//! Files that Git LFS puts in the place of others until they are downloaded.

/// The length of the longest such file.
pub const LONGEST: u64 = 1024;

/// What such a file is, for messages.
pub const WHAT: &str = "a Git LFS pointer, not the table itself";

/// What to do about it.
pub const ADVICE: &str = "run `git lfs install` and `git lfs pull` in its folder, or download the file";

/// Whether a file that begins so is a pointer.
#[must_use]
pub fn is_pointer(bytes: &[u8]) -> bool {
    bytes.starts_with(b"version https://git-lfs.github.com/spec/")
}
