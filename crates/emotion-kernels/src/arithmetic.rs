//! The scalar operations of the kernels, and their compilation for each instruction set.
//!
//! The compiler turns operations over fixed-size arrays of lanes into vector instructions of the set it compiles for.

/// The number of lanes of a reduction and of outputs of a panel: two AVX2 registers, or one AVX-512 register.
pub(crate) const LANES: usize = 16;

/// One value per lane.
pub(crate) type Lanes = [f32; LANES];

/// How a product is added to a sum.
pub(crate) trait Arithmetic {
    /// Rows of a tile of [`Lanes`]. Sixteen AVX2 registers hold two registers of sums for each of six rows, two of
    /// weights and one broadcast.
    const TILE_ROWS: usize = 6;
    /// Panels of a tile of [`Lanes`].
    const TILE_PANELS: usize = 1;

    /// `a · b + c`.
    fn multiply_add(a: f32, b: f32, c: f32) -> f32;
}

/// One rounding, as fused multiply-add instructions do.
pub(crate) struct Fused;

impl Arithmetic for Fused {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// [`Fused`] with one register per row and panel of a tile: 24 of 32 registers hold sums, and an input is loaded once for
/// two panels.
#[cfg(target_arch = "x86_64")]
pub(crate) struct Wide;

#[cfg(target_arch = "x86_64")]
impl Arithmetic for Wide {
    const TILE_ROWS: usize = 12;
    const TILE_PANELS: usize = 2;

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a.mul_add(b, c)
    }
}

/// Two roundings: for processors without the fused instruction, where `mul_add` is a library call.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub(crate) struct Separate;

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
impl Arithmetic for Separate {
    /// Sixteen SSE2 registers of four lanes hold the sums of two rows, the weights and a product. With three rows, the
    /// compiler keeps some of them in memory.
    const TILE_ROWS: usize = 2;

    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// The arithmetic that is fast on every processor of the target.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub(crate) type Native = Separate;
/// The arithmetic that is fast on every processor of the target.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
pub(crate) type Native = Fused;

/// Calls `$generic::<A>(…)` as compiled for the instruction set `$isa`.
///
/// The generic function must be `#[inline(always)]`, so that each wrapper holds a copy of it
/// compiled with that wrapper's instructions.
macro_rules! dispatch {
    ($isa:expr, $generic:ident($($name:ident: $kind:ty),* $(,)?)) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma")]
        fn avx2($($name: $kind),*) {
            $generic::<$crate::arithmetic::Fused>($($name),*);
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx2,fma")]
        fn avx512($($name: $kind),*) {
            $generic::<$crate::arithmetic::Wide>($($name),*);
        }
        match $isa.level() {
            // SAFETY: an `Isa` exists only if this machine has its instructions.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx2 | $crate::isa::Level::AvxVnni => unsafe { avx2($($name),*) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            $crate::isa::Level::Avx512
            | $crate::isa::Level::Avx512Vnni
            | $crate::isa::Level::Avx512Bf16
            | $crate::isa::Level::Amx => unsafe { avx512($($name),*) },
            _ => $generic::<$crate::arithmetic::Native>($($name),*),
        }
    }};
}
pub(crate) use dispatch;

/// The sum of the lanes, always in the same order.
#[inline(always)]
fn sum(lanes: Lanes) -> f32 {
    let mut width = LANES / 2;
    let mut lanes = lanes;
    while width > 0 {
        for i in 0..width {
            lanes[i] += lanes[i + width];
        }
        width /= 2;
    }
    lanes[0]
}

/// The sum of a function over the values, accumulated in sixteen lanes.
#[inline(always)]
pub(crate) fn total(values: &[f32], term: impl Fn(f32) -> f32) -> f32 {
    let (chunks, rest) = values.as_chunks::<LANES>();
    let mut lanes = [0.0; LANES];
    for chunk in chunks {
        for lane in 0..LANES {
            lanes[lane] += term(chunk[lane]);
        }
    }
    for (lane, value) in lanes.iter_mut().zip(rest) {
        *lane += term(*value);
    }
    sum(lanes)
}

