//! Intelligibility.

use realfft::RealFftPlanner;

use crate::rate;
use crate::score::dot;
use crate::wav::Recording;

/// Sample rate of the measure.
const RATE: u32 = 10_000;
/// Samples per frame, and the hop between frames.
const FRAME: usize = 256;
const HOP: usize = FRAME / 2;
/// Length of the transform: a frame padded with zeros.
const SIZE: usize = 2 * FRAME;
/// Frames of the speech that are this many decibels below the loudest one are left out.
const RANGE: f64 = 40.0;
/// Bands of a third of an octave, and the center of the first in hertz.
const BANDS: usize = 15;
const LOWEST: f64 = 150.0;
/// Frames per correlation: 384 ms.
const SEGMENT: usize = 30;
/// Least ratio of signal to distortion in a band of a frame, in decibels.
const BOUND: f64 = -15.0;

/// Returns the short-time objective intelligibility of `estimate`, a number up to 1 that grows with the share of words
/// that listeners understand. Both have the same length. NaN if fewer than 31 frames have speech.
///
/// ```text
/// X[j, t] = (Σ |x̂[k, t]|²)^½ over the bins k of band j                 of the speech, and Y of the estimate
/// Y'      = min(Y·‖X‖ / ‖Y‖, X·(1 + 10^(15/20)))                       in each band and 30 frames
/// STOI    = mean of the correlations of X and Y'                       over all bands and each 30 frames in sequence
/// ```
///
/// Source: Taal, Hendriks, Heusdens and Jensen, *An algorithm for intelligibility prediction of time-frequency weighted
/// noisy speech*, 2011.
pub fn stoi(estimate: &Recording, speech: &Recording) -> f64 {
    debug_assert_eq!(estimate.samples.len(), speech.samples.len());
    let [speech, estimate] = [speech, estimate].map(|recording| {
        let samples = rate::convert(recording, RATE).samples;
        samples.into_iter().map(f64::from).collect::<Vec<f64>>()
    });
    let [speech, estimate] = spoken([&speech, &estimate]).map(|samples| bands(&samples));
    let mut sum = 0.0;
    let segments = (speech.len() + 1).saturating_sub(SEGMENT);
    for start in 0..segments {
        for band in 0..BANDS {
            let of = |frames: &[[f64; BANDS]]| std::array::from_fn(|t| frames[start + t][band]);
            sum += correlation(of(&speech), of(&estimate));
        }
    }
    sum / (segments * BANDS) as f64
}

/// Hann window without zeros at its ends.
fn window(i: usize) -> f64 {
    (std::f64::consts::PI * (i + 1) as f64 / (FRAME + 1) as f64).sin().powi(2)
}

/// Returns the frames of the samples, under the window. As in the authors' program, none ends with the last sample.
fn frames(samples: &[f64]) -> impl Iterator<Item = [f64; FRAME]> {
    samples[..samples.len().saturating_sub(1)]
        .windows(FRAME)
        .step_by(HOP)
        .map(|frame| std::array::from_fn(|i| window(i) * frame[i]))
}

/// Leaves out the frames in which the first of two signals is silent, in both.
fn spoken(signals: [&[f64]; 2]) -> [Vec<f64>; 2] {
    let loudness = |frame: [f64; FRAME]| 10.0 * dot(&frame, &frame).log10();
    let loudness: Vec<f64> = frames(signals[0]).map(loudness).collect();
    let least = loudness.iter().copied().fold(f64::NEG_INFINITY, f64::max) - RANGE;
    signals.map(|samples| {
        let mut out = Vec::new();
        for (frame, _) in frames(samples).zip(&loudness).filter(|(_, loudness)| **loudness > least) {
            // Frames overlap by a half.
            out.resize(out.len().max(HOP) + HOP, 0.0);
            let start = out.len() - FRAME;
            out[start..].iter_mut().zip(frame).for_each(|(sum, v)| *sum += v);
        }
        out
    })
}

/// Returns the magnitude in each band, for each frame.
fn bands(samples: &[f64]) -> Vec<[f64; BANDS]> {
    let transform = RealFftPlanner::<f64>::new().plan_fft_forward(SIZE);
    let mut spectrum = transform.make_output_vec();
    // The bin nearest to a band's lower edge.
    let edge = |band: usize| {
        let frequency = LOWEST * 2f64.powf((2.0 * band as f64 - 1.0) / 6.0);
        (frequency * SIZE as f64 / f64::from(RATE)).round() as usize
    };
    let magnitudes = |frame: [f64; FRAME]| {
        let mut padded = [0.0; SIZE];
        padded[..FRAME].copy_from_slice(&frame);
        transform.process(&mut padded, &mut spectrum).expect("buffers of the transform's sizes");
        std::array::from_fn(|j| spectrum[edge(j)..edge(j + 1)].iter().map(|c| c.norm_sqr()).sum::<f64>().sqrt())
    };
    frames(samples).map(magnitudes).collect()
}

/// Correlates a band of the speech with that of the estimate, at the same energy and with bounded peaks.
fn correlation(x: [f64; SEGMENT], y: [f64; SEGMENT]) -> f64 {
    let scale = (dot(&x, &x) / (dot(&y, &y) + f64::MIN_POSITIVE)).sqrt();
    let most = 1.0 + 10f64.powf(-BOUND / 20.0);
    let y: [f64; SEGMENT] = std::array::from_fn(|t| (y[t] * scale).min(x[t] * most));
    let [x, y] = [x, y].map(|v| {
        let mean = v.iter().sum::<f64>() / SEGMENT as f64;
        v.map(|v| v - mean)
    });
    dot(&x, &y) / ((dot(&x, &x) * dot(&y, &y)).sqrt() + f64::MIN_POSITIVE)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(mut state: u32, len: usize) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (f64::from(state) / f64::from(u32::MAX) - 0.5) as f32
        };
        (0..len).map(|_| next()).collect()
    }

    /// The expected values are those of pystoi 0.4.1.
    #[test]
    fn intelligibility_is_that_of_pystoi() {
        let len = 20_000;
        let speech = noise(1, len).into_iter().enumerate().map(|(i, v)| (i as f32 * 0.0005).sin().max(0.0).powi(2) * v);
        let speech = Recording { samples: speech.collect(), rate: RATE };
        for (gain, want) in [(0.05, 0.997788), (0.3, 0.926711), (1.0, 0.557815)] {
            let samples = speech.samples.iter().zip(noise(2, len)).map(|(s, n)| s + gain * n).collect();
            let got = stoi(&Recording { samples, rate: RATE }, &speech);
            assert!((got - want).abs() <= 1e-6, "{gain}: {got}");
        }
        assert!((stoi(&speech, &speech) - 1.0).abs() <= 1e-12);
        let short = Recording { samples: vec![0.5; 3_000], rate: RATE };
        assert!(stoi(&short, &short).is_nan());
    }
}
