//! `wgru compare`: runs a model on several devices, and recurrent layers also in f64.

use std::path::PathBuf;

use serde_json::json;
use wgru::io::{Model, TensorFile, compare as compare_f64};
use wgru::nn::{HostInput, Recurrent};
use wgru::{Device, Rng};

use crate::device::{Which, all, open};
use crate::failure::{Failure, Result, tolerance};
use crate::inputs::{self, Sizes};
use crate::model::{self, floats};
use crate::output::{Answer, Output};

/// Runs a model on several devices, and reports how much their results differ.
///
/// A recurrent layer is also run in f64, and the first gate that differs from it is named. Other models are compared
/// with the first device. Errors are relative for expected values above 1, otherwise absolute. If the file contains a
/// verification run, loading it also checks that run. The exit code is 1 if an error is above the tolerance.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The model, in any format
    model: PathBuf,
    /// An input, as NAME=FILE.npy, or FILE.npy for a model with one input [default: random, 50 steps of 3 sequences for
    /// a recurrent layer]
    #[arg(long = "input", value_name = "NAME=FILE.npy")]
    inputs: Vec<String>,
    /// Devices to run on [default: cpu, twin, and gpu if there is one]
    #[arg(long, value_delimiter = ',')]
    devices: Vec<Which>,
    /// Tolerance; the first error above it is reported
    #[arg(long, default_value_t = 1e-5, value_parser = tolerance)]
    tolerance: f64,
    /// Compares only this recurrent layer
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    #[command(flatten)]
    sizes: Sizes,
}

pub fn compare(args: &Args, out: &Output) -> Result<Answer> {
    let mut devices = all(&args.devices)?;
    if args.devices.is_empty() {
        devices.insert(1, (Which::Twin, open(Which::Twin)?));
    }
    let progress = out.progress(devices.len());
    let (mut results, mut agree, mut first) = (Vec::new(), true, None);
    for (which, device) in &devices {
        progress.at(&which.to_string());
        let model = model::load(device, &args.model, args.layer.as_deref())?;
        let (largest, place) = match &model {
            Model::Recurrent(layer) => in_f64(args, layer)?,
            _ => {
                let found = outputs(args, device, &model)?;
                match &first {
                    None => {
                        first = Some(found);
                        (0.0, None)
                    }
                    Some(first) => difference(first, &found, args.tolerance)?,
                }
            }
        };
        let against = if matches!(model, Model::Recurrent(_)) { "f64" } else { "the first device" };
        out.line(format!("{}: largest error {largest:.2e} against {against}", device.info().name));
        if let Some(place) = &place {
            out.line(format!("  differs at {place}"));
            agree = false;
        }
        results.push(json!({ "device": device.info().name, "largest": largest, "against": against, "first": place }));
        progress.advance();
    }
    drop(progress);
    Ok(Answer { json: json!({ "agree": agree, "devices": results }), yes: agree })
}

/// Compares a recurrent layer with f64: its largest error, and the first one that is too large.
fn in_f64(args: &Args, layer: &Recurrent) -> Result<(f64, Option<String>)> {
    let input = match &args.inputs[..] {
        [] => {
            inputs::no_extents(&args.sizes)?;
            let (steps, batch) = (args.sizes.steps.unwrap_or(50), args.sizes.batch.unwrap_or(3));
            inputs::count(&[steps, batch, layer.config().input])?;
            HostInput::random(layer, steps, batch, &mut Rng::new(args.sizes.seed))
        }
        [path] => {
            let (_, path) = inputs::split(path);
            let file = TensorFile::open(path)?;
            let name = file.names().next().ok_or_else(|| Failure::file(path, "holds no array"))?;
            let (dims, x) = file.get(name)?;
            let wrong = |_| {
                let why = format!("--input {}: has shape {dims:?}; expected three axes", path.display());
                Failure::arguments(why)
            };
            let dims = dims.try_into().map_err(wrong)?;
            HostInput { x: x.to_vec(), dims, ..HostInput::default() }
        }
        more => return Err(Failure::arguments(format!("--input: expected one, got {}", more.len()))),
    };
    let comparison = pollster::block_on(compare_f64(layer, &input, args.tolerance))?;
    Ok((comparison.largest, comparison.first.map(|first| first.to_string())))
}

/// Values by name.
type Outputs = Vec<(String, Vec<f32>)>;

fn outputs(args: &Args, device: &Device, model: &Model) -> Result<Outputs> {
    let inputs = match args.inputs.is_empty() {
        true => inputs::random(device, model, &args.sizes, &mut Rng::new(args.sizes.seed))?,
        false => inputs::read(device, model, &args.inputs)?,
    };
    model::run(model, &inputs)?.into_iter().map(|(name, value)| Ok((name, floats(&value)?))).collect()
}

/// Returns the largest error, and the first one that is too large.
fn difference(want: &Outputs, got: &Outputs, tolerance: f64) -> Result<(f64, Option<String>)> {
    let (mut largest, mut first) = (0.0f64, None);
    for ((name, want), (_, got)) in want.iter().zip(got) {
        if want.len() != got.len() {
            return Err(Failure { exit: crate::failure::NO, text: format!("output {name:?} has another size") });
        }
        for (k, (&w, &g)) in want.iter().zip(got).enumerate() {
            let same = w == g || (w.is_nan() && g.is_nan());
            let error = if same { 0.0 } else { f64::from((w - g).abs()) / f64::from(w.abs()).max(1.0) };
            largest = if error.is_nan() { f64::INFINITY } else { largest.max(error) };
            if (error > tolerance || error.is_nan()) && first.is_none() {
                first = Some(format!("output {name:?}, element {k}: {g:.8} instead of {w:.8}"));
            }
        }
    }
    Ok((largest, first))
}
