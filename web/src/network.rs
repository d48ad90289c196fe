//! A recurrent network: layers over time, and a linear layer on their output

use wasm_bindgen::prelude::*;
use wgru::io::{Cell, TensorFile, load_recurrent, recurrent_kind, recurrent_to_file};
use wgru::nn::{Gru, RecurrentConfig, Linear, Lstm, Mode, Module, Recurrent, Rnn, RunOptions};
use wgru::{Device, Error, Rng, StreamOptions, Tensor};

use crate::fault::{Fault, Result};
use crate::options::Options;
use crate::values;

/// What the linear layer sees.
#[derive(Clone, Copy, PartialEq)]
pub enum Steps {
    /// The output at the end of each sequence.
    Last,
    /// The output of every step.
    Every,
}

const STEPS: [(&str, Steps); 2] = [("last", Steps::Last), ("every", Steps::Every)];
/// Under which key a file says so.
const STEPS_KEY: &str = "wgru.steps";
/// The linear layer's name in files written here.
const HEAD: &str = "head";

#[derive(Clone, Copy)]
enum Cell {
    Gru,
    Lstm,
    Rnn,
}

/// What a network is built from.
pub struct Spec {
    cell: Cell,
    input: usize,
    hidden: usize,
    layers: usize,
    bidirectional: bool,
    /// Width of the linear layer; none without one.
    outputs: Option<usize>,
    steps: Steps,
}

impl Spec {
    /// What the linear layer sees, if the options say it.
    pub fn head(options: &mut Options) -> Result<Option<Steps>> {
        options.word("steps", &STEPS)
    }

    /// Takes what a network is built from.
    pub fn take(options: &mut Options) -> Result<Self> {
        let cells = [("gru", Cell::Gru), ("lstm", Cell::Lstm), ("rnn", Cell::Rnn)];
        Ok(Self {
            cell: options.word("cell", &cells)?.unwrap_or(Cell::Gru),
            input: options.size("input")?,
            hidden: options.size("hidden")?,
            layers: options.count("layers", 1)?.unwrap_or(1),
            bidirectional: options.flag("bidirectional")?,
            outputs: options.count("outputs", 1)?,
            steps: Self::head(options)?.unwrap_or(Steps::Last),
        })
    }
}

/// The recurrent layers.
enum Body {
    Gru(Gru),
    Lstm(Lstm),
    Rnn(Rnn),
}

/// What a run gives.
struct Run {
    output: Tensor,
    h_n: Tensor,
    gates: Vec<Vec<(&'static str, Tensor)>>,
}

/// What a layer is, whatever its cell.
struct Facts {
    cell: &'static str,
    input: usize,
    hidden: usize,
    layers: usize,
    directions: usize,
    batch_first: bool,
}

impl Body {
    fn facts(&self) -> Facts {
        macro_rules! facts {
            ($layer:expr, $cell:literal) => {{
                let c = $layer.config();
                let directions = 1 + c.bidirectional as usize;
                Facts {
                    cell: $cell,
                    input: c.input,
                    hidden: c.hidden,
                    layers: c.layers,
                    directions,
                    batch_first: c.batch_first,
                }
            }};
        }
        match self {
            Body::Gru(layer) => facts!(layer, "gru"),
            Body::Lstm(layer) => facts!(layer, "lstm"),
            Body::Rnn(layer) => facts!(layer, "rnn"),
        }
    }

    fn module(&self) -> &dyn Module {
        match self {
            Body::Gru(layer) => layer,
            Body::Lstm(layer) => layer,
            Body::Rnn(layer) => layer,
        }
    }

    fn run(&self, x: &Tensor, input: RunOptions, mode: &mut Mode) -> Result<Run, Error> {
        Ok(match self {
            Body::Gru(layer) => {
                let run = layer.run(x, input, mode)?;
                let gates = run.gates.into_iter();
                let gates = gates.map(|g| vec![("reset", g.reset), ("update", g.update), ("candidate", g.candidate)]);
                Run { output: run.output, h_n: run.h_n, gates: gates.collect() }
            }
            Body::Lstm(layer) => {
                let run = layer.run(x, input, mode)?;
                let gates = run.gates.into_iter();
                let gates = gates
                    .map(|g| vec![("input", g.input), ("forget", g.forget), ("cell", g.cell), ("output", g.output)]);
                Run { output: run.output, h_n: run.h_n, gates: gates.collect() }
            }
            Body::Rnn(layer) => {
                let run = layer.run(x, input, mode)?;
                Run { output: run.output, h_n: run.h_n, gates: Vec::new() }
            }
        })
    }
}

/// Recurrent layers and a linear layer after them.
#[wasm_bindgen]
pub struct Network {
    device: Device,
    body: Body,
    head: Option<Linear>,
    steps: Steps,
    /// Largest error of the run that the file held.
    verified: Option<f64>,
}

/// A linear layer, with its name and width.
type Head<'a> = (&'a str, usize);

