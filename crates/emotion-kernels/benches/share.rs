//! The throughput of the matrix product as a share of the processor's peak.
//!
//! `cargo bench -p emotion-kernels --bench share` measures, on one thread and in one run, the multiply-adds per second
//! of the instructions of a product with all operands in registers; then those of the products at the shapes of a
//! layer, and those of whole layers of a transformer, as a share of that peak. Each figure is the best of many short
//! measurements. `EMOTION_ISA` selects one instruction set; an argument, such as `-- "int8 layer of 768"`, the lines that
//! contain it.

use std::hint::black_box;
use std::time::{Duration, Instant};

use emotion_kernels::{
    Activation, AlignedBuffer, Attention, AttentionWorkspace, Isa, LayerNorm, Matmul, OperandWorkspace, PackedMatrix,
    Precision,
};

const SHAPES: [[usize; 3]; 8] = [
    [1, 384, 1536],
    [22, 384, 1536],
    [512, 384, 384],
    [512, 384, 1536],
    [512, 1536, 384],
    [512, 768, 768],
    [512, 768, 3072],
    [512, 3072, 768],
];

/// Hidden sizes of the default model and of DistilBERT base, and tokens per text.
const HIDDEN_SIZES: [usize; 2] = [384, 768];
const TEXT_LENGTHS: [usize; 3] = [22, 107, 423];
const HEADS: usize = 12;
/// The tokens of a micro-batch.
const BATCH_TOKENS: usize = 512;

/// The duration of a measurement: long enough for the clock, and short enough to fall between interruptions.
const MEASURED_FOR: Duration = Duration::from_millis(400);

fn main() {
    let chosen = std::env::var(Isa::VARIABLE).ok();
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for isa in Isa::available().into_iter().filter(|isa| chosen.as_ref().is_none_or(|name| name == isa.name())) {
        for precision in Precision::ALL {
            let peak = peak::multiply_adds(isa, precision).map(best);
            match peak {
                Some(peak) => println!("{} {precision}: peak {:.1} billion multiply-adds/s", isa.name(), peak / 1e9),
                None => println!("{} {precision}: peak not measured", isa.name()),
            }
            let report = |name: String, run: &dyn Fn() -> f64| {
                if format!("{precision} {name}").contains(&wanted) {
                    let rate = run();
                    let share = peak.map(|peak| format!("{:5.1} %", 100.0 * rate / peak)).unwrap_or_default();
                    println!("  {name:>30}  {:7.1} {share}", rate / 1e9);
                }
            };
            for shape in SHAPES {
                let [rows, inputs, outputs] = shape;
                report(format!("{rows}x{inputs}x{outputs}"), &|| best(product(isa, precision, shape)));
            }
            for hidden in HIDDEN_SIZES {
                for tokens in TEXT_LENGTHS {
                    let name = format!("layer of {hidden}, {tokens} tokens");
                    report(name, &|| best(layer(isa, precision, hidden, tokens)));
                }
            }
        }
    }
}

/// The multiply-adds per second of a run, which returns its number of multiply-adds.
fn best(mut run: impl FnMut() -> usize) -> f64 {
    let (started, mut best) = (Instant::now(), 0.0_f64);
    while started.elapsed() < MEASURED_FOR {
        let run_started = Instant::now();
        let done = run();
        best = best.max(done as f64 / run_started.elapsed().as_secs_f64());
    }
    best
}

/// A product with the rounding of its rows.
fn product(isa: Isa, precision: Precision, [rows, inputs, outputs]: [usize; 3]) -> impl FnMut() -> usize {
    let weight = PackedMatrix::pack(isa, precision, &vec![0.5; outputs * inputs], outputs, inputs);
    let (mut x, bias, mut y) = (AlignedBuffer::default(), vec![0.0; outputs], AlignedBuffer::default());
    x.values(rows * inputs).fill(0.25);
    let mut workspace = OperandWorkspace::default();
    let repeats = (1_usize << 24).div_ceil(rows * inputs * outputs);
    move || {
        for _ in 0..repeats {
            let matmul = Matmul { weight: &weight, bias: &bias, activation: Activation::None };
            let x = weight.operand(black_box(x.values(rows * inputs)), &mut workspace);
            matmul.run(x, black_box(y.values(rows * outputs)));
        }
        repeats * rows * inputs * outputs
    }
}

