use std::sync::OnceLock;

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Refuses to infer in a process that was forked from one that had inferred.
///
/// The threads of the parent do not exist in such a process, so that the call would wait forever.
pub(crate) fn check() -> PyResult<()> {
    static PROCESS: OnceLock<u32> = OnceLock::new();
    let id = std::process::id();
    if *PROCESS.get_or_init(|| id) == id {
        return Ok(());
    }
    Err(PyRuntimeError::new_err(
        "this process was forked from one that had classified texts, and has none of its threads: \
         start processes with multiprocessing's method 'spawn' or 'forkserver', or fork before the first call",
    ))
}
