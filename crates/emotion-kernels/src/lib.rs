//! Packed-matrix kernels for transformer inference on the CPU: matrices in, matrices out.
//!
//! This is the only crate of the workspace that contains `unsafe` code. It implements matrices, not models.
//! `KERNELS.md`, beside the crate's manifest, describes formats, dispatch, measurements and failed experiments.
//!
//! Every algorithm is written once, in plain Rust over fixed-size lanes, and compiled for each
//! instruction set of [`Isa`]. The order of the additions in every sum is fixed by the shape of
//! that sum alone: a row of a result has the same bits whatever other rows are computed with it,
//! and the same bits on every instruction set with a fused multiply-add (in bfloat16 except for
//! subnormal numbers). Only AMX has a different order, in bfloat16.
//!
//! # Terms
//!
//! A product `y = x Wᵀ + b` has a matrix `x` of *rows*, and a weight matrix `W` of shape `[outputs, inputs]`.
//!
//! - A *step* consists of the inputs that one multiply-add instruction takes from a row: one input in float32, a pair
//!   of inputs in bfloat16, a quad of inputs in int8. A *dot step* adds the products of one step of a row to 16 sums.
//! - A *panel* holds the packed weights of 16 outputs: for each step, the weights that multiply its inputs in the 16
//!   outputs. With weights of float32, pairs or quads, that is 64 bytes per step.
//! - The *depth* of a product is the number of steps in a row, which is also the number of steps in a panel.
//! - A *tile* is the part of the result whose sums stay in registers from the first step to the last: a few rows by one
//!   panel in vector registers, 32 rows by two panels in the tile registers of AMX.
//! - A *block* is a set of rows that are multiplied by all panels before the next rows are.
//! - The *epilogue* converts the sums of a tile to stored values: bias, activation, rounding, storing.
//!
//! # Modules
//!
//! A module imports only from those before it:
//!
//! 1. `isa`, `arithmetic`, `lines`, `precision`: instruction sets, numbers, aligned memory.
//! 2. `layout`: views of matrices, and the format of panels.
//! 3. `epilogue`: bias, activation, rounding, storing.
//! 4. `bf16`, `quantization`, `norm`, `transpose`: number formats, and operations on rows.
//! 5. `gemm`: the dot step of each instruction set, and the blocked loop around it.
//! 6. `formats`: what each precision packs, and the dot step that multiplies it on each instruction set.
//! 7. `operand`, `attention`, `matmul`: the public products.
//!
//! # Example
//!
//! ```
//! use emotion_kernels::{Activation, Isa, Matmul, OperandWorkspace, PackedMatrix, Precision};
//!
//! // Two outputs with three inputs each, and one row of activations.
//! let weight = [1.0, 2.0, 3.0, 0.0, 0.0, 1.0];
//! let weight = PackedMatrix::pack(Isa::detected(), Precision::Float32, &weight, 2, 3);
//! let mut workspace = OperandWorkspace::default();
//! let x = weight.operand(&[1.0, 1.0, 1.0], &mut workspace);
//! let mut y = [0.0; 2];
//! Matmul { weight: &weight, bias: &[0.5, 0.0], activation: Activation::None }.run(x, &mut y);
//! assert_eq!(y, [6.5, 1.0]);
//! ```

#![expect(unsafe_code, reason = "instructions of the processor are unsafe to call")]
#![allow(clippy::inline_always, reason = "each instruction set compiles its own copy")]

mod arithmetic;
mod attention;
mod bf16;
mod epilogue;
mod formats;
#[cfg_attr(
    not(all(target_arch = "x86_64", target_os = "linux")),
    allow(dead_code, reason = "only AMX uses tile registers")
)]
mod gemm;
mod isa;
mod layout;
mod lines;
mod matmul;
mod norm;
mod operand;
mod precision;
mod quantization;
mod transpose;

pub use attention::{Attention, AttentionWorkspace};
pub use epilogue::Activation;
pub use isa::Isa;
pub use lines::AlignedBuffer;
pub use matmul::{Matmul, PackedMatrix};
pub use norm::LayerNorm;
pub use operand::{Operand, OperandWorkspace};
pub use precision::Precision;
