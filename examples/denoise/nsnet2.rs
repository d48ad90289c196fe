//! nsnet2, the baseline of Microsoft's Deep Noise Suppression Challenge: logarithms of the power in, gains out.
//!
//! Braun, Tashev: *Data augmentation and loss normalization for deep noise suppression* (2020).

use crate::model::Denoiser;
use crate::network::Network;
use crate::stft::Stft;

const SIZE: usize = 320;
const HOP: usize = 160;
/// Extents of a frame: sequences, steps, bins.
pub const FRAME: [usize; 3] = [1, 1, SIZE / 2 + 1];
/// Least power, whose logarithm is finite.
const FLOOR: f32 = 1e-12;
/// Least gain: −80 dB.
const LEAST: f32 = 1e-4;

pub struct Nsnet2 {
    network: Network,
    stft: Stft,
}

/// Square root of the symmetric Hann window, with which the network was trained.
fn window() -> Vec<f32> {
    (0..SIZE).map(|i| (std::f64::consts::PI * i as f64 / (SIZE - 1) as f64).sin() as f32).collect()
}

impl Nsnet2 {
    pub fn new(network: Network) -> Self {
        Self { network, stft: Stft::new(window(), HOP) }
    }
}

impl Denoiser for Nsnet2 {
    fn name(&self) -> &'static str {
        "nsnet2"
    }

    fn rate(&self) -> u32 {
        16_000
    }

    fn hop(&self) -> usize {
        HOP
    }

    fn delay(&self) -> usize {
        self.stft.delay()
    }

    fn process(&mut self, input: &[f32], output: &mut [f32]) {
        self.stft.analyze(input);
        for (feature, c) in self.network.input_mut().iter_mut().zip(&self.stft.spectrum) {
            *feature = c.norm_sqr().max(FLOOR).log10();
        }
        self.network.run();
        for (c, gain) in self.stft.spectrum.iter_mut().zip(&*self.network.output()) {
            *c *= gain.clamp(LEAST, 1.0);
        }
        self.stft.synthesize(output);
    }
}
