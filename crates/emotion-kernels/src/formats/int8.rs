//! Products in int8: rows are rounded with one scale each, and sums are exact.

use std::ops::Range;

use crate::arithmetic::{Arithmetic, LANES, Lanes, dispatch};
use crate::epilogue::{Activation, Epilogue};
#[cfg(target_arch = "aarch64")]
use crate::gemm::aarch64::{Sdot, Smmla};
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::gemm::amx;
use crate::gemm::dot::{ByteStep, Step};
use crate::gemm::portable::ByteLanes;
#[cfg(target_arch = "aarch64")]
use crate::gemm::row_pairs::RowPairs;
#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
use crate::gemm::tiles::TwoByTwo;
use crate::gemm::tiles::{self, Panel, Panels};
#[cfg(target_arch = "x86_64")]
use crate::gemm::x86_64::{Avx2, AvxVnni, Vnni};
use crate::isa::Isa;
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
use crate::isa::Level;
use crate::layout::{ByteLayout, Group, Multiples, Quad, Rows, RowsMut, padded_stride};
use crate::lines::{self, AlignedBuffer, Line};
use crate::quantization::{Columns, LARGEST, quantize};
use crate::transpose::transpose;

/// The maximum number of products of two values whose sum always fits into 32 bits.
pub(crate) const MAX_INPUTS: usize = (i32::MAX / (LARGEST * LARGEST)) as usize;

/// Rows of activations in 8 bits, padded to [`Multiples`] and in the [`ByteLayout`] of the instruction set.
#[derive(Clone, Copy)]
pub(crate) struct Int8Rows<'a> {
    quads: Rows<'a, Quad>,
    /// The value of 1 in each row.
    scales: &'a [f32],
}

/// The memory of [`Int8Rows`].
#[derive(Default)]
pub(crate) struct Int8Buffer {
    quads: Vec<Line<Quad>>,
    scales: Vec<f32>,
}

impl Int8Buffer {
    /// The shape of rows of `width` values, and the memory of `count` rows. The padding of a row may hold earlier values:
    /// its weights are zero. Results of padding rows are not stored.
    fn rows(&mut self, isa: Isa, count: usize, width: usize) -> (Shape, &mut [Quad], &mut [f32]) {
        let shape = Shape::of(isa, width);
        self.scales.resize(count, 0.0);
        (shape, lines::words(&mut self.quads, shape.row_count(count) * shape.stride), &mut self.scales)
    }
}

/// Rounds each row of `x` to 8 bits.
pub(crate) fn quantize_rows<'a>(isa: Isa, x: Rows<'_>, rounded: &'a mut Int8Buffer) -> Int8Rows<'a> {
    let (shape, values, scales) = rounded.rows(isa, x.count, x.width);
    quantize_into(isa, shape, x, values, scales);
    Int8Rows { quads: shape.rows(values, x.count), scales }
}

/// Rounds each row of `x` to 8 bits. There are as many scales as rows.
fn quantize_into(isa: Isa, shape: Shape, x: Rows<'_>, quads: &mut [Quad], row_scales: &mut [f32]) {
    let Shape { layout, stride, .. } = shape;
    let (bytes, row_bytes, offset) = (quads.as_flattened_mut(), 4 * stride, layout.offset);
    dispatch!(
        isa,
        quantize_all(x: Rows<'_>, row_bytes: usize, offset: u8, bytes: &mut [u8], row_scales: &mut [f32])
    );
    shape.arrange(quads);
}

impl<'a> Int8Rows<'a> {
    /// The value of 1 in each row.
    pub(crate) fn scales(self) -> &'a [f32] {
        self.scales
    }

    /// `count` rows from `first` on, a multiple of 16, and the padding behind them.
    pub(crate) fn part(self, first: usize, count: usize) -> Self {
        let Self { quads, scales } = self;
        let values = &quads.values[first * quads.stride..];
        Self { quads: Rows { values, count, ..quads }, scales: &scales[first..][..count] }
    }
}

