//! Arrow IPC, as a file or as a stream: the bodies of record batches are copied with their compression, dictionaries
//! are copied as they are (deltas and replacements too), and the schema keeps its tables.
//!
//! A file is read in order, as a stream between its magic numbers, and gets a new footer. A stream stays a stream.
//! Messages are `FlatBuffers`; those that change are written with the old ones embedded, so that fields and types that
//! this library does not know stay.

pub(crate) mod copier;
mod message;
pub(crate) mod texts;

#[cfg(test)]
mod tests;