/// Finds the linear layer among the tensors that belong to no recurrent layer.
fn find_head<'a>(file: &'a TensorFile, body: &str) -> Result<Option<Head<'a>>> {
    let unknown = |name: &str| {
        Fault::unsupported(format!("tensor {name:?}: neither of the recurrent layers nor of one linear layer"))
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
    /// A network with fresh weights.
    pub fn new(device: &Device, spec: Spec, rng: &mut Rng) -> Result<Self> {
        let Spec { input, hidden, layers, bidirectional, .. } = spec;
        let batch_first = true;
        let body = match spec.cell {
            Cell::Gru => Body::Gru(
                RecurrentConfig { input, hidden, layers, bidirectional, batch_first, ..Default::default() }
                    .build(device, rng)?,
            ),
            Cell::Lstm => Body::Lstm(
                RecurrentConfig { cell: Cell::Lstm, input, hidden, layers, bidirectional, batch_first, ..Default::default() }
                    .build(device, rng)?,
            ),
            Cell::Rnn => Body::Rnn(
                RecurrentConfig { cell: Cell::Rnn, input, hidden, layers, bidirectional, batch_first, ..Default::default() }
                    .build(device, rng)?,
            ),
        };
        let width = hidden * (1 + bidirectional as usize);
        let head = spec.outputs.map(|outputs| Linear::new(device, width, outputs, true, rng)).transpose()?;
        Ok(Self { device: device.clone(), body, head, steps: spec.steps, verified: None })
    }

    /// A network from a file: recurrent layers by PyTorch's names under any prefix, and at most one linear layer.
    pub async fn read(device: &Device, source: &str, bytes: &[u8], steps: Option<Steps>) -> Result<Self> {
        let file = TensorFile::from_safetensors(source, bytes)?;
        let first = file.names().find(|name| name.rsplit('.').next() == Some("weight_ih_l0"));
        let Some(first) = first else {
            return Err(Fault::unsupported(format!("{source}: no recurrent layer (no tensor weight_ih_l0)")));
        };
        let prefix = first.strip_suffix("weight_ih_l0").unwrap_or_default().trim_end_matches('.');
        let layers = if prefix.is_empty() { file.clone() } else { file.under(prefix) };
        let body = match recurrent_kind(&layers)? {
            Cell::Gru { .. } => Body::Gru(load_recurrent(device, &layers).await?),
            Cell::Lstm => Body::Lstm(load_recurrent(device, &layers).await?),
            Cell::Rnn => Body::Rnn(load_recurrent(device, &layers).await?),
        };
        let verified = match layers.names().any(|name| name.starts_with("verify.")) {
            true => Some(match &body {
                Body::Gru(layer) => wgru::io::verify(layer, &layers).await?,
                Body::Lstm(layer) => wgru::io::verify(layer, &layers).await?,
                Body::Rnn(layer) => wgru::io::verify(layer, &layers).await?,
            }),
            false => None,
        };
        let steps = match (steps, file.metadata.get(STEPS_KEY)) {
            (Some(steps), _) => steps,
            (None, None) => Steps::Every,
            (None, Some(text)) => STEPS
                .iter()
                .find(|(word, _)| word == text)
                .map(|&(_, steps)| steps)
                .ok_or_else(|| Fault::value(STEPS_KEY, "last or every", text))?,
        };
        let mut network = Self { device: device.clone(), body, head: None, steps, verified };
        if let Some((name, units)) = find_head(&file, prefix)? {
            let facts = network.body.facts();
            let width = facts.hidden * facts.directions;
            let bias = file.get(&format!("{name}.bias")).is_ok();
            // Its fresh weights are all replaced.
            let head = Linear::new(device, width, units, bias, &mut Rng::new(0))?;
            for (part, parameter) in head.parameters() {
                parameter.assign(file.expect(&format!("{name}.{part}"), parameter.dims())?)?;
            }
            network.head = Some(head);
        }
        Ok(network)
    }

    /// The recurrent layers on `x` `[B, T, I]`, and the linear layer on what they give.
    fn run_on(&self, x: &Tensor, input: RunOptions, mode: &mut Mode) -> Result<Run, Error> {
        let facts = self.body.facts();
        let turn = |t: &Tensor| if facts.batch_first { Ok(t.clone()) } else { t.permute(&[1, 0, 2]) };
        let mut run = self.body.run(&turn(x)?, input, mode)?;
        run.output = turn(&run.output)?;
        let Some(head) = &self.head else { return Ok(run) };
        run.output = match self.steps {
            Steps::Every => head.forward_with(&run.output, mode)?,
            Steps::Last => {
                // The states of the last layer, side by side.
                let [all, batch, width] = *run.h_n.dims() else { unreachable!("h_n has three axes") };
                let last = run.h_n.slice(0, all - facts.directions..all)?;
                let last = last.permute(&[1, 0, 2])?.reshape(&[batch, facts.directions * width])?;
                head.forward_with(&last, mode)?
            }
        };
        Ok(run)
    }

    /// Frame by frame, on the CPU.
    pub fn stream(&self, options: StreamOptions) -> Result<wgru::Stream> {
        let stream = match &self.body {
            Body::Gru(gru) => wgru::Stream::new(gru, options)?,
            Body::Lstm(lstm) => wgru::Stream::new(lstm, options)?,
            Body::Rnn(rnn) => wgru::Stream::new(rnn, options)?,
        };
        Ok(match &self.head {
            Some(head) => stream.then(head)?,
            None => stream,
        })
    }

    /// Whether the linear layer gives one row for a sequence.
    #[cfg(feature = "train")]
    pub fn gives_last(&self) -> bool {
        self.head.is_some() && self.steps == Steps::Last
    }

    /// The device that it is on.
    #[cfg(feature = "train")]
    pub fn device(&self) -> &Device {
        &self.device
    }

    /// Features of a step.
    #[cfg(feature = "train")]
    pub fn input(&self) -> usize {
        self.body.facts().input
    }
}