/// The shape of rows of quads.
#[derive(Clone, Copy)]
struct Shape {
    layout: ByteLayout,
    multiples: Multiples,
    /// The number of quads in a row.
    depth: usize,
    /// The distance of rows in quads.
    stride: usize,
}

impl Shape {
    /// The shape of rows of `width` values.
    fn of(isa: Isa, width: usize) -> Self {
        let (layout, multiples) = (layout(isa), Multiples::of(isa));
        let depth = depth(layout, multiples, width);
        Self { layout, multiples, depth, stride: multiples.stride(depth) }
    }

    /// The number of rows that `count` rows take, with their padding.
    fn row_count(self, count: usize) -> usize {
        count.next_multiple_of(self.multiples.rows.max(self.layout.rows))
    }

    fn rows(self, values: &[Quad], count: usize) -> Rows<'_, Quad> {
        Rows { values, stride: self.stride, count, width: self.depth }
    }

    /// Interleaves rows if the instruction set requires it.
    fn arrange(self, quads: &mut [Quad]) {
        if self.layout.rows == 2 {
            interleave_pairs(quads, self.depth);
        }
    }
}

/// Rows of integers from 0 to 127, as softmax writes them, without an offset.
pub(crate) struct UnsignedRows(Shape);

impl UnsignedRows {
    /// For rows of `width` integers.
    pub(crate) fn new(isa: Isa, width: usize) -> Self {
        Self(Shape::of(isa, width))
    }

    /// The number of bytes from one row to the next, of which those after the first `width` are padding.
    pub(crate) fn row_bytes(&self) -> usize {
        4 * self.0.stride
    }

    /// The memory of `count` rows.
    pub(crate) fn bytes<'a>(&self, count: usize, quads: &'a mut Vec<Line<Quad>>) -> &'a mut [u8] {
        lines::words(quads, self.0.row_count(count) * self.0.stride).as_flattened_mut()
    }

    /// The rows in that memory, with their scales, as an operand of a product.
    pub(crate) fn rows<'a>(&self, quads: &'a mut Vec<Line<Quad>>, scales: &'a [f32]) -> Int8Rows<'a> {
        let values = lines::words(quads, self.0.row_count(scales.len()) * self.0.stride);
        self.0.arrange(values);
        Int8Rows { quads: self.0.rows(values, scales.len()), scales }
    }
}

/// Interleaves each two rows of `depth` quads: two quads of the first, two of the second, and so on.
fn interleave_pairs(quads: &mut [Quad], depth: usize) {
    let mut rows = vec![Quad::default(); 2 * depth];
    for pair in quads.chunks_exact_mut(2 * depth) {
        rows.copy_from_slice(pair);
        let (first, second) = rows.split_at(depth);
        let steps = first.as_chunks::<2>().0.iter().zip(second.as_chunks::<2>().0);
        for (out, ([a, b], [c, d])) in pair.as_chunks_mut::<4>().0.iter_mut().zip(steps) {
            *out = [*a, *b, *c, *d];
        }
    }
}

/// The byte layout of the dot step of an instruction set.
fn layout(isa: Isa) -> ByteLayout {
    match isa.level() {
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => Avx2::LAYOUT,
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => AvxVnni::LAYOUT,
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni | Level::Avx512Bf16 => Vnni::LAYOUT,
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Amx => amx::Int8::LAYOUT,
        #[cfg(target_arch = "aarch64")]
        Level::Dotprod => Sdot::LAYOUT,
        #[cfg(target_arch = "aarch64")]
        Level::I8mm | Level::Bf16 => Smmla::LAYOUT,
        _ => ByteLanes::LAYOUT,
    }
}

/// The number of quads in a row or a panel of `inputs` inputs.
fn depth(layout: ByteLayout, multiples: Multiples, inputs: usize) -> usize {
    multiples.depth(inputs, 4).next_multiple_of(layout.steps)
}

