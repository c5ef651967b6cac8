//! The matrix product beside the machine's peak, measured in the same run.
//!
//! `cargo bench -p kernels`; the share of the peak is the ratio of the two throughputs, which are in
//! multiply-adds ("elements") a second.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use kernels::{Activation, Isa, Matmul, PackedMatrix};

/// A tile whose operands never leave the registers: the most that one core can do in float32.
fn peak(criterion: &mut Criterion) {
    // Six rows by one panel, the weights of which fill a quarter of the first-level cache.
    let (rows, inputs, outputs) = (6, 128, 16);
    let mut group = criterion.benchmark_group("peak");
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

criterion_group!(benches, peak, layers);
criterion_main!(benches);
