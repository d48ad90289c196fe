//! Models, recognized from their files.

use std::path::{Path, PathBuf};

use wgru::io::onnx::OnnxModel;
use wgru::{CpuOptions, Device};

use crate::dtln::Dtln;
use crate::failure::{Failure, Result};
use crate::gtcrn::Gtcrn;
use crate::network::Network;
use crate::nsnet2::Nsnet2;
use crate::rnnoise::{self, Rnnoise};
use crate::{dtln, gtcrn, nsnet2};

/// Removes noise from a stream of samples.
pub trait Denoiser {
    fn name(&self) -> &'static str;
    /// Sample rate in Hz.
    fn rate(&self) -> u32;
    /// Samples per frame.
    fn hop(&self) -> usize;
    /// Number of samples by which the output is later than the input.
    fn delay(&self) -> usize;
    /// Processes a frame: reads and writes [`hop`](Self::hop) samples.
    fn process(&mut self, input: &[f32], output: &mut [f32]);
}

/// Kinds that [`open`] knows.
const KINDS: &str = "DTLN (two ONNX files), GTCRN, nsnet2 (ONNX) or RNNoise (.rnnn, or weights.rnn of nnnoiseless)";

/// One half of DTLN, or another model.
enum Part {
    Half(usize, Box<Network>),
    Whole(Box<dyn Denoiser>),
}

/// Opens a model, on one thread: frames are too small to be shared.
///
/// # Errors
/// If a file cannot be read, if it is no model of a known kind, and for one half of DTLN.
pub fn open(paths: &[PathBuf]) -> Result<Box<dyn Denoiser>> {
    let device = Device::cpu_with(CpuOptions { threads: Some(1), ..CpuOptions::default() })?;
    let parts = paths.iter().map(|path| part(&device, path)).collect::<Result<Vec<_>>>()?;
    let refused = |got: &str| Failure::Model { got: got.into(), expected: KINDS };
    let mut halves = [None, None];
    for part in parts {
        match part {
            Part::Whole(model) if paths.len() == 1 => return Ok(model),
            Part::Whole(model) => return Err(refused(&format!("{} is one file, got {}", model.name(), paths.len()))),
            Part::Half(place, network) => {
                if halves[place].replace(network).is_some() {
                    return Err(refused(&format!("got half {} of DTLN twice", place + 1)));
                }
            }
        }
    }
    match halves {
        [Some(spectra), Some(blocks)] => Ok(Box::new(Dtln::new(*spectra, *blocks))),
        [Some(_), None] => Err(refused("got model_1.onnx of DTLN without model_2.onnx; give both, each with --model")),
        _ => Err(refused("got model_2.onnx of DTLN without model_1.onnx; give both, each with --model")),
    }
}

fn part(device: &Device, path: &Path) -> Result<Part> {
    let bytes = std::fs::read(path).map_err(Failure::io(path))?;
    if rnnoise::recognize(&bytes) {
        return Ok(Part::Whole(Box::new(Rnnoise::load(device, &bytes).map_err(Failure::network(path))?)));
    }
    drop(bytes);
    let model = OnnxModel::open(device, path).map_err(Failure::network(path))?;
    let network = |frame: &[usize]| Network::new(device, &model, frame).map_err(Failure::network(path));
    if let Some(place) = dtln::FRAMES.iter().position(|frame| Network::takes(&model, frame)) {
        return Ok(Part::Half(place, Box::new(network(&dtln::FRAMES[place])?)));
    }
    if Network::takes(&model, &gtcrn::FRAME) {
        return Ok(Part::Whole(Box::new(Gtcrn::new(network(&gtcrn::FRAME)?))));
    }
    if Network::takes(&model, &nsnet2::FRAME) {
        return Ok(Part::Whole(Box::new(Nsnet2::new(network(&nsnet2::FRAME)?))));
    }
    let inputs: Vec<String> = model.inputs().map(|info| format!("{:?} {:?}", info.name, info.dims)).collect();
    let got = format!("{} is an ONNX model of another kind, with the inputs {}", path.display(), inputs.join(", "));
    Err(Failure::Model { got, expected: KINDS })
}

/// Denoises samples of the model's rate, without delay. `progress` is called after every frame.
pub fn denoise(model: &mut dyn Denoiser, samples: &[f32], mut progress: impl FnMut()) -> Vec<f32> {
    let (hop, delay) = (model.hop(), model.delay());
    let frames = (samples.len() + delay).div_ceil(hop);
    let mut input = samples.to_vec();
    input.resize(frames * hop, 0.0);
    let mut output = vec![0.0; frames * hop];
    for (x, y) in input.chunks(hop).zip(output.chunks_mut(hop)) {
        model.process(x, y);
        progress();
    }
    output.drain(..delay);
    output.truncate(samples.len());
    output
}
