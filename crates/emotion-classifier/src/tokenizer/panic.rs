//! Panics of the library, which has no error for some malformed tokenizers.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// What the library returns, or that it panicked.
///
/// The library holds no state that a panic leaves inconsistent: its caches are filled by single insertions.
pub(super) fn catch<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let message = panic.downcast_ref::<&str>().copied().or(panic.downcast_ref::<String>().map(String::as_str));
        format!("a part of the tokenizer is malformed, which made it panic: {}", message.unwrap_or("no message"))
    })
}
