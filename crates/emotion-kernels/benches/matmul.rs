//! Benchmarks the matrix product at the shapes of a layer, and one tile with its operands in the first-level cache.
//!
//! `cargo bench -p emotion-kernels`; throughputs are in multiply-adds ("elements") per second. The throughput of the
//! tile is below the peak of the machine, because it includes starting and storing the sums.

use std::hint::black_box;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use emotion_kernels::{Activation, Isa, Matmul, OperandWorkspace, PackedMatrix, Precision};

/// Six rows by one panel, whose weights fill half of the first-level cache.
fn tile(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tile");
    product(&mut group, Precision::Float32, [6, 256, 16]);
    group.finish();
}

/// Each precision, with the rounding of the rows; the ratio to `matmul/float32` is the gain.
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

/// The cost of GELU in a product with almost no inputs; the throughput is in values per second.
fn activations(criterion: &mut Criterion) {
    let (rows, inputs, outputs) = (96, 16, 1536);
    let mut group = criterion.benchmark_group("activation");
    group.throughput(Throughput::Elements((rows * outputs) as u64));
    for isa in Isa::available() {
        let weight = PackedMatrix::pack(isa, Precision::Float32, &vec![0.01; outputs * inputs], outputs, inputs);
        let x: Vec<f32> = (0..rows * inputs).map(|i| (i % 37) as f32 * 0.1 - 1.8).collect();
        let (bias, mut y) = (vec![0.1; outputs], vec![0.0; rows * outputs]);
        let mut workspace = OperandWorkspace::default();
        for activation in [Activation::None, Activation::Gelu] {
            let matmul = Matmul { weight: &weight, bias: &bias, activation };
            group.bench_function(BenchmarkId::new(isa.name(), format!("{activation:?}")), |bencher| {
                bencher.iter(|| matmul.run(weight.operand(black_box(&x), &mut workspace), black_box(&mut y)));
            });
        }
    }
    group.finish();
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

criterion_group!(benches, tile, layers, activations);
criterion_main!(benches);
