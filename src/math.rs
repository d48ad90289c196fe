//! Scalar activations, written as in `shaders/common/activation.wgsl`.

mod activation;
mod decimal;
pub mod rounding;
mod stirling;

pub use activation::Activation;
pub(crate) use activation::{activate, slope};
pub(crate) use decimal::number;
pub use stirling::{stirling, stirling_slope};

/// Below this argument, [`sigmoid`] is exactly 0. Smaller results would be subnormal, which some devices keep and
/// others flush to 0, so a product with an infinite or huge state would depend on the device.
pub const SIGMOID_LOW: f32 = -87.0;

/// `σ(v) = 1 / (1 + e^(−v))`, 0 below [`SIGMOID_LOW`]. `exp` sees only arguments ≤ 0. NaN gives NaN.
pub fn sigmoid(v: f32) -> f32 {
    let e = (-v.abs()).exp();
    if v < SIGMOID_LOW { 0.0 } else { (if v >= 0.0 { 1.0 } else { e }) / (1.0 + e) }
}

/// `tanh(v)`. `exp` sees only arguments ≤ 0; small arguments use the odd series, where `1 − e` would cancel.
/// NaN gives NaN.
pub fn tanh_stable(v: f32) -> f32 {
    let a = v.abs();
    let s = v * v;
    let series = v * (1.0 + s * (-1.0 / 3.0 + s * (2.0 / 15.0 + s * (-17.0 / 315.0 + s * (62.0 / 2835.0)))));
    let e = (-2.0 * a).exp();
    let exact = (1.0 - e) / (1.0 + e);
    if a < 0.25 {
        series
    } else if v < 0.0 {
        -exact
    } else {
        exact
    }
}

/// `v·factor`; 0 if the factor is 0, whatever `v` is, because 0·∞ is NaN.
pub fn masked(v: f32, factor: f32) -> f32 {
    if factor == 0.0 { 0.0 } else { v * factor }
}

/// `log(1 + e^v)`, accurate even where `e^v` overflows or vanishes. NaN gives NaN.
pub fn softplus(v: f32) -> f32 {
    (if v <= 0.0 { 0.0 } else { v }) + (1.0 + (-v.abs()).exp()).ln()
}

/// Finite stand-in for log 0.
pub const LOW: f32 = -1e30;

/// `v`, or [`LOW`] if `v` is below it. NaN gives NaN.
// With relaxed SIMD, the compiler would merge two adjacent calls into one `relaxed_max`, which loses NaN.
#[cfg_attr(target_arch = "wasm32", inline(never))]
pub fn at_least_low(v: f32) -> f32 {
    if v < LOW { LOW } else { v }
}

/// `e^v`. Positive arguments use the square of `e^(v/2)`, a reciprocal, because `exp` sees only arguments ≤ 0. NaN
/// gives NaN.
pub fn exp_stable(v: f32) -> f32 {
    let root = 1.0 / (-0.5 * v.abs()).exp();
    if v > 0.0 { root * root } else { (-v.abs()).exp() }
}

/// `v` if `v > 0`, otherwise `α·(e^v − 1)`. NaN gives NaN.
pub fn elu(v: f32, alpha: f32) -> f32 {
    if v > 0.0 { v } else { alpha * ((-v.abs()).exp() - 1.0) }
}

/// `v / (1 + |v|)`. NaN gives NaN.
pub fn softsign(v: f32) -> f32 {
    v / (1.0 + v.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn activations_stay_in_range_and_close_to_f64() {
        for i in -4000..=4000 {
            let v = i as f32 / 40.0;
            let x = v as f64;
            assert!((sigmoid(v) as f64 - 1.0 / (1.0 + (-x).exp())).abs() <= 1.2e-7, "sigmoid({v})");
            assert!((tanh_stable(v) as f64 - x.tanh()).abs() <= 1.2e-7, "tanh({v})");
            assert!((exp_stable(v) as f64 / x.exp() - 1.0).abs() <= 4e-7 || v.abs() > 87.0, "exp({v})");
            assert!((softplus(v) as f64 - x.exp().ln_1p()).abs() <= 4e-6 * x.abs().max(1.0), "softplus({v})");
        }
        for v in [f32::MAX, f32::INFINITY] {
            assert_eq!([sigmoid(v), sigmoid(-v), tanh_stable(v), tanh_stable(-v)], [1.0, 0.0, 1.0, -1.0]);
        }
        assert!(sigmoid(SIGMOID_LOW).is_normal() && sigmoid(SIGMOID_LOW.next_down()) == 0.0);
        assert!(sigmoid(f32::NAN).is_nan() && tanh_stable(f32::NAN).is_nan() && softplus(f32::NAN).is_nan());
        assert!(exp_stable(f32::NAN).is_nan() && elu(f32::NAN, 1.0).is_nan() && softsign(f32::NAN).is_nan());
        assert_eq!(
            [exp_stable(f32::INFINITY), exp_stable(f32::NEG_INFINITY), exp_stable(0.0)],
            [f32::INFINITY, 0.0, 1.0]
        );
    }

    #[test]
    fn tanh_keeps_relative_precision_near_zero() {
        for v in [1e-30f32, 1e-6, 1e-3, 0.1, 0.2499, 0.25] {
            let want = (v as f64).tanh();
            assert!((tanh_stable(v) as f64 - want).abs() <= 3e-7 * want, "{v}");
        }
    }
}
