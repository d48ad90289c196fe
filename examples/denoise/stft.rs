//! Short-time Fourier transform, frame by frame and without allocation.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

/// Cuts a signal into windows that overlap, and adds them up again.
///
/// If spectra are not changed, the output is the input `size − hop` samples later.
pub struct Stft {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// Windows `[size]` for analysis and synthesis, the latter over `size` because the transforms are not normalized.
    windows: [Vec<f32>; 2],
    hop: usize,
    /// The last `size` samples of the input.
    past: Vec<f32>,
    /// Sums of the windows so far, for the next `size` samples of the output.
    sums: Vec<f32>,
    block: Vec<f32>,
    /// Bins `[size / 2 + 1]` of the current window.
    pub spectrum: Vec<Complex<f32>>,
    scratch: [Vec<Complex<f32>>; 2],
}

/// Square root of a Hann window of period `size`, as in PyTorch.
pub fn root_hann(size: usize) -> Vec<f32> {
    (0..size).map(|i| (std::f64::consts::PI * i as f64 / size as f64).sin() as f32).collect()
}

impl Stft {
    /// `window` has the size of the transform, which is a multiple of `hop`. The window for synthesis follows from it,
    /// so that their products add up to 1.
    pub fn new(window: Vec<f32>, hop: usize) -> Self {
        let size = window.len();
        let mut planner = RealFftPlanner::new();
        let (forward, inverse) = (planner.plan_fft_forward(size), planner.plan_fft_inverse(size));
        let energy = |i: usize| window.iter().skip(i % hop).step_by(hop).map(|w| f64::from(w * w)).sum::<f64>();
        let synthesis = (0..size).map(|i| (f64::from(window[i]) / energy(i) / size as f64) as f32).collect();
        let scratch = [forward.make_scratch_vec(), inverse.make_scratch_vec()];
        let spectrum = forward.make_output_vec();
        let [past, sums, block] = [(); 3].map(|()| vec![0.0; size]);
        Self { forward, inverse, windows: [window, synthesis], hop, past, sums, block, spectrum, scratch }
    }

    /// Number of samples by which the output is later than the input.
    pub fn delay(&self) -> usize {
        self.past.len() - self.hop
    }

    /// Appends `hop` samples, and computes the spectrum of the last `size` ones.
    pub fn analyze(&mut self, input: &[f32]) {
        self.past.copy_within(self.hop.., 0);
        let delay = self.delay();
        self.past[delay..].copy_from_slice(input);
        let past = std::mem::take(&mut self.past);
        self.transform(&past);
        self.past = past;
    }

    /// Computes the spectrum of `size` samples.
    pub fn transform(&mut self, samples: &[f32]) {
        for (v, (x, w)) in self.block.iter_mut().zip(samples.iter().zip(&self.windows[0])) {
            *v = x * w;
        }
        let lengths = "the lengths of the buffers are those of the plan";
        self.forward.process_with_scratch(&mut self.block, &mut self.spectrum, &mut self.scratch[0]).expect(lengths);
    }

    /// Computes the block of `size` samples that the spectrum describes, times the window for synthesis.
    pub fn block(&mut self) -> &mut [f32] {
        // The first and the last bin of real signals are real.
        self.spectrum[0].im = 0.0;
        if let Some(last) = self.spectrum.last_mut() {
            last.im = 0.0;
        }
        let lengths = "the lengths of the buffers are those of the plan, and the outer bins are real";
        self.inverse.process_with_scratch(&mut self.spectrum, &mut self.block, &mut self.scratch[1]).expect(lengths);
        self.block.iter_mut().zip(&self.windows[1]).for_each(|(v, w)| *v *= w);
        &mut self.block
    }

    /// Adds the current block to the output, and returns the next `hop` samples of it.
    pub fn add(&mut self, output: &mut [f32]) {
        self.sums.iter_mut().zip(&self.block).for_each(|(sum, v)| *sum += v);
        output.copy_from_slice(&self.sums[..self.hop]);
        self.sums.copy_within(self.hop.., 0);
        let delay = self.delay();
        self.sums[delay..].fill(0.0);
    }

    /// Computes the next `hop` samples of the output from the spectrum.
    pub fn synthesize(&mut self, output: &mut [f32]) {
        self.block();
        self.add(output);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(len: usize) -> Vec<f32> {
        let mut rng = wgru::Rng::new(3);
        (0..len).map(|_| rng.uniform(-1.0, 1.0)).collect()
    }

    #[test]
    fn unchanged_spectra_give_the_delayed_input() {
        let vorbis = (0..960).map(crate::rnnoise::vorbis).collect();
        for (window, hop) in [(root_hann(512), 256), (vec![1.0; 512], 128), (root_hann(320), 160), (vorbis, 480)] {
            let mut stft = Stft::new(window, hop);
            let (input, delay) = (noise(20 * hop), stft.delay());
            let mut output = vec![f32::NAN; input.len()];
            for (x, y) in input.chunks(hop).zip(output.chunks_mut(hop)) {
                stft.analyze(x);
                stft.synthesize(y);
            }
            let worst = input.iter().zip(&output[delay..]).map(|(x, y)| (x - y).abs()).fold(0.0, f32::max);
            assert!(worst <= 1e-6, "hop {hop}: {worst:e}");
            assert!(output[..delay].iter().all(|y| y.abs() <= 1e-6), "hop {hop}: the output starts with the delay");
        }
    }

    #[test]
    fn spectra_match_the_definition() {
        let (window, hop) = (root_hann(320), 160);
        let mut stft = Stft::new(window.clone(), hop);
        let input = noise(320);
        input.chunks(hop).for_each(|x| stft.analyze(x));
        for (k, got) in stft.spectrum.iter().enumerate() {
            let term = |i: usize| {
                let angle = -std::f64::consts::TAU * (i * k % 320) as f64 / 320.0;
                let v = f64::from(input[i]) * f64::from(window[i]);
                [v * angle.cos(), v * angle.sin()]
            };
            let want = (0..320).map(term).fold([0.0, 0.0], |s, t| [s[0] + t[0], s[1] + t[1]]);
            let error = (f64::from(got.re) - want[0]).abs() + (f64::from(got.im) - want[1]).abs();
            assert!(error <= 1e-4, "bin {k}: {error:e}");
        }
    }
}
