//! Spectra of signals of a fixed duration. They do not depend on the sample rate.

use std::f64::consts::PI;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

/// Duration of all signals. A spectrum has a bin every `1 / SECONDS` Hz.
pub const SECONDS: f64 = 4.0;
/// The frequency band in which signals are compared, in Hz. Input signals have no content above it.
const BAND: [f64; 2] = [20.0, 18_000.0];
/// Width of the roll-off of inputs below the end of the band, in Hz.
const SLOPE: f64 = 2_000.0;

/// The bins of a signal up to the end of the band.
pub struct Spectrum(Vec<Complex<f64>>);

/// Number of samples at a rate.
fn len(rate: u32) -> usize {
    SECONDS as usize * rate as usize
}

/// Frequency of a bin in Hz.
fn hz(bin: usize) -> f64 {
    bin as f64 / SECONDS
}

/// Bins `0..` up to the end of the band.
fn transform(x: impl Iterator<Item = f64>, rate: u32) -> Vec<Complex<f64>> {
    let fft = RealFftPlanner::new().plan_fft_forward(len(rate));
    let (mut input, mut bins) = (x.collect::<Vec<f64>>(), fft.make_output_vec());
    input.resize(len(rate), 0.0);
    fft.process(&mut input, &mut bins).expect("vectors of the plan");
    bins.truncate((BAND[1] * SECONDS) as usize);
    bins.iter_mut().for_each(|bin| *bin /= len(rate) as f64);
    bins
}

impl Spectrum {
    /// The spectrum of an input, limited to the band.
    pub fn of_input(x: &[f32], rate: u32) -> Self {
        let mut bins = transform(x.iter().map(|v| f64::from(*v)), rate);
        for (bin, v) in bins.iter_mut().enumerate() {
            let place = ((BAND[1] - hz(bin)) / SLOPE).clamp(0.0, 1.0);
            *v *= 0.5 - 0.5 * (PI * place).cos();
        }
        Self(bins)
    }

    /// The spectrum of an output. Fades out its start, in which the model settles, and its end.
    pub fn of(y: &[f32], rate: u32) -> Self {
        let window = |(i, v): (usize, &f32)| {
            let t = i as f64 / f64::from(rate);
            let place = ((t - 0.2) / 0.1).min((SECONDS - t) / 0.1).clamp(0.0, 1.0);
            f64::from(*v) * (0.5 - 0.5 * (PI * place).cos())
        };
        Self(transform(y.iter().enumerate().map(window), rate))
    }

    /// Returns the signal at a sample rate.
    pub fn at(&self, rate: u32) -> Vec<f32> {
        let fft = RealFftPlanner::new().plan_fft_inverse(len(rate));
        let (mut bins, mut x) = (fft.make_input_vec(), fft.make_output_vec());
        bins[..self.0.len()].copy_from_slice(&self.0);
        bins[0].im = 0.0;
        fft.process(&mut bins, &mut x).expect("vectors of the plan");
        x.into_iter().map(|v| v as f32).collect()
    }

    /// The bins of the band, with their frequencies.
    fn band(&self) -> impl Iterator<Item = (f64, Complex<f64>)> {
        self.0.iter().enumerate().map(|(bin, v)| (hz(bin), *v)).filter(|(hz, _)| *hz >= BAND[0])
    }

    /// The difference from `want` in decibels relative to `want`.
    pub fn error(&self, want: &Self) -> f64 {
        let difference: f64 = self.band().zip(want.band()).map(|((_, a), (_, b))| (a - b).norm_sqr()).sum();
        10.0 * (difference / want.band().map(|(_, v)| v.norm_sqr()).sum::<f64>()).log10()
    }

    /// Shifts the signal by up to `most` seconds, to best match `want`.
    pub fn aligned(&self, want: &Self, most: f64) -> Self {
        let cross: Vec<_> = self.band().zip(want.band()).map(|((hz, a), (_, b))| (hz, a * b.conj())).collect();
        let turn = |hz: f64, time: f64| Complex::from_polar(1.0, 2.0 * PI * hz * time);
        let likeness = |time: f64| cross.iter().map(|(hz, v)| (v * turn(*hz, time)).re).sum::<f64>();
        // Searches a grid for the maximum, then repeats this on finer grids around it.
        let (mut center, mut reach) = (0.0, most);
        for _ in 0..6 {
            let places = (-10..=10).map(|i| center + reach * f64::from(i) / 10.0);
            center = places.max_by(|a, b| likeness(*a).total_cmp(&likeness(*b))).unwrap_or(center);
            reach /= 5.0;
        }
        Self(self.0.iter().enumerate().map(|(bin, v)| v * turn(hz(bin), center)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate: u32, late: f64) -> Vec<f32> {
        let sample = |i: usize| (2.0 * PI * hz * (i as f64 / f64::from(rate) - late)).sin() as f32;
        (0..len(rate)).map(sample).collect()
    }

    #[test]
    fn tones_are_the_same_at_every_rate() {
        let x = Spectrum::of_input(&tone(1_000.0, 48_000, 0.0), 48_000);
        for rate in [44_100, 48_000, 96_000] {
            let worst = x.at(rate).iter().zip(tone(1_000.0, rate, 0.0)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-5, "{rate}: {worst:e}");
        }
    }

    #[test]
    fn errors_are_in_decibels_and_shifts_are_found() {
        let want = Spectrum::of(&tone(1_000.0, 48_000, 0.0), 48_000);
        let louder: Vec<f32> = tone(1_000.0, 96_000, 0.0).iter().map(|v| 1.1 * v).collect();
        assert!((Spectrum::of(&louder, 96_000).error(&want) + 20.0).abs() <= 1e-3);
        let late = Spectrum::of(&tone(1_000.0, 44_100, 1e-5), 44_100);
        assert!(late.error(&want) > -25.0 && late.aligned(&want, 2e-5).error(&want) < -60.0);
    }
}
