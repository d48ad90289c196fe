//! The network: a dense layer, three GRUs with the reset before the product, and a dense layer for the gains. The layer
//! that tells speech from noise is not used.

use std::fmt::Write;

use wgru::io::{TensorFile, load_parameters, load_recurrent_blocking};
use wgru::nn::Linear;
use wgru::{Device, Error, Result, Rng, Stream};

use super::bands::BANDS;
use super::features::FEATURES;

/// First line of a text file.
const HEADER: &str = "rnnoise-nu model file version 1\n";

/// Whether a file is a model of RNNoise 0.1 as text, or `weights.rnn` of nnnoiseless.
pub fn recognize(bytes: &[u8]) -> bool {
    bytes.starts_with(HEADER.as_bytes()) || is_binary(bytes)
}

/// Whether a file starts like `weights.rnn`: with the inputs, units and activation of the first layer.
fn is_binary(bytes: &[u8]) -> bool {
    matches!(bytes, [42, 1..=127, 0..=2, ..]) && bytes.len() < 1 << 20 && bytes.contains(&0)
}

/// Converts the integers of `weights.rnn` to the text file, which has the same order.
fn to_text(bytes: &[u8]) -> Result<String> {
    let (mut text, mut rest) = (String::from(HEADER), bytes);
    for is_gru in [false, true, true, true, false, false] {
        let (head, body) = rest.split_first_chunk::<3>().ok_or_else(cut_short)?;
        let [input, units] = [head[0], head[1]].map(usize::from);
        let len = if is_gru { 3 * units * (input + units + 1) } else { units * (input + 1) };
        let (weights, after) = body.split_at_checked(len).ok_or_else(cut_short)?;
        _ = writeln!(text, "{input} {units} {}", head[2]);
        weights.iter().for_each(|&w| _ = write!(text, "{} ", w as i8));
        rest = after;
    }
    match rest.len() {
        0 => Ok(text),
        more => Err(format(&format!("has {more} bytes after its last layer"))),
    }
}

fn format(why: &str) -> Error {
    Error::Format { what: "RNNoise".into(), why: why.into() }
}

fn cut_short() -> Error {
    format("is cut short")
}

/// A dense layer with tanh.
struct Dense {
    /// `[inputs, units]`
    weights: Vec<f32>,
    bias: Vec<f32>,
    output: Vec<f32>,
}

impl Dense {
    fn load(part: &TensorFile) -> Result<Self> {
        let (dims, weights) = part.get("weight")?;
        let &[units, inputs] = dims else { return Err(format("has no kernel")) };
        let weights = (0..inputs * units).map(|i| weights[i % units * inputs + i / units]).collect();
        let bias = part.get("bias")?.1.to_vec();
        if bias.len() != units {
            return Err(format(&format!("has {} biases of a layer of {units} units", bias.len())));
        }
        Ok(Self { weights, output: vec![0.0; units], bias })
    }

    fn run(&mut self, x: &[f32]) {
        let Self { weights, bias, output } = self;
        output.copy_from_slice(bias);
        for (x, row) in x.iter().zip(weights.chunks_exact(bias.len())) {
            output.iter_mut().zip(row).for_each(|(sum, w)| *sum += x * w);
        }
        output.iter_mut().for_each(|v| *v = v.tanh());
    }
}

pub struct Network {
    dense: Dense,
    speech: Stream,
    noise: Stream,
    /// With the layer for the gains, before its sigmoid.
    denoise: Stream,
    /// `[dense, speech, features]` and `[speech, noise, features]`: inputs of the GRUs for noise and for denoising.
    inputs: [Vec<f32>; 2],
}

impl Network {
    /// # Errors
    /// If the file is damaged, or has other layers than RNNoise 0.1.
    pub fn load(device: &Device, bytes: &[u8]) -> Result<Self> {
        let file = match is_binary(bytes) {
            true => TensorFile::import_bytes("RNNoise", to_text(bytes)?.as_bytes())?,
            false => TensorFile::import_bytes("RNNoise", bytes)?,
        };
        for (layer, want) in [("input_dense", "tanh"), ("denoise_output", "sigmoid")] {
            match file.metadata.get(&format!("{layer}.activation")) {
                Some(got) if got == want => {}
                got => return Err(format(&format!("layer {layer:?} has the activation {got:?}; expected {want:?}"))),
            }
        }
        let stream = |name: &str| load_recurrent_blocking(device, &file.under(name))?.stream(1);
        let gains = file.under("denoise_output");
        let &[outputs, units] = gains.get("weight")?.0 else { return Err(format("has no kernel")) };
        if outputs != BANDS {
            return Err(format(&format!("has {outputs} gains; expected {BANDS}")));
        }
        let linear = Linear::new(device, units, outputs, true, &mut Rng::new(0))?;
        load_parameters(&linear, &gains)?;
        let mut network = Self {
            dense: Dense::load(&file.under("input_dense"))?,
            speech: stream("vad_gru")?,
            noise: stream("noise_gru")?,
            denoise: stream("denoise_gru")?.then(&linear)?,
            inputs: [const { Vec::new() }; 2],
        };
        let features = network.dense.weights.len() / network.dense.bias.len();
        if features != FEATURES {
            return Err(format(&format!("reads {features} features; expected {FEATURES}")));
        }
        for (input, stream) in network.inputs.iter_mut().zip([&network.noise, &network.denoise]) {
            *input = vec![0.0; stream.input()];
        }
        // A first run checks that the layers fit together.
        network.run(&[0.0; FEATURES])?;
        network.speech.reset();
        network.noise.reset();
        network.denoise.reset();
        Ok(network)
    }

    /// Returns the gains of a frame, from the state after the previous one. Allocates nothing.
    pub fn gains(&mut self, features: &[f32; FEATURES]) -> [f32; BANDS] {
        self.run(features).expect("the layers fit together, as checked when they were loaded")
    }

    fn run(&mut self, features: &[f32; FEATURES]) -> Result<[f32; BANDS]> {
        self.dense.run(features);
        let dense = &self.dense.output[..];
        let speech = self.speech.step(dense)?;
        let [for_noise, for_denoise] = &mut self.inputs;
        join(for_noise, [dense, speech, features])?;
        join(for_denoise, [speech, self.noise.step(for_noise)?, features])?;
        let logits = self.denoise.step(for_denoise)?;
        Ok(std::array::from_fn(|band| 1.0 / (1.0 + (-logits[band]).exp())))
    }
}

/// Copies `parts` one after the other.
///
/// # Errors
/// Unless they are as long as `to`.
fn join(to: &mut [f32], parts: [&[f32]; 3]) -> Result<()> {
    let (expected, got) = (to.len(), parts.iter().map(|part| part.len()).sum::<usize>());
    if got != expected {
        return Err(format(&format!("has a layer of {expected} inputs that reads layers of {got} outputs")));
    }
    let mut rest = to;
    for part in parts {
        let (place, after) = rest.split_at_mut(part.len());
        place.copy_from_slice(part);
        rest = after;
    }
    Ok(())
}
