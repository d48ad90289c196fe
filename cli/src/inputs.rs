//! Inputs of a model: arrays from files, or random ones.

use std::path::Path;

use wgru::io::onnx::{Extent, Info, Input, OnnxModel, Value};
use wgru::io::{Model, TensorFile};
use wgru::{Device, Rng, Tensor};

use crate::failure::{Failure, Result};
use crate::model::indices;

/// Extents of random inputs, and their seed.
#[derive(clap::Args, Clone, Debug)]
pub struct Sizes {
    /// Steps of random sequences [default: those stated in the file, else 100]
    #[arg(long)]
    pub steps: Option<usize>,
    /// Number of random sequences in a batch
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
    /// Extent of a named axis of an ONNX input, or of axis k of an input; others that the model leaves open are 1
    #[arg(long = "extent", value_name = "NAME=N or INPUT:K=N")]
    pub extents: Vec<String>,
    /// Features of the input, if the model does not state them
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
    let module = match (model, model.module()) {
        (Model::Onnx(model), _) => return onnx(device, model, sizes, rng),
        (_, Some(module)) => module,
        (_, None) => return Ok(Vec::new()),
    };
    let (dims, reads_indices) = match Input::of(module) {
        Some(input) => (input.dims, input.indices),
        None => (vec![Extent::named("batch"), Extent::named("time"), Extent::Free], false),
    };
    let told = if let Model::Network(network) = model { network.input_extents() } else { &[] };
    let steps = sizes.steps.or(told.first().copied().flatten()).unwrap_or(100);
    let (mut extents, last) = (Vec::new(), dims.len() - 1);
    for (axis, extent) in dims.iter().enumerate() {
        extents.push(match extent {
            extent if *extent == Extent::named("batch") => sizes.batch,
            Extent::Fixed(width) if axis == last && !reads_indices => sizes.features.unwrap_or(*width),
            _ if axis == last && !reads_indices => sizes.features.ok_or_else(|| {
                Failure::arguments("--features: the model does not state the width of its input; give it")
            })?,
            Extent::Fixed(_) if axis == 1 => steps,
            Extent::Fixed(extent) => *extent,
            _ => steps,
        });
    }
    let count: usize = extents.iter().product();
    let x = match reads_indices {
        true => {
            // The table of the embedding comes first.
            let rows = module.parameters().first().and_then(|(_, table)| table.dims().first().copied()).unwrap_or(1);
            let values: Vec<f32> = (0..count).map(|_| rng.below(rows.max(1)) as f32).collect();
            indices(device, &values, &extents)?
        }
        false => {
            let values: Vec<f32> = (0..count).map(|_| rng.uniform(-1.0, 1.0)).collect();
            Tensor::from_slice(device, &values, &extents)?
        }
    };
    Ok(vec![("x".into(), x.into())])
}

fn reads_indices(model: &Model) -> bool {
    model.module().and_then(Input::of).is_some_and(|input| input.indices)
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