/// The largest of the values; any of them if one is NaN.
///
/// `f32::max`, which handles NaN, would become scalar code.
#[inline(always)]
pub(crate) fn maximum(values: &[Lanes]) -> f32 {
    let mut largest = [f32::NEG_INFINITY; LANES];
    for lanes in values {
        for lane in 0..LANES {
            largest[lane] = if lanes[lane] > largest[lane] { lanes[lane] } else { largest[lane] };
        }
    }
    let mut width = LANES / 2;
    while width > 0 {
        for lane in 0..width {
            let other = largest[lane + width];
            largest[lane] = if other > largest[lane] { other } else { largest[lane] };
        }
        width /= 2;
    }
    largest[0]
}

/// `eˣ`, relative error below 3e-7 for finite results; 0 below -87.
///
/// Range reduction by `ln 2` in two parts, then a polynomial of degree 6 on `[-½ ln 2, ½ ln 2]`
/// (Taylor's, whose remainder there is below 2e-8).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "ln 2 in two parts, the first exact in few bits")]
pub(crate) fn exp<A: Arithmetic>(x: f32) -> f32 {
    /// Adding and subtracting it rounds to an integer, which the low bits of the sum hold.
    const ROUND: f32 = 12_582_912.0;
    const LN_2_HIGH: f32 = 0.693_359_375;
    const LN_2_LOW: f32 = -2.121_944_4e-4;

    let clamped = x.clamp(-87.0, 88.0);
    let shifted = A::multiply_add(clamped, std::f32::consts::LOG2_E, ROUND);
    let n = shifted - ROUND;
    let r = A::multiply_add(n, -LN_2_HIGH, clamped);
    let r = A::multiply_add(n, -LN_2_LOW, r);
    let mut p = 1.0 / 720.0;
    for coefficient in [1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        p = A::multiply_add(p, r, coefficient);
    }
    let power = f32::from_bits((shifted.to_bits() << 23).wrapping_add(1.0_f32.to_bits()));
    if x < -87.0 { 0.0 } else { p * power }
}

/// The Gaussian error linear unit `x · Φ(x)`, absolute error below 1e-6.
///
/// `Φ(x) - ½` is `x` times a polynomial of `x²`, fitted to minimize the largest error of `x · Φ(x)` (by least squares,
/// iteratively reweighted by the errors). Its argument is `t = 2 x² / 5.2² - 1`, so that no power is large. Beyond 5.2
/// the unit is 0 or `x`, to within 6e-7. As in PyTorch, it is NaN for negative infinity, the product of infinity and 0.
#[inline(always)]
pub(crate) fn gelu<A: Arithmetic>(x: f32) -> f32 {
    const LIMIT: f32 = 5.2;
    const COEFFICIENTS: [f32; 13] = [
        0.001_188_716_4,
        -0.001_468_543_7,
        0.002_005_102_3,
        -0.004_542_56,
        0.008_365_169,
        -0.012_619_534_5,
        0.018_038_742,
        -0.024_698_87,
        0.031_973_92,
        -0.039_931_983,
        0.050_025_616,
        -0.067_743_62,
        0.135_949_98,
    ];

    let near = x.clamp(-LIMIT, LIMIT);
    let t = A::multiply_add(near * near, 2.0 / (LIMIT * LIMIT), -1.0);
    let mut p = -0.000_388_316_6;
    for coefficient in COEFFICIENTS {
        p = A::multiply_add(p, t, coefficient);
    }
    let phi = A::multiply_add(near, p, 0.5);
    let phi = if x > LIMIT { 1.0 } else { phi };
    x * if x < -LIMIT { 0.0 } else { phi }
}

