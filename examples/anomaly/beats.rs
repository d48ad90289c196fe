//! Heartbeats: finding them, putting anomalies between them, and a synthetic recording.

use std::ops::Range;

use wgru::Rng;

/// Returns the places of the R peaks of an ECG.
///
/// The steep slopes of a beat are found in the squared differences, averaged over 0.1 s.
pub fn find(signal: &[f32], hertz: f64) -> Vec<usize> {
    let seconds = |s: f64| ((s * hertz) as usize).max(1);
    let squares: Vec<f32> = signal.windows(2).map(|pair| (pair[1] - pair[0]).powi(2)).collect();
    let width = seconds(0.1);
    let mut energy = vec![0.0f32; squares.len()];
    let mut sum = 0.0f64;
    for i in 0..squares.len() {
        sum += f64::from(squares[i]) - if i >= width { f64::from(squares[i - width]) } else { 0.0 };
        energy[i.saturating_sub(width / 2)] = sum as f32;
    }
    // Half of the median over blocks of 2 s that are likely to have a beat.
    let mut most: Vec<f32> =
        energy.chunks(seconds(2.0)).map(|block| block.iter().copied().fold(0.0, f32::max)).collect();
    most.sort_by(f32::total_cmp);
    let threshold = 0.3 * most.get(most.len() / 2).copied().unwrap_or(0.0);
    let (mut peaks, mut i) = (Vec::new(), 0);
    while i < energy.len() {
        if energy[i] <= threshold || threshold == 0.0 {
            i += 1;
            continue;
        }
        let end = (i + seconds(0.2)).min(signal.len());
        let peak = (i..end).fold(i, |best, at| if signal[at] > signal[best] { at } else { best });
        peaks.push(peak);
        i = peak + seconds(0.3);
    }
    peaks
}

/// Kind of an anomaly that is put into a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A beat comes in half of the time.
    Premature,
    /// A beat takes twice as long.
    Widened,
    /// A beat is missing.
    Missing,
    /// A beat is upside down.
    Inverted,
    /// The signal is constant for 1.5 s.
    Flat,
    /// White noise for 0.5 s.
    Noise,
}

impl Kind {
    pub const ALL: [Kind; 6] = [Kind::Premature, Kind::Widened, Kind::Missing, Kind::Inverted, Kind::Flat, Kind::Noise];

    pub fn name(self) -> &'static str {
        match self {
            Kind::Premature => "premature beat",
            Kind::Widened => "widened beat",
            Kind::Missing => "missing beat",
            Kind::Inverted => "inverted beat",
            Kind::Flat => "flat line",
            Kind::Noise => "noise burst",
        }
    }
}

/// An anomaly at a known place.
#[derive(Clone, Debug, PartialEq)]
pub struct Injected {
    pub kind: Kind,
    pub at: Range<usize>,
}

/// Puts anomalies of all kinds into `signal[part]`, one about every `every` samples.
pub fn inject(signal: &mut [f32], hertz: f64, part: Range<usize>, every: usize, rng: &mut Rng) -> Vec<Injected> {
    let seconds = |s: f64| ((s * hertz) as usize).max(1);
    let peaks: Vec<usize> = find(&signal[part.clone()], hertz).into_iter().map(|peak| part.start + peak).collect();
    let typical = signal_height(signal, &peaks, seconds(0.25));
    let noise = quiet_noise(&signal[part.clone()]);
    let (mut out, mut kinds) = (Vec::new(), Vec::new());
    let mut next = part.start + every / 2;
    for pair in peaks.windows(2) {
        let (peak, following) = (pair[0], pair[1]);
        let far = peak + seconds(2.0);
        if peak < next || peak < part.start + seconds(0.5) || far + seconds(1.0) > part.end {
            continue;
        }
        if kinds.is_empty() {
            kinds = Kind::ALL.to_vec();
            rng.shuffle(&mut kinds);
        }
        let Some(kind) = kinds.pop() else { break };
        let original = signal.to_vec();
        let at = match kind {
            Kind::Premature => {
                // A copy of the beat, without its offset, in the middle of the pause.
                let (before, after) = (seconds(0.1), seconds(0.15));
                let to = peak + (following - peak) / 2;
                for i in 0..before + after {
                    let line = between(original[peak - before], original[peak + after], i, before + after);
                    signal[to - before + i] += original[peak - before + i] - line;
                }
                to - before..to + after
            }
            Kind::Widened => {
                let (before, after) = (seconds(0.1), seconds(0.15));
                let length = 2 * (before + after);
                let end = peak - before + length;
                for i in 0..length {
                    let line = between(original[peak - before], original[peak + after], i, length);
                    let target = between(original[peak - before], original[end], i, length);
                    signal[peak - before + i] = target + original[peak - before + i / 2] - line;
                }
                peak - before..end
            }
            Kind::Missing => {
                let (start, end) = (peak - seconds(0.1), peak + seconds(0.15));
                for i in start..end {
                    signal[i] = between(original[start], original[end], i - start, end - start) + noise * rng.normal();
                }
                start..end
            }
            Kind::Inverted => {
                let (start, end) = (peak - seconds(0.1), peak + seconds(0.15));
                for i in start..end {
                    let line = between(original[start], original[end], i - start, end - start);
                    signal[i] = 2.0 * line - original[i];
                }
                start..end
            }
            Kind::Flat => {
                let start = peak + seconds(0.2);
                let end = start + seconds(1.5);
                signal[start..end].fill(original[start]);
                start..end
            }
            Kind::Noise => {
                let start = peak + seconds(0.2);
                let end = start + seconds(0.5);
                signal[start..end].iter_mut().for_each(|v| *v += 0.15 * typical * rng.normal());
                start..end
            }
        };
        out.push(Injected { kind, at });
        next = peak + every;
    }
    out
}

