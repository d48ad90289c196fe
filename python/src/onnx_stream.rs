//! The class `OnnxStream`: an ONNX model that carries its state from call to call.

use std::sync::Mutex;

use engine::Device;
use engine::io::onnx::{self, OnnxModel, Value};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::failure::{Failure, Result};
use crate::run;

/// An ONNX model that carries its state from call to call.
#[pyclass(frozen, module = "wgru")]
pub struct OnnxStream {
    device: Device,
    /// Inputs of integers.
    ints: Vec<String>,
    inner: Mutex<onnx::Stream>,
}

/// The state of an `OnnxStream`.
#[pyclass(frozen, module = "wgru")]
pub struct OnnxState {
    inner: onnx::Snapshot,
}

impl OnnxStream {
    pub fn new(device: Device, model: &OnnxModel) -> Result<Self> {
        let ints = model.inputs().filter(|info| !info.float).map(|info| info.name.clone()).collect();
        Ok(Self { device, ints, inner: Mutex::new(model.stream()?) })
    }

    /// Runs `body` unless another call is in progress.
    fn enter<T>(&self, body: impl FnOnce(&mut onnx::Stream) -> Result<T>) -> Result<T> {
        body(&mut *self.inner.try_lock().map_err(|_| Failure::busy())?)
    }
}

#[pymethods]
impl OnnxStream {
    /// Runs the model on named arrays, from the state after the previous call.
    fn run<'py>(&self, py: Python<'py>, inputs: &Bound<'py, PyDict>) -> Result<Bound<'py, PyDict>> {
        let values = run::values(&self.device, |name| Some(!self.ints.iter().any(|own| own == name)), inputs)?;
        let named: Vec<(&str, Value)> = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
        let outputs = py.detach(|| self.enter(|stream| Ok(stream.run_blocking(&named)?)))?;
        run::outputs(py, outputs)
    }

    /// Returns to the initial state.
    fn reset(&self) -> Result<()> {
        self.enter(|stream| {
            stream.reset();
            Ok(())
        })
    }

    /// A copy of the state.
    #[getter]
    fn get_state(&self) -> Result<OnnxState> {
        self.enter(|stream| Ok(OnnxState { inner: stream.snapshot() }))
    }

    /// Continues from a state of this stream, or of another one of the same model.
    #[setter]
    fn set_state(&self, state: &OnnxState) -> Result<()> {
        self.enter(|stream| Ok(stream.restore(state.inner.clone())?))
    }
}
