//! The native module of the Python package `datafusion_emotion`.
//!
//! It makes the functions of one model, runs labeling jobs, evaluates models and makes reports; the package around it, in
//! `datafusion_emotion/`, converts Python's column types to Arrow arrays and back.

// What `#[pymodule]` and `#[pyclass]` write has no documentation.
#![allow(missing_docs, reason = "the items that the macros of pyo3 make")]

mod analysis;
mod function;
mod interrupt;
mod label;
mod model;
mod process;
mod progress;
mod spelling;

use pyo3::pymodule;

/// What `datafusion_emotion` is built of.
#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::analysis::{AnalysisError, evaluate, report};
    #[pymodule_export]
    use crate::function::{Function, functions};
    #[pymodule_export]
    use crate::label::{LabelError, label};

    /// The version of DataFusion that the functions are compiled against.
    #[pymodule_export]
    const DATAFUSION_VERSION: &str = datafusion::DATAFUSION_VERSION;

    /// The version of this package.
    #[pymodule_export]
    const VERSION: &str = env!("CARGO_PKG_VERSION");
}
