//! RNNoise of 2018: gains for 22 bands, and a filter at the pitch period.
//!
//! Valin: *A Hybrid DSP/Deep Learning Approach to Real-Time Full-Band Speech Enhancement* (2018). The signal processing
//! follows xiph/rnnoise 0.1 and its port nnnoiseless.

mod bands;
mod features;
mod network;
mod pitch;

use wgru::{Device, Result};

use crate::model::Denoiser;
use crate::stft::Stft;
use bands::{BANDS, correlate, interpolate};
use features::Analysis;
use network::Network;

pub use network::recognize;

/// Samples per frame.
const FRAME: usize = 480;
/// Factor of powers, from a transform that is not normalized to the one that the network was trained with.
const SCALE: f32 = 1.0 / (FRAME as f32 * FRAME as f32);
/// The network was trained with samples in units of 16-bit integers.
const UNIT: f32 = 32_768.0;
/// Part of its gain that a band keeps per frame at least.
const DECAY: f32 = 0.6;

/// Sample `i` of the window of Vorbis, whose squares add up to 1 at half its length.
pub fn vorbis(i: usize) -> f32 {
    let half = std::f64::consts::FRAC_PI_2;
    let sine = (half * (i as f64 + 0.5) / FRAME as f64).sin();
    (half * sine * sine).sin() as f32
}

pub struct Rnnoise {
    network: Network,
    analysis: Analysis,
    stft: Stft,
    /// Gains of the last frame.
    gains: [f32; BANDS],
}

impl Rnnoise {
    /// Reads a file that [`recognize`] accepts.
    ///
    /// # Errors
    /// If the file is damaged, or has layers of other sizes.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Self> {
        Ok(Self {
            network: Network::load(device, bytes)?,
            analysis: Analysis::new(),
            stft: Stft::new((0..2 * FRAME).map(vorbis).collect(), FRAME),
            gains: [0.0; BANDS],
        })
    }

    /// Adds the signal one period earlier to bands that correlate with it less than the gain, which lowers noise
    /// between the harmonics of a voice, and keeps the energy of the bands.
    fn comb(&mut self, gains: &[f32; BANDS]) {
        let a = &self.analysis;
        let strength = std::array::from_fn(|band| {
            let (c, g) = (a.correlations[band].powi(2), gains[band].powi(2));
            let strength = match a.correlations[band] > gains[band] {
                true => 1.0,
                false => (c * (1.0 - g) / (0.001 + g * (1.0 - c))).clamp(0.0, 1.0),
            };
            strength.sqrt() * (a.energies[band] / (1e-8 + a.periodic_energies[band])).sqrt()
        });
        let (spectrum, periodic) = (&mut self.stft.spectrum, a.periodic());
        let bins = spectrum.len();
        interpolate(&strength, bins, |bin, strength| spectrum[bin] += periodic[bin] * strength);
        let energies = correlate(spectrum, spectrum, SCALE);
        let restore = std::array::from_fn(|band| (a.energies[band] / (1e-8 + energies[band])).sqrt());
        interpolate(&restore, bins, |bin, gain| spectrum[bin] *= gain);
    }
}

impl Denoiser for Rnnoise {
    fn name(&self) -> &'static str {
        "RNNoise"
    }

    fn rate(&self) -> u32 {
        48_000
    }

    fn hop(&self) -> usize {
        FRAME
    }

    fn delay(&self) -> usize {
        self.stft.delay()
    }

    fn process(&mut self, input: &[f32], output: &mut [f32]) {
        let silent = self.analysis.analyze(input.iter().map(|x| UNIT * x), &mut self.stft, SCALE);
        if !silent {
            let gains = self.network.gains(&self.analysis.features);
            self.comb(&gains);
            for (last, gain) in self.gains.iter_mut().zip(gains) {
                *last = gain.max(DECAY * *last);
            }
            let spectrum = &mut self.stft.spectrum;
            interpolate(&self.gains, spectrum.len(), |bin, gain| spectrum[bin] *= gain);
        }
        self.stft.synthesize(output);
        output.iter_mut().for_each(|y| *y /= UNIT);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::data;

    #[test]
    fn other_files_are_not_recognized_or_refused() {
        assert!(recognize(b"rnnoise-nu model file version 1\n1 1"));
        assert!(!recognize(b"\x08\x07\x12") && !recognize(b""));
        let cut = b"rnnoise-nu model file version 1\n42 24 0\n1 2 3";
        let error = Rnnoise::load(&Device::cpu(), cut).err().expect("cut short").to_string();
        assert!(error.contains("cut short"), "{error}");
        let Some(folder) = data("models/rnnoise") else { return };
        let bytes = std::fs::read(folder.join("weights.rnn")).expect("weights");
        assert!(recognize(&bytes));
        assert!(Rnnoise::load(&Device::cpu(), &bytes[..bytes.len() - 1]).is_err());
    }

    /// The network alone, on features that nnnoiseless computed.
    #[test]
    fn gains_match_nnnoiseless() {
        let Some(folder) = data("models/rnnoise") else { return };
        let bytes = std::fs::read(folder.join("weights.rnn")).expect("weights");
        let vectors = wgru::io::TensorFile::open(folder.join("rnn_vectors_nnnoiseless.npz")).expect("vectors");
        let mut network = Network::load(&Device::cpu(), &bytes).expect("loaded");
        let (features, want) = (vectors.get("mono_features").expect("x").1, vectors.get("mono_gains").expect("y").1);
        assert_eq!(features.len() / 42, 275);
        for (x, want) in features.chunks(42).zip(want.chunks(BANDS)) {
            let got = network.gains(x.try_into().expect("42 features"));
            let worst = got.iter().zip(want).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-5, "{worst:e}");
        }
    }
}
