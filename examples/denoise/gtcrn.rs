//! GTCRN: complex spectra in and out.
//!
//! Rong et al.: *GTCRN: A Speech Enhancement Model Requiring Ultralow Computational Resources* (2024).

use crate::model::Denoiser;
use crate::network::Network;
use crate::stft::{Stft, root_hann};

const SIZE: usize = 512;
const HOP: usize = 256;
/// Extents of a frame: bins, steps, real and imaginary part.
pub const FRAME: [usize; 4] = [1, SIZE / 2 + 1, 1, 2];

pub struct Gtcrn {
    network: Network,
    stft: Stft,
}

impl Gtcrn {
    pub fn new(network: Network) -> Self {
        Self { network, stft: Stft::new(root_hann(SIZE), HOP) }
    }
}

impl Denoiser for Gtcrn {
    fn name(&self) -> &'static str {
        "GTCRN"
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
        for (pair, c) in self.network.input_mut().chunks_exact_mut(2).zip(&self.stft.spectrum) {
            pair.copy_from_slice(&[c.re, c.im]);
        }
        self.network.run();
        for (c, pair) in self.stft.spectrum.iter_mut().zip(self.network.output().chunks_exact(2)) {
            (c.re, c.im) = (pair[0], pair[1]);
        }
        self.stft.synthesize(output);
    }
}