/// The Gaussian error linear unit, absolute error below 1.5e-4: enough where values are rounded to 8 bits.
///
/// It is `max(x, 0) - |x| · Φ(-|x|)`, where `-Φ(-|x|)` is a polynomial of `|x|`, fitted as that of [`gelu`]. `max(x, 0)`
/// is computed as `½ x + ½ |x|`, so that the unit is NaN for negative infinity. Beyond 4, the second term stays as it is
/// at 4.
#[inline(always)]
pub(crate) fn coarse_gelu<A: Arithmetic>(x: f32) -> f32 {
    const LIMIT: f32 = 4.0;
    const COEFFICIENTS: [f32; 7] =
        [0.001_439_533_2, -0.015_239_703_5, 0.076_151_45, -0.176_186_41, 0.081_389_28, 0.370_625_14, -0.496_678_23];

    let magnitude = x.abs();
    let near = if magnitude < LIMIT { magnitude } else { LIMIT };
    let mut p = -0.000_048_691_694;
    for coefficient in COEFFICIENTS {
        p = A::multiply_add(p, near, coefficient);
    }
    A::multiply_add(0.5, magnitude, A::multiply_add(near, p, 0.5 * x))
}

/// The type of the sums of a product, which determines how exact its activation has to be.
pub(crate) trait Sum {
    /// The Gaussian error linear unit of a value of the product.
    fn gelu<A: Arithmetic>(x: f32) -> f32;
}

impl Sum for f32 {
    #[inline(always)]
    fn gelu<A: Arithmetic>(x: f32) -> f32 {
        gelu::<A>(x)
    }
}

/// The operands of the product, and those of the next one, are rounded to 8 bits.
impl Sum for i32 {
    #[inline(always)]
    fn gelu<A: Arithmetic>(x: f32) -> f32 {
        coarse_gelu::<A>(x)
    }
}

/// `x · σ(argument)` with the sigmoid `σ`.
///
/// Below -87 the sigmoid is 0, so that the product with the largest numbers is 0, too.
#[inline(always)]
fn gated<A: Arithmetic>(x: f32, argument: f32) -> f32 {
    let sigmoid = 1.0 / (1.0 + exp::<A>(-argument));
    x * if argument < -87.0 { 0.0 } else { sigmoid }
}

/// The sigmoid linear unit `x · σ(x)`, relative error below 1e-6.
#[inline(always)]
pub(crate) fn silu<A: Arithmetic>(x: f32) -> f32 {
    gated::<A>(x, x)
}

/// The Gaussian error linear unit with the hyperbolic tangent: `½ x (1 + tanh(√(2/π) (x + 0.044715 x³)))`, absolute
/// error below 1e-6.
///
/// It is `x · σ(2 √(2/π) (x + 0.044715 x³))`, because `½ (1 + tanh(u)) = σ(2 u)`.
#[inline(always)]
pub(crate) fn gelu_tanh<A: Arithmetic>(x: f32) -> f32 {
    const LINEAR: f32 = 1.595_769;
    const CUBIC: f32 = 0.071_354_814;
    gated::<A>(x, x * A::multiply_add(x * x, CUBIC, LINEAR))
}

