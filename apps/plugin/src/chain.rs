//! Networks from files: recurrent layers, linear layers and activations, one after another.

use std::collections::BTreeMap;

use wgru::io::Network;
use wgru::nn::{Kind, Linear, Module, Recurrent};
use wgru::{Stream, StreamOptions};

use crate::failure::{Failure, Result};

/// Number of samples that a stage processes before the next one runs, so that the values in between stay in the cache.
const BLOCK: usize = 64;

/// Layers that run one after another on a signal. Clones share the weights of recurrent layers. Allocates only when it
/// is created.
#[derive(Clone)]
pub struct Chain {
    stages: Vec<Stage>,
    /// `[BLOCK, width]`, twice: values between two stages.
    rows: [Vec<f32>; 2],
    /// Whether the input is added to the output.
    skip: bool,
}

#[derive(Clone)]
enum Stage {
    /// Recurrent layers, and the linear layer after them if there is one; the states that a reset sets; the number of
    /// outputs.
    Recurrent(Box<Stream>, Vec<f32>, usize),
    Linear(Matrix),
    Function(fn(f32) -> f32),
}

#[derive(Clone)]
struct Matrix {
    /// `[output, input]`
    weight: Vec<f32>,
    /// `[output]`
    bias: Vec<f32>,
    input: usize,
}

impl Matrix {
    /// Computes `y = W·x + b` for each row.
    fn run(&self, x: &[f32], y: &mut [f32]) {
        for (x, y) in x.chunks_exact(self.input).zip(y.chunks_exact_mut(self.bias.len())) {
            for ((y, row), bias) in y.iter_mut().zip(self.weight.chunks_exact(self.input)).zip(&self.bias) {
                *y = row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>() + bias;
            }
        }
    }
}

impl Stage {
    /// Returns the number of output values per sample, for `input` input values.
    fn output(&self, input: usize) -> usize {
        match self {
            Stage::Recurrent(_, _, output) => *output,
            Stage::Linear(matrix) => matrix.bias.len(),
            Stage::Function(_) => input,
        }
    }

    /// Reads `x` `[steps, input]` and writes `y` `[steps, output]`.
    fn run(&mut self, x: &[f32], y: &mut [f32]) {
        match self {
            Stage::Recurrent(stream, ..) => {
                let result = stream.process(x, y);
                debug_assert!(result.is_ok(), "the widths were checked: {result:?}");
            }
            Stage::Linear(matrix) => matrix.run(x, y),
            Stage::Function(function) => y.iter_mut().zip(x).for_each(|(y, x)| *y = function(*x)),
        }
    }
}

/// Returns an activation by its name in Keras, if it acts on each value alone.
fn function(name: &str) -> Option<fn(f32) -> f32> {
    Some(match name {
        "tanh" => f32::tanh,
        "relu" => |v| if v < 0.0 { 0.0 } else { v },
        "sigmoid" => |v| {
            // The exponent is at most 0, so it does not overflow.
            let e = (-v.abs()).exp();
            (if v < 0.0 { e } else { 1.0 }) / (1.0 + e)
        },
        "elu" => |v| if v < 0.0 { v.exp_m1() } else { v },
        _ => return None,
    })
}

/// Returns a stage and its extents `[output, input]`.
fn linear(linear: &Linear) -> Result<(Stage, [usize; 2])> {
    let weight = linear.weight();
    let &[output, input] = weight.dims() else {
        return Err(Failure::new(format!("has a linear layer with a weight of shape {:?}", weight.dims())));
    };
    let bias = linear.bias().map_or_else(|| Ok(vec![0.0; output]), |bias| bias.read_blocking())?;
    Ok((Stage::Linear(Matrix { weight: weight.read_blocking()?, bias, input }), [output, input]))
}