#[inline(always)]
fn quantize_all<A: Arithmetic>(x: Rows<'_>, row_bytes: usize, offset: u8, bytes: &mut [u8], row_scales: &mut [f32]) {
    for (index, (bytes, scale)) in bytes.chunks_exact_mut(row_bytes).zip(row_scales).enumerate() {
        *scale = quantize(x.row(index), offset, bytes);
    }
}

/// A weight matrix in 8 bits.
#[derive(Default)]
pub(crate) struct Int8Panels {
    groups: Vec<Group>,
    /// The number of groups in a panel.
    depth: usize,
    /// The value of 1 in each output.
    scales: Vec<Lanes>,
    /// The start values of the sums, which cancel the offset of the inputs.
    starts: Vec<[i32; LANES]>,
}

impl Int8Panels {
    /// # Panics
    /// If there are more than [`MAX_INPUTS`] inputs.
    pub(crate) fn pack(isa: Isa, weight: &[f32], inputs: usize) -> Self {
        Self::pack_as(layout(isa), Multiples::of(isa), weight, inputs)
    }

    fn pack_as(layout: ByteLayout, multiples: Multiples, weight: &[f32], inputs: usize) -> Self {
        assert!(inputs <= MAX_INPUTS, "{inputs} inputs, of which int8 takes at most {MAX_INPUTS}");
        let mut panels = Self::default();
        panels.resize(layout, multiples, weight.len() / inputs.max(1), inputs);
        let mut quads = vec![Quad::default(); panels.depth];
        for (output, row) in weight.chunks_exact(inputs.max(1)).enumerate() {
            let (panel, lane) = (output / LANES, output % LANES);
            panels.scales[panel][lane] = quantize(row, 0, quads.as_flattened_mut());
            for (group, quad) in panels.groups[panel * panels.depth..].iter_mut().zip(&quads) {
                group.0[lane] = quad.map(u8::cast_signed);
            }
            panels.starts[panel][lane] = start(layout, quads.as_flattened());
        }
        panels.arrange(layout);
        panels
    }

