//! The matrix product over packed panels: the dot step of each instruction set, and the loop around it.

#[cfg(target_arch = "aarch64")]
pub(crate) mod aarch64;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod amx;
pub(crate) mod dot;
#[cfg(test)]
pub(crate) mod emulated;
pub(crate) mod portable;
#[cfg(any(test, target_arch = "aarch64"))]
pub(crate) mod row_pairs;
pub(crate) mod tiles;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;
