//! The matrix product at the shapes of a layer, and one tile of it with its operands in the first-level cache.
//!
//! `cargo bench -p kernels`; throughputs are in multiply-adds ("elements") a second. The tile is not the
//! machine's peak: starting and storing its sums counts too.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Activation, Isa, Matmul, OperandWorkspace, PackedMatrix, Precision};

/// Six rows by one panel, whose weights fill half of the first-level cache.
fn tile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tile");
    product(&mut group, Precision::Float32, [6, 256, 16]);
    group.finish();
}

/// In each precision, with the rounding of the rows; the ratio to `matmul/float32` is the gain.
fn layers(criterion: &mut Criterion) {
    for precision in Precision::ALL {
        let mut group = criterion.benchmark_group(format!("matmul/{precision}"));
        group.sample_size(20);
        for shape in [[1, 384, 1536], [22, 384, 1536], [512, 384, 1536], [512, 1536, 384], [512, 768, 3072]] {
            product(&mut group, precision, shape);
        }
        group.finish();
    }
}

fn product(group: &mut BenchmarkGroup<'_, WallTime>, precision: Precision, [rows, inputs, outputs]: [usize; 3]) {
    group.throughput(Throughput::Elements((rows * inputs * outputs) as u64));
    for isa in Isa::available() {
        let weight = PackedMatrix::pack(isa, precision, &vec![0.5; outputs * inputs], outputs, inputs);
        let (x, bias, mut y) = (vec![0.25; rows * inputs], vec![0.0; outputs], vec![0.0; rows * outputs]);
        let matmul = Matmul { weight: &weight, bias: &bias, activation: Activation::None };
        let mut workspace = OperandWorkspace::default();
        let name = BenchmarkId::new(isa.name(), format!("{rows}x{inputs}x{outputs}"));
        group.bench_function(name, |bencher| {
            bencher.iter(|| matmul.run(weight.operand(black_box(&x), &mut workspace), black_box(&mut y)));
        });
    }
}

criterion_group!(benches, tile, layers);
criterion_main!(benches);
