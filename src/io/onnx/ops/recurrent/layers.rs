//! From the weights of a node to layers: ONNX's blocks of gates put into PyTorch's order

use super::super::Args;
use super::{Kind, Spec, State};
use crate::error::{Error, Result};
use crate::io::convert::onnx::{GRU, LSTM, PEEPHOLES};
use crate::io::onnx::meter::Cost;
use crate::nn::{
    Gru, GruActivations, GruConfig, Lstm, LstmActivations, LstmConfig, Mode, Module, RecurrentOptions, Rnn, RnnConfig,
    SequenceInput,
};
use crate::ops::movement;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// The weights of a node: `W` `[D, G·H, I]`, `R` `[D, G·H, H]`, `B` `[D, 2·G·H]`, `P` `[D, 3·H]`.
pub struct Sources<'a> {
    pub w: &'a Tensor,
    pub r: &'a Tensor,
    pub bias: Option<&'a Tensor>,
    pub peephole: Option<&'a Tensor>,
}

/// The layers of a node: one, or one a direction where the directions have different activations.
pub struct Layers {
    layers: Vec<Layer>,
    /// Of input and state.
    sizes: [usize; 2],
}

enum Layer {
    Gru(Gru),
    Lstm(Lstm),
    Rnn(Rnn),
}

impl Kind {
    /// ONNX's block of each gate, in PyTorch's order.
    pub fn order(self) -> &'static [usize] {
        match self {
            Kind::Gru => GRU,
            Kind::Lstm => LSTM,
            Kind::Rnn => &[0],
        }
    }
}

impl Layers {
    /// Builds the layers on the node's device.
    pub fn new(spec: &Spec, sources: Sources) -> Result<Self> {
        let sizes @ [_, hidden] = sources.check(spec)?;
        let together = spec.directions == 1 || spec.activations[0] == spec.activations[1];
        let count = if together { 1 } else { 2 };
        let mut layers = Vec::with_capacity(count);
        for first in 0..count {
            let layer = Layer::new(spec, &sources, sizes, first, together)?;
            for (name, parameter) in layer.module().parameters() {
                let direction = first + name.ends_with("_reverse") as usize * together as usize;
                let (source, block, order) = match &name {
                    n if n.starts_with("weight_ih") => (Some(sources.w), 0, spec.kind.order()),
                    n if n.starts_with("weight_hh") => (Some(sources.r), 0, spec.kind.order()),
                    n if n.starts_with("bias_ih") => (sources.bias, 0, spec.kind.order()),
                    n if n.starts_with("bias_hh") => (sources.bias, spec.kind.order().len(), spec.kind.order()),
                    _ => (sources.peephole, 0, PEEPHOLES),
                };
                if let Some(source) = source {
                    set(&parameter, &blocks(source, direction, block, order, hidden)?)?;
                }
            }
            layers.push(layer);
        }
        Ok(Self { layers, sizes })
    }

    /// Features of the input, units of the state.
    pub fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// Runs all directions: outputs `[T, B, D·H]` side by side, and the last states.
    pub fn run(&self, x: &Tensor, input: SequenceInput) -> Result<(Tensor, State)> {
        if let [layer] = &self.layers[..] {
            return layer.run(x, input);
        }
        let mut runs = Vec::with_capacity(self.layers.len());
        for (d, layer) in self.layers.iter().enumerate() {
            let own = |state: Option<&Tensor>| state.map(|s| s.slice(0, d..d + 1)).transpose();
            let (h0, c0) = (own(input.h0)?, own(input.c0)?);
            runs.push(layer.run(x, SequenceInput { h0: h0.as_ref(), c0: c0.as_ref(), ..input })?);
        }
        let all = |part: fn(&(Tensor, State)) -> Option<&Tensor>, axis: usize| {
            let parts: Option<Vec<&Tensor>> = runs.iter().map(part).collect();
            parts.map(|parts| Tensor::concat(&parts, axis)).transpose()
        };
        let missing = || Error::value("onnx", "layers", "an output and a state", "none");
        let y = all(|r| Some(&r.0), 2)?.ok_or_else(missing)?;
        let h = all(|r| Some(&r.1.h), 0)?.ok_or_else(missing)?;
        Ok((y, State { h, c: all(|r| r.1.c.as_ref(), 0)? }))
    }
}

impl<'a> Sources<'a> {
    /// The inputs of a node that runs.
    pub fn of(args: &Args<'a>) -> Result<Self> {
        let (bias, peephole) = (args.optional(3)?, args.optional(7)?);
        Ok(Self { w: args.tensor(1)?, r: args.tensor(2)?, bias, peephole })
    }

