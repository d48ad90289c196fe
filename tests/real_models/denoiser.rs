//! RNNoise: a dense layer, three GRUs with reset before and ReLU candidates, and two outputs. Tested on 375 frames of
//! features, with the states and gains that the reference implementation computes.
//!
//! Valin: *A hybrid DSP/deep learning approach to real-time full-band speech enhancement* (2018).

use std::path::Path;

use wgru::io::{RecurrentWeights, TensorFile, load_parameters};
use wgru::nn::{Gru, Linear, Mode, Module, RecurrentConfig, RunOptions};
use wgru::{Activation, Cell, Device, Result, Rng, Tensor};

use crate::common::assert_close;

/// The reference computes σ and tanh from a table of 201 values, so exact functions differ from it by up to 3e-6.
const TABLE: f64 = 5e-6;

/// The layers in the order of `weights.rnn`: for each, three bytes with its sizes and activation, then weights and
/// biases in 256ths, `[inputs, outputs]`.
struct Denoiser {
    device: Device,
    dense: Linear,
    voice: Gru,
    noise: Gru,
    denoise: Gru,
    gains: Linear,
    activity: Linear,
}

/// The network's results for frames `[T, 1, 42]`.
struct Answer {
    dense: Tensor,
    /// The states of the three GRUs.
    states: [Tensor; 3],
    gains: Tensor,
    activity: Tensor,
}

/// Parses the bytes of a layer: its sizes and activation, then the input weights, the recurrent weights, and one bias.
fn layer<'a>(rest: &mut &'a [u8], gates: usize) -> (usize, usize, u8, [Vec<f32>; 3]) {
    let (head, body) = rest.split_at(3);
    let (input, units) = (head[0] as usize, head[1] as usize);
    let recurrent = if gates == 1 { 0 } else { units };
    let mut body: &'a [u8] = body;
    let parts = [input, recurrent, 1].map(|rows| {
        let (part, after) = body.split_at(rows * gates * units);
        body = after;
        part.iter().map(|&b| b as i8 as f32 / 256.0).collect()
    });
    *rest = body;
    (input, units, head[2], parts)
}

impl Denoiser {
    fn open(device: &Device, folder: &Path) -> Self {
        let bytes = std::fs::read(folder.join("weights.rnn")).expect("weights");
        let mut rest = &bytes[..];
        let mut rng = Rng::new(0);
        let linear = |rest: &mut &[u8], rng: &mut Rng, activation: u8| {
            let (input, units, kind, [weight, _, bias]) = layer(rest, 1);
            assert_eq!(kind, activation);
            let linear = Linear::new(device, input, units, true, rng).expect("linear");
            let transposed = (0..units * input).map(|k| weight[k % input * units + k / input]).collect();
            let mut file = TensorFile::default();
            file.insert("weight", &[units, input], transposed);
            file.insert("bias", &[units], bias);
            load_parameters(&linear, &file).expect("loaded");
            linear
        };
        let gru = |rest: &mut &[u8]| {
            let (input, hidden, kind, [kernel, recurrent, bias]) = layer(rest, 3);
            assert_eq!(kind, 2, "ReLU");
            let mut file = TensorFile::default();
            file.insert("kernel", &[input, 3 * hidden], kernel);
            file.insert("recurrent_kernel", &[hidden, 3 * hidden], recurrent);
            file.insert("bias", &[3 * hidden], bias);
            let weights = RecurrentWeights::from_keras(Cell::GruResetBefore, &file).expect("layout");
            let mut parameters = TensorFile::default();
            weights.to_parameters(&mut parameters, 0, false);
            let activations = vec![Activation::Sigmoid, Activation::Sigmoid, Activation::Relu];
            let config = RecurrentConfig { activations, ..RecurrentConfig::new(Cell::GruResetBefore, input, hidden) };
            let gru = Gru::from_parameters(device, config, |name, dims| {
                Tensor::from_slice(device, parameters.expect(name, dims)?, dims)
            });
            gru.expect("gru")
        };
        let denoiser = Self {
            device: device.clone(),
            dense: linear(&mut rest, &mut rng, 0),
            voice: gru(&mut rest),
            noise: gru(&mut rest),
            denoise: gru(&mut rest),
            gains: linear(&mut rest, &mut rng, 1),
            activity: linear(&mut rest, &mut rng, 1),
        };
        assert!(rest.is_empty());
        denoiser
    }

