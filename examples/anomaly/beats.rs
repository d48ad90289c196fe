//! Heartbeats: finding them, and a synthetic recording.

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
}
