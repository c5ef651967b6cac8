//! A job that labels whole files, and survives whatever happens on the way.
//!
//! A [`LabelJob`] says what to label. Its [`Plan`] has looked at every file, and labels them. What is labeled is kept
//! in a journal beside the output, so that a job that was stopped, killed or cut off continues where it was, and ends
//! with the same bytes. The labels come from this process, or with the feature `cluster` from an Apache Ballista
//! cluster.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use emotion_classifier::Classifier;
//! use emotion_label::job::{Cancel, LabelJob, Observer};
//!
//! struct Rows;
//!
//! impl Observer for Rows {
//!     fn rows_labeled(&self, rows: u64, _tokens: u64) {
//!         println!("{rows} more");
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let classifier = Arc::new(Classifier::load("path/to/model")?);
//! let job = LabelJob::builder(classifier, ["reviews/"], "body", "labeled/").columns("label,score".parse()?).build();
//! let plan = job.plan().await?;
//! println!("{} rows to label", plan.estimate().await?.rows_left());
//! let summary = plan.run(&Rows, &Cancel::default()).await?;
//! println!("{:?}", summary.counts.labels);
//! # Ok(())
//! # }
//! ```

mod avro_blocks;
mod batch_queue;
mod cancel;
mod choices;
#[cfg(feature = "cluster")]
mod cluster;
mod codec;
mod columns;
mod compressor;
#[cfg(test)]
mod conversion_tests;
mod counts;
mod delta;
mod encoder;
mod error;
mod error_list;
mod estimate;
mod failure;
mod filter;
mod fingerprint;
pub(crate) mod inputs;
mod journal;
mod label_job;
mod labeler;
mod labels;
mod lock;
#[cfg(not(feature = "cluster"))]
mod no_cluster;
mod observer;
mod parquet_object;
mod plan;
mod run;
mod seal;
mod segment;
mod source;
mod stop;
mod storage;
mod summary;
mod target;
mod task;
#[cfg(test)]
mod tests;
mod texts;
mod typed;
mod work;
mod write;

pub use cancel::Cancel;
pub use codec::Codec;
pub use columns::{Columns, InvalidColumns};
pub use counts::Counts;
pub use error::{LabelError, message};
pub use estimate::{Estimate, FileEstimate, FileProgress};
pub use label_job::{LabelJob, LabelJobBuilder};
pub use observer::Observer;
pub use plan::Plan;
pub use summary::{SetAside, Summary};