    /// The cost of a copy of the weights.
    pub fn cost(&self) -> Cost {
        let all = [Some(self.w), Some(self.r), self.bias, self.peephole];
        Cost::floats(all.into_iter().flatten().map(Tensor::len).sum())
    }

    /// The sizes of input and state, after every shape was compared with them.
    pub fn check(&self, spec: &Spec) -> Result<[usize; 2]> {
        let (gates, directions) = (spec.kind.order().len(), spec.directions);
        let (&[_, _, input], &[_, _, hidden]) = (self.w.dims(), self.r.dims()) else {
            return Err(Error::shape("onnx", "W", "three axes, as R", self.w.dims()));
        };
        let hidden = spec.hidden.unwrap_or(hidden);
        let rows = hidden.saturating_mul(gates);
        let wanted = [
            ("W", Some(self.w), vec![directions, rows, input]),
            ("R", Some(self.r), vec![directions, rows, hidden]),
            ("B", self.bias, vec![directions, rows.saturating_mul(2)]),
            ("P", self.peephole, vec![directions, hidden.saturating_mul(3)]),
        ];
        for (name, tensor, dims) in wanted {
            if let Some(tensor) = tensor
                && tensor.dims() != dims
            {
                return Err(Error::shape("onnx", name, format!("{dims:?}"), tensor.dims()));
            }
        }
        Ok([input, hidden])
    }
}

impl Layer {
    /// The layer of direction `first`, or of both.
    fn new(spec: &Spec, sources: &Sources, [input, hidden]: [usize; 2], first: usize, both: bool) -> Result<Self> {
        let a = &spec.activations[first];
        let bias = sources.bias.is_some();
        let bidirectional = both && spec.directions == 2;
        let reverse = spec.reverse || first == 1;
        let options = RecurrentOptions { clip: spec.clip, ..RecurrentOptions::default() };
        let (device, rng) = (&spec.device, &mut Rng::new(0));
        Ok(match spec.kind {
            Kind::Gru => {
                let activations = GruActivations { reset: a[0], update: a[0], candidate: a[1] };
                let reset_after = spec.reset_after;
                let config = GruConfig { input, hidden, bias, bidirectional, reverse, ..GruConfig::default() };
                Layer::Gru(GruConfig { reset_after, activations, options, ..config }.build(device, rng)?)
            }
            Kind::Lstm => {
                let activations = LstmActivations { input: a[0], forget: a[0], cell: a[1], output: a[0], hidden: a[2] };
                let (peephole, input_forget) = (sources.peephole.is_some(), spec.input_forget);
                let config = LstmConfig { input, hidden, bias, bidirectional, reverse, ..LstmConfig::default() };
                let config = LstmConfig { peephole, input_forget, activations, options, ..config };
                Layer::Lstm(config.build(device, rng)?)
            }
            Kind::Rnn => {
                let config = RnnConfig { input, hidden, bias, bidirectional, reverse, ..RnnConfig::default() };
                Layer::Rnn(RnnConfig { activation: a[0], options, ..config }.build(device, rng)?)
            }
        })
    }

    fn module(&self) -> &dyn Module {
        match self {
            Layer::Gru(gru) => gru,
            Layer::Lstm(lstm) => lstm,
            Layer::Rnn(rnn) => rnn,
        }
    }

    fn run(&self, x: &Tensor, input: SequenceInput) -> Result<(Tensor, State)> {
        let mode = &mut Mode::Eval;
        match self {
            Layer::Gru(gru) => gru.run(x, input, mode).map(|r| (r.output, State { h: r.h_n, c: None })),
            Layer::Lstm(lstm) => lstm.run(x, input, mode).map(|r| (r.output, State { h: r.h_n, c: Some(r.c_n) })),
            Layer::Rnn(rnn) => rnn.run(x, input, mode).map(|r| (r.output, State { h: r.h_n, c: None })),
        }
    }
}

/// Blocks of `hidden` rows of direction `d`, from block `first` on, in another order.
fn blocks(x: &Tensor, d: usize, first: usize, order: &[usize], hidden: usize) -> Result<Tensor> {
    let one = x.slice(0, d..d + 1)?.reshape(&x.dims()[1..])?;
    let block = |&gate: &usize| one.slice(0, (first + gate) * hidden..(first + gate + 1) * hidden);
    let parts = order.iter().map(block).collect::<Result<Vec<_>>>()?;
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)
}

/// Overwrites a parameter, on its device or from the host.
fn set(parameter: &Tensor, values: &Tensor) -> Result<()> {
    if parameter.device() == values.device() {
        return movement::write_slice(values, parameter, 0, 0);
    }
    parameter.assign(&values.to_vec()?)
}
