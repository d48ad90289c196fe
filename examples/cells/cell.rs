//! The compared cells, and their sizes.

use clap::ValueEnum;
use wgru::nn::{MinGru, MinGruConfig, MinGruInput, Mode, Module, Recurrent, RecurrentConfig, RunOptions};
use wgru::{Cell, Device, Result, Rng, Tensor};

/// A kind of recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Kind {
    Gru,
    Lstm,
    Rnn,
    #[value(name = "mingru")]
    MinGru,
    /// A GRU whose head also reads a mean of the states, weighted by attention
    GruAttention,
}

impl Kind {
    pub const ALL: [Self; 5] = [Self::Gru, Self::Lstm, Self::Rnn, Self::MinGru, Self::GruAttention];

    /// Returns the name in results and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Gru => "gru",
            Self::Lstm => "lstm",
            Self::Rnn => "rnn",
            Self::MinGru => "mingru",
            Self::GruAttention => "gru-attention",
        }
    }

    /// Returns the name in tables and plots.
    pub fn title(self) -> &'static str {
        match self {
            Self::Gru => "GRU",
            Self::Lstm => "LSTM",
            Self::Rnn => "RNN",
            Self::MinGru => "minGRU",
            Self::GruAttention => "GRU + attention",
        }
    }

    pub fn has_attention(self) -> bool {
        self == Self::GruAttention
    }

    /// Returns the number of parameters of `layers` layers of `units` units, of the attention, and of a head with
    /// `output` values. Embeddings are not counted: they are the same for all cells.
    pub fn parameters(self, units: usize, layers: usize, input: usize, output: usize) -> usize {
        let of_layer = |input: usize| match self {
            Self::Gru | Self::GruAttention => 3 * units * (input + units + 2),
            Self::Lstm => 4 * units * (input + units + 2),
            Self::Rnn => units * (input + units + 2),
            Self::MinGru => 2 * units * (input + 1),
        };
        let (attention, read) = if self.has_attention() { (units * units, 2 * units) } else { (0, units) };
        of_layer(input) + (layers - 1) * of_layer(units) + attention + (read + 1) * output
    }

    /// Returns the number of units with which the parameters are nearest to `target`.
    fn units_for(self, target: usize, layers: usize, input: usize, output: usize) -> usize {
        let count = |units| self.parameters(units, layers, input, output);
        let above = (1..).find(|&units| count(units) >= target).unwrap_or(1);
        if above > 1 && target - count(above - 1) < count(above) - target { above - 1 } else { above }
    }
}

/// Whether cells have the same number of units, or about the same number of parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sizing {
    Units,
    Parameters,
}

impl Sizing {
    pub const ALL: [Self; 2] = [Self::Units, Self::Parameters];

    pub fn title(self) -> &'static str {
        match self {
            Self::Units => "equal units",
            Self::Parameters => "equal parameters",
        }
    }

    pub fn name(self) -> &'static str {
        match self {
            Self::Units => "units",
            Self::Parameters => "parameters",
        }
    }
}

/// Allowed relative difference between the numbers of parameters of two cells that have "equal" ones.
pub const TOLERANCE: f64 = 0.02;

/// Units of every cell for one task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Units of all cells with equal units, and of the GRU in both sizings.
    pub base: usize,
    /// Units with the parameters of the GRU, in the order of [`Kind::ALL`].
    equal: [usize; Kind::ALL.len()],
}

impl Sizes {
    /// Chooses the first number of units from `least` at which every cell can have the parameters of the GRU within
    /// [`TOLERANCE`]. If there is none up to `2·least`, the one with the smallest difference.
    pub fn new(least: usize, layers: usize, input: usize, output: usize) -> Self {
        let at = |base: usize| {
            let target = Kind::Gru.parameters(base, layers, input, output);
            let equal = Kind::ALL.map(|kind| kind.units_for(target, layers, input, output));
            let differences = Kind::ALL.iter().zip(equal).map(|(kind, units)| {
                kind.parameters(units, layers, input, output).abs_diff(target) as f64 / target as f64
            });
            (differences.fold(0.0, f64::max), Self { base, equal })
        };
        let all: Vec<_> = (least..=2 * least).map(at).collect();
        let good = all.iter().find(|(difference, _)| *difference <= TOLERANCE);
        let best = good.or(all.iter().min_by(|a, b| a.0.total_cmp(&b.0)));
        best.map(|(_, sizes)| sizes.clone()).unwrap_or_else(|| unreachable!("the range is not empty"))
    }

    pub fn units(&self, kind: Kind, sizing: Sizing) -> usize {
        match sizing {
            Sizing::Units => self.base,
            Sizing::Parameters => self.equal[kind as usize],
        }
    }
}

/// A recurrent layer of any kind, time-first.
pub enum Layer {
    Recurrent(Recurrent),
    MinGru(MinGru),
}

