//! Panics of the libraries that decode what may be damaged.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Decodes, and makes an `error` of a panic: `arrow` and `parquet` panic on types that they do not know, and on some
/// damage. What decoded must not be used again after that.
pub(crate) fn guarded<T, E>(decode: impl FnOnce() -> Result<T, E>, error: impl FnOnce(String) -> E) -> Result<T, E> {
    catch_unwind(AssertUnwindSafe(decode))
        .unwrap_or_else(|_| Err(error("the data is damaged, or of a type that is not known".into())))
}
