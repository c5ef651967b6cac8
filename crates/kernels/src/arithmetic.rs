//! The scalar operations of which the kernels are made. Over fixed-size arrays of lanes the
//! compiler turns them into vector instructions of whatever set it compiles for.

/// Lanes of every reduction and of a panel's columns: two AVX2 registers, or one of AVX-512.
pub(crate) const LANES: usize = 16;

/// One value a lane.
pub(crate) type Lanes = [f32; LANES];

/// How a product is added to a sum.
pub(crate) trait Arithmetic {
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

/// Two roundings: for processors without the fused instruction, where `mul_add` is a library call.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub(crate) struct Separate;

#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
impl Arithmetic for Separate {
    #[inline(always)]
    fn multiply_add(a: f32, b: f32, c: f32) -> f32 {
        a * b + c
    }
}

/// What the target's every processor does fast.
#[cfg(any(target_arch = "x86_64", target_arch = "x86"))]
pub(crate) type Native = Separate;
/// What the target's every processor does fast.
#[cfg(not(any(target_arch = "x86_64", target_arch = "x86")))]
pub(crate) type Native = Fused;

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

/// The sum of a function of the values, in sixteen lanes and then the rest.
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

/// `eˣ`, relative error below 3e-7 for finite results; 0 below -87.
///
/// Range reduction by `ln 2` in two parts, then a polynomial of degree 6 on `[-½ ln 2, ½ ln 2]`
/// (Taylor's, whose remainder there is below 2e-8).
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "ln 2 in two parts, the first exact in few bits")]
pub(crate) fn exp<A: Arithmetic>(x: f32) -> f32 {
    /// Adding and taking it away rounds to a whole number, which its low bits then hold.
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
/// `Φ` by the error function of Abramowitz & Stegun, *Handbook of Mathematical Functions*, 7.1.26.
#[inline(always)]
pub(crate) fn gelu<A: Arithmetic>(x: f32) -> f32 {
    let z = x.abs() * std::f32::consts::FRAC_1_SQRT_2;
    let t = 1.0 / A::multiply_add(0.327_591_1, z, 1.0);
    let mut p = 1.061_405_4;
    for coefficient in [-1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6] {
        p = A::multiply_add(p, t, coefficient);
    }
    let tail = 0.5 * p * t * exp::<A>(-z * z);
    x * if x < 0.0 { tail } else { 1.0 - tail }
}

#[cfg(test)]
mod tests {
    use super::*;

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

    #[test]
    fn gelu_is_close_everywhere() {
        // x · Φ(x) to seven places, from tables of the normal distribution.
        for (x, exact) in [
            (0.0, 0.0),
            (1.0, 0.841_344_7),
            (-1.0, -0.158_655_25),
            (2.0, 1.954_499_7),
            (-2.0, -0.045_500_26),
            (0.5, 0.345_731_23),
            (-3.0, -0.004_049_694),
            (10.0, 10.0),
            (-10.0, 0.0),
        ] {
            let error = (gelu::<Fused>(x) - exact).abs();
            assert!(error < 1e-6, "gelu({x}): error {error:e}");
        }
    }
}
