//! What each precision packs, and which dot step multiplies it on which instruction set.

pub(crate) mod bfloat16;
pub(crate) mod float32;
pub(crate) mod int8;
