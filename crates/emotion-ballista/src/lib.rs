//! The emotion functions on an Apache Ballista cluster.
//!
//! ```text
//! session ── logical plan, options ──▶ scheduler ── stages of the physical plan ──▶ executors
//!    ◀──────────────────────────────── result, over Arrow Flight ────────────────────┘
//! ```
//!
//! A session plans a query as it would without a cluster, so that errors have the same messages, and sends the plan
//! with its options. Models of `CREATE FUNCTION` are sent as the locations that they are loaded from. [`connect`]
//! creates such a session, and [`execute`] runs a physical plan.
//!
//! The programs `emotion-scheduler` and `emotion-executor` are Ballista's, with the functions and options registered.
//! An engine with its own servers configures them with [`scheduler_config`] and [`executor_config`].

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
pub mod server_options;
#[cfg(feature = "server")]
mod stores;
mod task_error;

pub use client::{connect, execute};
#[cfg(feature = "server")]
pub use executor::executor_config;
#[cfg(feature = "server")]
pub use scheduler::scheduler_config;