/// A layer of a transformer over a micro-batch of texts of `tokens` tokens: all that a forward pass does but embeddings
/// and the classification head. Only multiply-adds of products count, those of attention included.
fn layer(isa: Isa, precision: Precision, hidden: usize, tokens: usize) -> impl FnMut() -> usize {
    let texts = (BATCH_TOKENS / tokens).max(1);
    let (rows, inner) = (texts * tokens, inner_size(hidden));
    let pack = |outputs: usize, inputs: usize| {
        let weight = values(outputs * inputs, 1.0 / (inputs as f32).sqrt());
        (PackedMatrix::pack(isa, precision, &weight, outputs, inputs), vec![0.1; outputs])
    };
    let weights = [pack(hidden, hidden), pack(2 * hidden, hidden), pack(hidden, hidden)];
    let (up, down) = (pack(inner, hidden), pack(hidden, inner));
    let (norm_weight, norm_bias) = (vec![1.0; hidden], vec![0.0; hidden]);
    let norm = move |x: &mut [f32], residual: &[f32]| {
        LayerNorm { isa, weight: &norm_weight, bias: &norm_bias, epsilon: 1e-12 }.run(x, residual);
    };
    let attention = Attention { isa, precision, heads: HEADS, hidden };
    let [mut x, mut query, mut context, mut attended, mut y, mut key_value, mut hidden_layer] =
        std::array::from_fn(|_| AlignedBuffer::default());
    x.values(rows * hidden).copy_from_slice(&values(rows * hidden, 1.0));
    let (mut operand, mut inner_operand) = (OperandWorkspace::default(), OperandWorkspace::default());
    let mut attention_workspace = AttentionWorkspace::default();
    move || {
        let [to_query, to_key_value, to_attended] =
            weights.each_ref().map(|(weight, bias)| Matmul { weight, bias, activation: Activation::None });
        let [x, query, context, attended, y] =
            [&mut x, &mut query, &mut context, &mut attended, &mut y].map(|buffer| buffer.values(rows * hidden));
        let key_value = key_value.values(2 * rows * hidden);
        let operand_of_x = to_query.weight.operand(black_box(&*x), &mut operand);
        to_query.run(operand_of_x, query);
        to_key_value.run(operand_of_x, key_value);
        let texts = query.chunks_exact(tokens * hidden).zip(key_value.chunks_exact(2 * tokens * hidden));
        for ((query, key_value), context) in texts.zip(context.chunks_exact_mut(tokens * hidden)) {
            attention.run(query, key_value, context, &mut attention_workspace);
        }
        to_attended.run(to_attended.weight.operand(context, &mut operand), attended);
        norm(attended, x);
        let to_inner = Matmul { weight: &up.0, bias: &up.1, activation: Activation::Gelu };
        let operand_of_attended = up.0.operand(attended, &mut operand);
        let inner = to_inner.run_to_operand(operand_of_attended, &mut hidden_layer, &mut inner_operand);
        Matmul { weight: &down.0, bias: &down.1, activation: Activation::None }.run(inner, y);
        norm(y, attended);
        black_box(y);
        rows * hidden * (4 * hidden + 2 * inner_size(hidden) + 2 * tokens)
    }
}

/// The size of the hidden layer of the feed-forward network.
fn inner_size(hidden: usize) -> usize {
    4 * hidden
}

/// Pseudo-random values between `-most` and `most`.
fn values(count: usize, most: f32) -> Vec<f32> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        most * ((state >> 8) as f32 / 8_388_608.0 - 1.0)
    };
    (0..count).map(|_| next()).collect()
}

/// Only the instructions of a product, on independent sums in registers.
#[cfg(target_arch = "x86_64")]
#[expect(unsafe_code, reason = "the instructions are asked for by name")]
mod peak {
    use std::arch::asm;
    use std::arch::x86_64::{
        __m256, __m256i, __m512, __m512bh, __m512i, _mm256_dpbusd_avx_epi32, _mm256_fmadd_ps, _mm256_set1_epi8,
        _mm256_set1_epi16, _mm256_set1_ps, _mm256_setzero_ps, _mm256_setzero_si256, _mm512_dpbf16_ps,
        _mm512_dpbusd_epi32, _mm512_fmadd_ps, _mm512_set1_epi8, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_setzero_si512,
    };
    use std::hint::black_box;
    use std::mem::transmute;

    use emotion_kernels::{Isa, Precision};

    /// Sums in flight: more than the latency of an instruction times the number of units that execute it.
    const SUMS: usize = 12;
    const REPEATS: usize = 100_000;

