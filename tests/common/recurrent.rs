//! One description for the three recurrent layers, so that a test is written once for all of them.

use wgru::nn::{
    Gru, GruActivations, Lstm, LstmActivations, Mode, Module, RecurrentConfig, RecurrentOptions, Rnn, RunOptions,
};
use wgru::ops::recurrent::Plan;
use wgru::{Activation, Cell, Device, Result, Rng, Tensor};

/// The recurrent cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Rnn,
    GruAfter,
    GruBefore,
    Lstm,
}

pub const KINDS: [Kind; 4] = [Kind::Rnn, Kind::GruAfter, Kind::GruBefore, Kind::Lstm];

impl Kind {
    /// Those that run a layer without options.
    pub fn plans(self) -> &'static [Plan] {
        match self {
            Kind::GruAfter | Kind::GruBefore => &[Plan::Whole, Plan::Chain, Plan::Steps],
            Kind::Lstm | Kind::Rnn => &[Plan::Whole, Plan::Steps],
        }
    }

    pub fn gates(self) -> usize {
        match self {
            Kind::Rnn => 1,
            Kind::GruAfter | Kind::GruBefore => 3,
            Kind::Lstm => 4,
        }
    }
}

/// All that the three configurations know. A field that the cell lacks is not read.
#[derive(Clone, Debug)]
pub struct Spec {
    pub kind: Kind,
    pub input: usize,
    pub hidden: usize,
    pub projection: usize,
    pub layers: usize,
    pub bias: bool,
    pub batch_first: bool,
    pub dropout: f32,
    pub bidirectional: bool,
    pub reverse: bool,
    pub peephole: bool,
    pub input_forget: bool,
    /// Of the gates in PyTorch's order, and of the LSTM's cell state; `None` for the usual ones.
    pub activations: Option<[Activation; 5]>,
    pub options: RecurrentOptions,
    pub plan: Option<Plan>,
}

impl Spec {
    /// One layer forward, PyTorch's options.
    pub fn new(kind: Kind, input: usize, hidden: usize) -> Self {
        Self {
            kind,
            input,
            hidden,
            projection: 0,
            layers: 1,
            bias: true,
            batch_first: false,
            dropout: 0.0,
            bidirectional: false,
            reverse: false,
            peephole: false,
            input_forget: false,
            activations: None,
            options: RecurrentOptions::default(),
            plan: None,
        }
    }

    pub fn directions(&self) -> usize {
        1 + self.bidirectional as usize
    }

    /// Width of the output of one direction.
    pub fn out(&self) -> usize {
        if self.kind == Kind::Lstm && self.projection > 0 { self.projection } else { self.hidden }
    }

    pub fn gate_activations(&self) -> [Activation; 5] {
        let (s, t) = (Activation::Sigmoid, Activation::Tanh);
        self.activations.unwrap_or(match self.kind {
            Kind::Rnn => [t; 5],
            Kind::GruAfter | Kind::GruBefore => [s, s, t, t, t],
            Kind::Lstm => [s, s, t, s, t],
        })
    }

    /// Extents of `h0` and of `c0`.
    pub fn states(&self, batch: usize) -> [[usize; 3]; 2] {
        let all = self.layers * self.directions();
        [[all, batch, self.out()], [all, batch, self.hidden]]
    }

    pub fn build(&self, device: &Device, rng: &mut Rng) -> Result<Layer> {
        let &Self { input, hidden, layers, bias, batch_first, dropout, bidirectional, reverse, options, plan, .. } =
            self;
        let [a, b, c, d, e] = self.gate_activations();
        Ok(match self.kind {
            Kind::Rnn => {
                let activation = a;
                let config = RecurrentConfig {
                    cell: Cell::Rnn,
                    input,
                    hidden,
                    layers,
                    bias,
                    batch_first,
                    dropout,
                    bidirectional,
                    reverse,
                    activation,
                    options,
                    plan,
                };
                Layer::Rnn(config.build(device, rng)?)
            }
            Kind::GruAfter | Kind::GruBefore => {
                let reset_after = self.kind == Kind::GruAfter;
                let activations = GruActivations { reset: a, update: b, candidate: c };
                let config = RecurrentConfig {
                    input,
                    hidden,
                    layers,
                    bias,
                    batch_first,
                    dropout,
                    bidirectional,
                    reverse,
                    reset_after,
                    activations,
                    options,
                    plan,
                };
                Layer::Gru(config.build(device, rng)?)
            }
            Kind::Lstm => {
                let &Self { projection, peephole, input_forget, .. } = self;
                let activations = LstmActivations { input: a, forget: b, cell: c, output: d, hidden: e };
                let config = RecurrentConfig {
                    cell: Cell::Lstm,
                    input,
                    hidden,
                    projection,
                    layers,
                    bias,
                    batch_first,
                    dropout,
                    bidirectional,
                    reverse,
                    peephole,
                    input_forget,
                    activations,
                    options,
                    plan,
                };
                Layer::Lstm(config.build(device, rng)?)
            }
        })
    }
}

/// A layer of any kind.
pub enum Layer {
    Gru(Gru),
    Lstm(Lstm),
    Rnn(Rnn),
}

/// What a run gives.
pub struct Output {
    pub output: Tensor,
    pub h_n: Tensor,
    /// Of an LSTM.
    pub c_n: Option<Tensor>,
    /// By layer, in PyTorch's order of the gates.
    pub gates: Vec<Vec<Tensor>>,
}

impl Layer {
    pub fn run(&self, x: &Tensor, input: RunOptions, mode: &mut Mode) -> Result<Output> {
        Ok(match self {
            Layer::Gru(layer) => {
                let run = layer.run(x, input, mode)?;
                let gates = run.gates.into_iter().map(|g| vec![g.reset, g.update, g.candidate]).collect();
                Output { output: run.output, h_n: run.h_n, c_n: None, gates }
            }
            Layer::Lstm(layer) => {
                let run = layer.run(x, input, mode)?;
                let gates = run.gates.into_iter().map(|g| vec![g.input, g.forget, g.cell, g.output]).collect();
                Output { output: run.output, h_n: run.h_n, c_n: Some(run.c_n), gates }
            }
            Layer::Rnn(layer) => {
                let run = layer.run(x, input, mode)?;
                Output { output: run.output, h_n: run.h_n, c_n: None, gates: Vec::new() }
            }
        })
    }

    pub fn parameters(&self) -> Vec<(String, Tensor)> {
        match self {
            Layer::Gru(layer) => layer.parameters(),
            Layer::Lstm(layer) => layer.parameters(),
            Layer::Rnn(layer) => layer.parameters(),
        }
    }
}
