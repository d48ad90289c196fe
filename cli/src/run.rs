//! `wgru run`: runs any model on arrays from `.npy` files.

use std::path::PathBuf;

use serde_json::json;
use wgru::io::{TensorFile, write_atomically};

use crate::device::{Which, open};
use crate::failure::{Failure, Result};
use crate::inputs;
use crate::model::{self, floats};
use crate::output::{Answer, Output};

/// Runs a model on arrays, and writes its outputs as arrays.
///
/// Models other than ONNX have one input of any name, and one output `y`; see `wgru info` for the axes.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The model, in any format
    model: PathBuf,
    /// An input, as NAME=FILE.npy, or FILE.npy for a model with one input; repeat for each input
    #[arg(long = "input", value_name = "NAME=FILE.npy", required = true)]
    inputs: Vec<String>,
    /// Folder for the outputs
    #[arg(long)]
    output: PathBuf,
    /// Runs only this recurrent layer
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Device to use
    #[arg(long, default_value = "auto")]
    device: Which,
}

pub fn run(args: &Args, out: &Output) -> Result<Answer> {
    let device = open(args.device)?;
    let model = model::load(&device, &args.model, args.layer.as_deref())?;
    let inputs = inputs::read(&device, &model, &args.inputs)?;
    std::fs::create_dir_all(&args.output).map_err(|error| Failure::file(&args.output, error))?;
    let mut written = Vec::new();
    for (name, value) in model::run(&model, &inputs)? {
        let mut file = TensorFile::default();
        file.insert(&name, value.dims(), floats(&value)?);
        let path = args.output.join(format!("{}.npy", name.replace(['/', '\\'], "_")));
        write_atomically(&path, &file.to_npy(&name)?)?;
        out.line(format!("{}: {:?}", path.display(), value.dims()));
        written.push(json!({ "name": name, "dims": value.dims(), "file": path.display().to_string() }));
    }
    Ok(Answer::yes(json!({ "device": device.info().name, "outputs": written })))
}