/// The hyperbolic tangent, absolute error below 1e-6.
#[inline(always)]
pub(crate) fn tanh<A: Arithmetic>(x: f32) -> f32 {
    let power = exp::<A>(-2.0 * x.abs());
    ((1.0 - power) / (1.0 + power)).copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_of_the_exponential_are_close_everywhere() {
        let silu_of = |x: f64| x / (1.0 + (-x).exp());
        let gelu_of = |x: f64| {
            let argument = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
            0.5 * x * (1.0 + argument.tanh())
        };
        for i in -100_000..=100_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x);
            for (name, ours, exact) in [
                ("silu", [silu::<Fused>(x), silu::<Native>(x)], silu_of(exact)),
                ("gelu_tanh", [gelu_tanh::<Fused>(x), gelu_tanh::<Native>(x)], gelu_of(exact)),
                ("tanh", [tanh::<Fused>(x), tanh::<Native>(x)], exact.tanh()),
            ] {
                for ours in ours {
                    let error = (f64::from(ours) - exact).abs() / exact.abs().max(1.0);
                    assert!(error < 1e-6, "{name}({x}): {ours}, not {exact}");
                }
            }
        }
    }

    #[test]
    fn activations_of_the_exponential_hide_no_overflow() {
        for unit in [silu::<Fused>, gelu_tanh::<Fused>, silu::<Native>, gelu_tanh::<Native>] {
            assert!(unit(f32::NAN).is_nan());
            assert!(!unit(f32::NEG_INFINITY).is_finite());
            assert_eq!(unit(f32::INFINITY).to_bits(), f32::INFINITY.to_bits());
            assert!((unit(1e30) / 1e30 - 1.0).abs() < 1e-6);
            assert!(unit(-3e38).abs() < 1e-6);
            assert_eq!(unit(0.0).to_bits(), 0);
        }
        assert!(tanh::<Fused>(f32::NAN).is_nan());
        for (x, exact) in [(f32::NEG_INFINITY, -1.0_f32), (-1e30, -1.0), (1e30, 1.0)] {
            assert_eq!(tanh::<Fused>(x).to_bits(), exact.to_bits());
        }
    }

    #[test]
    fn exp_is_close_everywhere() {
        for i in -87_000..=88_000 {
            let x = i as f32 / 1000.0;
            let exact = f64::from(x).exp();
            let error = (f64::from(exp::<Fused>(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "exp({x}): relative error {error:e}");
            let error = (f64::from(exp::<Native>(x)) - exact).abs() / exact;
            assert!(error < 3e-7, "exp({x}): relative error {error:e}");
        }
        for (x, exact) in [(f32::NEG_INFINITY, 0.0_f32), (-200.0, 0.0), (0.0, 1.0)] {
            assert_eq!(exp::<Fused>(x).to_bits(), exact.to_bits(), "exp({x})");
        }
    }

    const EXACT: [fn(f32) -> f32; 2] = [gelu::<Fused>, gelu::<Native>];
    const COARSE: [fn(f32) -> f32; 2] = [coarse_gelu::<Fused>, coarse_gelu::<Native>];

    #[test]
    fn gelu_is_close_everywhere() {
        // Φ by Simpson's rule over the density, in float64, from 0 on.
        let density = |x: f64| (-0.5 * x * x).exp() / (2.0 * std::f64::consts::PI).sqrt();
        let (step, mut integral) = (1.0 / 1024.0, 0.0);
        for i in 0..8192 {
            let x = i as f32 / 1024.0;
            for (x, phi) in [(x, 0.5 + integral), (-x, 0.5 - integral)] {
                let exact = f64::from(x) * phi;
                for (bound, units) in [(1e-6, EXACT), (1.5e-4, COARSE)] {
                    for ours in units.map(|unit| unit(x)) {
                        assert!((f64::from(ours) - exact).abs() < bound, "gelu({x}): {ours}, not {exact}");
                    }
                }
            }
            let at = f64::from(x);
            integral += step / 6.0 * (density(at) + 4.0 * density(at + step / 2.0) + density(at + step));
        }
        for (x, exact) in [(f32::INFINITY, f32::INFINITY), (1e30, 1e30), (-1e30, -0.0)] {
            assert_eq!(gelu::<Fused>(x).to_bits(), exact.to_bits(), "gelu({x})");
        }
        for unit in EXACT.into_iter().chain(COARSE) {
            assert!(unit(f32::NAN).is_nan() && unit(f32::NEG_INFINITY).is_nan());
            assert_eq!((unit(f32::INFINITY), unit(0.0), unit(-1e30)), (f32::INFINITY, 0.0, 0.0));
            assert_eq!(unit(3e38).to_bits(), 3e38_f32.to_bits());
        }
    }
}
