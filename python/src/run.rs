//! Runs of whole sequences. Python's lock is released while the library computes.

use engine::io::onnx::{OnnxModel, Value};
use engine::nn::{Mode, Recurrent, RunOptions};
use engine::{Device, Tensor};
use numpy::PyUntypedArrayMethods as _;
use pyo3::IntoPyObjectExt as _;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::array;
use crate::content::Content;
use crate::failure::{Failure, Result};

/// Reads a tensor back into a new array.
fn array_of<'py>(py: Python<'py>, tensor: &Tensor) -> Result<Bound<'py, PyAny>> {
    let values = py.detach(|| tensor.read_blocking())?;
    array::from_values(py, values, tensor.dims())
}

/// Adds an axis for a batch of one sequence at `axis`, or removes it.
fn insert_axis(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let mut dims = tensor.dims().to_vec();
    dims.insert(axis.min(dims.len()), 1);
    Ok(tensor.reshape(&dims)?)
}

fn remove_axis(tensor: &Tensor, axis: usize) -> Result<Tensor> {
    let mut dims = tensor.dims().to_vec();
    dims.remove(axis);
    Ok(tensor.reshape(&dims)?)
}

/// Runs a recurrent layer on `x` `[B, T, I]`, `[T, B, I]` or, for one sequence, `[T, I]`. Returns the output and the
/// last states: `h_n`, or `(h_n, c_n)` for an LSTM.
pub fn recurrent<'py>(
    py: Python<'py>,
    device: &Device,
    layer: &Recurrent,
    x: &Bound<'py, PyAny>,
    h0: Option<&Bound<'py, PyAny>>,
    lengths: Option<&Bound<'py, PyAny>>,
) -> Result<Bound<'py, PyAny>> {
    let c = layer.config();
    let is_lstm = c.cell.states() > 1;
    let x = array::floats("x", x)?;
    let is_single = x.ndim() == 2;
    let axis = usize::from(!c.batch_first);
    let mut x = array::tensor("x", device, &x)?;
    if is_single {
        x = insert_axis(&x, axis)?;
    }
    let state = |arg: &str, value: &Bound<'py, PyAny>| -> Result<Tensor> {
        let tensor = array::tensor(arg, device, &array::floats(arg, value)?)?;
        if is_single { insert_axis(&tensor, 1) } else { Ok(tensor) }
    };
    let (mut first, mut cells) = (None, None);
    match (h0, is_lstm) {
        (None, _) => {}
        (Some(given), false) => first = Some(state("h0", given)?),
        (Some(given), true) => {
            let wrong = || Failure::value("h0: expected a tuple (h0, c0) for an LSTM");
            let pair = given.cast::<PyTuple>().map_err(|_| wrong())?;
            if pair.len() != 2 {
                return Err(wrong());
            }
            first = Some(state("h0", &pair.get_item(0)?)?);
            cells = Some(state("c0", &pair.get_item(1)?)?);
        }
    }
    let lengths = lengths.map(|lengths| array::lengths("lengths", lengths)).transpose()?;
    let run = py.detach(|| {
        let options =
            RunOptions { h0: first.as_ref(), c0: cells.as_ref(), lengths: lengths.as_deref(), ..RunOptions::default() };
        layer.run(&x, options, &mut Mode::Eval)
    })?;
    let batchless = |tensor: Tensor, axis: usize| if is_single { remove_axis(&tensor, axis) } else { Ok(tensor) };
    let output = array_of(py, &batchless(run.output, axis)?)?;
    let h_n = array_of(py, &batchless(run.h_n, 1)?)?;
    let state = match run.c_n {
        Some(c_n) => (h_n, array_of(py, &batchless(c_n, 1)?)?).into_bound_py_any(py)?,
        None => h_n,
    };
    Ok((output, state).into_bound_py_any(py)?)
}

/// Runs a network, which takes and returns one array.
pub fn module<'py>(
    py: Python<'py>,
    device: &Device,
    content: &Content,
    x: &Bound<'py, PyAny>,
) -> Result<Bound<'py, PyAny>> {
    if let Content::Onnx(_) = content {
        return Err(Failure::value("model: an ONNX model takes named arrays: model.run({\"name\": array})"));
    }
    let module = content.module()?;
    let is_index = content.takes_indices()
        || (matches!(content, Content::Network(_)) && matches!(kind(x)?, array::Elements::Ints));
    let x = if is_index {
        let x = array::ints("x", x)?;
        Tensor::from_indices(device, &array::indices("x", &x)?, x.shape())?
    } else {
        array::tensor("x", device, &array::floats("x", x)?)?
    };
    let y = py.detach(|| module.forward(&x))?;
    array_of(py, &y)
}

/// Returns the kind of elements of an array.
fn kind(value: &Bound<'_, PyAny>) -> Result<array::Elements> {
    let array = value.py().import("numpy")?.call_method1("asarray", (value,))?;
    let kind: String = array.getattr("dtype")?.getattr("kind")?.extract()?;
    Ok(if "iub".contains(&kind) { array::Elements::Ints } else { array::Elements::Floats })
}

/// Returns the arguments of an ONNX graph as values.
pub fn values(
    device: &Device,
    is_float: impl Fn(&str) -> Option<bool>,
    inputs: &Bound<'_, PyDict>,
) -> Result<Vec<(String, Value)>> {
    let mut values = Vec::new();
    for (name, value) in inputs {
        let name: String = name.extract()?;
        let value = match is_float(&name) {
            Some(false) => {
                let array = array::ints(&name, &value)?;
                Value::ints(array::slice(&name, &array)?, array.shape())?
            }
            // The library names the inputs that it knows.
            _ => array::tensor(&name, device, &array::floats(&name, &value)?)?.into(),
        };
        values.push((name, value));
    }
    Ok(values)
}

/// Whether an input of an ONNX model holds floats.
pub fn is_float(model: &OnnxModel) -> impl Fn(&str) -> Option<bool> + '_ {
    |name| model.inputs().find(|info| info.name == name).map(|info| info.float)
}

/// Returns outputs of an ONNX graph as a dictionary.
pub fn outputs<'py>(py: Python<'py>, outputs: Vec<(String, Value)>) -> Result<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (name, value) in outputs {
        let array = match &value {
            Value::Tensor(tensor) => array_of(py, tensor)?,
            _ => array::from_values(py, py.detach(|| value.read_ints_blocking())?, value.dims())?,
        };
        dict.set_item(name, array)?;
    }
    Ok(dict)
}

/// Runs an ONNX model.
pub fn graph<'py>(
    py: Python<'py>,
    device: &Device,
    model: &OnnxModel,
    inputs: &Bound<'py, PyDict>,
) -> Result<Bound<'py, PyDict>> {
    let values = values(device, is_float(model), inputs)?;
    let named: Vec<(&str, Value)> = values.iter().map(|(name, value)| (name.as_str(), value.clone())).collect();
    let results = py.detach(|| model.run_blocking(&named))?;
    outputs(py, results)
}
