//! How well a model does on texts whose labels are known, and what emotions a table of texts holds.
//!
//! An [`Evaluator`] compares predictions with the labels of files; [`Report`] is a page of figures and charts. Both
//! results contain an HTML page that needs no network. The files are tables of a session that
//! [`with_files`](crate::file_tables::with_files) has extended.

mod columns;
mod error;
mod evaluation;
mod page;
mod report;
mod table_files;

pub use columns::NO_LABEL;
pub use error::AnalysisError;
pub use evaluation::{Evaluation, Evaluator, LabelFacts, ModelFacts};
pub use report::{Report, ReportColumns};
pub use table_files::TableFiles;
