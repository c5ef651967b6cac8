//! No kernel turns NaN or an infinity into a finite value where the exact result is not finite, in any precision and on
//! any instruction set.

use emotion_kernels::{
    Activation, AlignedBuffer, Attention, AttentionWorkspace, Isa, LayerNorm, Matmul, OperandWorkspace, PackedMatrix,
    Precision,
};
use proptest::prelude::*;

const BAD: [f32; 4] = [f32::NAN, -f32::NAN, f32::INFINITY, f32::NEG_INFINITY];

/// Finite values, every fifth of which is 0.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let value = |i: u32| match i.wrapping_mul(seed | 1).wrapping_mul(2_654_435_761) >> 16 {
        bits if bits % 5 == 0 => 0.0,
        bits => bits as f32 / 32_768.0 - 1.0,
    };
    (0..).map(value).take(count).collect()
}

/// `values` with some replaced by values that are not finite.
fn spoiled(mut values: Vec<f32>, at: &[(prop::sample::Index, f32)]) -> Vec<f32> {
    for (index, bad) in at {
        let index = index.index(values.len());
        values[index] = *bad;
    }
    values
}

fn bad(most: usize) -> impl Strategy<Value = Vec<(prop::sample::Index, f32)>> {
    prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(BAD.to_vec())), 0..=most)
}

/// The unit as PyTorch computes it, as far as it is finite or not.
fn activated(value: f64, activation: Activation) -> f64 {
    match activation {
        Activation::Relu if value < 0.0 => 0.0,
        Activation::Gelu if value < -5.2 => value * 0.0,
        _ => value,
    }
}

fn assert_not_laundered(ours: &[f32], exact: &[f64], case: &str) -> Result<(), TestCaseError> {
    prop_assert_eq!(ours.len(), exact.len());
    for (at, (ours, exact)) in ours.iter().zip(exact).enumerate() {
        prop_assert!(exact.is_finite() || !ours.is_finite(), "{}: {} at {}, not {}", case, ours, at, exact);
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]
    #[test]
    fn products(
        rows in 1_usize..20, inputs in 1_usize..70, outputs in 1_usize..40, seed: u32,
        bad_x in bad(2), bad_weight in bad(1), bad_bias in bad(1),
    ) {
        let x = spoiled(values(rows * inputs, seed), &bad_x);
        let weight = spoiled(values(outputs * inputs, !seed), &bad_weight);
        let bias = spoiled(values(outputs, seed ^ 5), &bad_bias);
        let sum = |x: &[f32], weights: &[f32]| -> f64 {
            x.iter().zip(weights).map(|(x, weight)| f64::from(*x) * f64::from(*weight)).sum()
        };
        for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
            let exact: Vec<f64> = x
                .chunks_exact(inputs)
                .flat_map(|x| weight.chunks_exact(inputs).zip(&bias).map(move |(w, bias)| (x, w, bias)))
                .map(|(x, weights, bias)| activated(sum(x, weights) + f64::from(*bias), activation))
                .collect();
            for precision in Precision::ALL {
                for isa in Isa::available() {
                    let packed = PackedMatrix::pack(isa, precision, &weight, outputs, inputs);
                    let mut y = vec![0.0; rows * outputs];
                    let mut workspace = OperandWorkspace::default();
                    let matmul = Matmul { weight: &packed, bias: &bias, activation };
                    matmul.run(packed.operand(&x, &mut workspace), &mut y);
                    let case = format!("{precision} on {}, {activation:?}", isa.name());
                    assert_not_laundered(&y, &exact, &case)?;

                    // As an operand of another product, the result is not laundered either: each row is summed.
                    let sums: Vec<f64> = exact.chunks_exact(outputs).map(|row| row.iter().sum()).collect();
                    let ones = PackedMatrix::pack(isa, precision, &vec![1.0; outputs], 1, outputs);
                    let (mut buffer, mut next) = (AlignedBuffer::default(), OperandWorkspace::default());
                    let operand = matmul.run_to_operand(packed.operand(&x, &mut workspace), &mut buffer, &mut next);
                    let mut y = vec![0.0; rows];
                    Matmul { weight: &ones, bias: &[0.0], activation: Activation::None }.run(operand, &mut y);
                    assert_not_laundered(&y, &sums, &format!("{case}, as an operand"))?;
                }
            }
        }
    }

    #[test]
    fn attentions(
        tokens in 1_usize..40, heads in 1_usize..4, size in prop::sample::select(vec![1_usize, 3, 8, 32, 64]),
        seed: u32, bad_query in bad(1), bad_key_value in bad(1),
    ) {
        let hidden = heads * size;
        let query = spoiled(values(tokens * hidden, seed), &bad_query);
        let key_value = spoiled(values(tokens * 2 * hidden, !seed), &bad_key_value);
        let exact = attention(&query, &key_value, hidden, heads);
        for precision in Precision::ALL {
            for isa in Isa::available() {
                let mut context = vec![0.0; query.len()];
                let attention = Attention { isa, precision, heads, hidden };
                attention.run(&query, &key_value, &mut context, &mut AttentionWorkspace::default());
                assert_not_laundered(&context, &exact, &format!("{precision} on {}", isa.name()))?;
            }
        }
    }

    #[test]
    fn norms(width in 1_usize..70, seed: u32, bad_x in bad(1), bad_residual in bad(1), bad_weight in bad(1)) {
        let x = spoiled(values(3 * width, seed), &bad_x);
        let residual = spoiled(values(3 * width, !seed), &bad_residual);
        let (weight, bias) = (spoiled(values(width, seed ^ 5), &bad_weight), values(width, seed ^ 6));
        let exact: Vec<f64> = x
            .chunks_exact(width)
            .zip(residual.chunks_exact(width))
            .flat_map(|(x, residual)| {
                // One value that is not finite makes the mean, and thereby each value of the row, not finite.
                let sum: f64 = x.iter().chain(residual).map(|value| f64::from(*value)).sum();
                weight.iter().map(move |weight| (sum - sum) * f64::from(*weight))
            })
            .collect();
        for isa in Isa::available() {
            let mut y = x.clone();
            LayerNorm { isa, weight: &weight, bias: &bias, epsilon: 1e-12 }.run(&mut y, &residual);
            assert_not_laundered(&y, &exact, isa.name())?;
        }
    }
}

