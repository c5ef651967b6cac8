//! Files that get columns of emotion labels, and keep everything else.
//!
//! **Labeling changes nothing but what it adds.** A file that is written in the format it was read in is copied byte
//! for byte: other columns are never decoded. [`open::texts`] gives the texts, [`open::copier`] writes the file with
//! the added columns.
//!
//! Readers and copiers do no input and output of their own: [`step`] describes how they are driven, and [`drive`]
//! drives them over a local file. A conversion to another format goes through Arrow types: [`format::stored`] says
//! what each becomes, or refuses it.
//!
//! With the feature `job`, the module `job` labels whole folders and object stores by a classifier, resumes after a
//! kill and converts between formats. With the feature `analysis`, the module `analysis` evaluates a model on files
//! whose labels are known, and makes reports.

#[cfg(feature = "job")]
pub mod address;
#[cfg(feature = "analysis")]
pub mod analysis;
#[cfg(feature = "job")]
mod chunks;
#[cfg(feature = "job")]
pub mod csv_schema;
#[cfg(feature = "job")]
mod csv_values;
pub mod drive;
pub mod error;
#[cfg(feature = "analysis")]
pub mod file_tables;
pub mod format;
#[cfg(feature = "job")]
pub mod job;
#[cfg(feature = "job")]
pub mod json_schema;
#[cfg(feature = "job")]
pub mod json_text;
pub mod lfs;
#[cfg(feature = "analysis")]
mod listed_files;
#[cfg(feature = "job")]
pub mod local_files;
#[cfg(feature = "job")]
pub mod local_output;
pub mod metadata;
#[cfg(feature = "analysis")]
pub mod numbers;
#[cfg(feature = "job")]
pub mod object;
pub mod open;
pub mod options;
pub mod step;

mod arrow_file;
mod compression;
mod csv;
mod flat;
mod guard;
mod ipc_schema;
mod json;
mod parquet;
mod records;
mod text_encoding;
