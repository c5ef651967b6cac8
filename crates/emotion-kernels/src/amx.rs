//! The product on Intel's Advanced Matrix Extensions: an instruction multiplies sixteen rows, sixteen steps deep, by
//! a panel of sixteen outputs.
//!
//! Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, `TDPBSSD` and `TDPBF16PS`.

use crate::arithmetic::{Arithmetic, LANES};
use crate::matmul::{Activation, Output, Rows, RowsMut, store};
use crate::tiles::{Format, Multiples, Panel};

/// Rows of a tile.
const ROWS: usize = 16;
/// Steps of four bytes that a row of a tile holds.
const STEPS: usize = 16;
/// Panels that rows meet side by side. Two by two products hide the latency of each.
const PANELS: usize = 2;
/// What tiles want operands to be filled up to.
pub(crate) const MULTIPLES: Multiples = Multiples { rows: ROWS, steps: STEPS, panels: PANELS };
/// Bytes of rows that go through all panels together: half of the second-level cache.
const BLOCK_BYTES: usize = 1 << 20;

/// The sums of two times sixteen rows by two panels.
#[repr(C, align(64))]
pub(crate) struct Sums<E>([[[[E; LANES]; ROWS]; PANELS]; 2]);

/// A way to multiply tiles.
pub(crate) trait TileDot: Format {
    /// Fills `sums` with those of two times sixteen rows of inputs by the panels.
    ///
    /// All have as many steps, which is a multiple of [`STEPS`].
    fn multiply(
        &self,
        rows: [Rows<'_, Self::Input>; 2],
        panels: [&[Self::Weights]; PANELS],
        starts: [&[Self::Element; LANES]; PANELS],
        sums: &mut Sums<Self::Element>,
    );
}

/// The rows of `x` are filled up to a multiple of [`ROWS`], and there is an even number of panels.
#[inline(always)]
pub(crate) fn multiply<'a, D: TileDot, A: Arithmetic, P: Panel<'a, D>, T: Output>(
    dot: &D,
    x: Rows<'_, D::Input>,
    panel: impl Fn(usize) -> P,
    activation: Activation,
    mut y: RowsMut<'_, T>,
) where
    D::Weights: 'a,
{
    let mut sums = Sums([[[[D::Element::default(); LANES]; ROWS]; PANELS]; 2]);
    let block_rows = (BLOCK_BYTES / (4 * x.width)).next_multiple_of(2 * ROWS);
    for block in (0..x.count).step_by(block_rows) {
        let end = x.count.min(block + block_rows);
        for first in (0..y.width).step_by(PANELS * LANES) {
            let panels: [P; PANELS] = std::array::from_fn(|index| panel(first / LANES + index));
            for row in (block..end).step_by(2 * ROWS) {
                tile::<D, A, P, T>(dot, x, row, &panels, &mut sums, activation, &mut y, first);
            }
        }
    }
}

/// Two times sixteen rows by two panels. Of a rest of sixteen rows or fewer the same are taken twice, and stored once: two
/// sums alone would wait for their own latency as long.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "the body of the innermost loop")]
fn tile<'a, D: TileDot, A: Arithmetic, P: Panel<'a, D>, T: Output>(
    dot: &D,
    x: Rows<'_, D::Input>,
    first_row: usize,
    panels: &[P; PANELS],
    sums: &mut Sums<D::Element>,
    activation: Activation,
    y: &mut RowsMut<'_, T>,
    first: usize,
) where
    D::Weights: 'a,
{
    let tiles = if x.count - first_row > ROWS { 2 } else { 1 };
    let rows = [first_row, first_row + (tiles - 1) * ROWS].map(|row| {
        let values = &x.values[row * x.stride..][..(ROWS - 1) * x.stride + x.width];
        Rows { values, count: ROWS, ..x }
    });
    dot.multiply(rows, panels.each_ref().map(P::weights), panels.each_ref().map(P::start), sums);
    for (tile, sums) in sums.0[..tiles].iter().enumerate() {
        for (index, (panel, sums)) in panels.iter().zip(sums).enumerate() {
            let column = first + index * LANES;
            let columns = LANES.min(y.width.saturating_sub(column));
            let row = first_row + tile * ROWS;
            for (row, sums) in (row..x.count).zip(sums) {
                let out = &mut y.values[row * y.stride + column.min(y.width)..];
                store::<A, T>(panel.finish(row, *sums), activation, out, columns);
            }
        }
    }
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
pub(crate) use linux::{Bf16, Int8, is_available};

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod linux {
    use std::arch::asm;
    use std::arch::x86_64::__cpuid_count;
    use std::cell::Cell;
    use std::marker::PhantomData;
    use std::sync::OnceLock;

    use super::{Format, LANES, PANELS, ROWS, Rows, STEPS, Sums, TileDot};
    use crate::bfloat16::Pair;
    use crate::dot::Quad;
    use crate::lines::Line;

    /// Whether the processor has tiles of bytes and of bfloat16, and Linux lets this process use them.
    pub(crate) fn is_available() -> bool {
        static AVAILABLE: OnceLock<bool> = OnceLock::new();
        *AVAILABLE.get_or_init(|| has_instructions() && ask_permission())
    }

    fn has_instructions() -> bool {
        const BF16: u32 = 1 << 22;
        const TILE: u32 = 1 << 24;
        const INT8: u32 = 1 << 25;
        let wanted = BF16 | TILE | INT8;
        __cpuid_count(0, 0).eax >= 7 && __cpuid_count(7, 0).edx & wanted == wanted
    }

    /// Since Linux 5.16 a process may use the large registers of tiles once it has asked for room for them, which
    /// holds for all its threads.
    fn ask_permission() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_ulong = 0x1023;
        const XFEATURE_XTILEDATA: libc::c_ulong = 18;
        // SAFETY: the call takes two numbers, and touches no memory of ours.
        unsafe { libc::syscall(libc::SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0 }
    }

    thread_local! {
        static CONFIGURED: Cell<bool> = const { Cell::new(false) };
    }

    /// Tiles as this thread has them configured, until dropped: eight, of sixteen rows of 64 bytes each. A thread has
    /// one such value at a time, since dropping one would take the tiles from another.
    struct Tiles(PhantomData<*const ()>);

    /// What `LDTILECFG` reads.
    #[repr(C, align(64))]
    struct Configuration {
        palette: u8,
        start_row: u8,
        reserved: [u8; 14],
        row_bytes: [u16; 16],
        rows: [u8; 16],
    }

    impl Tiles {
        /// # Safety
        /// [`is_available`] must have been true.
        unsafe fn configure() -> Self {
            assert!(!CONFIGURED.replace(true), "the tiles of this thread are in use");
            let mut configuration =
                Configuration { palette: 1, start_row: 0, reserved: [0; 14], row_bytes: [0; 16], rows: [0; 16] };
            configuration.row_bytes[..8].fill(64);
            configuration.rows[..8].fill(16);
            // SAFETY: the caller answers for the instruction; it reads 64 bytes, and sets registers that compiled
            // code does not use.
            unsafe { asm!("ldtilecfg [{}]", in(reg) &raw const configuration, options(nostack, readonly)) };
            Self(PhantomData)
        }
    }

    impl Drop for Tiles {
        fn drop(&mut self) {
            // SAFETY: that there is a value shows that the machine has the instruction. It makes what the system
            // saves of this thread small again.
            unsafe { asm!("tilerelease", options(nostack, nomem)) };
            CONFIGURED.set(false);
        }
    }

    /// Defines a [`TileDot`] by the instruction that multiplies tiles.
    macro_rules! tile_dot {
        ($(#[$meta:meta])* $name:ident: $instruction:literal, $input:ty, $weight:ty, $element:ty) => {
            $(#[$meta])*
            pub(crate) struct $name(Tiles);

            impl $name {
                /// # Safety
                /// [`is_available`] must have been true.
                pub(crate) unsafe fn new() -> Self {
                    // SAFETY: as the caller promises.
                    Self(unsafe { Tiles::configure() })
                }
            }

            impl Format for $name {
                type Input = $input;
                type Weights = Line<$weight>;
                type Element = $element;
            }

            impl TileDot for $name {
                #[inline(always)]
                fn multiply(
                    &self,
                    rows: [Rows<'_, $input>; 2],
                    panels: [&[Line<$weight>]; PANELS],
                    starts: [&[$element; LANES]; PANELS],
                    sums: &mut Sums<$element>,
                ) {
                    let depth = panels[0].len();
                    assert!(depth > 0 && depth.is_multiple_of(STEPS) && panels[1].len() == depth);
                    let stride = rows[0].stride;
                    for rows in rows {
                        assert!(rows.stride == stride && rows.width == depth);
                        assert_eq!(rows.values.len(), (ROWS - 1) * stride + depth);
                    }
                    // SAFETY: that there is a `self` shows that the tiles are configured. Tile loads read sixteen
                    // rows of 64 bytes: of a start the same again and again; of inputs, the next 16 steps of
                    // rows that are `stride` apart; of a panel, its next 1024 bytes. After `depth / STEPS` turns all have been read to the end.
                    // `sums` has 1024 bytes for each of its tiles.
                    unsafe {
                        asm!(
                            "tileloadd tmm0, [{start0} + {zero}]",
                            "tileloadd tmm1, [{start1} + {zero}]",
                            "tileloadd tmm2, [{start0} + {zero}]",
                            "tileloadd tmm3, [{start1} + {zero}]",
                            "2:",
                            "tileloadd tmm4, [{rows0} + {stride}]",
                            "tileloadd tmm6, [{panel0} + {line}]",
                            concat!($instruction, " tmm0, tmm4, tmm6"),
                            "tileloadd tmm7, [{panel1} + {line}]",
                            concat!($instruction, " tmm1, tmm4, tmm7"),
                            "tileloadd tmm5, [{rows1} + {stride}]",
                            concat!($instruction, " tmm2, tmm5, tmm6"),
                            concat!($instruction, " tmm3, tmm5, tmm7"),
                            "add {rows0}, 64",
                            "add {rows1}, 64",
                            "add {panel0}, 1024",
                            "add {panel1}, 1024",
                            "dec {turns}",
                            "jnz 2b",
                            "tilestored [{sums} + {line}], tmm0",
                            "tilestored [{sums} + {line} + 1024], tmm1",
                            "tilestored [{sums} + {line} + 2048], tmm2",
                            "tilestored [{sums} + {line} + 3072], tmm3",
                            start0 = in(reg) starts[0].as_ptr(),
                            start1 = in(reg) starts[1].as_ptr(),
                            zero = in(reg) 0_usize,
                            rows0 = inout(reg) rows[0].values.as_ptr() => _,
                            rows1 = inout(reg) rows[1].values.as_ptr() => _,
                            stride = in(reg) 4 * stride,
                            panel0 = inout(reg) panels[0].as_ptr() => _,
                            panel1 = inout(reg) panels[1].as_ptr() => _,
                            line = in(reg) 64_usize,
                            turns = inout(reg) depth / STEPS => _,
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
        /// `TDPBSSD`: bytes with a sign, summed exactly.
        Int8: "tdpbssd", Quad, [i8; 4], i32
    }
    tile_dot! {
        /// `TDPBF16PS`: of sixteen pairs, the products of the first inputs are summed by themselves, and those of the
        /// second; then both sums are added to one another, and to the sum so far.
        Bf16: "tdpbf16ps", Pair, Pair, f32
    }
}

/// The instructions in plain Rust.
#[cfg(test)]
pub(crate) mod emulated {
    use super::*;
    use crate::bfloat16::Pair;
    use crate::dot::{Group, Quad};
    use crate::lines::Line;
    use crate::matmul::Weight;

    pub(crate) struct Int8;

    impl Format for Int8 {
        type Input = Quad;
        type Weights = Group;
        type Element = i32;
    }

    impl TileDot for Int8 {
        fn multiply(
            &self,
            rows: [Rows<'_, Quad>; 2],
            panels: [&[Group]; PANELS],
            starts: [&[i32; LANES]; PANELS],
            sums: &mut Sums<i32>,
        ) {
            multiply(rows, panels, starts, sums, |sum, inputs, weights| {
                let bytes = inputs.iter().zip(weights).flat_map(|(quad, weights)| quad.iter().zip(*weights));
                bytes.fold(sum, |sum, (input, weight)| sum + i32::from(input.cast_signed()) * i32::from(*weight))
            });
        }
    }

    pub(crate) struct Bf16;

    impl Format for Bf16 {
        type Input = Pair;
        type Weights = Line<Pair>;
        type Element = f32;
    }

    impl TileDot for Bf16 {
        fn multiply(
            &self,
            rows: [Rows<'_, Pair>; 2],
            panels: [&[Line<Pair>]; PANELS],
            starts: [&[f32; LANES]; PANELS],
            sums: &mut Sums<f32>,
        ) {
            multiply(rows, panels, starts, sums, |sum, inputs, weights| {
                let mut parts = [0.0_f32; 2];
                for (pair, weights) in inputs.iter().zip(weights) {
                    for (part, (input, weight)) in parts.iter_mut().zip(pair.iter().zip(*weights)) {
                        *part = input.widen().mul_add(weight.widen(), *part);
                    }
                }
                sum + (parts[0] + parts[1])
            });
        }
    }

    /// `add` gives the sum to which the products of sixteen steps have been added.
    fn multiply<I: Copy, W, E: Copy>(
        rows: [Rows<'_, I>; 2],
        panels: [&[Line<W>]; PANELS],
        starts: [&[E; LANES]; PANELS],
        sums: &mut Sums<E>,
        add: impl Fn(E, &[I], &[&W]) -> E,
    ) {
        for (rows, sums) in rows.into_iter().zip(&mut sums.0) {
            for ((panel, start), sums) in panels.into_iter().zip(starts).zip(sums) {
                for (index, sums) in sums.iter_mut().enumerate() {
                    let row = rows.row(index);
                    for (lane, sum) in sums.iter_mut().enumerate() {
                        let steps = row.chunks_exact(STEPS).zip(panel.chunks_exact(STEPS));
                        *sum = steps.fold(start[lane], |sum, (inputs, lines)| {
                            add(sum, inputs, &lines.iter().map(|line| &line.0[lane]).collect::<Vec<_>>())
                        });
                    }
                }
            }
        }
    }
}