    /// Runs frames from the states in `last`, or from zero.
    fn run(&self, x: &Tensor, last: Option<&Answer>) -> Result<Answer> {
        let mode = &mut Mode::Eval;
        let dense = self.dense.forward_with(x, mode)?.tanh()?;
        let mut step = |gru: &Gru, x: &Tensor, k: usize| {
            let h0 = last.map(|last| &last.states[k]);
            Ok::<_, wgru::Error>(gru.run(x, RunOptions { h0, ..Default::default() }, mode)?.output)
        };
        let voice = step(&self.voice, &dense, 0)?;
        let noise = step(&self.noise, &Tensor::concat(&[&dense, &voice, x], 2)?, 1)?;
        let denoise = step(&self.denoise, &Tensor::concat(&[&voice, &noise, x], 2)?, 2)?;
        let gains = self.gains.forward(&denoise)?.sigmoid()?;
        let activity = self.activity.forward(&voice)?.sigmoid()?;
        Ok(Answer { dense, states: [voice, noise, denoise], gains, activity })
    }

    /// Runs the recording `name` at once or frame by frame, and compares all results of the network.
    fn check(&self, vectors: &TensorFile, name: &str, at_once: bool) -> Result<usize> {
        let (dims, x) = vectors.get(&format!("{name}_features"))?;
        let &[frames, width] = dims else { panic!("{dims:?}") };
        let x = Tensor::from_slice(&self.device, x, &[frames, 1, width])?;
        let mut answers: Vec<Answer> = Vec::new();
        let steps = if at_once { frames } else { 1 };
        for start in (0..frames).step_by(steps) {
            let answer = self.run(&x.slice(0, start..start + steps)?, answers.last())?;
            answers.push(answer);
        }
        type Part = fn(&Answer) -> &Tensor;
        let parts: [(&str, Part); 6] = [
            ("dense", |a| &a.dense),
            ("vad_h", |a| &a.states[0]),
            ("noise_h", |a| &a.states[1]),
            ("denoise_h", |a| &a.states[2]),
            ("gains", |a| &a.gains),
            ("vad", |a| &a.activity),
        ];
        for (part, of) in parts {
            let all: Vec<&Tensor> = answers.iter().map(of).collect();
            let got = Tensor::concat(&all, 0)?.read_blocking()?;
            let want: Vec<f64> = vectors.get(&format!("{name}_{part}"))?.1.iter().map(|&v| v as f64).collect();
            assert_close(&format!("{name} {part}, at once: {at_once}"), &got, &want, TABLE);
        }
        Ok(frames)
    }
}

fn check(device: &Device) {
    let Some(folder) = crate::model("rnnoise") else { return };
    let denoiser = Denoiser::open(device, &folder);
    let vectors = TensorFile::open(folder.join("rnn_vectors_nnnoiseless.npz")).expect("vectors");
    for at_once in [true, false] {
        let frames = ["testing", "mono"].map(|name| denoiser.check(&vectors, name, at_once).expect("run"));
        assert_eq!(frames, [100, 275]);
    }
}

#[test]
fn states_and_gains_match_the_reference_on_the_cpu() {
    check(&Device::cpu());
}

#[test]
#[cfg(feature = "gpu")]
fn states_and_gains_match_the_reference_on_the_gpu() {
    match crate::common::gpu() {
        Some(device) => check(&device),
        None => eprintln!("SKIPPED: no adapter"),
    }
}
