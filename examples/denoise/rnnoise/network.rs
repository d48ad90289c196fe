//! The network: a dense layer, three GRUs with the reset before the product, and a dense layer for the gains. The layer
//! that tells speech from noise is not used.

use std::fmt::Write;

use wgru::io::{TensorFile, load_parameters, load_recurrent_blocking};
use wgru::nn::{Gru, Linear, Mode, Module, RunOptions};
use wgru::{Device, Error, Result, Rng, Tensor};

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

pub struct Network {
    device: Device,
    dense: Linear,
    /// For speech, noise and denoising.
    grus: [Gru; 3],
    output: Linear,
    states: [Tensor; 3],
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
        let linear = |name: &str| -> Result<Linear> {
            let part = file.under(name);
            let &[output, input] = part.get("weight")?.0 else { return Err(format("has no kernel")) };
            let linear = Linear::new(device, input, output, true, &mut Rng::new(0))?;
            load_parameters(&linear, &part)?;
            Ok(linear)
        };
        let gru = |name: &str| load_recurrent_blocking(device, &file.under(name));
        let grus = [gru("vad_gru")?, gru("noise_gru")?, gru("denoise_gru")?];
        let zeros = |gru: &Gru| Tensor::zeros(device, &[1, 1, gru.config().hidden]);
        let states = [zeros(&grus[0])?, zeros(&grus[1])?, zeros(&grus[2])?];
        let mut network = Self {
            device: device.clone(),
            dense: linear("input_dense")?,
            grus,
            output: linear("denoise_output")?,
            states,
        };
        // A first run checks that the layers fit together.
        let initial = network.states.clone();
        match network.run(&[0.0; FEATURES])?.len() {
            BANDS => {}
            other => return Err(format(&format!("has {other} gains; expected {BANDS}"))),
        }
        network.states = initial;
        Ok(network)
    }

    /// Returns the gains of a frame, from the state after the previous one.
    pub fn gains(&mut self, features: &[f32; FEATURES]) -> [f32; BANDS] {
        let gains = self.run(features).expect("the layers fit together, as checked when they were loaded");
        gains.try_into().expect("as many gains as bands, as checked when the layers were loaded")
    }

    fn run(&mut self, features: &[f32; FEATURES]) -> Result<Vec<f32>> {
        let x = Tensor::from_slice(&self.device, features, &[1, 1, FEATURES])?;
        let dense = self.dense.forward(&x)?.tanh()?;
        let speech = self.step(0, &dense)?;
        let noise = self.step(1, &Tensor::concat(&[&dense, &speech, &x], 2)?)?;
        let denoise = self.step(2, &Tensor::concat(&[&speech, &noise, &x], 2)?)?;
        self.output.forward(&denoise)?.sigmoid()?.read_blocking()
    }

    fn step(&mut self, place: usize, x: &Tensor) -> Result<Tensor> {
        let options = RunOptions { h0: Some(&self.states[place]), ..RunOptions::default() };
        let output = self.grus[place].run(x, options, &mut Mode::Eval)?.output;
        self.states[place] = output.clone();
        Ok(output)
    }
}
