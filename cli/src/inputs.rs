//! Inputs of a model: arrays from files, or random ones.

use std::path::Path;

use wgru::io::onnx::{Extent, Info, Input, OnnxModel, Value};
use wgru::io::{Model, TensorFile};
use wgru::{Device, Rng, Tensor};

use crate::failure::{Failure, Result};
use crate::info::extents;
use crate::model::indices;

/// Extents of random inputs, and their seed.
#[derive(clap::Args, Clone, Debug)]
pub struct Sizes {
    /// Steps of random sequences [default: those stated in the file, else 100]
    #[arg(long)]
    pub steps: Option<usize>,
    /// Number of random sequences in a batch [default: 1]
    #[arg(long)]
    pub batch: Option<usize>,
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

/// Maximum number of random numbers in an input.
const MOST: usize = 1 << 28;

/// Splits `NAME=FILE.npy`. Without a name, the path of a file that exists may contain `=`.
pub fn split(argument: &str) -> (Option<&str>, &Path) {
    match argument.split_once('=') {
        Some((name, path)) if !Path::new(argument).is_file() => (Some(name), Path::new(path)),
        _ => (None, Path::new(argument)),
    }
}

/// Returns the name of the only input of a model.
fn only(model: &Model, path: &Path) -> Result<String> {
    // Other models take any name.
    let Model::Onnx(model) = model else { return Ok("x".into()) };
    let names: Vec<&str> = model.inputs().map(|info| info.name.as_str()).collect();
    match names[..] {
        [name] => Ok(name.into()),
        _ => Err(Failure::arguments(format!(
            "--input {}: expected NAME=FILE.npy, with a name of {names:?}",
            path.display()
        ))),
    }
}

/// Reads inputs given as `NAME=FILE.npy`, or `FILE.npy` for a model with one input.
pub fn read(device: &Device, model: &Model, arguments: &[String]) -> Result<Vec<(String, Value)>> {
    let mut out = Vec::new();
    for argument in arguments {
        let (name, path) = split(argument);
        let name = name.map_or_else(|| only(model, path), |name| Ok(name.into()))?;
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
        (_, Some(module)) => {
            no_extents(sizes)?;
            module
        }
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
            extent if *extent == Extent::named("batch") => sizes.batch.unwrap_or(1),
            Extent::Fixed(width) if axis == last && !reads_indices => sizes.features.unwrap_or(*width),
            _ if axis == last && !reads_indices => sizes.features.ok_or_else(|| {
                Failure::arguments("--features: the model does not state the width of its input; give it")
            })?,
            Extent::Fixed(_) if axis == 1 => steps,
            Extent::Fixed(extent) => *extent,
            _ => steps,
        });
    }
    let count = count(&extents)?;
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

/// Refuses extents of axes by name, which only ONNX models have.
pub fn no_extents(sizes: &Sizes) -> Result<()> {
    match sizes.extents.is_empty() {
        true => Ok(()),
        false => Err(Failure::arguments("--extent: only for ONNX models; use --steps, --batch and --features")),
    }
}

/// Returns the number of elements of a random input.
pub fn count(extents: &[usize]) -> Result<usize> {
    let count = extents.iter().try_fold(1usize, |count, &n| count.checked_mul(n)).filter(|&count| count <= MOST);
    count.ok_or_else(|| {
        let why = format!("a random input of {extents:?}: expected at most {MOST} numbers; choose smaller extents");
        Failure::arguments(why)
    })
}

fn reads_indices(model: &Model) -> bool {
    model.module().and_then(Input::of).is_some_and(|input| input.indices)
}

fn onnx(device: &Device, model: &OnnxModel, sizes: &Sizes, rng: &mut Rng) -> Result<Vec<(String, Value)>> {
    if sizes.steps.is_some() || sizes.batch.is_some() || sizes.features.is_some() {
        let why = "--steps, --batch, --features: not for ONNX models, whose axes have names or numbers; use --extent";
        return Err(Failure::arguments(why));
    }
    let mut out = Vec::new();
    let mut unused: Vec<&str> = sizes.extents.iter().map(String::as_str).collect();
    for info in model.inputs() {
        let Some(dims) = &info.dims else {
            let why =
                format!("--input: the model leaves the number of axes of {:?} open; give it as a file", info.name);
            return Err(Failure::arguments(why));
        };
        let dims: Vec<usize> = dims
            .iter()
            .enumerate()
            .map(|(axis, extent)| size(info, axis, extent, &sizes.extents, &mut unused))
            .collect::<Result<_>>()?;
        let count = count(&dims)?;
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
    if let [argument, ..] = unused[..] {
        let inputs: Vec<String> = model.inputs().map(|info| format!("{}: {}", info.name, extents(info))).collect();
        let why = format!("--extent {argument}: no input has this axis; the inputs are {inputs:?}");
        return Err(Failure::arguments(why));
    }
    Ok(out)
}

/// Returns the extent of an axis: the first that was given for it, or its own, or 1. Removes those given for it from
/// `unused`.
fn size(info: &Info, axis: usize, extent: &Extent, given: &[String], unused: &mut Vec<&str>) -> Result<usize> {
    let place = format!("{}:{axis}", info.name);
    for argument in given {
        let Some((name, number)) = argument.rsplit_once('=') else {
            return Err(Failure::arguments(format!("--extent {argument:?}: expected NAME=N or INPUT:K=N")));
        };
        if *extent == Extent::named(name) || place == name {
            unused.retain(|other| other != argument);
            return number.parse().map_err(|_| Failure::arguments(format!("--extent {argument:?}: not a number")));
        }
    }
    Ok(match extent {
        Extent::Fixed(n) => *n,
        Extent::Named(_) | Extent::Free => 1,
    })
}
