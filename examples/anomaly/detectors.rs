//! Detectors of NAB to compare with.

use wgru::Rng;

/// Returns NAB's windowed Gaussian: the tail probability of each value under a normal distribution with the mean and
/// deviation of up to 6400 values before it. A full window moves on by 100 values at a time.
pub fn windowed_gaussian(values: &[f32]) -> Vec<f64> {
    const WINDOW: usize = 6400;
    const STEP: usize = 100;
    // The window is `values[start..end]`; `sum` and `squares` are over it, around the first value.
    let origin = values.first().copied().map_or(0.0, f64::from);
    let (mut start, mut end, mut sum, mut squares) = (0, 0, 0.0, 0.0);
    let (mut mean, mut deviation) = (0.0, 1.0);
    let mut scores = Vec::with_capacity(values.len());
    for (i, &value) in values.iter().enumerate() {
        let value = f64::from(value);
        let score = if i == 0 { 0.0 } else { 1.0 - 0.5 * erfc((value - mean).abs() / deviation / 2f64.sqrt()) };
        scores.push(score);
        let due = i + 1 - end >= if end - start < WINDOW { 1 } else { STEP };
        if due {
            let leaving = if end - start < WINDOW { 0 } else { STEP };
            for (values, sign) in [(&values[end..=i], 1.0), (&values[start..start + leaving], -1.0)] {
                for v in values.iter().map(|v| f64::from(*v) - origin) {
                    sum += sign * v;
                    squares += sign * v * v;
                }
            }
            (start, end) = (start + leaving, i + 1);
            let count = (end - start) as f64;
            mean = origin + sum / count;
            deviation = (squares / count - (sum / count).powi(2)).max(0.0).sqrt();
            if deviation == 0.0 {
                deviation = 1e-6;
            }
        }
    }
    scores
}

/// Returns NAB's random detector: uniform scores.
pub fn random(rows: usize, rng: &mut Rng) -> Vec<f64> {
    (0..rows).map(|_| f64::from(rng.uniform(0.0, 1.0))).collect()
}

/// The complementary error function for `x ≥ 0`, with a relative error below 1.2e-7.
///
/// Source: Press et al., *Numerical recipes*, second edition, section 6.2.
fn erfc(x: f64) -> f64 {
    const C: [f64; 10] = [
        -1.265_512_23,
        1.000_023_68,
        0.374_091_96,
        0.096_784_18,
        -0.186_288_06,
        0.278_868_07,
        -1.135_203_98,
        1.488_515_87,
        -0.822_152_23,
        0.170_872_77,
    ];
    let t = 1.0 / (1.0 + 0.5 * x);
    t * (-x * x + C.iter().rev().fold(0.0, |sum, c| sum * t + c)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_are_those_of_tables() {
        for (x, want) in [(0.0, 1.0), (0.5, 0.479_500_122), (1.0, 0.157_299_207), (3.0, 2.209_049_7e-5)] {
            assert!((erfc(x) / want - 1.0).abs() < 2e-7, "{x}: {}", erfc(x));
        }
    }

    #[test]
    fn windows_hold_the_values_before() {
        let mut rng = Rng::new(1);
        let values: Vec<f32> = (0..6900).map(|_| 80.0 + rng.normal()).collect();
        let scores = windowed_gaussian(&values);
        for (i, window) in [(10, 0..10), (6400, 0..6400), (6499, 0..6400), (6500, 100..6500), (6899, 400..6800)] {
            let part: Vec<f64> = values[window].iter().map(|v| f64::from(*v)).collect();
            let mean = part.iter().sum::<f64>() / part.len() as f64;
            let deviation = (part.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / part.len() as f64).sqrt();
            let want = 1.0 - 0.5 * erfc((f64::from(values[i]) - mean).abs() / deviation / 2f64.sqrt());
            assert!((scores[i] - want).abs() < 1e-9, "{i}: {} {want}", scores[i]);
        }
        assert!(windowed_gaussian(&[5.0; 3]).iter().all(|score| score.is_finite()));
        assert!(windowed_gaussian(&[]).is_empty());
    }
}
