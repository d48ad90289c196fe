//! `wgru tune`: measures which plans and products are the fastest for a model on a GPU.

use std::path::PathBuf;

use serde_json::json;
use wgru::Rng;

use crate::device::{Which, open};
use crate::failure::{Failure, Result};
use crate::inputs::{self, Sizes};
use crate::model::{self, floats};
use crate::output::{Answer, Output};

/// Measures the plans and products of a model on a GPU, and saves the fastest; programs load them with `Tuning::load`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The model, in any format
    model: PathBuf,
    /// The file for the choices, JSON
    #[arg(long, default_value = "tuning.json")]
    save: PathBuf,
    /// An input, as NAME=FILE.npy, or FILE.npy for a model with one input [default: random]
    #[arg(long = "input", value_name = "NAME=FILE.npy")]
    inputs: Vec<String>,
    /// Tunes only this recurrent layer
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    #[command(flatten)]
    sizes: Sizes,
}

pub fn tune(args: &Args, out: &Output) -> Result<Answer> {
    let device = open(Which::Gpu)?;
    let model = model::load(&device, &args.model, args.layer.as_deref())?;
    let inputs = match args.inputs.is_empty() {
        true => inputs::random(&device, &model, &args.sizes, &mut Rng::new(args.sizes.seed))?,
        false => inputs::read(&device, &model, &args.inputs)?,
    };
    // Errors outside of the device are returned after the measurement.
    let mut failed: Option<Failure> = None;
    let progress = out.progress(0);
    progress.at("measuring");
    let tuning = device.tune(|| {
        match model::run(&model, &inputs)
            .and_then(|values| values.iter().try_for_each(|(_, value)| floats(value).map(drop)))
        {
            Ok(()) => {}
            Err(failure) => drop(failed.get_or_insert(failure)),
        }
        Ok(())
    })?;
    drop(progress);
    if let Some(failure) = failed {
        return Err(failure);
    }
    tuning.save(&args.save)?;
    out.line(format!("{}: {} choices for {}", args.save.display(), tuning.len(), device.info().name));
    Ok(Answer::yes(json!({
        "device": device.info().name, "file": args.save.display().to_string(), "choices": tuning.len(),
    })))
}
