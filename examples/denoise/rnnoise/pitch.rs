//! The pitch period of voices, as RNNoise (and Opus, from which it is) finds it: a coarse search for the highest
//! correlation of a frame with the past, refined twice, then a look at fractions of the period.

/// Periods in samples at 48 kHz: 62.5 to 800 Hz.
pub const LONGEST: usize = 768;
const SHORTEST: usize = 60;
/// Samples that are compared with the past.
const FRAME: usize = 960;
/// Samples that [`Pitch::find`] reads.
pub const PAST: usize = LONGEST + FRAME;
/// Lags of the first search, which leaves out periods below three times the shortest.
const LAGS: usize = LONGEST - 3 * SHORTEST;
/// Half the sampling rate halves all lengths.
const HALF: usize = FRAME / 2;
/// For each fraction of a period, the multiple of it that must correlate too.
const MULTIPLES: [usize; 16] = [0, 0, 3, 2, 3, 2, 5, 2, 3, 2, 3, 2, 5, 2, 3, 2];

pub struct Pitch {
    /// The input at half the rate, and the frame and its past at a quarter of it.
    half: [f32; PAST / 2],
    quarter: [f32; (FRAME + LAGS) / 4],
    correlations: [f32; LAGS / 2],
    /// Energies of the frame at every lag.
    energies: [f32; LONGEST / 2 + 1],
    last_period: usize,
    last_gain: f32,
}

fn dot(x: &[f32], y: &[f32], len: usize) -> f32 {
    let (x, y) = (x[..len].chunks_exact(8), y[..len].chunks_exact(8));
    let rest: f32 = x.remainder().iter().zip(y.remainder()).map(|(x, y)| x * y).sum();
    let mut sums = [0.0f32; 8];
    x.zip(y).for_each(|(x, y)| (0..8).for_each(|i| sums[i] += x[i] * y[i]));
    sums.iter().sum::<f32>() + rest
}

/// Returns −1, 0 or 1: which way the peak of three neighboring correlations leans.
fn lean([before, at, after]: [f32; 3]) -> isize {
    if after - before > 0.7 * (at - before) {
        1
    } else if before - after > 0.7 * (at - after) {
        -1
    } else {
        0
    }
}

/// Returns the places of the two highest correlations, in relation to the energy of `past` there.
fn peaks(correlations: &[f32], past: &[f32], len: usize) -> [usize; 2] {
    let mut energy = 1.0 + dot(past, past, len);
    // The squares of correlations are compared as fractions over energies.
    let mut best = [(0, -1.0, 0.0), (1, -1.0, 0.0)];
    for (lag, &correlation) in correlations.iter().enumerate() {
        let square = correlation * correlation;
        let above = |(_, other, over): (usize, f32, f32)| square * over > other * energy;
        if correlation > 0.0 && above(best[1]) {
            best[1] = (lag, square, energy);
            if above(best[0]) {
                best.swap(0, 1);
            }
        }
        energy = (energy + past[lag + len].powi(2) - past[lag].powi(2)).max(1.0);
    }
    best.map(|(lag, ..)| lag)
}

/// Returns coefficients of linear prediction of order 4 (Levinson–Durbin).
fn predict(autocorrelation: [f32; 5]) -> [f32; 4] {
    let (mut coefficients, mut error) = ([0.0f32; 4], autocorrelation[0]);
    if error == 0.0 {
        return coefficients;
    }
    for order in 0..4 {
        let known: f32 = (0..order).map(|j| coefficients[j] * autocorrelation[order - j]).sum();
        let reflection = -(known + autocorrelation[order + 1]) / error;
        let before = coefficients;
        (0..order).for_each(|j| coefficients[j] += reflection * before[order - 1 - j]);
        coefficients[order] = reflection;
        error -= reflection * reflection * error;
        // Enough: 30 dB.
        if error < 0.001 * autocorrelation[0] {
            break;
        }
    }
    coefficients
}

impl Pitch {
    pub fn new() -> Self {
        Self {
            half: [0.0; PAST / 2],
            quarter: [0.0; (FRAME + LAGS) / 4],
            correlations: [0.0; LAGS / 2],
            energies: [0.0; LONGEST / 2 + 1],
            last_period: 0,
            last_gain: 0.0,
        }
    }

    /// Returns the period at the end of `past`, [`PAST`] samples.
    pub fn find(&mut self, past: &[f32]) -> usize {
        self.halve(past);
        let period = LONGEST - self.search();
        (self.last_period, self.last_gain) = self.divide(period);
        self.last_period
    }

