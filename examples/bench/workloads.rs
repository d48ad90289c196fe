//! The workloads. A hash generates weights and inputs, so that every program uses the same numbers.

use wgru::nn::{Module, Recurrent, RecurrentConfig};
use wgru::{Cell, Device, Result, Rng, Stream, StreamOptions, Tensor};

/// One workload; input and hidden size are equal.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    pub name: &'static str,
    pub layers: usize,
    pub batch: usize,
    pub steps: usize,
    pub hidden: usize,
}

const fn work(name: &'static str, layers: usize, batch: usize, steps: usize, hidden: usize) -> Work {
    Work { name, layers, batch, steps, hidden }
}

/// Frame by frame, carrying the state.
pub const STREAMS: [Work; 3] =
    [work("stream-h128", 1, 1, 1, 128), work("stream-h256", 1, 1, 1, 256), work("stream-h512", 1, 1, 1, 512)];
/// Whole sequences.
pub const SEQUENCES: [Work; 3] =
    [work("seq-b1", 2, 1, 512, 256), work("seq-b32", 1, 32, 128, 256), work("seq-b64-h512", 1, 64, 128, 512)];
/// A training step: forward, loss = mean(y²), backward to all weights and to the input, update.
pub const TRAIN: Work = work("train-b32", 1, 32, 64, 256);

fn mix(mut x: u32) -> u32 {
    x ^= x >> 16;
    x = x.wrapping_mul(0x7feb_352d);
    x ^= x >> 15;
    x = x.wrapping_mul(0x846c_a68b);
    x ^ (x >> 16)
}

/// Returns `n` elements of stream `stream`, uniform in (-scale, scale).
fn fill(stream: u32, n: usize, scale: f32) -> Vec<f32> {
    let seed = mix(stream + 1);
    (0..n as u32).map(|k| ((mix(k ^ seed) >> 8) as f32 / 8_388_608.0 - 1.0) * scale).collect()
}

impl Work {
    /// Whether it runs frame by frame.
    pub fn is_stream(&self) -> bool {
        self.name.starts_with("stream")
    }

    /// Returns the layer with its generated weights.
    pub fn layer(&self, device: &Device, cell: Cell) -> Result<Recurrent> {
        let config = RecurrentConfig { layers: self.layers, ..RecurrentConfig::new(cell, self.hidden, self.hidden) };
        let layer = config.build(device, &mut Rng::new(0))?;
        let bound = 1.0 / (self.hidden as f32).sqrt();
        for (i, (_, parameter)) in layer.parameters().iter().enumerate() {
            let stream = 10 * (i / 4) as u32 + (i % 4) as u32;
            parameter.assign(&fill(stream, parameter.len(), bound))?;
        }
        Ok(layer)
    }

    pub fn stream(&self, cell: Cell, options: StreamOptions) -> Result<Stream> {
        Stream::new(&self.layer(&Device::cpu(), cell)?, options)
    }

    /// Returns the input, `[T, B, I]`.
    pub fn input(&self) -> Vec<f32> {
        fill(1000, self.steps * self.batch * self.hidden, 1.0)
    }

    pub fn input_on(&self, device: &Device) -> Result<Tensor> {
        Tensor::from_slice(device, &self.input(), &[self.steps, self.batch, self.hidden])
    }

    /// Returns the sum of the outputs of the first sequence at the last step.
    pub fn check(&self, output: &[f32]) -> f64 {
        let at = (self.steps - 1) * self.batch * self.hidden;
        output[at..at + self.hidden].iter().map(|&v| v as f64).sum()
    }
}
