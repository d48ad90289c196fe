//! The remainder of Stirling's formula, `s(v) = log Γ(v) − (v − ½)·log v + v − ½·log 2π`. WGSL twin:
//! `shaders/common/stirling.wgsl`.
//!
//! Losses need differences of `log Γ`, whose large parts cancel. Instead, they write these parts as logarithms of
//! ratios, and add the small remainders. Two forms of the remainder, both without cancellation:
//!
//! ```text
//! s(v) − s(v + 1) = (v + ½)·log(1 + 1/v) − 1 = t²/3 + t⁴/5 + t⁶/7 + …,    t = 1/(2v + 1)
//! s(v) = 1/(12v) − 1/(360v³) + 1/(1260v⁵) − 1/(1680v⁷) + …                for large v
//! ```
//!
//! NIST Digital Library of Mathematical Functions, 5.11.

/// From this value on, the asymptotic series is accurate to 4e-9.
const LARGE: f32 = 4.0;

/// `s(v)`; NaN unless `v > 0`.
pub fn stirling(v: f32) -> f32 {
    if v.is_nan() || v <= 0.0 {
        return f32::NAN;
    }
    let (mut sum, mut y) = (0.0, v);
    if v < 1.0 {
        sum = (v + 0.5) * ((v + 1.0) / v).ln() - 1.0;
        y = v + 1.0;
    }
    while y < LARGE {
        let t = 1.0 / (2.0 * y + 1.0);
        let q = t * t;
        sum += q * (1..=7).rev().fold(1.0 / 17.0, |series, k| 1.0 / (2.0 * k as f32 + 1.0) + q * series);
        y += 1.0;
    }
    let u = 1.0 / y;
    let w = u * u;
    sum + u * (1.0 / 12.0 - w * (1.0 / 360.0 - w * (1.0 / 1260.0 - w / 1680.0)))
}

/// `s'(v) = ψ(v) − log v + 1/(2v)`, with the digamma function ψ; NaN unless `v > 0`.
pub fn stirling_slope(v: f32) -> f32 {
    if v.is_nan() || v <= 0.0 {
        return f32::NAN;
    }
    let (mut sum, mut y) = (0.0, v);
    if v < 1.0 {
        y = v + 1.0;
        sum = (y / v).ln() - (v + 0.5) / (v * y);
    }
    while y < LARGE {
        let t = 1.0 / (2.0 * y + 1.0);
        let q = t * t;
        let series = (1..=7).rev().map(|k| k as f32).fold(8.0 / 17.0, |series, k| k / (2.0 * k + 1.0) + q * series);
        sum -= 4.0 * t * q * series;
        y += 1.0;
    }
    let u = 1.0 / y;
    let w = u * u;
    sum - w * (1.0 / 12.0 - w * (1.0 / 120.0 - w * (1.0 / 252.0 - w * (1.0 / 240.0 - w / 132.0))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Known values: Γ(½) = √π, Γ(n) = (n − 1)!, ψ(1) = −γ, ψ(½) = −γ − 2·log 2.
    #[test]
    fn remainders_match_known_values() {
        const EULER: f64 = 0.577_215_664_901_532_9;
        let half_log_tau = 0.5 * std::f64::consts::TAU.ln();
        let root = std::f64::consts::PI.sqrt().ln();
        let cases =
            [(0.5, root), (1.0, 0.0), (2.0, 0.0), (3.0, 2f64.ln()), (7.0, 720f64.ln()), (21.0, 42.335_616_460_753_485)];
        for (v, log_gamma) in cases {
            let want = log_gamma - (v - 0.5) * f64::ln(v) + v - half_log_tau;
            let got = f64::from(stirling(v as f32));
            assert!((got - want).abs() <= 1e-7, "s({v}) is {got}, not {want}");
        }
        for (v, digamma) in
            [(0.5, -EULER - 2.0 * 2f64.ln()), (1.0, -EULER), (2.0, 1.0 - EULER), (4.0, 11.0 / 6.0 - EULER)]
        {
            let want = digamma - f64::ln(v) + 0.5 / v;
            let got = f64::from(stirling_slope(v as f32));
            assert!((got - want).abs() <= 3e-7, "s'({v}) is {got}, not {want}");
        }
        assert!([0.0, -1.5, f32::NAN].iter().all(|&v| stirling(v).is_nan() && stirling_slope(v).is_nan()));
        assert_eq!((stirling(f32::INFINITY), stirling_slope(f32::INFINITY)), (0.0, 0.0));
    }
}