impl Module for Network {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let mut out = self.body.module().parameters();
        out.extend(self.head.iter().flat_map(Module::parameters).map(|(name, p)| (format!("{HEAD}.{name}"), p)));
        out
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor, Error> {
        Ok(self.run_on(x, RunOptions::default(), mode)?.output)
    }
}

/// `layer` under its kind's name.
async fn put<L: Recurrent>(file: &mut TensorFile, kind: &str, layer: &L) -> Result<()> {
    let part = recurrent_to_file(layer).await?;
    for name in part.names() {
        let (dims, values) = part.get(name)?;
        file.insert(&format!("{kind}.{name}"), dims, values.to_vec());
    }
    file.metadata.extend(part.metadata.iter().map(|(key, text)| (format!("{kind}.{key}"), text.clone())));
    Ok(())
}

#[wasm_bindgen]
impl Network {
    /// What it is: `NetworkInfo` of `types.ts`.
    pub fn info(&self) -> JsValue {
        let f = self.body.facts();
        let outputs = self.head.as_ref().map(|head| head.parameters()[0].1.dims()[0]);
        // No two parameters of these networks are tied.
        let count: usize = self.parameters().iter().map(|(_, p)| p.len()).sum();
        let steps = if self.steps == Steps::Last { "last" } else { "every" };
        values::object(&[
            ("cell", f.cell.into()),
            ("input", values::count(f.input)),
            ("hidden", values::count(f.hidden)),
            ("layers", values::count(f.layers)),
            ("bidirectional", (f.directions == 2).into()),
            ("outputs", values::or_null(outputs.map(values::count))),
            ("steps", values::or_null(outputs.map(|_| steps))),
            ("parameters", values::count(count)),
            ("verified", values::or_null(self.verified)),
        ])
    }

    /// `x` `[B, T, I]` to `{output, state, gates}`.
    pub async fn run(
        &self,
        x: Vec<f32>,
        dims: Vec<u32>,
        h0: Option<Vec<f32>>,
        lengths: Option<Vec<u32>>,
        options: JsValue,
    ) -> Result<JsValue> {
        let dims = values::check_dims("x", dims, x.len())?;
        let facts = self.body.facts();
        let [batch, ..] = *dims else { return Err(Fault::shape("x", "[batch, steps, features]", &dims)) };
        let mut options = Options::of(&options);
        let taps = options.flag("gates")?;
        options.done()?;
        let lengths: Option<Vec<usize>> = lengths.map(|lengths| lengths.into_iter().map(|n| n as usize).collect());
        let x = Tensor::from_slice(&self.device, &x, &dims)?;
        let state = [facts.layers * facts.directions, batch, facts.hidden];
        let h0 = h0.map(|h0| Tensor::from_slice(&self.device, &h0, &state)).transpose()?;
        let input = RunOptions { h0: h0.as_ref(), lengths: lengths.as_deref(), taps, ..RunOptions::default() };
        let run = self.run_on(&x, input, &mut Mode::Eval)?;
        let mut gates = Vec::new();
        for layer in &run.gates {
            let mut named = Vec::new();
            for (name, gate) in layer {
                named.push((*name, values::tensor(gate).await?));
            }
            gates.push(values::object(&named));
        }
        let (output, state) = (values::tensor(&run.output).await?, values::tensor(&run.h_n).await?);
        Ok(values::object(&[("output", output), ("state", state), ("gates", values::array(gates))]))
    }

    /// The bytes of a safetensors file.
    pub async fn save(&self) -> Result<Vec<u8>> {
        let mut file = TensorFile::default();
        match &self.body {
            Body::Gru(layer) => put(&mut file, "gru", layer).await?,
            Body::Lstm(layer) => put(&mut file, "lstm", layer).await?,
            Body::Rnn(layer) => put(&mut file, "rnn", layer).await?,
        }
        for (name, parameter) in self.head.iter().flat_map(Module::parameters) {
            file.insert(&format!("{HEAD}.{name}"), parameter.dims(), parameter.read().await?);
        }
        let steps = if self.steps == Steps::Last { "last" } else { "every" };
        file.metadata.insert(STEPS_KEY.into(), steps.into());
        Ok(file.to_bytes()?)
    }
}
