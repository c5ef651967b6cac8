//! What each precision packs, and the dot step that multiplies it on each instruction set.

pub(crate) mod bfloat16;
pub(crate) mod float32;
pub(crate) mod int8;
