//! Quality.

use crate::stoi::stoi;
use crate::wav::Recording;

/// Measures of how near a recording is to clean speech.
#[derive(Clone, Copy)]
pub struct Scores {
    /// In decibels.
    pub si_sdr: f64,
    pub stoi: f64,
}

impl Scores {
    /// Compares a recording with the clean speech in it.
    pub fn new(recording: &Recording, speech: &Recording) -> Self {
        Self { si_sdr: si_sdr(&recording.samples, &speech.samples), stoi: stoi(recording, speech) }
    }
}

/// Returns the sum of the products.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Returns the scale-invariant ratio of signal to distortion in decibels (Le Roux et al., *SDR – half-baked or well
/// done?*, 2019), over the samples that both have, without their means:
///
/// ```text
/// α = ⟨x, s⟩ / ⟨s, s⟩      SI-SDR = 10·log₁₀(‖α·s‖² / ‖α·s − x‖²)
/// ```
pub fn si_sdr(estimate: &[f32], target: &[f32]) -> f64 {
    let len = estimate.len().min(target.len());
    let centered = |x: &[f32]| {
        let mean = x[..len].iter().map(|&v| f64::from(v)).sum::<f64>() / len as f64;
        x[..len].iter().map(|&v| f64::from(v) - mean).collect::<Vec<f64>>()
    };
    let (x, s) = (centered(estimate), centered(target));
    let alpha = dot(&x, &s) / dot(&s, &s);
    let distortion: f64 = x.iter().zip(&s).map(|(x, s)| (alpha * s - x).powi(2)).sum();
    10.0 * (alpha * alpha * dot(&s, &s) / distortion).log10()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ratio_is_known_for_orthogonal_noise_at_any_scale() {
        let wave = |k: usize| (0..1000).map(move |i| (i as f32 * k as f32 * std::f32::consts::TAU / 1000.0).sin());
        let speech: Vec<f32> = wave(7).collect();
        for (db, scale) in [(0.0f64, 1.0f32), (10.0, 0.01), (-5.0, 3.0)] {
            let gain = 10f64.powf(-db / 20.0) as f32;
            let mixed: Vec<f32> = wave(7).zip(wave(31)).map(|(s, n)| scale * (s + gain * n) + 0.5).collect();
            let got = si_sdr(&mixed, &speech);
            assert!((got - db).abs() <= 1e-3, "{db} dB: {got}");
        }
        assert!(si_sdr(&speech, &speech) > 100.0);
    }
}