/// Returns the value at step `i` of `steps` on a line from `a` to `b`.
fn between(a: f32, b: f32, i: usize, steps: usize) -> f32 {
    a + (b - a) * i as f32 / steps as f32
}

/// Returns the median height of the peaks above the values `before` them.
fn signal_height(signal: &[f32], peaks: &[usize], before: usize) -> f32 {
    let mut heights: Vec<f32> =
        peaks.iter().filter(|&&p| p >= before).map(|&p| signal[p] - signal[p - before]).collect();
    heights.sort_by(f32::total_cmp);
    heights.get(heights.len() / 2).copied().unwrap_or(1.0)
}

/// Returns the standard deviation of the noise between beats, from the median difference.
fn quiet_noise(signal: &[f32]) -> f32 {
    let mut steps: Vec<f32> = signal.windows(2).map(|pair| (pair[1] - pair[0]).abs()).collect();
    steps.sort_by(f32::total_cmp);
    steps.get(steps.len() / 2).map_or(0.0, |median| median / 0.954)
}

/// Returns a synthetic ECG: waves P, Q, R, S and T as Gaussian bumps, with a rhythm and a baseline that vary, in mV.
///
/// Source of the bumps: McSharry et al., *A dynamical model for generating synthetic electrocardiogram signals* (2003).
pub fn synthetic(seconds: f64, hertz: f64, rng: &mut Rng) -> Vec<f32> {
    /// Time after the R peak and width in seconds, and height in mV.
    const WAVES: [(f64, f64, f64); 5] =
        [(-0.2, 0.025, 0.12), (-0.035, 0.01, -0.12), (0.0, 0.011, 1.1), (0.035, 0.01, -0.25), (0.28, 0.045, 0.3)];
    let samples = (seconds * hertz) as usize;
    let mut signal = vec![0.0f32; samples];
    let (mut peak, mut beat) = (0.3, 0.0f64);
    while peak < seconds + 1.0 {
        let strength = 1.0 + 0.04 * f64::from(rng.normal());
        for (after, width, height) in WAVES {
            let middle = peak + after;
            let first = (((middle - 5.0 * width) * hertz).max(0.0)) as usize;
            let last = (((middle + 5.0 * width) * hertz).max(0.0)) as usize;
            for (i, value) in signal.iter_mut().enumerate().take(last).skip(first) {
                let z = (i as f64 / hertz - middle) / width;
                *value += (strength * height * (-0.5 * z * z).exp()) as f32;
            }
        }
        // The rhythm follows the breath.
        beat += 1.0;
        peak += 0.85 + 0.04 * (1.3 * beat).sin() + 0.015 * f64::from(rng.normal());
    }
    for (i, value) in signal.iter_mut().enumerate() {
        let t = i as f32 / hertz as f32;
        *value += 0.05 * (0.25 * std::f32::consts::TAU * t).sin() + 0.01 * rng.normal();
    }
    signal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beats_of_a_synthetic_recording_are_found() {
        let signal = synthetic(60.0, 250.0, &mut Rng::new(1));
        let peaks = find(&signal, 250.0);
        // About 0.85 s from beat to beat.
        assert!((69..=72).contains(&peaks.len()), "{}", peaks.len());
        assert!(peaks.iter().all(|&peak| signal[peak] > 0.7));
        assert!(find(&[0.5; 1000], 250.0).is_empty());
        assert!(find(&[], 250.0).is_empty());
    }

    #[test]
    fn anomalies_are_where_they_are_said_to_be() {
        let clean = synthetic(60.0, 250.0, &mut Rng::new(2));
        let mut signal = clean.clone();
        let injected = inject(&mut signal, 250.0, 5000..15_000, 750, &mut Rng::new(3));
        assert!(injected.len() >= 10, "{injected:?}");
        for kind in Kind::ALL {
            assert!(injected.iter().any(|anomaly| anomaly.kind == kind), "{kind:?}");
        }
        for (i, (before, after)) in clean.iter().zip(&signal).enumerate() {
            let inside = injected.iter().any(|anomaly| anomaly.at.contains(&i));
            assert!(inside || before == after, "{i}");
        }
        for Injected { at, .. } in &injected {
            assert!(at.start >= 5000 && at.end <= 15_000 && clean[at.clone()] != signal[at.clone()]);
        }
    }
}
