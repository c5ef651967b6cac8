//! Parquet: every column chunk is copied as it lies, and the footer is edited, not built anew.
//!
//! Pages, encodings, compression, statistics, Bloom filters, page indexes, logical types, field ids, the name of the
//! writer and fields of the footer that this library does not know stay as they are. Offsets are moved. Row groups
//! are those of the input, except that row groups without rows are left out. The added columns use the codec of the
//! input. Only the text column is decoded.
//!
//! `SerializedRowGroupWriter::append_column` of the `parquet` crate is not used: it drops key-value metadata of
//! columns, replaces the column orders, encodes Bloom filters and indexes anew, and panics where only some columns
//! have an offset index.

mod added;
pub(crate) mod copier;
mod footer;
mod splice;
pub(crate) mod texts;
mod thrift;

#[cfg(test)]
mod tests;