/// Attention in float64.
fn attention(query: &[f32], key_value: &[f32], hidden: usize, heads: usize) -> Vec<f64> {
    let size = hidden / heads;
    let mut context = Vec::new();
    for query in query.chunks_exact(hidden) {
        for head in (0..hidden).step_by(size) {
            let product = |row: &[f32]| -> f64 {
                query[head..][..size].iter().zip(&row[head..]).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
            };
            let scores: Vec<f64> = key_value.chunks_exact(2 * hidden).map(product).collect();
            let most = scores.iter().copied().reduce(f64::max).unwrap();
            let weights: Vec<f64> = scores.iter().map(|score| (score - most).exp()).collect();
            let total: f64 = weights.iter().sum();
            for at in head..head + size {
                let rows = key_value.chunks_exact(2 * hidden).zip(&weights);
                context.push(rows.map(|(row, weight)| f64::from(row[hidden + at]) * (weight / total)).sum());
            }
        }
    }
    context
}

/// The square of a large finite value overflows: the row must not become the bias.
#[test]
fn a_variance_that_overflows() {
    for isa in Isa::available() {
        for huge in [1e20, 3e38, -3e38] {
            let mut x = vec![1.0; 2 * 32];
            x[7] = huge;
            x[40] = 2.0;
            LayerNorm { isa, weight: &[1.0; 32], bias: &[0.5; 32], epsilon: 1e-12 }.run(&mut x, &[0.0; 64]);
            assert!(x[..32].iter().all(|value| !value.is_finite()), "{huge} on {}: {:?}", isa.name(), &x[..32]);
            assert!(x[32..].iter().all(|value| value.is_finite()), "the other row on {}", isa.name());
        }
    }
}

/// Products that overflow float32 are infinite or NaN, and stay so behind an activation.
#[test]
fn products_that_overflow() {
    for isa in Isa::available() {
        for precision in Precision::ALL {
            for (x, activation) in [
                (3e38, Activation::None),
                (-3e38, Activation::None),
                (3e38, Activation::Relu),
                (3e38, Activation::Gelu),
                (-3e38, Activation::Gelu),
            ] {
                let packed = PackedMatrix::pack(isa, precision, &[1e10; 5], 1, 5);
                let (mut y, mut workspace) = ([0.0], OperandWorkspace::default());
                let row = [1.0, x, 1.0, 0.0, 1.0];
                Matmul { weight: &packed, bias: &[0.25], activation }.run(packed.operand(&row, &mut workspace), &mut y);
                assert!(!y[0].is_finite(), "{x} in {precision} on {}, {activation:?}: {}", isa.name(), y[0]);
            }
        }
    }
}
