//! A recurrent network: layers over time, and an optional linear layer on their output.

use wasm_bindgen::prelude::*;
use wgru::io::{TensorFile, load_recurrent_verified};
use wgru::nn::{Linear, Mode, Module, Recurrent, RecurrentConfig, RecurrentOutput, RunOptions};
use wgru::{Cell, Device, Error, Rng, StreamOptions, Tensor};

use crate::fault::{Fault, Result};
use crate::layout;
use crate::options::Options;
use crate::values;

/// The input of the linear layer.
#[derive(Clone, Copy, PartialEq)]
pub enum Steps {
    /// The last state of each sequence.
    Last,
    /// The output of every step.
    Every,
}

const STEPS: [(&str, Steps); 2] = [("last", Steps::Last), ("every", Steps::Every)];

/// The cells and their names in the JavaScript API.
const CELLS: [(&str, Cell); 3] = [("gru", Cell::Gru), ("lstm", Cell::Lstm), ("rnn", Cell::Rnn)];

/// Configuration of a new network.
pub struct Spec {
    recurrent: RecurrentConfig,
    /// Outputs of the linear layer; `None` without one.
    outputs: Option<usize>,
    steps: Steps,
}

impl Spec {
    /// Reads the option `steps`.
    pub fn head(options: &mut Options) -> Result<Option<Steps>> {
        options.word("steps", &STEPS)
    }

    /// Reads the configuration of a network from options.
    pub fn take(options: &mut Options) -> Result<Self> {
        let cell = options.word("cell", &CELLS)?.unwrap_or(Cell::Gru);
        let recurrent = RecurrentConfig {
            layers: options.count("layers", 1)?.unwrap_or(1),
            bidirectional: options.flag("bidirectional")?,
            batch_first: true,
            ..RecurrentConfig::new(cell, options.size("input")?, options.size("hidden")?)
        };
        Ok(Self {
            recurrent,
            outputs: options.count("outputs", 1)?,
            steps: Self::head(options)?.unwrap_or(Steps::Last),
        })
    }
}

/// Recurrent layers, with an optional linear layer after them.
#[wasm_bindgen]
pub struct Network {
    device: Device,
    recurrent: Recurrent,
    head: Option<Linear>,
    steps: Steps,
    /// Whether the first features of the input are added to the output.
    skip: bool,
    /// Largest error of the verification run in the file; `None` if it has none.
    verified: Option<f64>,
}

/// Name and outputs of a linear layer.
type Head<'a> = (&'a str, usize);

/// Finds the linear layer among the tensors outside the recurrent layers.
fn find_head<'a>(file: &'a TensorFile, body: &str) -> Result<Option<Head<'a>>> {
    let unknown = |name: &str| {
        Fault::unsupported(format!(
            "tensor {name:?} belongs neither to the recurrent layers nor to a single linear layer; load one layer by the option layer"
        ))
    };
    let mut head: Option<Head> = None;
    let mut biases = Vec::new();
    for name in file.names() {
        if body.is_empty() || name.strip_prefix(body).is_some_and(|rest| rest.starts_with('.')) {
            continue;
        }
        let (layer, part) = name.rsplit_once('.').ok_or_else(|| unknown(name))?;
        let (dims, _) = file.get(name)?;
        match (part, dims, head) {
            ("bias", ..) => biases.push((layer, name)),
            ("weight", &[units, _], None) => head = Some((layer, units)),
            _ => return Err(unknown(name)),
        }
    }
    match biases.iter().find(|(layer, _)| head.is_none_or(|(name, _)| name != *layer)) {
        Some((_, name)) => Err(unknown(name)),
        None => Ok(head),
    }
}

impl Network {
    /// Creates a network with random weights.
    pub fn new(device: &Device, spec: Spec, rng: &mut Rng) -> Result<Self> {
        let recurrent = spec.recurrent.build(device, rng)?;
        let width = width(recurrent.config());
        let head = spec.outputs.map(|outputs| Linear::new(device, width, outputs, true, rng)).transpose()?;
        Ok(Self { device: device.clone(), recurrent, head, steps: spec.steps, skip: false, verified: None })
    }

    /// Reads a network from a file: recurrent layers with PyTorch's names under any prefix, and at most one linear
    /// layer.
    pub async fn read(device: &Device, source: &str, bytes: &[u8], steps: Option<Steps>) -> Result<Self> {
        let file = TensorFile::from_safetensors(source, bytes)?;
        let first = file.names().find(|name| name.rsplit('.').next() == Some("weight_ih_l0"));
        let Some(first) = first else {
            return Err(Fault::unsupported(format!("{source}: no recurrent layer (no tensor weight_ih_l0)")));
        };
        let prefix = first.strip_suffix("weight_ih_l0").unwrap_or_default().trim_end_matches('.');
        let layers = if prefix.is_empty() { file.clone() } else { file.under(prefix) };
        let (recurrent, verified) = load_recurrent_verified(device, &layers).await?;
        let steps = match (steps, file.metadata.get(layout::STEPS)) {
            (Some(steps), _) => steps,
            (None, None) => Steps::Every,
            (None, Some(text)) => STEPS
                .iter()
                .find(|(word, _)| word == text)
                .map(|&(_, steps)| steps)
                .ok_or_else(|| Fault::value(layout::STEPS, "last or every", text))?,
        };
        let skip = file.metadata.contains_key(layout::SKIP);
        let mut network = Self { device: device.clone(), recurrent, head: None, steps, skip, verified };
        if let Some((name, units)) = find_head(&file, prefix)? {
            let tensor = |part: &str, dims: &[usize]| {
                Tensor::from_slice(device, file.expect(&format!("{name}.{part}"), dims)?, dims)
            };
            let weight = tensor("weight", &[units, width(network.recurrent.config())])?;
            let has_bias = file.get(&format!("{name}.bias")).is_ok();
            let bias = if has_bias { Some(tensor("bias", &[units])?) } else { None };
            network.head = Some(Linear::from_parameters(weight, bias)?);
        }
        Ok(network)
    }

