//! Resampling of whole recordings by sinc functions under a Kaiser window.

use std::f64::consts::PI;

use crate::wav::Recording;

/// Zeros of the sinc function on either side.
const ZEROS: f64 = 64.0;
/// Of the lower Nyquist frequency, so that the filter ends below it.
const CUTOFF: f64 = 0.95;
/// Shape of the window: attenuation by about 90 dB.
const BETA: f64 = 9.0;

/// Returns the modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    (1..40).fold(1.0, |sum, k| {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum + term
    })
}

/// Resamples a recording, without delay.
///
/// ```text
/// y[j] = Σ x[i]·h(j·from/to − i)      h(t) = c·sinc(c·t)·kaiser(c·t / ZEROS)
/// ```
pub fn convert(recording: &Recording, rate: u32) -> Recording {
    if recording.rate == rate {
        return recording.clone();
    }
    let (from, to) = (u64::from(recording.rate), u64::from(rate));
    let cutoff = CUTOFF * (to as f64 / from as f64).min(1.0);
    let reach = (ZEROS / cutoff).ceil() as i64;
    let filter = |t: f64| {
        let (sinc, window) = (PI * cutoff * t, 1.0 - (cutoff * t / ZEROS).powi(2));
        let sinc = if sinc == 0.0 { 1.0 } else { sinc.sin() / sinc };
        if window <= 0.0 { 0.0 } else { cutoff * sinc * bessel(BETA * window.sqrt()) / bessel(BETA) }
    };
    // Outputs at the same place between two inputs share their weights.
    let phases = to / gcd(from, to);
    let weights = |phase: u64| {
        let place = (phase * from % to) as f64 / to as f64;
        (-reach..=reach).map(|i| filter(place - i as f64) as f32).collect::<Vec<f32>>()
    };
    let weights: Vec<Vec<f32>> = (0..phases).map(weights).collect();
    let (x, len) = (&recording.samples, (recording.samples.len() as u64 * to).div_ceil(from));
    let sample = |j: u64| {
        let (first, weights) = ((j * from / to) as i64 - reach, &weights[(j % phases) as usize]);
        let skipped = (-first).max(0) as usize;
        let inputs = &x[(first.max(0) as usize).min(x.len())..];
        inputs.iter().zip(&weights[skipped..]).map(|(x, w)| x * w).sum()
    };
    Recording { samples: (0..len).map(sample).collect(), rate }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tones_below_both_limits_survive_without_delay_and_others_vanish() {
        let tone = |hz: f64, rate: u32| Recording {
            samples: (0..rate).map(|i| (f64::from(i) * hz * 2.0 * PI / f64::from(rate)).sin() as f32).collect(),
            rate,
        };
        for (from, to) in [(8_000, 16_000), (44_100, 48_000), (48_000, 16_000), (16_000, 8_000)] {
            let inner = to as usize / 4..3 * to as usize / 4;
            for hz in [440.0, 3_400.0] {
                let got = convert(&tone(hz, from), to);
                assert_eq!((got.samples.len(), got.rate), (to as usize, to));
                let want = tone(hz, to).samples;
                let worst = inner.clone().map(|i| (got.samples[i] - want[i]).abs()).fold(0.0, f32::max);
                assert!(worst <= 1e-3, "{from} to {to}, {hz} Hz: {worst:e}");
            }
            let above = f64::from(to) * 0.55;
            if above < f64::from(from) / 2.0 {
                let got = convert(&tone(above, from), to);
                let worst = inner.map(|i| got.samples[i].abs()).fold(0.0, f32::max);
                assert!(worst <= 1e-3, "{from} to {to}, {above} Hz: {worst:e}");
            }
        }
    }
}
