//! Prints a digest of the same products on every instruction set of this machine.
//!
//! A line contains the instruction set, the precision, the operation and the digest of the bits of the result.
//! `scripts/test_aarch64.sh` compares the lines of several processors, to show which of them agree to the last bit.
//! With the argument `small`, the shapes are small enough for Miri.

use emotion_kernels::{
    Activation, Attention, AttentionWorkspace, Isa, LayerNorm, Matmul, OperandWorkspace, PackedMatrix, Precision,
};

/// The shapes of the operations. Products and attention have full tiles, and remainders in each dimension.
struct Shapes {
    /// Rows, inputs and outputs.
    products: [[usize; 3]; 3],
    /// Tokens, heads and hidden size.
    attentions: [[usize; 3]; 3],
    /// Rows and width.
    norms: [[usize; 2]; 2],
}

const SHAPES: Shapes = Shapes {
    products: [[1, 384, 384], [23, 384, 100], [97, 65, 48]],
    attentions: [[21, 12, 384], [130, 2, 128], [5, 3, 27]],
    norms: [[23, 384], [3, 65]],
};
const SMALL_SHAPES: Shapes = Shapes {
    products: [[1, 33, 17], [13, 18, 33], [7, 1, 3]],
    attentions: [[3, 2, 8], [5, 3, 27], [17, 1, 2]],
    norms: [[2, 17], [1, 3]],
};

const ACTIVATIONS: [Activation; 6] =
    [Activation::None, Activation::Relu, Activation::Gelu, Activation::GeluTanh, Activation::Silu, Activation::Tanh];

fn main() {
    let shapes = if std::env::args().nth(1).as_deref() == Some("small") { SMALL_SHAPES } else { SHAPES };
    for isa in Isa::available() {
        for precision in Precision::ALL {
            for activation in ACTIVATIONS {
                let operation = format!("matmul-{activation:?}").to_lowercase();
                print(
                    isa,
                    precision,
                    &operation,
                    &shapes.products.map(|shape| product(isa, precision, activation, shape)),
                );
            }
            print(isa, precision, "attention", &shapes.attentions.map(|shape| attention(isa, precision, shape)));
        }
        print(isa, Precision::Float32, "norm", &shapes.norms.map(|shape| norm(isa, shape)));
    }
}

fn print<const N: usize>(isa: Isa, precision: Precision, operation: &str, results: &[Vec<f32>; N]) {
    println!("{} {precision} {operation} {:016x}", isa.name(), digest(&results.concat()));
}

fn product(isa: Isa, precision: Precision, activation: Activation, [rows, inputs, outputs]: [usize; 3]) -> Vec<f32> {
    let weight = PackedMatrix::pack(isa, precision, &values(outputs * inputs, 1), outputs, inputs);
    let (x, bias) = (values(rows * inputs, 2), values(outputs, 3));
    let mut workspace = OperandWorkspace::default();
    let mut y = vec![0.0; rows * outputs];
    Matmul { weight: &weight, bias: &bias, activation }.run(weight.operand(&x, &mut workspace), &mut y);
    y
}

fn attention(isa: Isa, precision: Precision, [tokens, heads, hidden]: [usize; 3]) -> Vec<f32> {
    let (query, key_value) = (values(tokens * hidden, 4), values(2 * tokens * hidden, 5));
    let mut context = vec![0.0; tokens * hidden];
    let mut workspace = AttentionWorkspace::default();
    Attention { isa, precision, heads, hidden }.run(&query, &key_value, &mut context, &mut workspace);
    context
}

fn norm(isa: Isa, [rows, width]: [usize; 2]) -> Vec<f32> {
    let (mut x, residual) = (values(rows * width, 6), values(rows * width, 7));
    let (weight, bias) = (values(width, 8), values(width, 9));
    LayerNorm { isa, weight: &weight, bias: &bias, epsilon: 1e-12 }.run(&mut x, &residual);
    x
}

/// Pseudo-random numbers between -1 and 1, none of them subnormal.
fn values(count: usize, seed: u32) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as f32 / u32::MAX as f32 * 2.0 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// FNV-1a over the bits.
fn digest(values: &[f32]) -> u64 {
    values
        .iter()
        .flat_map(|value| value.to_bits().to_le_bytes())
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
