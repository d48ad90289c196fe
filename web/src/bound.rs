//! ONNX streams whose inputs and outputs JavaScript reads and writes in place.

use std::ops::{Deref, DerefMut};

use wasm_bindgen::prelude::*;
use wgru::Device;
use wgru::io::onnx::{BoundStream, OnnxModel};

use crate::fault::Result;
use crate::onnx;
use crate::values;

/// An ONNX stream with buffers of fixed extents, on the CPU of this thread.
#[wasm_bindgen]
pub struct Bound {
    inner: BoundStream,
}

#[wasm_bindgen]
impl Bound {
    /// Binds a model to inputs like `{name: {data, dims}, …}`. Never waits, so it can be called in an audio worklet.
    pub fn read(bytes: &[u8], example: &JsValue, options: &JsValue) -> Result<Bound> {
        let device = Device::cpu();
        let stream = OnnxModel::load(&device, bytes)?.stream_with(&onnx::stream_options(options)?)?;
        let inputs = onnx::inputs(&device, example)?;
        let mut inner = stream.bind(&onnx::borrow(&inputs))?;
        // A first run touches every memory page.
        inner.run();
        inner.reset();
        Ok(Self { inner })
    }

    /// Returns `{inputs, outputs}`, lists of `{name, dims, pointer}`. The addresses do not change.
    pub fn ports(&mut self) -> Result<JsValue> {
        let list = |ports: &[(String, Vec<usize>)], pointers: Vec<usize>| {
            values::array(ports.iter().zip(pointers).map(|((name, dims), pointer)| {
                let (dims, pointer) = (values::dims(dims), values::count(pointer));
                values::object(&[("name", name.as_str().into()), ("dims", dims), ("pointer", pointer)])
            }))
        };
        let owned = |(name, dims): (&str, &[usize])| (name.to_string(), dims.to_vec());
        let inputs: Vec<_> = self.inner.inputs().map(owned).collect();
        let outputs: Vec<_> = self.inner.outputs().map(owned).collect();
        let mut read = Vec::new();
        for (name, _) in &inputs {
            read.push(self.inner.input_mut(name)?.deref_mut().as_ptr() as usize);
        }
        let mut written = Vec::new();
        for (name, _) in &outputs {
            written.push(self.inner.output(name)?.deref().as_ptr() as usize);
        }
        Ok(values::object(&[("inputs", list(&inputs, read)), ("outputs", list(&outputs, written))]))
    }

    /// Runs the model on the buffers of the inputs.
    pub fn run(&mut self) {
        self.inner.run();
    }

    /// Clears the state.
    pub fn reset(&mut self) {
        self.inner.reset();
    }

    /// Returns a copy of the state.
    pub fn state(&self) -> Result<Vec<f32>> {
        let mut state = vec![0.0; self.inner.state_len()];
        self.inner.save_state(&mut state)?;
        Ok(state)
    }

    /// Replaces the state.
    #[wasm_bindgen(js_name = setState)]
    pub fn set_state(&mut self, state: &[f32]) -> Result<()> {
        Ok(self.inner.load_state(state)?)
    }
}
