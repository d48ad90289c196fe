//! DTLN: a mask for the spectrum, then a second network on blocks of samples.
//!
//! Westhausen, Meyer: *Dual-Signal Transformation LSTM Network for Real-Time Noise Suppression* (2020).

use crate::model::Denoiser;
use crate::network::Network;
use crate::stft::Stft;

const SIZE: usize = 512;
const HOP: usize = 128;
/// Extents of a frame of the two networks: magnitudes, and samples.
pub const FRAMES: [[usize; 3]; 2] = [[1, 1, SIZE / 2 + 1], [1, 1, SIZE]];

pub struct Dtln {
    spectra: Network,
    blocks: Network,
    stft: Stft,
}

impl Dtln {
    pub fn new(spectra: Network, blocks: Network) -> Self {
        // The network works on blocks that are not windowed, and outputs blocks that only have to be added.
        Self { spectra, blocks, stft: Stft::new(vec![1.0; SIZE], HOP) }
    }
}

impl Denoiser for Dtln {
    fn name(&self) -> &'static str {
        "DTLN"
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
        self.spectra.input_mut().iter_mut().zip(&self.stft.spectrum).for_each(|(m, c)| *m = c.norm());
        self.spectra.run();
        self.stft.spectrum.iter_mut().zip(&*self.spectra.output()).for_each(|(c, mask)| *c *= mask);
        let block = self.stft.block();
        // The window for synthesis has divided by the number of overlapping blocks.
        let overlap = (SIZE / HOP) as f32;
        self.blocks.input_mut().iter_mut().zip(&*block).for_each(|(x, v)| *x = overlap * v);
        self.blocks.run();
        block.copy_from_slice(&self.blocks.output());
        self.stft.add(output);
    }
}