    /// Replaces the weights by the rows of `x`, one row per output, whose products are multiplied by `factor`.
    pub(crate) fn pack_rows(&mut self, isa: Isa, x: Rows<'_>, factor: f32, quads: &mut Vec<Line<Quad>>) {
        let (layout, multiples) = (layout(isa), Multiples::of(isa));
        self.resize(layout, multiples, x.count, x.width);
        let Self { groups, depth, scales, starts } = self;
        let (depth, row_bytes) = (*depth, 4 * *depth);
        let quads = lines::words(quads, x.count * depth);
        let (bytes, row_scales) = (quads.as_flattened_mut(), &mut scales.as_flattened_mut()[..x.count]);
        dispatch!(isa, pack_weights(x: Rows<'_>, row_bytes: usize, factor: f32, bytes: &mut [u8], row_scales: &mut [f32]));
        for (start_value, bytes) in starts.as_flattened_mut().iter_mut().zip(bytes.chunks_exact(row_bytes)) {
            *start_value = start(layout, bytes);
        }
        let rows = Rows { values: lines::cast::<Quad, [i8; 4]>(quads), stride: depth, count: x.count, width: depth };
        transpose(isa, rows, groups);
        self.arrange(layout);
    }

    /// Replaces the weights by the columns of `x`, one column per output, for rows of integers without an offset.
    /// Missing rows of `x`, up to a multiple of 16, are zero.
    pub(crate) fn pack_columns(&mut self, isa: Isa, x: Rows<'_>) {
        let layout = layout(isa);
        self.resize(layout, Multiples::of(isa), x.width, x.count.next_multiple_of(LANES));
        let Self { groups, depth, scales, .. } = self;
        let depth = *depth;
        dispatch!(isa, pack_column_panels(x: Rows<'_>, depth: usize, groups: &mut [Group], scales: &mut [Lanes]));
        self.arrange(layout);
    }

    /// The sum of the scales.
    pub(crate) fn total_scale(&self) -> f32 {
        self.scales.as_flattened().iter().sum()
    }

    /// Resizes the panels to `outputs` outputs of `inputs` inputs. The scales of new outputs are zero.
    fn resize(&mut self, layout: ByteLayout, multiples: Multiples, outputs: usize, inputs: usize) {
        let panels = multiples.panels(outputs);
        self.depth = depth(layout, multiples, inputs);
        self.groups.resize(panels * self.depth, Group::default());
        self.scales.clear();
        self.scales.resize(panels, Lanes::default());
        self.starts.clear();
        self.starts.resize(panels, [0; LANES]);
    }

    /// Brings the bytes of groups, in which the four weights of each output are adjacent, into another layout.
    fn arrange(&mut self, layout: ByteLayout) {
        let Some(arrange) = layout.arrange else { return };
        self.groups.chunks_exact_mut(layout.steps).for_each(arrange);
    }
}

/// The start value of the sums of an output with these weights.
fn start(layout: ByteLayout, weights: &[u8]) -> i32 {
    if layout.offset == 0 {
        return 0;
    }
    let sum: i32 = weights.iter().map(|byte| i32::from(byte.cast_signed())).sum();
    sum.wrapping_mul(-i32::from(layout.offset))
}

/// Rounds each row of `x` to the weights of an output, padded with zeros.
#[inline(always)]
fn pack_weights<A: Arithmetic>(x: Rows<'_>, row_bytes: usize, factor: f32, bytes: &mut [u8], scales: &mut [f32]) {
    for (index, (bytes, scale)) in bytes.chunks_exact_mut(row_bytes).zip(scales).enumerate() {
        *scale = quantize(x.row(index), 0, bytes) * factor;
        bytes[x.width..].fill(0);
    }
}

/// Rounds the columns of `x` to panels of `depth` groups.
#[inline(always)]
fn pack_column_panels<A: Arithmetic>(x: Rows<'_>, depth: usize, groups: &mut [Group], scales: &mut [Lanes]) {
    let count = x.width.div_ceil(LANES);
    let blocks = groups.chunks_mut(PACKED_PANELS * depth).zip(scales[..count].chunks_mut(PACKED_PANELS));
    for ((groups, scales), first) in blocks.zip((0..x.width).step_by(PACKED_PANELS * LANES)) {
        if let Some(scales) = scales.as_mut_array() {
            pack_block::<PACKED_PANELS>(x, first, depth, groups, scales);
            continue;
        }
        let panels = groups.chunks_exact_mut(depth).zip(scales.as_chunks_mut::<1>().0);
        for ((groups, scales), first) in panels.zip((first..x.width).step_by(LANES)) {
            pack_block::<1>(x, first, depth, groups, scales);
        }
    }
}

/// Panels that are packed at once, so that 256 bytes of each row are read one after the other: rows of keys and values
/// are far apart, often by a multiple of 2 kB, and share few sets of the first-level cache.
const PACKED_PANELS: usize = 4;

/// Rounds `PANELS` times 16 columns of `x` from `first` on to panels of `depth` groups.
#[inline(always)]
fn pack_block<const PANELS: usize>(
    x: Rows<'_>,
    first: usize,
    depth: usize,
    groups: &mut [Group],
    scales: &mut [Lanes; PANELS],
) {
    let mut columns = [const { Columns::new() }; PANELS];
    for row in 0..x.count {
        for (panel, columns) in columns.iter_mut().enumerate() {
            columns.include(lanes_from(x.row(row), first + panel * LANES));
        }
    }
    for (columns, scales) in columns.iter_mut().zip(scales) {
        *scales = columns.scales();
    }
    for step in 0..depth {
        let mut words = [[0; LANES]; PANELS];
        for (byte, row) in (4 * step..x.count.min(4 * step + 4)).enumerate() {
            for (panel, columns) in columns.iter().enumerate() {
                let rounded = columns.round(lanes_from(x.row(row), first + panel * LANES));
                for lane in 0..LANES {
                    words[panel][lane] |= (rounded[lane] & 0xFF) << (8 * byte);
                }
            }
        }
        for (panel, words) in words.iter().enumerate() {
            for (quad, word) in groups[panel * depth + step].0.iter_mut().zip(words) {
                *quad = word.to_le_bytes().map(u8::cast_signed);
            }
        }
    }
}

/// The 16 values of a row from `first` on; missing ones are zero.
#[inline(always)]
fn lanes_from(row: &[f32], first: usize) -> Lanes {
    let row = &row[first..];
    if let Some(whole) = row.first_chunk::<LANES>() {
        return *whole;
    }
    let mut lanes = Lanes::default();
    for (lane, value) in lanes.iter_mut().zip(row) {
        *lane = *value;
    }
    lanes
}

/// Panels from `first` on, for rows with the given scales.
#[derive(Clone, Copy)]
struct ScaledPanels<'a> {
    panels: &'a Int8Panels,
    first: usize,
    row_scales: &'a [f32],
}

struct ScaledPanel<'a> {
    groups: &'a [Group],
    start: &'a [i32; LANES],
    scales: Lanes,
    row_scales: &'a [f32],
    bias: Lanes,
}

impl<'a, S: Step<Weights = Group, Element = i32>> Panels<S> for ScaledPanels<'a> {
    type Panel = ScaledPanel<'a>;

    #[inline(always)]
    fn panel(&self, index: usize, bias: Lanes) -> ScaledPanel<'a> {
        let (Int8Panels { groups, depth, scales, starts }, index) = (self.panels, self.first + index);
        ScaledPanel {
            groups: &groups[index * depth..][..*depth],
            start: &starts[index],
            scales: scales[index],
            row_scales: self.row_scales,
            bias,
        }
    }
}

impl<S: Step<Weights = Group, Element = i32>> Panel<S> for ScaledPanel<'_> {
    type RowScale = f32;

