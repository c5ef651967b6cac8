use std::thread;
use std::time::Duration;

use emotion_label::job::Cancel;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// Time between two checks for an interrupt from the keyboard, which are also the updates of a display.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Does work on another thread and returns its result.
///
/// Meanwhile this thread calls `update`. If that fails, or if there is an interrupt from the keyboard, the work is
/// cancelled, and its end is awaited before the error is returned.
pub(crate) fn interruptible<T: Send + 'static>(
    py: Python<'_>,
    cancel: &Cancel,
    work: impl FnOnce() -> T + Send + 'static,
    mut update: impl FnMut() -> PyResult<()>,
) -> PyResult<T> {
    let worker = thread::spawn(work);
    let mut interrupt = None;
    while !worker.is_finished() {
        py.detach(|| thread::park_timeout(CHECK_EVERY));
        if let Err(error) = py.check_signals().and_then(|()| update()) {
            cancel.cancel();
            interrupt.get_or_insert(error);
        }
    }
    let result = worker.join().map_err(|_| PyRuntimeError::new_err("the work panicked"))?;
    interrupt.map_or(Ok(result), Err)
}