    /// Halves the rate, and flattens the spectrum by linear prediction.
    fn halve(&mut self, past: &[f32]) {
        self.half[0] = 0.5 * past[0] + 0.25 * past[1];
        for (v, x) in self.half[1..].iter_mut().zip(past[1..].windows(3).step_by(2)) {
            *v = 0.5 * x[1] + 0.25 * (x[0] + x[2]);
        }
        let half = &self.half;
        let mut autocorrelation: [f32; 5] = std::array::from_fn(|lag| dot(&half[lag..], half, half.len() - lag));
        // A noise floor of −40 dB, and a window over the lags.
        autocorrelation[0] *= 1.0001;
        (1..5).for_each(|lag| autocorrelation[lag] *= 1.0 - (0.008 * lag as f32).powi(2));
        let c = predict(autocorrelation);
        let c: [f32; 4] = std::array::from_fn(|i| c[i] * 0.9f32.powi(i as i32 + 1));
        let taps = [c[0] + 0.8, c[1] + 0.8 * c[0], c[2] + 0.8 * c[1], c[3] + 0.8 * c[2], 0.8 * c[3]];
        let mut last = [0.0; 5];
        for v in &mut self.half {
            let x = *v;
            *v += taps.iter().zip(&last).map(|(t, x)| t * x).sum::<f32>();
            last.copy_within(..4, 1);
            last[0] = x;
        }
    }

    /// Returns the place in the past, in samples, that correlates most with the frame.
    fn search(&mut self) -> usize {
        let (frame, past) = (&self.half[LONGEST / 2..], &self.half);
        // A quarter of the rate. The frame at that rate starts at an even place, so it is a part of its past.
        let mut frame4 = [0.0; FRAME / 4];
        frame4.iter_mut().zip(frame.iter().step_by(2)).for_each(|(v, x)| *v = *x);
        self.quarter.iter_mut().zip(past.iter().step_by(2)).for_each(|(v, x)| *v = *x);
        let coarse = &mut self.correlations[..LAGS / 4];
        coarse.iter_mut().enumerate().for_each(|(lag, c)| *c = dot(&frame4, &self.quarter[lag..], FRAME / 4));
        let candidates = peaks(coarse, &self.quarter, FRAME / 4);
        for (lag, c) in self.correlations.iter_mut().enumerate() {
            let near = candidates.iter().any(|peak| lag.abs_diff(2 * peak) <= 2);
            *c = if near { dot(frame, &past[lag..], HALF).max(-1.0) } else { 0.0 };
        }
        let [peak, _] = peaks(&self.correlations, past, HALF);
        let around = peak.checked_sub(1).and_then(|first| self.correlations.get(first..first + 3));
        let lean = around.map_or(0, |c| lean([c[0], c[1], c[2]]));
        (2 * peak).saturating_add_signed(-lean)
    }

    /// Returns a fraction of the period, if the frame correlates with the past there almost as much, and the gain of
    /// prediction by it.
    fn divide(&mut self, period: usize) -> (usize, f32) {
        const MOST: usize = LONGEST / 2;
        let (half, shortest) = (&self.half, SHORTEST / 2);
        let frame = &half[MOST..];
        let at = |lag: usize| dot(frame, &half[MOST - lag..], HALF);
        let energy = dot(frame, frame, HALF);
        let mut sum = energy;
        self.energies[0] = energy;
        for lag in 1..=MOST {
            sum += half[MOST - lag].powi(2) - half[MOST + HALF - lag].powi(2);
            self.energies[lag] = sum.max(0.0);
        }
        let gain = |correlation: f32, past: f32| correlation / (1.0 + energy * past).sqrt();

        let whole = (period / 2).min(MOST - 1);
        let (mut best, mut correlation, mut past) = (whole, at(whole), self.energies[whole]);
        let first_gain = gain(correlation, past);
        let mut best_gain = first_gain;
        let before = self.last_period / 2;
        for (k, multiple) in MULTIPLES.iter().enumerate().skip(2) {
            let lag = (2 * whole + k) / (2 * k);
            if lag < shortest {
                break;
            }
            let other = match k {
                2 if lag + whole > MOST => whole,
                2 => lag + whole,
                _ => (2 * multiple * whole + k) / (2 * k),
            };
            let mean = [0.5 * (at(lag) + at(other)), 0.5 * (self.energies[lag] + self.energies[other])];
            let this_gain = gain(mean[0], mean[1]);
            let continues = match lag.abs_diff(before) {
                0 | 1 => self.last_gain,
                2 if 5 * k * k < whole => 0.5 * self.last_gain,
                _ => 0.0,
            };
            // Short periods correlate by themselves.
            let threshold = match lag < 3 * shortest {
                true => (0.85 * first_gain - continues).max(0.4),
                false => (0.7 * first_gain - continues).max(0.3),
            };
            if this_gain > threshold {
                (best, correlation, past, best_gain) = (lag, mean[0], mean[1], this_gain);
            }
        }
        let correlation = correlation.max(0.0);
        let prediction = if past <= correlation { 1.0 } else { correlation / (past + 1.0) };
        let lean = lean([at(best - 1), at(best), at(best + 1)]);
        ((2 * best).saturating_add_signed(lean).max(SHORTEST), prediction.min(best_gain))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_of_pulses_is_found() {
        for period in [75, 120, 200, 300, 431] {
            let mut pitch = Pitch::new();
            let pulse = |i: usize| 8000.0 * (-((i % period) as f32) / 12.0).exp();
            let past: Vec<f32> = (0..PAST).map(pulse).collect();
            let got = pitch.find(&past);
            // The search runs at half the rate.
            assert!(got.abs_diff(period) <= 2, "{period}: {got}");
        }
    }
}