    #[inline(always)]
    fn weights(&self) -> &[Group] {
        self.groups
    }

    #[inline(always)]
    fn start(&self) -> &[i32; LANES] {
        self.start
    }

    #[inline(always)]
    fn row_scales(&self, rows: Range<usize>) -> &[f32] {
        &self.row_scales[rows]
    }

    /// Two products and a sum, never fused: the same roundings on every instruction set.
    #[inline(always)]
    fn finish(&self, row_scale: f32, sums: [i32; LANES]) -> Lanes {
        // A closure would be a call in a function with a target feature.
        let mut values = [0.0; LANES];
        for lane in 0..LANES {
            values[lane] = sums[lane] as f32 * (row_scale * self.scales[lane]) + self.bias[lane];
        }
        values
    }
}

/// The product of rows and panels, from panel `first` on. Both were prepared for the same instruction set.
pub(crate) fn product(isa: Isa, x: Int8Rows<'_>, panels: &Int8Panels, first: usize, epilogue: Epilogue<'_>) {
    let Int8Rows { quads, scales } = x;
    let panels = ScaledPanels { panels, first, row_scales: scales };
    match isa.level() {
        // SAFETY: an `Isa` exists only if this machine has its instructions.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { avx2(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::AvxVnni => unsafe { avx_vnni(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512Vnni | Level::Avx512Bf16 => unsafe { vnni(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        Level::Amx => unsafe { amx(&amx::Int8::new(isa), quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Level::Dotprod => unsafe { dotprod(quads, panels, epilogue) },
        // SAFETY: as above.
        #[cfg(target_arch = "aarch64")]
        Level::I8mm | Level::Bf16 => unsafe { i8mm(quads, panels, epilogue) },
        _ => tiles::multiply(ByteLanes, quads, panels, epilogue),
    }
}

