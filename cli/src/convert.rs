//! `wgru convert`: writes a model in another format.

use std::path::PathBuf;

use serde_json::json;
use wgru::Device;
use wgru::io::onnx::{self, Input};
use wgru::io::{
    self, ModelFile, RecurrentWeights, TensorFile, load_recurrent_blocking, network_to_file, to_guitarml_blocking,
    to_nam_blocking, to_rtneural_blocking, write_atomically,
};

use crate::failure::{Failure, Result};
use crate::model;
use crate::output::{Answer, Output};

/// Writes a model in another format, which is selected by the extension of the new file.
///
/// .safetensors and .npz hold all tensors and metadata of any file; .npy holds one tensor; .onnx holds a recurrent
/// layer or a network; .json (RTNeural, AIDA-X) holds a sequence of GRUs, LSTMs and linear layers; .nam (Neural Amp
/// Modeler) holds an LSTM with a linear layer. With --guitarml, .json is a file of GuitarML: one GRU or LSTM with a linear
/// layer. With --keras, a recurrent layer becomes Keras' kernel, recurrent_kernel and bias (.npz or .safetensors).
///
/// An ONNX model that is a stack of recurrent and linear layers and activations becomes a network of such layers, with
/// PyTorch's names. Of any other, .safetensors, .npz and .npy get the weights under their names in the model.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// A file of any kind
    from: PathBuf,
    /// The file to write
    to: PathBuf,
    /// Converts only this recurrent layer, or this tensor for .npy
    #[arg(long, value_name = "NAME")]
    layer: Option<String>,
    /// Writes Keras' names and layout
    #[arg(long)]
    keras: bool,
    /// Writes .json for GuitarML's programs
    #[arg(long)]
    guitarml: bool,
    /// Leaves out tensors that cannot be read
    #[arg(long)]
    discard_unreadable: bool,
}

pub fn convert(args: &Args, out: &Output) -> Result<Answer> {
    let end = args.to.extension().unwrap_or_default().to_ascii_lowercase();
    let ends = |allowed: &[&str]| end.to_str().is_some_and(|end| allowed.contains(&end));
    if args.guitarml && !ends(&["json"]) {
        return Err(Failure::arguments("--guitarml: only for a .json file"));
    }
    if args.keras && !ends(&["npz", "safetensors"]) {
        return Err(Failure::arguments("--keras: only for a .npz or .safetensors file"));
    }
    let bytes = match end.to_str() {
        Some("onnx") => graph(args)?,
        Some(end @ ("json" | "nam")) => audio(args, end == "nam")?.into_bytes(),
        Some("safetensors") => tensors(args, out)?.to_bytes()?,
        Some("npz") => tensors(args, out)?.to_npz()?,
        Some("npy") => {
            let file = weights(args, out)?;
            let name = match (&args.layer, file.names().next()) {
                (Some(name), _) => name.clone(),
                (None, Some(name)) if file.names().count() == 1 => name.to_string(),
                _ => return Err(Failure::arguments("--layer: a .npy file holds one tensor; name it")),
            };
            file.to_npy(&name)?
        }
        _ => return Err(Failure::file(&args.to, "expected the extension safetensors, npz, npy, onnx, json or nam")),
    };
    write_atomically(&args.to, &bytes)?;
    out.line(format!("{}: {} bytes", args.to.display(), bytes.len()));
    Ok(Answer::yes(json!({ "file": args.to.display().to_string(), "bytes": bytes.len() })))
}

fn weights(args: &Args, out: &Output) -> Result<TensorFile> {
    let source = ModelFile::open(&args.from)?;
    let mut file = match &source {
        ModelFile::Weights(file) => file.clone(),
        ModelFile::Onnx { bytes, .. } => match source.network(&Device::cpu()) {
            Ok(network) => pollster::block_on(network_to_file(&network))?,
            Err(why) if args.keras || args.layer.is_some() => return Err(why.into()),
            Err(why) => {
                out.line(format!("not a stack of layers, so the weights keep their names in the model: {why}"));
                onnx::initializers(bytes)?
            }
        },
    };
    if args.discard_unreadable {
        file.discard_unreadable();
    }
    Ok(file)
}

/// Returns the tensors to write.
fn tensors(args: &Args, out: &Output) -> Result<TensorFile> {
    let file = weights(args, out)?;
    let file = match &args.layer {
        Some(name) => file.recurrent(name)?,
        None if args.keras => match &file.layers()[..] {
            [only] => file.recurrent(&only.name)?,
            several => {
                let names: Vec<&str> = several.iter().map(|layer| layer.name.as_str()).collect();
                return Err(Failure::arguments(format!("--layer: expected one of {names:?}")));
            }
        },
        None => return Ok(file),
    };
    if !args.keras {
        return Ok(file);
    }
    let config = load_recurrent_blocking(&Device::cpu(), &file)?.config().clone();
    if config.layers > 1 {
        return Err(Failure::arguments("--keras: a layer of Keras is not a stack; convert its layers one by one"));
    }
    let mut keras = TensorFile::default();
    for reverse in [false, true].into_iter().take(config.directions()) {
        let part = RecurrentWeights::from_pytorch(config.cell, &file, 0, reverse)?.to_keras()?;
        let prefix = match (config.bidirectional, reverse) {
            (false, _) => "",
            (true, false) => "forward_layer.",
            (true, true) => "backward_layer.",
        };
        for name in part.names() {
            let (dims, values) = part.get(name)?;
            keras.insert(&format!("{prefix}{name}"), dims, values.to_vec());
        }
    }
    Ok(keras)
}

/// Returns a file of RTNeural or GuitarML, or of Neural Amp Modeler with the sample rate that the source tells.
fn audio(args: &Args, is_nam: bool) -> Result<String> {
    let device = Device::cpu();
    let source = ModelFile::open(&args.from)?;
    let (rate, model) = match &source {
        ModelFile::Onnx { .. } => (None, io::Model::Network(source.network(&device)?)),
        ModelFile::Weights(file) => {
            let rate = file.metadata.get("sample_rate").and_then(|rate| rate.parse().ok());
            (rate, source.load_blocking(&device, args.layer.as_deref())?)
        }
    };
    let Some(module) = model.module() else {
        return Err(Failure::file(&args.from, "is not a network of layers"));
    };
    Ok(match (is_nam, args.guitarml) {
        (true, _) => to_nam_blocking(module, rate)?,
        (false, true) => to_guitarml_blocking(module)?,
        (false, false) => to_rtneural_blocking(module)?,
    })
}

/// Returns an ONNX file with free batch and time axes.
fn graph(args: &Args) -> Result<Vec<u8>> {
    let model = model::load(&Device::cpu(), &args.from, args.layer.as_deref())?;
    let Some(module) = model.module() else {
        return Err(Failure::arguments("the file is already an ONNX model"));
    };
    let Some(input) = Input::of(module) else {
        return Err(Failure::file(&args.from, "does not state the features of its input"));
    };
    Ok(onnx::export_blocking(module, &input)?)
}
