//! Streams whose frames and outputs JavaScript reads and writes in place.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::prelude::*;
use wgru::{Device, Precision, StreamOptions};

use crate::fault::{Fault, Result};
use crate::network::{Network, Spec};
use crate::options::Options;

/// Most steps of a block: as many as a quantum of Web Audio has frames.
const MOST_STEPS: usize = 128;
/// Most numbers in a buffer of several steps.
const MOST_NUMBERS: usize = 16_384;

/// A stream with fixed buffers for blocks of frames and their outputs.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Stream {
    inner: wgru::Stream,
    /// Number of steps of a block.
    steps: usize,
    /// Numbers of one frame, and of one output.
    lengths: [usize; 2],
    /// `[steps, batch, input]`
    frames: Vec<f32>,
    /// `[steps, batch, outputs]`
    outputs: Vec<f32>,
    /// Whether the first features of the frame are added to the output.
    skip: bool,
}

impl Stream {
    /// Allocates the buffers for `inner`.
    fn around(mut inner: wgru::Stream, skip: bool) -> Result<Self> {
        let rows = inner.batch();
        let frame = vec![0.0; rows * inner.input()];
        // A first step finds the width of the output, and touches every memory page.
        let width = inner.step(&frame)?.len();
        inner.reset();
        if skip && frame.len() < width {
            let (input, output) = (inner.input(), width / rows);
            return Err(Fault::shape("skip", &format!("frames of at least {output} features"), &[input]));
        }
        let steps = (MOST_NUMBERS / frame.len().max(width)).clamp(1, MOST_STEPS);
        let lengths = [frame.len(), width];
        let [frames, outputs] = lengths.map(|n| vec![0.0; steps * n]);
        Ok(Self { inner, steps, lengths, frames, outputs, skip })
    }

    /// Adds the first features of the frames to the outputs, if the network does.
    fn add_frames(&mut self, steps: usize) {
        if !self.skip {
            return;
        }
        let [input, width] = self.lengths.map(|n| n / self.inner.batch());
        let rows = self.outputs.chunks_exact_mut(width).zip(self.frames.chunks_exact(input));
        rows.take(steps * self.inner.batch()).for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y += x));
    }
}

/// Polls a future once. Returns its output, or `None` if it is still pending.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[wasm_bindgen]
impl Stream {
    /// Creates a stream from the bytes of a safetensors file. Never waits, so it can be called in an audio worklet.
    pub fn read(bytes: &[u8], options: &JsValue) -> Result<Stream> {
        let kinds = [
            ("f32", Precision::F32),
            ("f16", Precision::F16),
            ("bf16", Precision::Bf16),
            ("int8", Precision::Int8),
            ("auto", Precision::Auto),
        ];
        let mut options = Options::of(options);
        let weights = options.word("weights", &kinds)?.unwrap_or_default();
        let batch = options.count("batch", 1)?.unwrap_or(1);
        let head = Spec::head(&mut options)?;
        options.done()?;
        let network = at_once(Network::read(&Device::cpu(), "stream", bytes, head));
        let network =
            network.ok_or_else(|| Fault::value("device", "a CPU device, which never waits", "one that waits"))??;
        let options = StreamOptions { batch, weights, ..StreamOptions::default() };
        Self::around(network.stream(options)?, network.is_skip())
    }

    /// Address of the frames.
    #[wasm_bindgen(getter, js_name = framePointer)]
    pub fn frame_pointer(&self) -> u32 {
        self.frames.as_ptr() as u32
    }

    /// Length of one frame, in numbers.
    #[wasm_bindgen(getter, js_name = frameLength)]
    pub fn frame_length(&self) -> u32 {
        self.lengths[0] as u32
    }

    /// Address of the outputs.
    #[wasm_bindgen(getter, js_name = outputPointer)]
    pub fn output_pointer(&self) -> u32 {
        self.outputs.as_ptr() as u32
    }

    /// Length of one output, in numbers.
    #[wasm_bindgen(getter, js_name = outputLength)]
    pub fn output_length(&self) -> u32 {
        self.lengths[1] as u32
    }

    /// Number of frames, and of outputs, that the buffers hold.
    #[wasm_bindgen(getter)]
    pub fn steps(&self) -> u32 {
        self.steps as u32
    }

    /// Runs one step on the first frame, and writes the first output.
    pub fn step(&mut self) {
        let [frame, output] = self.lengths;
        if let Ok(values) = self.inner.step(&self.frames[..frame]) {
            self.outputs[..output].copy_from_slice(values);
        }
        self.add_frames(1);
    }

    /// Runs the first `steps` frames, and writes their outputs.
    pub fn process(&mut self, steps: u32) {
        let steps = (steps as usize).min(self.steps);
        let [frames, outputs] = self.lengths.map(|n| steps * n);
        // The lengths match, so it cannot fail.
        _ = self.inner.process(&self.frames[..frames], &mut self.outputs[..outputs]);
        self.add_frames(steps);
    }

    /// Resets the states of all sequences.
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// Returns a copy of the states.
    pub fn state(&self) -> Vec<f32> {
        self.inner.state().to_vec()
    }

    /// Replaces the states: the next step continues from `state`.
    #[wasm_bindgen(js_name = setState)]
    pub fn set_state(&mut self, state: &[f32]) -> Result<()> {
        Ok(self.inner.set_state(state)?)
    }

    /// Returns an independent copy that continues from the current states.
    pub fn fork(&self) -> Stream {
        self.clone()
    }
}
