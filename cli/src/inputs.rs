//! Inputs of a model: arrays from files, or random ones.

use std::path::Path;

use wgru::io::TensorFile;
use wgru::io::onnx::{Extent, Info, OnnxModel, Value};
use wgru::nn::{Kind, Module};
use wgru::{Device, Rng, Tensor};

use crate::failure::{Failure, Result};
use crate::model::{Model, indices};

/// Extents of random inputs, and their seed.
#[derive(clap::Args, Clone, Debug)]
pub struct Sizes {
    /// Steps of random sequences [default: those that the file tells, else 100]
    #[arg(long)]
    pub steps: Option<usize>,
    /// Random sequences at a time
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Extent of a named axis of an ONNX input, or of axis k of an input; others that the model leaves open are 1
    #[arg(long = "extent", value_name = "NAME=N or INPUT:K=N")]
    pub extents: Vec<String>,
    /// Features of the input, if the model does not tell them
    #[arg(long)]
    pub features: Option<usize>,
    /// Seed of random inputs
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// Reads inputs given as `NAME=FILE.npy`, or `FILE.npy` for a model with one input.
pub fn read(device: &Device, model: &Model, arguments: &[String]) -> Result<Vec<(String, Value)>> {
    let mut out = Vec::new();
    for argument in arguments {
        let (name, path) = match argument.split_once('=') {
            Some((name, path)) => (name.to_string(), Path::new(path)),
            None => ("x".to_string(), Path::new(argument.as_str())),
        };
        let file = TensorFile::open(path)?;
        let array = file.names().next().ok_or_else(|| Failure::file(path, "holds no array"))?;
        let (dims, values) = file.get(array)?;
        let value = match model {
            Model::Onnx(model) => match model.inputs().find(|info| info.name == name) {
                Some(info) if !info.float => Value::ints(&values.iter().map(|&v| v as i64).collect::<Vec<_>>(), dims)?,
                _ => Tensor::from_slice(device, values, dims)?.into(),
            },
            _ if reads_indices(model) => indices(device, values, dims)?.into(),
            _ => Tensor::from_slice(device, values, dims)?.into(),
        };
        out.push((name, value));
    }
    Ok(out)
}

/// Returns random inputs.
pub fn random(device: &Device, model: &Model, sizes: &Sizes, rng: &mut Rng) -> Result<Vec<(String, Value)>> {
    let Some(module) = layers(model) else {
        let Model::Onnx(model) = model else { return Ok(Vec::new()) };
        return onnx(device, model, sizes, rng);
    };
    let told = |axis: usize| match model {
        Model::Network { extents, .. } => extents.get(axis).copied().flatten(),
        _ => None,
    };
    let (batch, steps) = (sizes.batch, sizes.steps.or(told(0)).unwrap_or(100));
    let x = match first(&module.kind(), module) {
        First::Indices(rows) => {
            let values: Vec<f32> = (0..batch * steps).map(|_| rng.below(rows.max(1)) as f32).collect();
            indices(device, &values, &[batch, steps])?
        }
        First::Features { width, time_first } => {
            let Some(width) = sizes.features.or(width).or(told(1)) else {
                return Err(Failure::arguments("--features: the model does not tell the width of its input"));
            };
            let values: Vec<f32> = (0..batch * steps * width).map(|_| rng.uniform(-1.0, 1.0)).collect();
            let dims = if time_first { [steps, batch, width] } else { [batch, steps, width] };
            Tensor::from_slice(device, &values, &dims)?
        }
    };
    Ok(vec![("x".into(), x.into())])
}

/// The input of the first layer of a network.
enum First {
    Indices(usize),
    Features { width: Option<usize>, time_first: bool },
}

fn first(kind: &Kind, module: &dyn Module) -> First {
    let columns = |axis: usize| module.parameters().first().and_then(|(_, t)| t.dims().get(axis).copied());
    match kind {
        Kind::Embedding => First::Indices(columns(0).unwrap_or(1)),
        Kind::Recurrent(c) => First::Features { width: Some(c.input), time_first: !c.batch_first },
        Kind::Conv1d(c) => First::Features { width: Some(c.input), time_first: false },
        Kind::Sequence(parts) => {
            let has_weights = |part: &&(&str, &dyn Module)| !part.1.parameters().is_empty();
            match parts.iter().find(has_weights) {
                Some((_, part)) => first(&part.kind(), *part),
                None => First::Features { width: None, time_first: false },
            }
        }
        // The first weight is [out, in], or the table of an embedding in a graph.
        Kind::Linear => First::Features { width: columns(1), time_first: false },
        _ => First::Features { width: None, time_first: false },
    }
}

/// Returns the layers of a model other than ONNX. A network that is a graph does not describe itself; its layers do.
fn layers(model: &Model) -> Option<&dyn Module> {
    match model {
        Model::Onnx(_) => None,
        Model::Network { network, .. } => Some(&network.layers),
        Model::Recurrent(layer) => Some(layer),
    }
}

fn reads_indices(model: &Model) -> bool {
    layers(model).is_some_and(|module| matches!(first(&module.kind(), module), First::Indices(_)))
}

fn onnx(device: &Device, model: &OnnxModel, sizes: &Sizes, rng: &mut Rng) -> Result<Vec<(String, Value)>> {
    let mut out = Vec::new();
    for info in model.inputs() {
        let Some(dims) = &info.dims else {
            let why =
                format!("--input: the model leaves the number of axes of {:?} open; give it as a file", info.name);
            return Err(Failure::arguments(why));
        };
        let dims: Vec<usize> = dims
            .iter()
            .enumerate()
            .map(|(axis, extent)| size(info, axis, extent, &sizes.extents))
            .collect::<Result<_>>()?;
        let count = dims.iter().product();
        let value = match info.float {
            true => {
                let values: Vec<f32> = (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect();
                Tensor::from_slice(device, &values, &dims)?.into()
            }
            // Lengths, indices and flags: 1 is the safest guess.
            false => Value::ints(&vec![1; count], &dims)?,
        };
        out.push((info.name.clone(), value));
    }
    Ok(out)
}

fn size(info: &Info, axis: usize, extent: &Extent, given: &[String]) -> Result<usize> {
    let place = format!("{}:{axis}", info.name);
    for argument in given {
        let Some((name, number)) = argument.rsplit_once('=') else {
            return Err(Failure::arguments(format!("--extent {argument:?}: expected NAME=N or INPUT:K=N")));
        };
        if *extent == Extent::named(name) || place == name {
            return number.parse().map_err(|_| Failure::arguments(format!("--extent {argument:?}: not a number")));
        }
    }
    Ok(match extent {
        Extent::Fixed(n) => *n,
        Extent::Named(_) | Extent::Free => 1,
    })
}
