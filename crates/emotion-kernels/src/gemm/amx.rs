//! Dot steps with Intel's Advanced Matrix Extensions: an instruction multiplies sixteen steps of sixteen rows by a
//! panel of sixteen outputs. They are written in `asm!`, because stable Rust has no intrinsics for them.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, `TDPBSSD` and `TDPBF16PS`.

use std::arch::asm;
use std::cell::Cell;
use std::marker::PhantomData;

use super::dot::{ByteStep, Step, TILE_PANELS, TILE_ROWS, TILE_STEPS, TileDot, TileSums};
use crate::arithmetic::{Fused, LANES};
use crate::bf16::Pair;
use crate::isa::{Isa, Level};
use crate::layout::{ByteLayout, Quad, Rows};
use crate::lines::Line;

thread_local! {
    static CONFIGURED: Cell<bool> = const { Cell::new(false) };
}

/// The eight tile registers of this thread, of sixteen rows of 64 bytes each, which are configured until the value is
/// dropped. A thread has at most one such value, because dropping one would release the tiles of another.
struct Tiles(PhantomData<*const ()>);

/// The operand of `LDTILECFG`.
#[repr(C, align(64))]
struct Configuration {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// # Panics
    /// If `isa` is not AMX, or if the tiles of this thread are in use.
    fn configure(isa: Isa) -> Self {
        assert!(isa.level() == Level::Amx, "tiles are configured for AMX alone");
        assert!(!CONFIGURED.replace(true), "the tiles of this thread are in use");
        let mut configuration =
            Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
        configuration.row_bytes[..8].fill(64);
        configuration.rows[..8].fill(16);
        // SAFETY: the `Isa` proves that this process may execute the instruction. It reads 64 bytes, and sets
        // registers that compiled code does not use.
        unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) };
        Self(PhantomData)
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // SAFETY: the value proves that the machine has the instruction. It shrinks the state that the system saves of
        // this thread.
        unsafe { asm!("tilerelease", options(nostack, nomem)) };
        CONFIGURED.set(false);
    }
}

/// Defines a [`TileDot`] by the instruction that multiplies tiles, and by the instructions that set the start values of
/// its sums, with their operands.
macro_rules! tile_dot {
    (
        $(#[$meta:meta])* $name:ident: $instruction:literal, $input:ty, $weight:ty, $element:ty,
        |$starts:ident| $($check:expr)?, [$($start:literal),*], [$($operand:tt)*]
    ) => {
        $(#[$meta])*
        pub(crate) struct $name(Tiles);

        impl $name {
            /// # Panics
            /// If `isa` is not AMX, or if the tiles of this thread are in use.
            pub(crate) fn new(isa: Isa) -> Self {
                Self(Tiles::configure(isa))
            }
        }

        impl Step for $name {
            type Input = $input;
            type Weights = Line<$weight>;
            type Element = $element;
            type Arithmetic = Fused;
        }

        impl TileDot for $name {
            #[inline(always)]
            fn multiply(
                &self,
                rows: [Rows<'_, $input>; 2],
                panels: [&[Line<$weight>]; TILE_PANELS],
                $starts: [&[$element; LANES]; TILE_PANELS],
                sums: &mut TileSums<$element>,
            ) {
                let depth = panels[0].len();
                $(assert!($check);)?
                assert!(depth > 0 && depth.is_multiple_of(TILE_STEPS) && panels[1].len() == depth);
                let stride = rows[0].stride;
                for rows in rows {
                    assert!(rows.stride == stride && rows.width == depth);
                    assert_eq!(rows.values.len(), (TILE_ROWS - 1) * stride + depth);
                }
                // `tileloaddt1` loads rows past the first-level cache, where they would evict the panels: all tiles of
                // a block read the same panels, but each has rows of its own.
                //
                // SAFETY: `self` proves that the tiles are configured. A tile load reads sixteen rows of 64 bytes: of
                // a start value, the same 64 bytes sixteen times; of the inputs, the next 16 steps of rows that are
                // `stride` apart; of a panel, its next 1024 bytes. After `depth / TILE_STEPS` iterations, rows and
                // panels have been read to their ends. `sums` has 1024 bytes for each of its four tiles.
                unsafe {
                    asm!(
                        $($start,)*
                        "2:",
                        "tileloaddt1 tmm4, [{rows0} + {stride}]",
                        "tileloadd tmm6, [{panel0} + {line}]",
                        concat!($instruction, " tmm0, tmm4, tmm6"),
                        "tileloadd tmm7, [{panel1} + {line}]",
                        concat!($instruction, " tmm1, tmm4, tmm7"),
                        "tileloaddt1 tmm5, [{rows1} + {stride}]",
                        concat!($instruction, " tmm2, tmm5, tmm6"),
                        concat!($instruction, " tmm3, tmm5, tmm7"),
                        "add {rows0}, 64",
                        "add {rows1}, 64",
                        "add {panel0}, 1024",
                        "add {panel1}, 1024",
                        "dec {iterations}",
                        "jnz 2b",
                        "tilestored [{sums} + {line}], tmm0",
                        "tilestored [{sums} + {line} + 1024], tmm1",
                        "tilestored [{sums} + {line} + 2048], tmm2",
                        "tilestored [{sums} + {line} + 3072], tmm3",
                        $($operand)*
                        rows0 = inout(reg) rows[0].values.as_ptr() => _,
                        rows1 = inout(reg) rows[1].values.as_ptr() => _,
                        stride = in(reg) 4 * stride,
                        panel0 = inout(reg) panels[0].as_ptr() => _,
                        panel1 = inout(reg) panels[1].as_ptr() => _,
                        line = in(reg) 64_usize,
                        iterations = inout(reg) depth / TILE_STEPS => _,
                        sums = in(reg) sums.0.as_mut_ptr(),
                        out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                        out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                        options(nostack),
                    );
                }
            }
        }
    };
}

tile_dot! {
    /// `TDPBSSD`: signed bytes, summed exactly. Sums start with zero, because the rows have no offset.
    Int8: "tdpbssd", Quad, [i8; 4], i32,
    |starts| starts == [&[0; LANES]; TILE_PANELS],
    ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"],
    []
}
tile_dot! {
    /// `TDPBF16PS`: over sixteen pairs, the products of the first values and the products of the second values have
    /// separate sums; these are added to each other, and the result to the previous sum.
    Bf16: "tdpbf16ps", Pair, Pair, f32,
    |starts|,
    [
        "tileloadd tmm0, [{start0} + {zero}]",
        "tileloadd tmm1, [{start1} + {zero}]",
        "tileloadd tmm2, [{start0} + {zero}]",
        "tileloadd tmm3, [{start1} + {zero}]"
    ],
    [start0 = in(reg) starts[0].as_ptr(), start1 = in(reg) starts[1].as_ptr(), zero = in(reg) 0_usize,]
}

impl ByteStep for Int8 {
    const LAYOUT: ByteLayout = ByteLayout::BY_OUTPUT;
}
