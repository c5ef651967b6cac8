//! JSON lines: objects are copied byte for byte, and the new members are written before the closing brace.
//!
//! - Objects follow each other, with any white space between them, which is copied. An array of objects is refused.
//! - The text is a member, or a member of nested objects by a name with dots. An absent text and `null` are NULL;
//!   any other value than a string is an error.
//! - An escaped surrogate without its other half becomes U+FFFD in the text that is labeled, and stays in the copy.
//! - A new member's name must be free in each object.

pub(crate) mod encoder;
mod members;
pub(crate) mod reader;
mod scanner;

#[cfg(test)]
mod tests;
