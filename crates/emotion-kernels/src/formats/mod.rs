//! What each precision packs, and which dot step multiplies it on which instruction set.

pub(crate) mod bfloat16;
pub(crate) mod float32;
pub(crate) mod int8;
#[cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    allow(dead_code, reason = "float32 is split on AMX alone")
)]
pub(crate) mod split;
