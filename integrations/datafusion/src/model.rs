//! A model, and its runs on blocks of series.

use std::sync::OnceLock;

use wgru::nn::{Kind, Mode, Module, Recurrent};
use wgru::{Device, Error, Result, Tensor, io};

/// Steps of the run that tries a model when it is loaded.
const TRIED_STEPS: usize = 8;

/// A model that takes series `[batch, steps, features]`.
pub struct Model {
    module: Box<dyn Module>,
    device: Device,
    /// Features of a step.
    pub input: usize,
    output: OnceLock<Output>,
}

/// Describes the output of a model.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Output {
    /// Whether there is an output for each step, or one for the whole series.
    pub is_sequence: bool,
    /// Features of an output.
    pub width: usize,
    /// Whether the output of a step depends only on this step and earlier ones.
    pub is_causal: bool,
}

/// A recurrent layer whose first axis is the step.
struct TimeFirst(Recurrent);

impl Module for TimeFirst {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.0.parameters()
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        self.0.forward_with(&x.permute(&[1, 0, 2])?, mode)?.permute(&[1, 0, 2])
    }
}

impl Model {
    /// Takes the model of a file.
    ///
    /// # Errors
    /// [`Error::Value`] for an ONNX model, and for a model whose features are unknown.
    pub fn from_file(device: &Device, model: io::Model) -> Result<Self> {
        match model {
            io::Model::Network(network) => {
                let input = input_of(&network.layers);
                Self::new(device, Box::new(network), input)
            }
            io::Model::Recurrent(layer) => {
                let input = input_of(&layer);
                let module: Box<dyn Module> =
                    if layer.config().batch_first { Box::new(layer) } else { Box::new(TimeFirst(layer)) };
                Self::new(device, module, input)
            }
            io::Model::Onnx(_) => {
                let expected = "a recurrent layer, or a network that its file describes; `wgru convert` converts the \
                                recurrent layer of an ONNX model";
                Err(wrong("file", expected, "an ONNX model"))
            }
        }
    }

    /// Takes a module of `[batch, steps, features]`.
    ///
    /// # Errors
    /// [`Error::Value`] if its features are unknown.
    pub fn from_module(device: &Device, module: impl Module + 'static) -> Result<Self> {
        let input = input_of(&module);
        Self::new(device, Box::new(module), input)
    }

    fn new(device: &Device, module: Box<dyn Module>, input: Input) -> Result<Self> {
        let input = match input {
            Input::Features(input) => input,
            Input::Indices => return Err(wrong("input", "features", "indices: it has an embedding")),
            Input::Unknown => {
                let expected = "a first layer that is recurrent, linear, a convolution or a normalization";
                return Err(wrong("input", expected, "another one, whose features are unknown"));
            }
        };
        let model = Self { module, device: device.clone(), input, output: OnceLock::new() };
        // Some models need more steps. They are tried with the first series.
        let _ = model.output(TRIED_STEPS);
        Ok(model)
    }

    /// Returns the output of the model if it is known without a series.
    pub fn known_output(&self) -> Option<Output> {
        self.output.get().copied()
    }

    /// Returns the output of the model. If it is not known yet, runs a series of this many steps.
    ///
    /// # Errors
    /// Errors of the run.
    pub fn output(&self, steps: usize) -> Result<Output> {
        if let Some(output) = self.output.get() {
            return Ok(*output);
        }
        // An output that depends on later steps has the NaN of the last one.
        let mut x = vec![0.0; steps.max(2) * self.input];
        let last = x.len() - self.input;
        x[last..].fill(f32::NAN);
        let y = self.forward(&x, 1)?;
        let output = match *y.dims() {
            [1, width] => Output { is_sequence: false, width, is_causal: true },
            [1, n, width] if n == steps.max(2) => {
                let first = y.slice(1, 0..1)?.read_blocking()?;
                Output { is_sequence: true, width, is_causal: !first.iter().any(|v| v.is_nan()) }
            }
            _ => {
                let expected = "an output for each step, or one for the series";
                return Err(wrong("output", expected, format!("{:?}", y.dims())));
            }
        };
        Ok(*self.output.get_or_init(|| output))
    }

    /// Runs `rows` series of equal length, and returns the output of the last step, or that of the series: `[rows, width]`.
    ///
    /// # Errors
    /// Errors of the run.
    pub fn last(&self, x: &[f32], rows: usize) -> Result<Vec<f32>> {
        let y = self.forward(x, rows)?;
        match *y.dims() {
            [_, steps, _] if steps > 1 => y.slice(1, steps - 1..steps)?.read_blocking(),
            _ => y.read_blocking(),
        }
    }

    /// Runs `rows` series of equal length, and returns all outputs: `[rows, steps, width]`, or `[rows, width]`.
    ///
    /// # Errors
    /// Errors of the run.
    pub fn all(&self, x: &[f32], rows: usize) -> Result<Vec<f32>> {
        self.forward(x, rows)?.read_blocking()
    }

    fn forward(&self, x: &[f32], rows: usize) -> Result<Tensor> {
        let steps = x.len() / self.input / rows;
        self.module.forward(&Tensor::from_slice(&self.device, x, &[rows, steps, self.input])?)
    }
}

impl std::fmt::Debug for Model {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Model").field("input", &self.input).field("output", &self.output.get()).finish_non_exhaustive()
    }
}

fn wrong(arg: &'static str, expected: &str, got: impl Into<String>) -> Error {
    Error::Value { op: "Model", arg, expected: expected.into(), got: got.into() }
}

/// Input of a module.
enum Input {
    Features(usize),
    Indices,
    Unknown,
}

/// Returns the input of the first layer that determines it.
fn input_of(module: &dyn Module) -> Input {
    let extent = |axis: usize| match module.parameters().first().and_then(|(_, own)| own.dims().get(axis).copied()) {
        Some(width) => Input::Features(width),
        None => Input::Unknown,
    };
    match module.kind() {
        Kind::Recurrent(c) => Input::Features(c.input),
        Kind::MinGru(c) => Input::Features(c.input),
        Kind::LayerNormGru(c) => Input::Features(c.input),
        Kind::Conv1d(c) => Input::Features(c.input),
        Kind::Linear => extent(1),
        Kind::LayerNorm(_) => extent(0),
        Kind::Embedding => Input::Indices,
        Kind::Sequence(parts) => {
            let known = parts.iter().map(|(_, part)| input_of(*part)).find(|input| !matches!(input, Input::Unknown));
            known.unwrap_or(Input::Unknown)
        }
        _ => Input::Unknown,
    }
}
