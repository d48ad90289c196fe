//! Functions that create layers, called by `wgru/_layers.py`.

use engine::nn::{Dropout, Embedding, LastState, LayerNorm, Linear, RecurrentConfig};
use engine::{Cell, Rng};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::content::Content;
use crate::device;
use crate::failure::{Failure, Result};
use crate::model::Model;
use crate::part::Part;
use crate::sequence::Sequence;

/// Creates a recurrent layer with random weights.
#[pyfunction]
#[pyo3(signature = (cell, input, hidden, layers, bias, batch_first, dropout, bidirectional, projection, device, seed))]
#[allow(clippy::too_many_arguments, reason = "the arguments of torch.nn.LSTM")]
pub fn recurrent(
    py: Python,
    cell: &str,
    input: usize,
    hidden: usize,
    layers: usize,
    bias: bool,
    batch_first: bool,
    dropout: f32,
    bidirectional: bool,
    projection: usize,
    device: &Bound<'_, PyAny>,
    seed: u64,
) -> Result<Model> {
    let device = device::of(Some(device))?;
    let cell = match cell {
        "gru" => Cell::Gru,
        "gru_reset_before" => Cell::GruResetBefore,
        "lstm" => Cell::Lstm,
        "tanh" => Cell::Rnn,
        "relu" => Cell::RnnRelu,
        other => return Err(Failure::value(format!("recurrent: cell: {other:.64?} is unknown"))),
    };
    let config = RecurrentConfig {
        layers,
        bias,
        batch_first,
        dropout,
        bidirectional,
        projection,
        ..RecurrentConfig::new(cell, input, hidden)
    };
    let layer = py.detach(|| config.build(&device, &mut Rng::new(seed)))?;
    Ok(Model::new(device, Content::Layer(Part::Recurrent(layer))))
}

/// Creates a layer without a time axis: `sizes` are its sizes, and `number` its option.
#[pyfunction]
pub fn layer(
    kind: &str,
    sizes: Vec<usize>,
    number: f32,
    flag: bool,
    on: &Bound<'_, PyAny>,
    seed: u64,
) -> Result<Model> {
    let device = device::of(Some(on))?;
    let mut rng = Rng::new(seed);
    let part = match (kind, &sizes[..]) {
        ("linear", &[input, output]) => Part::Linear(Linear::new(&device, input, output, flag, &mut rng)?),
        ("embedding", &[rows, width]) => Part::Embedding(Embedding::new(&device, rows, width, &mut rng)?),
        ("embedding", &[rows, width, padding]) => {
            let padding = u32::try_from(padding).map_err(|_| Failure::value("Embedding: padding_idx: too large"))?;
            Part::Embedding(Embedding::new(&device, rows, width, &mut rng)?.with_padding_idx(padding)?)
        }
        ("layer_norm", &[width]) => {
            let plain = LayerNorm::new(&device, width)?;
            let tensors: Vec<_> =
                engine::nn::Module::parameters(&plain).into_iter().map(|(_, tensor)| tensor).collect();
            match &tensors[..] {
                [weight, bias] => Part::LayerNorm(LayerNorm::from_parameters(weight.clone(), bias.clone(), number)?),
                _ => return Err(Failure::Other("internal", "LayerNorm: expected two parameters".into())),
            }
        }
        ("relu", []) => Part::Relu,
        ("tanh", []) => Part::Tanh,
        ("dropout", []) => Part::Dropout(Dropout::new(number)?, number),
        ("last_state", []) => Part::LastState(LastState::default()),
        _ => return Err(Failure::value(format!("layer: {kind:?} with {} sizes is unknown", sizes.len()))),
    };
    Ok(Model::new(device, Content::Layer(part)))
}

/// Connects layers, given as pairs of a name and a layer.
#[pyfunction]
pub fn sequential(named: &Bound<'_, PyList>) -> Result<Model> {
    let mut parts = Vec::new();
    for pair in named {
        let (name, layer): (String, Bound<'_, PyAny>) = pair.extract()?;
        let wrong = |_| Failure::dtype(format!("Sequential: {name}: expected a layer of wgru, such as wgru.GRU"));
        let layer = layer.cast::<Model>().map_err(wrong)?.get();
        match &*layer.content {
            Content::Layer(part) => parts.push((name, part.clone())),
            Content::Sequence(inner) => {
                parts.extend(inner.parts.iter().map(|(own, part)| (format!("{name}.{own}"), part.clone())));
            }
            _ => {
                return Err(Failure::unsupported(format!("Sequential: {name}: expected a layer, got a whole model")));
            }
        }
    }
    let sequence = Sequence::new(parts)?;
    let device = sequence.device().map_or_else(|| device::of(None), Ok)?;
    let mut tensors = engine::nn::Module::parameters(&sequence.module).into_iter();
    if let Some((name, _)) = tensors.find(|(_, tensor)| tensor.device() != &device) {
        let text = format!("Sequential: {name}: expected layers on one device, got another one than that of the first");
        return Err(Failure::Other("device-mix", text));
    }
    Ok(Model::new(device, Content::Sequence(sequence)))
}