/// The product as rows for further products.
///
/// A part of the rows is computed and rounded before the next one is, so that the values to be rounded stay in the
/// second-level cache. They are in `buffer`, which grows if necessary.
pub(crate) fn product_to_rows<'a>(
    isa: Isa,
    x: Int8Rows<'_>,
    panels: &Int8Panels,
    bias: &[f32],
    activation: Activation,
    buffer: &mut AlignedBuffer,
    rounded: &'a mut Int8Buffer,
) -> Int8Rows<'a> {
    let (count, width, stride) = (x.quads.count, bias.len(), padded_stride(bias.len()));
    let part = part_rows(isa).min(count.next_multiple_of(LANES)).max(LANES);
    let buffer = buffer.values(part * stride);
    let (shape, values, scales) = rounded.rows(isa, count, width);
    let parts = values.chunks_mut(part * shape.stride).zip(scales.chunks_mut(part));
    for (index, (quads, scales)) in parts.enumerate() {
        let count = scales.len();
        let out = RowsMut { values: &mut *buffer, stride, width };
        product(isa, x.part(index * part, count), panels, 0, Epilogue { bias, activation, out });
        quantize_into(isa, shape, Rows { values: buffer, stride, count, width }, quads, scales);
    }
    Int8Rows { quads: shape.rows(values, count), scales }
}

