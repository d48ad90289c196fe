//! Frames with carried state, on arrays that JavaScript sees

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use wasm_bindgen::prelude::*;
use wgru::{Device, Precision, StreamOptions};

use crate::fault::{Fault, Result};
use crate::network::{Network, Spec};
use crate::options::Options;

/// A stream whose frame and output stay where they are.
#[wasm_bindgen]
#[derive(Clone)]
pub struct Stream {
    inner: wgru::Stream,
    frame: Vec<f32>,
    output: Vec<f32>,
}

impl Stream {
    /// Room for frames and outputs around `inner`.
    fn around(mut inner: wgru::Stream) -> Result<Self> {
        let frame = vec![0.0; inner.batch() * inner.input()];
        // One step tells the width, and touches every page.
        let output = inner.step(&frame)?.to_vec();
        inner.reset();
        Ok(Self { inner, frame, output })
    }
}

/// What a future gives that waits for nothing.
fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[wasm_bindgen]
impl Stream {
    /// A stream of the network in the bytes of a file. Waits for nothing, so that it may be called in an audio worklet.
    pub fn read(bytes: &[u8], options: &JsValue) -> Result<Stream> {
        let kinds =
            [("f32", Precision::F32), ("f16", Precision::F16), ("bf16", Precision::Bf16), ("int8", Precision::Int8)];
        let mut options = Options::of(options);
        let weights = options.word("weights", &kinds)?.unwrap_or_default();
        let batch = options.count("batch", 1)?.unwrap_or(1);
        let head = Spec::head(&mut options)?;
        options.done()?;
        let network = at_once(Network::read(&Device::cpu(), "stream", bytes, head));
        let network =
            network.ok_or_else(|| Fault::value("device", "a CPU that answers at once", "one that does not"))??;
        Self::around(network.stream(StreamOptions { batch, weights, ..StreamOptions::default() })?)
    }

    /// Address of the frame.
    #[wasm_bindgen(getter, js_name = framePointer)]
    pub fn frame_pointer(&self) -> u32 {
        self.frame.as_ptr() as u32
    }

    /// Numbers of the frame.
    #[wasm_bindgen(getter, js_name = frameLength)]
    pub fn frame_length(&self) -> u32 {
        self.frame.len() as u32
    }

    /// Address of the output.
    #[wasm_bindgen(getter, js_name = outputPointer)]
    pub fn output_pointer(&self) -> u32 {
        self.output.as_ptr() as u32
    }

    /// Numbers of the output.
    #[wasm_bindgen(getter, js_name = outputLength)]
    pub fn output_length(&self) -> u32 {
        self.output.len() as u32
    }

    /// One step of what stands in the frame.
    pub fn step(&mut self) {
        if let Ok(output) = self.inner.step(&self.frame) {
            self.output.copy_from_slice(output);
        }
    }

    /// All sequences begin again.
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// The states.
    pub fn state(&self) -> Vec<f32> {
        self.inner.state().to_vec()
    }

    /// Goes on from `state`.
    #[wasm_bindgen(js_name = setState)]
    pub fn set_state(&mut self, state: &[f32]) -> Result<()> {
        Ok(self.inner.set_state(state)?)
    }

    /// One that goes on from here on its own.
    pub fn fork(&self) -> Stream {
        self.clone()
    }
}