/// State between two steps.
#[derive(Clone, Default)]
pub struct State {
    h: Option<Tensor>,
    c: Option<Tensor>,
}

impl Layer {
    pub fn new(device: &Device, kind: Kind, [layers, input, hidden]: [usize; 3], rng: &mut Rng) -> Result<Self> {
        let cell = match kind {
            Kind::Gru | Kind::GruAttention => Cell::Gru,
            Kind::Lstm => Cell::Lstm,
            Kind::Rnn => Cell::Rnn,
            Kind::MinGru => {
                let config = MinGruConfig { input, hidden, layers, ..MinGruConfig::default() };
                return Ok(Self::MinGru(config.build(device, rng)?));
            }
        };
        let config = RecurrentConfig { layers, ..RecurrentConfig::new(cell, input, hidden) };
        Ok(Self::Recurrent(config.build(device, rng)?))
    }

    /// Runs sequences `x` `[T, B, I]`. Returns the states of the last layer `[T, B, H]`, and the last ones of each
    /// sequence `[B, H]`.
    pub fn run(&self, x: &Tensor, lengths: Option<&[usize]>, mode: &mut Mode) -> Result<(Tensor, Tensor)> {
        let (output, h_n) = match self {
            Self::Recurrent(layer) => {
                let run = layer.run(x, RunOptions { lengths, ..RunOptions::default() }, mode)?;
                (run.output, run.h_n)
            }
            Self::MinGru(layer) => {
                let run = layer.run(x, MinGruInput { lengths, ..MinGruInput::default() }, mode)?;
                (run.output, run.h_n)
            }
        };
        let &[layers, batch, width] = h_n.dims() else { unreachable!("h_n has three axes") };
        let last = h_n.slice(0, layers - 1..layers)?.reshape(&[batch, width])?;
        Ok((output, last))
    }

    /// Runs one step on `x` `[1, B, I]`, and returns the state of the last layer `[1, B, H]`.
    pub fn step(&self, x: &Tensor, state: &mut State) -> Result<Tensor> {
        let (h0, mode) = (state.h.as_ref(), &mut Mode::Eval);
        match self {
            Self::Recurrent(layer) => {
                let run = layer.run(x, RunOptions { h0, c0: state.c.as_ref(), ..RunOptions::default() }, mode)?;
                *state = State { h: Some(run.h_n), c: run.c_n };
                Ok(run.output)
            }
            Self::MinGru(layer) => {
                let run = layer.run(x, MinGruInput { h0, ..MinGruInput::default() }, mode)?;
                *state = State { h: Some(run.h_n), c: None };
                Ok(run.output)
            }
        }
    }
}

impl Module for Layer {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        match self {
            Self::Recurrent(layer) => layer.parameters(),
            Self::MinGru(layer) => layer.parameters(),
        }
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, None, mode)?.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Input and output of the tasks, with one layer and with two.
    #[test]
    fn equal_parameters_differ_by_at_most_2_percent() {
        for (input, output) in [(2, 1), (10, 8), (6, 1), (7, 24), (32, 2), (32, 65)] {
            for layers in [1, 2] {
                let sizes = Sizes::new(32, layers, input, output);
                let count = |kind: Kind| kind.parameters(sizes.units(kind, Sizing::Parameters), layers, input, output);
                let target = count(Kind::Gru);
                assert_eq!(sizes.units(Kind::Gru, Sizing::Parameters), sizes.base);
                for kind in Kind::ALL {
                    assert_eq!(sizes.units(kind, Sizing::Units), sizes.base);
                    let difference = count(kind) as f64 / target as f64 - 1.0;
                    assert!(difference.abs() <= TOLERANCE, "{kind:?} {input} {output} {layers}: {difference}");
                }
            }
        }
    }

    #[test]
    fn single_steps_give_the_states_of_the_sequence() {
        let (device, mut rng) = (Device::cpu(), Rng::new(2));
        for kind in Kind::ALL {
            let layer = Layer::new(&device, kind, [2, 3, 4], &mut rng).unwrap();
            let values: Vec<f32> = (0..5 * 3).map(|_| rng.uniform(-1.0, 1.0)).collect();
            let x = Tensor::from_slice(&device, &values, &[5, 1, 3]).unwrap();
            let (states, last) = layer.run(&x, None, &mut Mode::Eval).unwrap();
            let (mut state, mut steps) = (State::default(), Vec::new());
            for t in 0..5 {
                let h = layer.step(&x.slice(0, t..t + 1).unwrap(), &mut state).unwrap();
                steps.extend(h.read_blocking().unwrap());
            }
            let want = states.read_blocking().unwrap();
            assert!(want.iter().zip(&steps).all(|(a, b)| (a - b).abs() < 1e-5), "{kind:?}: {want:?} {steps:?}");
            assert_eq!(last.read_blocking().unwrap(), want[16..]);
        }
    }
}
