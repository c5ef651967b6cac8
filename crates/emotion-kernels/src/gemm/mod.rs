//! The matrix product over packed panels: the dot step of each instruction set, and the loop around it.

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) mod amx;
pub(crate) mod dot;
#[cfg(test)]
pub(crate) mod emulated;
pub(crate) mod portable;
pub(crate) mod tiles;
#[cfg(target_arch = "x86_64")]
pub(crate) mod x86_64;
