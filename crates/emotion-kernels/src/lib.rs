//! Packed-matrix kernels for transformer inference on the CPU: matrices in, matrices out.
//!
//! The one crate with `unsafe`. It knows matrices, not models. `KERNELS.md` beside this crate's
//! manifest tells of formats, dispatch and what was tried.
//!
//! Every algorithm is written once, in plain Rust over fixed-size lanes, and compiled for each
//! instruction set of [`Isa`]. The order of the additions in every sum is fixed by the shape of
//! that sum alone: a row of a result has the same bits whatever other rows are computed with it,
//! and the same bits on every instruction set with a fused multiply-add (in bfloat16 but for subnormal
//! numbers). Only AMX has an order of its own in float32 and bfloat16.
//!
//! ```
//! use emotion_kernels::{Activation, Isa, Matmul, OperandWorkspace, PackedMatrix, Precision};
//!
//! // Two outputs of three inputs each; one row in.
//! let weight = [1.0, 2.0, 3.0, 0.0, 0.0, 1.0];
//! let weight = PackedMatrix::pack(Isa::detected(), Precision::Float32, &weight, 2, 3);
//! let mut workspace = OperandWorkspace::default();
//! let x = weight.operand(&[1.0, 1.0, 1.0], &mut workspace);
//! let mut y = [0.0; 2];
//! Matmul { weight: &weight, bias: &[0.5, 0.0], activation: Activation::None }.run(x, &mut y);
//! assert_eq!(y, [6.5, 1.0]);
//! ```

#![expect(unsafe_code, reason = "the one crate in which it may stand")]
#![allow(clippy::inline_always, reason = "each instruction set compiles its own copy")]

#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "what only instructions of x86-64 use"))]
mod amx;
mod arithmetic;
mod attention;
#[cfg_attr(not(target_arch = "x86_64"), allow(dead_code, reason = "what only instructions of x86-64 use"))]
mod bfloat16;
mod dot;
mod int8;
mod isa;
mod lines;
mod matmul;
mod norm;
mod operand;
mod precision;
mod split;
mod tiles;
mod transpose;

pub use attention::{Attention, AttentionWorkspace};
pub use isa::Isa;
pub use matmul::{Activation, Matmul, PackedMatrix};
pub use norm::LayerNorm;
pub use operand::{Operand, OperandWorkspace};
pub use precision::{Precision, UnknownPrecision};
