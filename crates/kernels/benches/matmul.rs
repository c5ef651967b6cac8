//! The matrix product at the shapes of a layer, and one tile of it with its operands in the first-level cache.
//!
//! `cargo bench -p kernels`; throughputs are in multiply-adds ("elements") a second. The tile is not the
//! machine's peak: starting and storing its sums counts too.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Activation, Isa, Matmul, PackedMatrix};

/// Six rows by one panel, whose weights fill half of the first-level cache.
fn tile(criterion: &mut Criterion) {
    let (rows, inputs, outputs) = (6, 256, 16);
    let mut group = criterion.benchmark_group("tile");
    group.throughput(Throughput::Elements((rows * inputs * outputs) as u64));
    for isa in Isa::available() {
        let weight = PackedMatrix::pack(isa, &vec![0.5; outputs * inputs], outputs, inputs);
        let (x, mut y) = (vec![0.25; rows * inputs], vec![0.0; rows * outputs]);
        let matmul = Matmul { weight: &weight, bias: &vec![0.0; outputs], activation: Activation::None };
        group.bench_function(isa.name(), |bencher| bencher.iter(|| matmul.run(black_box(&x), black_box(&mut y))));
    }
    group.finish();
}

fn layers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("matmul");
    group.sample_size(20);
    for (rows, inputs, outputs) in [(22, 384, 1536), (512, 384, 1536), (512, 1536, 384), (512, 768, 3072)] {
        group.throughput(Throughput::Elements((rows * inputs * outputs) as u64));
        for isa in Isa::available() {
            let weight = PackedMatrix::pack(isa, &vec![0.5; outputs * inputs], outputs, inputs);
            let (x, mut y) = (vec![0.25; rows * inputs], vec![0.0; rows * outputs]);
            let bias = vec![0.0; outputs];
            let matmul = Matmul { weight: &weight, bias: &bias, activation: Activation::None };
            let name = BenchmarkId::new(isa.name(), format!("{rows}x{inputs}x{outputs}"));
            group.bench_function(name, |bencher| bencher.iter(|| matmul.run(black_box(&x), black_box(&mut y))));
        }
    }
    group.finish();
}

criterion_group!(benches, tile, layers);
criterion_main!(benches);