    /// A run that returns its number of multiply-adds; `None` if the machine lacks the instructions.
    pub fn multiply_adds(isa: Isa, precision: Precision) -> Option<fn() -> usize> {
        // SAFETY: an `Isa` exists only if this machine has its instructions.
        Some(match (isa.name(), precision) {
            ("avx2", Precision::Int8) => || unsafe { bytes_of_avx2() },
            ("avxvnni", Precision::Int8) => || unsafe { bytes_of_avx_vnni() },
            ("avx2" | "avxvnni", _) => || unsafe { floats_of_avx2() },
            #[cfg(target_os = "linux")]
            ("amx", Precision::Int8) => || unsafe { bytes_of_amx() },
            #[cfg(target_os = "linux")]
            ("amx", Precision::Bfloat16) => || unsafe { pairs_of_amx() },
            ("avx512vnni" | "avx512bf16", Precision::Int8) => || unsafe { bytes_of_vnni() },
            ("avx512bf16", Precision::Bfloat16) => || unsafe { pairs_of_avx512() },
            ("avx512" | "avx512vnni", Precision::Bfloat16) | (_, Precision::Float32) if isa.name() != "portable" => {
                || unsafe { floats_of_avx512() }
            }
            _ => return None,
        })
    }

    #[target_feature(enable = "avx2,fma")]
    fn floats_of_avx2() -> usize {
        let (x, y) = (black_box(_mm256_set1_ps(0.5)), black_box(_mm256_set1_ps(0.25)));
        let mut sums: [__m256; SUMS] = black_box([_mm256_setzero_ps(); SUMS]);
        for _ in 0..REPEATS {
            for sum in &mut sums {
                *sum = _mm256_fmadd_ps(x, y, *sum);
            }
        }
        black_box(sums);
        REPEATS * SUMS * 8
    }

    #[target_feature(enable = "avx2")]
    fn bytes_of_avx2() -> usize {
        let (x, y) = (black_box(_mm256_set1_epi8(3)), black_box(_mm256_set1_epi8(5)));
        let ones = black_box(_mm256_set1_epi16(1));
        let mut sums: [__m256i; SUMS] = black_box([_mm256_setzero_si256(); SUMS]);
        for _ in 0..REPEATS {
            for sum in &mut sums {
                // Written as instructions, because the compiler would recognize that all products are the same.
                // SAFETY: they touch nothing but these registers.
                unsafe {
                    asm!(
                        "vpmaddubsw {pairs}, {x}, {y}",
                        "vpmaddwd {pairs}, {pairs}, {ones}",
                        "vpaddd {sum}, {sum}, {pairs}",
                        pairs = out(ymm_reg) _, x = in(ymm_reg) x, y = in(ymm_reg) y, ones = in(ymm_reg) ones,
                        sum = inout(ymm_reg) *sum,
                        options(nomem, nostack, preserves_flags)
                    );
                }
            }
        }
        black_box(sums);
        REPEATS * SUMS * 32
    }

    #[target_feature(enable = "avx2,avxvnni")]
    fn bytes_of_avx_vnni() -> usize {
        let (x, y) = (black_box(_mm256_set1_epi8(3)), black_box(_mm256_set1_epi8(5)));
        let mut sums: [__m256i; SUMS] = black_box([_mm256_setzero_si256(); SUMS]);
        for _ in 0..REPEATS {
            for sum in &mut sums {
                *sum = _mm256_dpbusd_avx_epi32(*sum, x, y);
            }
        }
        black_box(sums);
        REPEATS * SUMS * 32
    }

    #[target_feature(enable = "avx512f")]
    fn floats_of_avx512() -> usize {
        let (x, y) = (black_box(_mm512_set1_ps(0.5)), black_box(_mm512_set1_ps(0.25)));
        let mut sums: [__m512; SUMS] = black_box([_mm512_setzero_ps(); SUMS]);
        for _ in 0..REPEATS {
            for sum in &mut sums {
                *sum = _mm512_fmadd_ps(x, y, *sum);
            }
        }
        black_box(sums);
        REPEATS * SUMS * 16
    }

    #[target_feature(enable = "avx512f,avx512bf16")]
    fn pairs_of_avx512() -> usize {
        // SAFETY: both are 64 bytes for which every pattern of bits is a value.
        let pairs = |bits| unsafe { transmute::<__m512i, __m512bh>(_mm512_set1_epi32(bits)) };
        let (x, y) = (black_box(pairs(0x3F00_3F00)), black_box(pairs(0x3E80_3E80)));
        let mut sums: [__m512; SUMS] = black_box([_mm512_setzero_ps(); SUMS]);
        for _ in 0..REPEATS {
            for sum in &mut sums {
                *sum = _mm512_dpbf16_ps(*sum, x, y);
            }
        }
        black_box(sums);
        REPEATS * SUMS * 32
    }

