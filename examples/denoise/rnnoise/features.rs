//! Analysis of a frame: spectra, energies of bands, and the 42 features that the network reads.

use realfft::num_complex::Complex;

use super::bands::{BANDS, Cosines, correlate};
use super::pitch::{PAST, Pitch};
use super::{FRAME, vorbis};
use crate::stft::Stft;

pub const FEATURES: usize = 42;
/// Frames of which the cepstrum is kept.
const KEPT: usize = 8;
/// Coefficients with differences over time.
const DELTAS: usize = 6;
/// Energy below which a frame is silent.
const SILENCE: f32 = 0.04;

pub struct Analysis {
    /// The high-passed input.
    past: [f32; PAST],
    high_pass: [f32; 2],
    pitch: Pitch,
    cosines: Cosines,
    /// The spectrum one period earlier.
    periodic: Stft,
    cepstra: [[f32; BANDS]; KEPT],
    /// Place of the next cepstrum.
    next: usize,
    pub features: [f32; FEATURES],
    /// Energies of the bands, now and one period earlier, and the correlation of both.
    pub energies: [f32; BANDS],
    pub periodic_energies: [f32; BANDS],
    pub correlations: [f32; BANDS],
}

impl Analysis {
    pub fn new() -> Self {
        Self {
            past: [0.0; PAST],
            high_pass: [0.0; 2],
            pitch: Pitch::new(),
            cosines: Cosines::new(),
            periodic: Stft::new((0..2 * FRAME).map(vorbis).collect(), FRAME),
            cepstra: [[0.0; BANDS]; KEPT],
            next: 0,
            features: [0.0; FEATURES],
            energies: [0.0; BANDS],
            periodic_energies: [0.0; BANDS],
            correlations: [0.0; BANDS],
        }
    }

    /// Returns the spectrum one period earlier.
    pub fn periodic(&self) -> &[Complex<f32>] {
        &self.periodic.spectrum
    }

    /// Appends a frame of samples in units of 16-bit integers. Computes its spectrum in `stft`, and the features.
    /// Returns whether it is silent.
    pub fn analyze(&mut self, input: impl Iterator<Item = f32>, stft: &mut Stft, scale: f32) -> bool {
        self.past.copy_within(FRAME.., 0);
        for (x, v) in input.zip(&mut self.past[PAST - FRAME..]) {
            *v = x + self.high_pass[0];
            let (x, y) = (f64::from(x), f64::from(*v));
            self.high_pass[0] = (f64::from(self.high_pass[1]) + (-2.0 * x + f64::from(1.99599f32) * y)) as f32;
            self.high_pass[1] = (x - f64::from(0.99600f32) * y) as f32;
        }
        let now = PAST - 2 * FRAME;
        stft.transform(&self.past[now..]);
        let period = self.pitch.find(&self.past);
        self.periodic.transform(&self.past[now - period..][..2 * FRAME]);
        let (x, p) = (&stft.spectrum, &self.periodic.spectrum);
        self.energies = correlate(x, x, scale);
        self.periodic_energies = correlate(p, p, scale);
        self.correlations = correlate(x, p, scale);
        for (c, (e, p)) in self.correlations.iter_mut().zip(self.energies.iter().zip(&self.periodic_energies)) {
            *c /= (0.001 + e * p).sqrt();
        }
        let silent = self.energies.iter().sum::<f32>() < SILENCE;
        match silent {
            true => self.features.fill(0.0),
            false => self.describe(period),
        }
        silent
    }

    /// Computes the features, whose offsets make their means about 0.
    fn describe(&mut self, period: usize) {
        let (mut loudest, mut follow) = (-2.0f32, -2.0f32);
        let levels = self.energies.map(|energy| {
            let level = (0.01 + energy).log10().max(loudest - 7.0).max(follow - 1.5);
            loudest = loudest.max(level);
            follow = (follow - 1.5).max(level);
            level
        });
        let mut cepstrum = self.cosines.transform(&levels);
        cepstrum[0] -= 12.0;
        cepstrum[1] -= 4.0;
        self.cepstra[self.next] = cepstrum;
        let [one, two] = [1, 2].map(|ago| &self.cepstra[(self.next + KEPT - ago) % KEPT]);

        self.features[..BANDS].copy_from_slice(&cepstrum);
        let periodic = self.cosines.transform(&self.correlations);
        (0..DELTAS).for_each(|i| {
            self.features[i] = cepstrum[i] + one[i] + two[i];
            self.features[BANDS + i] = cepstrum[i] - two[i];
            self.features[BANDS + DELTAS + i] = cepstrum[i] - 2.0 * one[i] + two[i];
            self.features[BANDS + 2 * DELTAS + i] = periodic[i];
        });
        self.features[BANDS + 2 * DELTAS] -= 1.3;
        self.features[BANDS + 2 * DELTAS + 1] -= 0.9;
        self.features[FEATURES - 2] = 0.01 * (period as f32 - 300.0);
        self.features[FEATURES - 1] = self.variability() - 2.1;
        self.next = (self.next + 1) % KEPT;
    }

    /// Returns the mean distance of the cepstra from their nearest neighbors.
    fn variability(&self) -> f32 {
        let distance = |a: &[f32; BANDS], b: &[f32; BANDS]| a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f32>();
        let nearest = |i: usize| {
            let others = (0..KEPT).filter(|&j| j != i).map(|j| distance(&self.cepstra[i], &self.cepstra[j]));
            others.fold(f32::MAX, f32::min)
        };
        (0..KEPT).map(nearest).sum::<f32>() / KEPT as f32
    }
}