    /// Runs the recurrent layers on `x` `[B, T, I]`, and the linear layer on their output.
    fn run_on(&self, x: &Tensor, options: RunOptions, mode: &mut Mode) -> Result<RecurrentOutput, Error> {
        let c = self.recurrent.config();
        let turn = |t: &Tensor| if c.batch_first { Ok(t.clone()) } else { t.permute(&[1, 0, 2]) };
        let mut run = self.recurrent.run(&turn(x)?, options, mode)?;
        run.output = turn(&run.output)?;
        if let Some(head) = &self.head {
            run.output = match self.steps {
                Steps::Every => head.forward_with(&run.output, mode)?,
                Steps::Last => head.forward_with(&run.last_state()?, mode)?,
            };
        }
        if self.skip {
            run.output = (&run.output + &self.skipped(x, &run.output)?)?;
        }
        Ok(run)
    }

    /// Returns the first features of the input, of which there must be as many as outputs.
    fn skipped(&self, x: &Tensor, y: &Tensor) -> Result<Tensor, Error> {
        let [axis, width] = [y.dims().len() - 1, y.dims().last().copied().unwrap_or(0)];
        x.slice(axis, 0..width)
    }

    /// Whether the first features of the input are added to the output.
    pub fn is_skip(&self) -> bool {
        self.skip
    }

    /// Creates a stream, which runs the network frame by frame on the CPU.
    pub fn stream(&self, options: StreamOptions) -> Result<wgru::Stream> {
        let stream = wgru::Stream::new(&self.recurrent, options)?;
        Ok(match &self.head {
            Some(head) => stream.then(head)?,
            None => stream,
        })
    }

    fn steps_name(&self) -> &'static str {
        if self.steps == Steps::Last { "last" } else { "every" }
    }

    /// Whether the output is one row per sequence.
    #[cfg(feature = "train")]
    pub fn gives_last(&self) -> bool {
        self.head.is_some() && self.steps == Steps::Last
    }

    /// The device of the network.
    #[cfg(feature = "train")]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Features per step.
    #[cfg(feature = "train")]
    pub fn input(&self) -> usize {
        self.recurrent.config().input
    }
}

impl Module for Network {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let head = self.head.iter().flat_map(Module::parameters);
        let mut out = self.recurrent.parameters();
        out.extend(head.map(|(name, p)| (format!("{}.{name}", layout::HEAD), p)));
        out
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor, Error> {
        Ok(self.run_on(x, RunOptions::default(), mode)?.output)
    }
}

/// Width of the recurrent layers' output.
fn width(c: &RecurrentConfig) -> usize {
    c.directions() * c.out()
}

#[wasm_bindgen]
impl Network {
    /// Returns the `NetworkInfo` of `types.ts`.
    pub fn info(&self) -> JsValue {
        let c = self.recurrent.config();
        let outputs = self.head.as_ref().map(|head| head.parameters()[0].1.dims()[0]);
        // No two parameters of these networks are tied.
        let count: usize = self.parameters().iter().map(|(_, p)| p.len()).sum();
        values::object(&[
            ("cell", layout::cell_name(c.cell).into()),
            ("input", values::count(c.input)),
            ("hidden", values::count(c.hidden)),
            ("layers", values::count(c.layers)),
            ("bidirectional", c.bidirectional.into()),
            ("outputs", values::or_null(outputs.map(values::count))),
            ("steps", values::or_null(outputs.map(|_| self.steps_name()))),
            ("skip", self.skip.into()),
            ("parameters", values::count(count)),
            ("verified", values::or_null(self.verified)),
        ])
    }

    /// Runs `x` `[B, T, I]`. Returns `{output, state, gates}`.
    pub async fn run(
        &self,
        x: Vec<f32>,
        dims: Vec<u32>,
        h0: Option<Vec<f32>>,
        lengths: Option<Vec<u32>>,
        options: JsValue,
    ) -> Result<JsValue> {
        let dims = values::check_dims("x", dims, x.len())?;
        let c = self.recurrent.config();
        let [batch, ..] = *dims else { return Err(Fault::shape("x", "[batch, steps, features]", &dims)) };
        let mut options = Options::of(&options);
        let gates = options.flag("gates")?;
        options.done()?;
        let lengths: Option<Vec<usize>> = lengths.map(|lengths| lengths.into_iter().map(|n| n as usize).collect());
        let x = Tensor::from_slice(&self.device, &x, &dims)?;
        let state = [c.layers * c.directions(), batch, c.out()];
        let h0 = h0.map(|h0| Tensor::from_slice(&self.device, &h0, &state)).transpose()?;
        let options = RunOptions { h0: h0.as_ref(), lengths: lengths.as_deref(), gates, ..RunOptions::default() };
        let run = self.run_on(&x, options, &mut Mode::Eval)?;
        let mut gates = Vec::new();
        for layer in &run.gates {
            let mut named = Vec::new();
            for (name, gate) in layer.iter() {
                named.push((name, values::tensor(gate).await?));
            }
            gates.push(values::object(&named));
        }
        let (output, state) = (values::tensor(&run.output).await?, values::tensor(&run.h_n).await?);
        Ok(values::object(&[("output", output), ("state", state), ("gates", values::array(gates))]))
    }

    /// Returns the network as the bytes of a safetensors file.
    pub async fn save(&self) -> Result<Vec<u8>> {
        let file = layout::write(&self.recurrent, self.head.as_ref(), self.steps_name(), self.skip).await?;
        Ok(file.to_bytes()?)
    }
}
