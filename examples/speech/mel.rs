//! The front end: logarithms of the energy in mel bands, 100 times per second.

use std::f32::consts::{PI, TAU};

use crate::audio::RATE;

/// Number of bands.
pub const BANDS: usize = 32;
/// Samples between two frames: 10 ms.
pub const HOP: usize = 80;
/// Samples per frame: 25 ms.
const WINDOW: usize = 200;
/// Number of points of the Fourier transform.
const POINTS: usize = 256;
/// Energy added to each band, so that silence has a finite logarithm.
const FLOOR: f32 = 1e-6;

/// Window and filters, computed once.
pub struct Mel {
    window: Vec<f32>,
    /// For each band: the first bin, and the weights from there on.
    filters: Vec<(usize, Vec<f32>)>,
}

/// Converts a frequency in Hz to mel, a scale of perceived pitch.
fn mel(hz: f32) -> f32 {
    2595.0 * (1.0 + hz / 700.0).log10()
}

impl Mel {
    pub fn new() -> Self {
        let window = (0..WINDOW).map(|i| 0.5 - 0.5 * (TAU * i as f32 / WINDOW as f32).cos()).collect();
        let (low, high) = (mel(60.0), mel(RATE as f32 / 2.0));
        let edge = |i: usize| low + (high - low) * i as f32 / (BANDS + 1) as f32;
        let filter = |band: usize| {
            let [left, top, right] = [0, 1, 2].map(|i| edge(band + i));
            let weight = |bin: usize| {
                let m = mel(bin as f32 * RATE as f32 / POINTS as f32);
                ((m - left) / (top - left)).min((right - m) / (right - top)).max(0.0)
            };
            let weights: Vec<f32> = (0..=POINTS / 2).map(weight).collect();
            let first = weights.iter().position(|w| *w > 0.0).unwrap_or(0);
            let last = weights.iter().rposition(|w| *w > 0.0).unwrap_or(0);
            (first, weights[first..=last].to_vec())
        };
        Self { window, filters: (0..BANDS).map(filter).collect() }
    }

    /// Returns `[frames, BANDS]`, with mean 0 in each band and variance 1 over all, so that neither the microphone nor
    /// the volume matters.
    pub fn features(&self, samples: &[f32]) -> Vec<f32> {
        let frames = (samples.len().saturating_sub(WINDOW) / HOP) + 1;
        let mut all: Vec<f32> =
            (0..frames).flat_map(|t| self.frame(&samples[(t * HOP).min(samples.len())..])).collect();
        for band in 0..BANDS {
            let mean = all.iter().skip(band).step_by(BANDS).sum::<f32>() / frames as f32;
            all.iter_mut().skip(band).step_by(BANDS).for_each(|v| *v -= mean);
        }
        let deviation = (all.iter().map(|v| v * v).sum::<f32>() / all.len() as f32).sqrt().max(1e-3);
        all.iter_mut().for_each(|v| *v /= deviation);
        all
    }

    fn frame(&self, samples: &[f32]) -> Vec<f32> {
        let mut points = [(0.0, 0.0); POINTS];
        for (point, (sample, window)) in points.iter_mut().zip(samples.iter().zip(&self.window)) {
            point.0 = sample * window;
        }
        fourier(&mut points);
        let energy = |bin: usize| points[bin].0 * points[bin].0 + points[bin].1 * points[bin].1;
        let band = |(first, weights): &(usize, Vec<f32>)| {
            let sum: f32 = weights.iter().enumerate().map(|(i, w)| w * energy(first + i)).sum();
            (sum + FLOOR).ln()
        };
        self.filters.iter().map(band).collect()
    }
}

/// Computes the Fourier transform of complex numbers in place (Cooley–Tukey). Their number must be a power of two.
fn fourier(points: &mut [(f32, f32)]) {
    let n = points.len();
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - n.trailing_zeros());
        if i < j {
            points.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        for start in (0..n).step_by(2 * half) {
            for k in 0..half {
                let (sin, cos) = (-PI * k as f32 / half as f32).sin_cos();
                let (a, b) = (points[start + k], points[start + k + half]);
                let turned = (b.0 * cos - b.1 * sin, b.0 * sin + b.1 * cos);
                points[start + k] = (a.0 + turned.0, a.1 + turned.1);
                points[start + k + half] = (a.0 - turned.0, a.1 - turned.1);
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fourier_matches_its_definition() {
        let points: Vec<(f32, f32)> = (0..16).map(|i| ((i * i % 7) as f32, (i % 3) as f32)).collect();
        let mut fast = points.clone();
        fourier(&mut fast);
        for (k, (re, im)) in fast.iter().enumerate() {
            let term = |(i, (a, b)): (usize, &(f32, f32))| {
                let (sin, cos) = (-std::f64::consts::TAU * (i * k % 16) as f64 / 16.0).sin_cos();
                let (a, b) = (f64::from(*a), f64::from(*b));
                [a * cos - b * sin, a * sin + b * cos]
            };
            let want = points.iter().enumerate().map(term).fold([0.0, 0.0], |s, t| [s[0] + t[0], s[1] + t[1]]);
            assert!((f64::from(*re) - want[0]).abs() < 1e-4 && (f64::from(*im) - want[1]).abs() < 1e-4, "{k}");
        }
    }

    #[test]
    fn a_tone_is_loudest_in_its_band() {
        let mel_bands = Mel::new();
        let mut before = 0;
        for hz in [300.0, 1000.0, 2500.0] {
            let tone: Vec<f32> = (0..WINDOW).map(|i| (TAU * hz * i as f32 / RATE as f32).sin()).collect();
            let frame = mel_bands.frame(&tone);
            let loudest = (0..BANDS).max_by(|a, b| frame[*a].total_cmp(&frame[*b])).unwrap();
            let place = (mel(hz) - mel(60.0)) / (mel(4000.0) - mel(60.0)) * (BANDS + 1) as f32 - 1.0;
            assert!(
                (loudest as f32 - place).abs() <= 1.0 && loudest > before,
                "{hz} Hz in band {loudest}, not {place}"
            );
            before = loudest;
        }
        assert_eq!(mel_bands.features(&[]).len(), BANDS);
        assert!(mel_bands.features(&[0.0; 500]).iter().all(|v| *v == 0.0));
    }
}
