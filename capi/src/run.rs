//! Runs of whole sequences.
#![allow(unsafe_code, reason = "takes pointers from C")]

use engine::Tensor;
use engine::io::onnx::{OnnxModel, Value};
use engine::nn::{Linear, Mode, Module, Recurrent, RunOptions};

use crate::call::guard;
use crate::failure::{Failure, Result};
use crate::file::Content;
use crate::handle;
use crate::model::WgruModel;
use crate::outputs::WgruOutputs;
use crate::status::{WgruError, WgruStatus};
use crate::tensor::{Input, Output, WgruTensor};

/// Runs a model on whole sequences, from the initial state. A model does not remember earlier runs.
///
/// A recurrent model takes `x` `[batch, steps, features]` and, if wanted, `h0` and `c0` `[layers * directions, batch,
/// units]` and integers `lengths` `[batch]`, the valid steps of each sequence. It returns `y` `[batch, steps,
/// features]` and the last states `h_n` and, for an LSTM, `c_n`. The file's own order of axes does not matter.
///
/// A network takes `x` `[batch, steps, features]`, or integers `[batch, steps]` before an embedding, and returns `y`.
/// An ONNX model takes and returns what its ports describe.
///
/// - `inputs`: `input_count` tensors in any order. They are copied. The name of the only one may be null.
/// - `outputs`: receives the handle of all outputs, or null on an error. Free it with `wgru_outputs_free`.
///
/// Errors: `WGRU_STATUS_HANDLE`, `WGRU_STATUS_POINTER`, `WGRU_STATUS_SHAPE`, `WGRU_STATUS_TYPE`, `WGRU_STATUS_VALUE` for
/// inputs that are unknown, missing or given twice, `WGRU_STATUS_LIMIT` for an ONNX run of too much memory or work,
/// `WGRU_STATUS_DEVICE`. Any thread. Allocates, and blocks until the outputs are there.
///
/// # Safety
/// The pointers must be as described.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wgru_model_run(
    model: *const WgruModel,
    inputs: *const WgruTensor,
    input_count: usize,
    outputs: *mut *mut WgruOutputs,
    error: *mut WgruError,
) -> WgruStatus {
    // SAFETY: as for this function.
    unsafe {
        guard(error, || {
            handle::put(outputs, || {
                let model = handle::get(model)?;
                Ok(WgruOutputs::new(run(model, &Input::all(inputs, input_count)?)?))
            })
        })
    }
}

/// Finds the port of each input. Returns the inputs in the order of the ports.
pub fn by_port<'a, 'b>(model: &WgruModel, inputs: &'b [Input<'a>]) -> Result<Vec<Option<&'b Input<'a>>>> {
    let mut found: Vec<Option<&Input>> = vec![None; model.inputs.len()];
    let names = || {
        let names: Vec<_> = model.inputs.iter().take(16).map(|port| port.name.to_string_lossy()).collect();
        format!("{names:?}")
    };
    for input in inputs {
        let place = match input.name {
            None if inputs.len() == 1 => Some(0),
            None => return Err(Failure::value(format!("inputs: each of several needs a name: {}", names()))),
            Some(name) => model.inputs.iter().position(|port| port.name.to_bytes() == name.as_bytes()),
        };
        let unknown = || Failure::value(format!("inputs: expected names of {}, got {:?}", names(), input.name));
        let slot = place.and_then(|place| found.get_mut(place)).ok_or_else(unknown)?;
        if slot.replace(input).is_some() {
            return Err(Failure::value(format!("inputs: {:?} is given twice", input.name)));
        }
    }
    Ok(found)
}

fn run(model: &WgruModel, inputs: &[Input]) -> Result<Vec<Output>> {
    let found = by_port(model, inputs)?;
    match &model.content {
        Content::Recurrent { layer, head } => recurrent(model, layer, head.as_ref(), &found),
        Content::Network(network) => {
            let x = required(&found, 0)?.to_tensor(&model.device)?;
            Ok(vec![Output::read("y", &network.forward(&x)?.into())?])
        }
        Content::Onnx(onnx) => graph(model, onnx, &found),
    }
}

fn required<'a, 'b>(found: &[Option<&'b Input<'a>>], place: usize) -> Result<&'b Input<'a>> {
    found.get(place).copied().flatten().ok_or_else(|| Failure::value("inputs: expected \"x\", got none"))
}

/// Swaps the axes of batch and steps, for layers that take steps first.
fn turned(layer: &Recurrent, x: &Tensor) -> Result<Tensor> {
    match (layer.config().batch_first, x.dims().len()) {
        // Another number of axes is refused by the layer.
        (false, 3) => Ok(x.permute(&[1, 0, 2])?),
        _ => Ok(x.clone()),
    }
}

fn recurrent(
    model: &WgruModel,
    layer: &Recurrent,
    head: Option<&Linear>,
    found: &[Option<&Input>],
) -> Result<Vec<Output>> {
    let given = |name: &str| {
        let place = model.inputs.iter().position(|port| port.name.to_bytes() == name.as_bytes());
        place.and_then(|place| found.get(place).copied().flatten())
    };
    let tensor = |input: Option<&Input>| input.map(|input| input.to_tensor(&model.device)).transpose();
    let x = turned(layer, &required(found, 0)?.to_tensor(&model.device)?)?;
    let (h0, c0) = (tensor(given("h0"))?, tensor(given("c0"))?);
    let lengths = given("lengths").map(Input::to_lengths).transpose()?;
    let options = RunOptions { h0: h0.as_ref(), c0: c0.as_ref(), lengths: lengths.as_deref(), ..RunOptions::default() };
    let run = layer.run(&x, options, &mut Mode::Eval)?;
    let mut y = turned(layer, &run.output)?;
    if let Some(head) = head {
        y = head.forward(&y)?;
    }
    let mut outputs = vec![Output::read("y", &y.into())?, Output::read("h_n", &run.h_n.into())?];
    if let Some(c_n) = run.c_n {
        outputs.push(Output::read("c_n", &c_n.into())?);
    }
    Ok(outputs)
}

fn graph(model: &WgruModel, onnx: &OnnxModel, found: &[Option<&Input>]) -> Result<Vec<Output>> {
    let mut values: Vec<(&str, Value)> = Vec::new();
    for (info, input) in onnx.inputs().zip(found) {
        if let Some(input) = input {
            values.push((&info.name, input.to_value(&model.device)?));
        }
    }
    let outputs = onnx.run_blocking(&values)?;
    outputs.iter().map(|(name, value)| Output::read(name, value)).collect()
}