impl Chain {
    /// Creates the chain of a network that reads and writes one value per sample. `texts` is the metadata of its file.
    ///
    /// # Errors
    /// A text for a layer that does not run sample by sample, and for other widths.
    pub fn new(network: &Network, texts: &BTreeMap<String, String>) -> Result<Self> {
        let Kind::Sequence(parts) = network.layers.kind() else {
            return Err(Failure::new("has layers that branch"));
        };
        let (mut stages, mut width, mut widest) = (Vec::new(), 1, 1);
        let mut parts = parts.into_iter().filter(|(_, part)| !matches!(part.kind(), Kind::Dropout)).peekable();
        while let Some((name, part)) = parts.next() {
            let (stage, [output, input]) = match part.kind() {
                Kind::Recurrent(c) => {
                    let mut stream = Stream::new(network.layers.layer::<Recurrent>(name)?, StreamOptions::default())?;
                    let mut output = c.hidden;
                    // The stream computes the linear layer after it faster than a stage of its own.
                    if let Some((head, _)) = parts.next_if(|(_, next)| matches!(next.kind(), Kind::Linear)) {
                        let head = network.layers.layer::<Linear>(head)?;
                        (stream, output) = (stream.then(head)?, head.weight().dims()[0]);
                    }
                    let state = stream.state().to_vec();
                    (Stage::Recurrent(Box::new(stream), state, output), [output, c.input])
                }
                Kind::Linear => linear(network.layers.layer(name)?)?,
                kind => {
                    let text = match kind {
                        Kind::Tanh => Some("tanh"),
                        Kind::Relu => Some("relu"),
                        // An activation has the name of its option in the file.
                        _ => texts.get(name).map(String::as_str),
                    };
                    let Some(function) = text.and_then(function) else {
                        let why = "which is neither recurrent nor linear, nor tanh, ReLU, sigmoid or ELU";
                        return Err(Failure::new(format!("has the layer {name:?}, {why}")));
                    };
                    (Stage::Function(function), [width, width])
                }
            };
            if input != width {
                let what = if stages.is_empty() { "takes" } else { "has a layer that takes" };
                let knobs = if stages.is_empty() { "; models with knobs are not supported" } else { "" };
                let expected = format!("{what} {input} values for each sample, where it gets {width}{knobs}");
                return Err(Failure::new(expected));
            }
            (width, widest) = (output, widest.max(output));
            stages.push(stage);
        }
        if !stages.iter().any(|stage| matches!(stage, Stage::Recurrent(..))) {
            return Err(Failure::new("has no recurrent layer"));
        }
        if width != 1 {
            return Err(Failure::new(format!("gives {width} values for each sample; expected one")));
        }
        Ok(Self { stages, rows: [(); 2].map(|()| vec![0.0; BLOCK * widest]), skip: network.skip })
    }

    /// Replaces samples by the output for them. The result does not depend on the block sizes.
    pub fn process(&mut self, samples: &mut [f32]) {
        for samples in samples.chunks_mut(BLOCK) {
            let steps = samples.len();
            let [mut from, mut to] = self.rows.each_mut().map(|rows| &mut rows[..]);
            from[..steps].copy_from_slice(samples);
            let mut width = 1;
            for stage in &mut self.stages {
                let next = stage.output(width);
                stage.run(&from[..steps * width], &mut to[..steps * next]);
                std::mem::swap(&mut from, &mut to);
                width = next;
            }
            match self.skip {
                true => samples.iter_mut().zip(&*from).for_each(|(x, y)| *x += y),
                false => samples.copy_from_slice(&from[..steps]),
            }
        }
    }

    /// Makes [`reset`](Self::reset) restore the current states.
    pub fn rest(&mut self) {
        for stage in &mut self.stages {
            if let Stage::Recurrent(stream, state, _) = stage {
                state.copy_from_slice(stream.state());
            }
        }
    }

    pub fn reset(&mut self) {
        for stage in &mut self.stages {
            if let Stage::Recurrent(stream, state, _) = stage {
                let result = stream.set_state(state);
                debug_assert!(result.is_ok(), "a state of this stream: {result:?}");
            }
        }
    }
}
