//! The emotion functions as a shared library, which an engine loads at run time.
//!
//! The library and the engine need not be built together: functions are passed in the form of `datafusion-ffi`, which
//! is stable within a major version of DataFusion. `host.rs` is an engine that loads the library.

use std::sync::LazyLock;

use datafusion_emotion::{EmotionOptions, functions_of};
use datafusion_ffi::ffi_option::FFI_Option;
use datafusion_ffi::udf::FFI_ScalarUDF;

static FUNCTIONS: LazyLock<Vec<FFI_ScalarUDF>> = LazyLock::new(|| {
    let functions = functions_of("emotion", EmotionOptions::default());
    // The built-in model is part of this library, so this does not fail. No panic may leave the library.
    functions.unwrap_or_default().into_iter().map(FFI_ScalarUDF::from).collect()
});

/// The major version of DataFusion whose interface this library implements.
// SAFETY: no other symbol of this name is linked into the library.
#[allow(unsafe_code, reason = "an engine finds it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn emotion_datafusion_version() -> u64 {
    datafusion_ffi::version()
}

/// The function at a position, which starts at 0; none after the last function.
// SAFETY: no other symbol of this name is linked into the library.
#[allow(unsafe_code, reason = "an engine finds it by its name")]
#[unsafe(no_mangle)]
pub extern "C" fn emotion_function(position: usize) -> FFI_Option<FFI_ScalarUDF> {
    FUNCTIONS.get(position).cloned().into()
}
