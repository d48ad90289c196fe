//! Streams whose frames and outputs JavaScript reads and writes in place.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::prelude::*;
use wgru::{Device, Precision, StreamOptions};

use crate::fault::{Fault, Result};
use crate::network::{Network, Spec};
use crate::options::Options;

/// A stream with fixed buffers for its frame and its output.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Stream {
    inner: wgru::Stream,
    frame: Vec<f32>,
    output: Vec<f32>,
    /// Whether the first features of the frame are added to the output.
    skip: bool,
}

impl Stream {
    /// Allocates the buffers for `inner`.
    fn around(mut inner: wgru::Stream, skip: bool) -> Result<Self> {
        let frame = vec![0.0; inner.batch() * inner.input()];
        // A first step finds the width of the output, and touches every memory page.
        let output = inner.step(&frame)?.to_vec();
        inner.reset();
        if skip && frame.len() < output.len() {
            let (input, output) = (inner.input(), output.len() / inner.batch());
            return Err(Fault::shape("skip", &format!("frames of at least {output} features"), &[input]));
        }
        Ok(Self { inner, frame, output, skip })
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

    /// Address of the frame.
    #[wasm_bindgen(getter, js_name = framePointer)]
    pub fn frame_pointer(&self) -> u32 {
        self.frame.as_ptr() as u32
    }

    /// Length of the frame, in numbers.
    #[wasm_bindgen(getter, js_name = frameLength)]
    pub fn frame_length(&self) -> u32 {
        self.frame.len() as u32
    }

    /// Address of the output.
    #[wasm_bindgen(getter, js_name = outputPointer)]
    pub fn output_pointer(&self) -> u32 {
        self.output.as_ptr() as u32
    }

    /// Length of the output, in numbers.
    #[wasm_bindgen(getter, js_name = outputLength)]
    pub fn output_length(&self) -> u32 {
        self.output.len() as u32
    }

    /// Runs one step on the frame, and writes the output.
    pub fn step(&mut self) {
        if let Ok(output) = self.inner.step(&self.frame) {
            self.output.copy_from_slice(output);
        }
        if self.skip {
            let rows = self.inner.batch();
            let (input, width) = (self.inner.input(), self.output.len() / rows);
            let rows = self.output.chunks_exact_mut(width).zip(self.frame.chunks_exact(input));
            rows.for_each(|(y, x)| y.iter_mut().zip(x).for_each(|(y, x)| *y += x));
        }
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
