//! Anomalies that are put into a recording at known places.

use std::ops::Range;

use wgru::Rng;

use crate::beats::find;

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
                for (i, value) in signal[start..end].iter_mut().enumerate() {
                    *value = between(original[start], original[end], i, end - start) + noise * rng.normal();
                }
                start..end
            }
            Kind::Inverted => {
                let (start, end) = (peak - seconds(0.1), peak + seconds(0.15));
                for (i, value) in signal[start..end].iter_mut().enumerate() {
                    *value = 2.0 * between(original[start], original[end], i, end - start) - *value;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::beats::synthetic;

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