    #[target_feature(enable = "avx512f,avx512vnni")]
    fn bytes_of_vnni() -> usize {
        let (x, y) = (black_box(_mm512_set1_epi8(3)), black_box(_mm512_set1_epi8(5)));
        let mut sums: [__m512i; SUMS] = black_box([_mm512_setzero_si512(); SUMS]);
        for _ in 0..REPEATS {
            for sum in &mut sums {
                *sum = _mm512_dpbusd_epi32(*sum, x, y);
            }
        }
        black_box(sums);
        REPEATS * SUMS * 64
    }

    /// Runs an instruction on four sums, which is enough to hide its latency, over tiles of zeros.
    #[cfg(target_os = "linux")]
    macro_rules! tiles {
        ($instruction:literal) => {{
            let mut configuration = [0_u8; 64];
            configuration[0] = 1;
            for tile in 0..8 {
                configuration[16 + 2 * tile] = 64;
                configuration[48 + tile] = 16;
            }
            // SAFETY: the caller has the instructions; they touch nothing but tiles, and read 64 bytes.
            unsafe {
                asm!(
                    "ldtilecfg [{configuration}]",
                    "2:",
                    concat!($instruction, " tmm0, tmm4, tmm6"),
                    concat!($instruction, " tmm1, tmm4, tmm7"),
                    concat!($instruction, " tmm2, tmm5, tmm6"),
                    concat!($instruction, " tmm3, tmm5, tmm7"),
                    "dec {repeats}",
                    "jnz 2b",
                    "tilerelease",
                    configuration = in(reg) configuration.as_ptr(),
                    repeats = inout(reg) REPEATS => _,
                    out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
                    out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
                    options(nostack)
                );
            }
        }};
    }

    #[cfg(target_os = "linux")]
    unsafe fn bytes_of_amx() -> usize {
        tiles!("tdpbssd");
        REPEATS * 4 * 16 * 16 * 64
    }

    #[cfg(target_os = "linux")]
    unsafe fn pairs_of_amx() -> usize {
        tiles!("tdpbf16ps");
        REPEATS * 4 * 16 * 16 * 32
    }
}

/// As above.
#[cfg(target_arch = "aarch64")]
#[expect(unsafe_code, reason = "the instructions are asked for by name")]
mod peak {
    use std::arch::aarch64::{int32x4_t, vdupq_n_s32};
    use std::arch::asm;
    use std::hint::black_box;

    use emotion_kernels::{Isa, Precision};

    /// Sums in flight: more than the latency of an instruction times the number of units that execute it.
    const SUMS: usize = 24;
    const REPEATS: usize = 100_000;

    /// A run that returns its number of multiply-adds; `None` if the machine lacks the instructions.
    pub fn multiply_adds(isa: Isa, precision: Precision) -> Option<fn() -> usize> {
        // SAFETY: an `Isa` exists only if this machine has its instructions.
        Some(match (isa.name(), precision) {
            ("portable", Precision::Int8) => return None,
            ("dotprod", Precision::Int8) => || unsafe { sdot() },
            (_, Precision::Int8) => || unsafe { smmla() },
            ("bf16", Precision::Bfloat16) => || unsafe { bfmlalb() },
            _ => || unsafe { fmla() },
        })
    }

    macro_rules! peak {
        ($name:ident: $features:literal, $instruction:literal, $multiply_adds:literal) => {
            #[target_feature(enable = $features)]
            fn $name() -> usize {
                let (x, y) = (black_box(vdupq_n_s32(0)), black_box(vdupq_n_s32(0)));
                let mut sums: [int32x4_t; SUMS] = black_box([vdupq_n_s32(0); SUMS]);
                for _ in 0..REPEATS {
                    for sum in &mut sums {
                        // SAFETY: the function has the target feature; the instruction touches only these registers.
                        unsafe {
                            asm!(
                                $instruction,
                                sum = inout(vreg) *sum, x = in(vreg_low16) x, y = in(vreg) y,
                                options(pure, nomem, nostack, preserves_flags)
                            );
                        }
                    }
                }
                black_box(sums);
                REPEATS * SUMS * $multiply_adds
            }
        };
    }

    peak!(fmla: "neon", "fmla {sum:v}.4s, {y:v}.4s, {x:v}.s[0]", 4);
    peak!(sdot: "neon,dotprod", "sdot {sum:v}.4s, {y:v}.16b, {x:v}.4b[0]", 16);
    peak!(smmla: "neon,i8mm", "smmla {sum:v}.4s, {x:v}.16b, {y:v}.16b", 32);
    peak!(bfmlalb: "neon,bf16", "bfmlalb {sum:v}.4s, {y:v}.8h, {x:v}.h[0]", 4);
}

#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
mod peak {
    use emotion_kernels::{Isa, Precision};

    pub fn multiply_adds(_: Isa, _: Precision) -> Option<fn() -> usize> {
        None
    }
}
