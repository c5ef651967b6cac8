//! CSV: records are copied byte for byte, and the new fields are written before the line end.
//!
//! - A record ends with LF, CRLF or CR, or with the input. What is within quotes belongs to the field.
//! - Quotes within quotes are doubled, or follow the escape character, if one is given.
//! - An empty field without quotes, an absent field, and `\N` where the escape character is a backslash, are NULL;
//!   `""` is the empty text.
//! - A record with fewer fields than the header is filled up with empty fields before the new ones, so that these
//!   stand in their columns. A record with more fields than the header is an error.
//! - Empty lines are copied and are not rows, except in a file of one column, where each is a row without text.

pub(crate) mod encoder;
pub(crate) mod field;
pub(crate) mod reader;
#[cfg(feature = "job")]
pub(crate) mod rows;
pub(crate) mod scanner;

#[cfg(test)]
mod tests;