/// The largest number of rows that [`product_to_rows`] computes before it rounds them, a multiple of 16. Each part reads
/// the weights again, which takes a larger share of the time with AMX.
fn part_rows(isa: Isa) -> usize {
    match isa.level() {
        Level::Amx => 128,
        _ => 48,
    }
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,dotprod")]
fn dotprod(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(Sdot::new(), x, panels, epilogue);
}

#[cfg(target_arch = "aarch64")]
#[target_feature(enable = "neon,i8mm")]
fn i8mm(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(RowPairs(Smmla::new()), x, panels, epilogue);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn avx2(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(Avx2::new(), x, panels, epilogue);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avxvnni,avx2,fma")]
fn avx_vnni(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(AvxVnni::new(), x, panels, epilogue);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f,avx512vnni,avx2,fma")]
fn vnni(x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(Vnni::new(), x, panels, epilogue);
}

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
#[target_feature(enable = "avx512f,avx2,fma")]
fn amx(dot: &amx::Int8, x: Rows<'_, Quad>, panels: ScaledPanels<'_>, epilogue: Epilogue<'_>) {
    tiles::multiply(TwoByTwo::new(dot), x, panels, epilogue);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::arithmetic::{Fused, Native, coarse_gelu};
    use crate::epilogue::Activation;
    use crate::gemm::emulated::{Smmla, Tdpbssd};
    use crate::gemm::row_pairs::RowPairs;
    use crate::gemm::tiles::TwoByTwo;
    use crate::layout::RowsMut;
    use crate::matmul::{Matmul, PackedMatrix};
    use crate::operand::OperandWorkspace;
    use crate::precision::Precision;

    /// The same rounding, written differently: the 8-bit values and their scale.
    fn naive_row(row: &[f32]) -> (Vec<i64>, f32) {
        let largest = row.iter().copied().map(f32::abs).fold(0.0, f32::max);
        let inverse = 127.0 / largest;
        if inverse.is_infinite() {
            return (vec![0; row.len()], 0.0);
        }
        #[expect(clippy::cast_possible_truncation, reason = "clamped")]
        let round = |value: f32| (value * inverse).round_ties_even().clamp(-127.0, 127.0) as i64;
        (row.iter().copied().map(round).collect(), largest / 127.0)
    }

    fn naive(x: &[f32], weight: &[f32], bias: &[f32], inputs: usize) -> Vec<f32> {
        let weights: Vec<_> = weight.chunks_exact(inputs).map(naive_row).collect();
        let rows = x.chunks_exact(inputs).map(naive_row);
        rows.flat_map(|(row, scale)| {
            let outputs = weights.iter().zip(bias).map(move |((weights, weight_scale), bias)| {
                let sum: i64 = row.iter().zip(weights).map(|(a, b)| a * b).sum();
                sum as f32 * (scale * weight_scale) + bias
            });
            outputs.collect::<Vec<_>>()
        })
        .collect()
    }

    fn run(isa: Isa, x: &[f32], weight: &[f32], bias: &[f32], inputs: usize, activation: Activation) -> Vec<f32> {
        let packed = PackedMatrix::pack(isa, Precision::Int8, weight, bias.len(), inputs);
        let mut y = vec![f32::NAN; x.len() / inputs * bias.len()];
        let mut workspace = OperandWorkspace::default();
        Matmul { weight: &packed, bias, activation }.run(packed.operand(x, &mut workspace), &mut y);
        y
    }

    fn bits(values: &[f32]) -> Vec<u32> {
        values.iter().map(|value| value.to_bits()).collect()
    }

    fn dense(values: &[f32], width: usize) -> Rows<'_> {
        Rows { values, stride: width, count: values.len() / width, width }
    }

    /// Rows that are hard to round: zeros, equal magnitudes, halves, huge or tiny values, a single peak.
    fn row(width: usize) -> impl Strategy<Value = Vec<f32>> {
        let of = |value: BoxedStrategy<f32>| prop::collection::vec(value, width).boxed();
        prop_oneof![
            4 => of((-1.0_f32..1.0).boxed()),
            1 => of(Just(0.0).boxed()),
            1 => of(prop_oneof![Just(3.5_f32), Just(-3.5)].boxed()),
            1 => of((-254_i16..=254).prop_map(|halves| f32::from(halves) / 2.0).boxed()),
            1 => of((-1e18_f32..1e18).boxed()),
            1 => of((-1e-38_f32..1e-38).boxed()),
            1 => of((-1e-30_f32..1e-30).boxed()),
            1 => (of((-0.01_f32..0.01).boxed()), 0..width).prop_map(|(mut row, at)| {
                row[at] = 100.0;
                row
            }),
        ]
    }

    fn matrix(rows: impl Strategy<Value = usize>, width: usize) -> impl Strategy<Value = Vec<f32>> {
        rows.prop_flat_map(move |rows| prop::collection::vec(row(width), rows)).prop_map(|rows| rows.concat())
    }

    fn operands() -> impl Strategy<Value = (usize, Vec<f32>, Vec<f32>, Vec<f32>)> {
        (1_usize..80, prop_oneof![4 => Just(30_usize), 1 => Just(130)]).prop_flat_map(|(inputs, rows)| {
            (Just(inputs), matrix(1..rows, inputs), matrix(1..70_usize, inputs)).prop_map(|(inputs, x, weight)| {
                let outputs = weight.len() / inputs;
                (inputs, x, weight, (0_i16..).map(|i| f32::from(i % 7) - 3.0).take(outputs).collect())
            })
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn every_isa_has_the_bits_of_the_naive_product((inputs, x, weight, bias) in operands()) {
            let exact = naive(&x, &weight, &bias, inputs);
            let relu: Vec<f32> = exact.iter().map(|value| value.max(0.0)).collect();
            for isa in Isa::available() {
                let y = run(isa, &x, &weight, &bias, inputs, Activation::None);
                prop_assert_eq!(bits(&y), bits(&exact), "{}", isa.name());
                let y = run(isa, &x, &weight, &bias, inputs, Activation::Relu);
                prop_assert_eq!(bits(&y), bits(&relu), "{}", isa.name());
                let y = run(isa, &x, &weight, &bias, inputs, Activation::Gelu);
                let portable = isa == Isa::available()[0];
                let gelu: Vec<f32> =
                    exact.iter().map(|x| if portable { coarse_gelu::<Native>(*x) } else { coarse_gelu::<Fused>(*x) }).collect();
                prop_assert_eq!(bits(&y), bits(&gelu), "{}", isa.name());
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Tests the loop around the emulated `TDPBSSD`.
        #[test]
        fn tiles_have_the_bits_of_the_naive_product((inputs, x, weight, bias) in operands()) {
            let count = x.len() / inputs;
            let panels = Int8Panels::pack_as(Tdpbssd::LAYOUT, Multiples::AMX, &weight, inputs);
            let depth = Multiples::AMX.depth(inputs, 4);
            let stride = Multiples::AMX.stride(depth);
            let mut quads = vec![[0x80; 4]; count.next_multiple_of(Multiples::AMX.rows) * stride];
            let mut scales = vec![0.0; count];
            quantize_all::<Fused>(dense(&x, inputs), 4 * stride, 0, quads.as_flattened_mut(), &mut scales);
            let rows = Rows { values: &quads, stride, count, width: depth };
            let mut y = vec![f32::NAN; count * bias.len()];
            let out = RowsMut { values: &mut y, stride: bias.len(), width: bias.len() };
            let panels = ScaledPanels { panels: &panels, first: 0, row_scales: &scales };
            let epilogue = Epilogue { bias: &bias, activation: Activation::None, out };
            tiles::multiply(TwoByTwo::new(&Tdpbssd), rows, panels, epilogue);
            prop_assert_eq!(bits(&y), bits(&naive(&x, &weight, &bias, inputs)));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        /// Tests the loop around the emulated `smmla`.
        #[test]
        fn row_pairs_have_the_bits_of_the_naive_product((inputs, x, weight, bias) in operands()) {
            let count = x.len() / inputs;
            let panels = Int8Panels::pack_as(Smmla::LAYOUT, Multiples::ANY, &weight, inputs);
            let stride = depth(Smmla::LAYOUT, Multiples::ANY, inputs);
            let (mut quads, mut scales) = (vec![[0x80; 4]; count.next_multiple_of(2) * stride], vec![0.0; count]);
            quantize_all::<Fused>(dense(&x, inputs), 4 * stride, 0, quads.as_flattened_mut(), &mut scales);
            interleave_pairs(&mut quads, stride);
            let rows = Rows { values: &quads, stride, count, width: stride };
            let mut y = vec![f32::NAN; count * bias.len()];
            let out = RowsMut { values: &mut y, stride: bias.len(), width: bias.len() };
            let panels = ScaledPanels { panels: &panels, first: 0, row_scales: &scales };
            let epilogue = Epilogue { bias: &bias, activation: Activation::None, out };
            tiles::multiply(RowPairs(Smmla), rows, panels, epilogue);
            prop_assert_eq!(bits(&y), bits(&naive(&x, &weight, &bias, inputs)));
        }
    }

    #[test]
    fn as_many_inputs_as_there_may_be_do_not_overflow() {
        let (inputs, limit) = (MAX_INPUTS, LARGEST as f32);
        let sum = (LARGEST * LARGEST) as f32 * inputs as f32;
        let (up, down) = (vec![limit; inputs], vec![-limit; inputs]);
        for isa in Isa::available() {
            for (x, weight, expected) in [(&up, &up, sum), (&up, &down, -sum), (&down, &down, sum)] {
                assert_eq!(run(isa, x, weight, &[0.0], inputs, Activation::None), [expected], "{}", isa.name());
            }
        }
    }

    #[test]
    #[should_panic(expected = "133145 inputs")]
    fn one_input_more_is_refused() {
        let inputs = MAX_INPUTS + 1;
        let _ = PackedMatrix::pack(Isa::detected(), Precision::Int8, &vec![1.0; inputs], 1, inputs);
    }

    #[test]
    fn what_is_not_finite_stays_so() {
        for isa in Isa::available() {
            for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let x = [1.0, value, 1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0];
                let y =
                    run(isa, &x, &[1.0, 0.0, 0.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0], &[1.0, 1.0], 5, Activation::None);
                assert!(y[..2].iter().all(|value| !value.is_finite()), "{value} on {}: {y:?}", isa.name());
                assert_eq!(y[2..], [4.0, 1.0], "{}", isa.name());
            }
        }
    }
}
