//! The emotion functions on an Apache Ballista cluster.
//!
//! ```text
//! session ── logical plan, options ──▶ scheduler ── stages of the physical plan ──▶ executors
//!    ◀──────────────────────────────── result, over Arrow Flight ────────────────────┘
//! ```
//!
//! A session plans as it would alone, so that a query is refused in the same words, and sends the plan with its
//! options; the models of `CREATE FUNCTION` go with it as the places they are loaded from. [`connect`] makes such a
//! session, and [`execute`] runs a physical plan. The programs `emotion-scheduler` and `emotion-executor` are Ballista's, with the functions and options
//! registered; an engine with servers of its own configures them by [`scheduler_config`] and [`executor_config`].

mod answer;
mod client;
#[cfg(feature = "server")]
mod configuration;
#[cfg(feature = "server")]
mod engine;
#[cfg(feature = "server")]
mod executor;
#[cfg(feature = "server")]
pub mod logging;
#[cfg(feature = "server")]
mod scheduler;
#[cfg(feature = "server")]
mod stores;
mod task_error;

pub use client::{connect, execute};
#[cfg(feature = "server")]
pub use executor::executor_config;
#[cfg(feature = "server")]
pub use scheduler::scheduler_config;
