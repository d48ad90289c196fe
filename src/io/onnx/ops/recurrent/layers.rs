//! Builds layers from the weights of a node, reordering ONNX's gate blocks to PyTorch's order.

use std::ops::Range;

use super::super::Args;
use super::{Spec, State, activations};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::convert::onnx::PEEPHOLES;
use crate::io::onnx::meter::Cost;
use crate::nn::{Mode, Recurrent as Layer, RecurrentConfig, RecurrentOptions, RunOptions};
use crate::tensor::Tensor;

/// Weights of a node: `W` `[D, G·H, I]`, `R` `[D, G·H, H]`, `B` `[D, 2·G·H]`, `P` `[D, 3·H]`.
pub struct Sources<'a> {
    pub w: &'a Tensor,
    pub r: &'a Tensor,
    pub bias: Option<&'a Tensor>,
    pub peephole: Option<&'a Tensor>,
}

/// The layers of a node: one, or one per direction if the directions have different activations.
pub struct Layers {
    layers: Vec<Layer>,
    /// Sizes of input and state.
    sizes: [usize; 2],
}

impl Layers {
    /// Builds the layers on the node's device.
    pub fn new(spec: &Spec, sources: Sources) -> Result<Self> {
        let sizes = sources.check(spec)?;
        let is_one = spec.directions == 1 || spec.activations[0] == spec.activations[1];
        let layers = match is_one {
            true => vec![layer(spec, &sources, sizes, 0..spec.directions)?],
            false => (0..2).map(|d| layer(spec, &sources, sizes, d..d + 1)).collect::<Result<_>>()?,
        };
        Ok(Self { layers, sizes })
    }

    /// Returns the layer of all directions, if there is one.
    pub fn one(&self) -> Option<&Layer> {
        if let [layer] = &self.layers[..] { Some(layer) } else { None }
    }

    /// Returns the number of input features and of state units.
    pub fn sizes(&self) -> [usize; 2] {
        self.sizes
    }

    /// Runs all directions. Returns the outputs `[T, B, D·H]`, side by side, and the last states.
    pub fn run(&self, x: &Tensor, options: RunOptions) -> Result<(Tensor, State)> {
        let one = |layer: &Layer, options: RunOptions| {
            let run = layer.run(x, options, &mut Mode::Eval)?;
            Ok((run.output, State { h: run.h_n, c: run.c_n }))
        };
        if let [layer] = &self.layers[..] {
            return one(layer, options);
        }
        let mut runs = Vec::with_capacity(self.layers.len());
        for (d, layer) in self.layers.iter().enumerate() {
            let own = |state: Option<&Tensor>| state.map(|s| s.slice(0, d..d + 1)).transpose();
            let (h0, c0) = (own(options.h0)?, own(options.c0)?);
            runs.push(one(layer, RunOptions { h0: h0.as_ref(), c0: c0.as_ref(), ..options })?);
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
    /// Takes the weights from the inputs of a running node.
    pub fn of(args: &Args<'a>) -> Result<Self> {
        let (bias, peephole) = (args.optional(3)?, args.optional(7)?);
        Ok(Self { w: args.tensor(1)?, r: args.tensor(2)?, bias, peephole })
    }

    /// Returns the cost of copying the weights.
    pub fn cost(&self) -> Cost {
        let all = [Some(self.w), Some(self.r), self.bias, self.peephole];
        Cost::floats(all.into_iter().flatten().map(Tensor::len).sum())
    }

    /// Checks every shape. Returns the sizes of input and state.
    pub fn check(&self, spec: &Spec) -> Result<[usize; 2]> {
        let (gates, directions) = (spec.cell.gates(), spec.directions);
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

/// Builds the layer for some directions of a node.
fn layer(spec: &Spec, sources: &Sources, [input, hidden]: [usize; 2], directions: Range<usize>) -> Result<Layer> {
    let gates = spec.cell.gates();
    let config = RecurrentConfig {
        bias: sources.bias.is_some(),
        bidirectional: directions.len() == 2,
        reverse: spec.reverse || directions == (1..2),
        peephole: sources.peephole.is_some(),
        input_forget: spec.input_forget,
        activations: activations::of_gates(spec.cell, &spec.activations[directions.start]),
        options: RecurrentOptions { clip: spec.clip, ..RecurrentOptions::default() },
        ..RecurrentConfig::new(spec.cell, input, hidden)
    };
    Layer::from_parameters(&spec.device, config, |name, _| {
        let d = directions.start + name.ends_with("_reverse") as usize;
        let order = spec.cell.onnx_order();
        let (source, first, order) = match name.split_once("_l0").map_or(name, |(part, _)| part) {
            "weight_ih" => (Some(sources.w), 0, order),
            "weight_hh" => (Some(sources.r), 0, order),
            "bias_ih" => (sources.bias, 0, order),
            "bias_hh" => (sources.bias, gates, order),
            _ => (sources.peephole, 0, PEEPHOLES),
        };
        let missing = || Error::value("onnx", "weights", "every parameter has a source", name);
        on(&spec.device, blocks(source.ok_or_else(missing)?, d, first, order, hidden)?)
    })
}

/// Copies blocks of `hidden` rows of direction `d`, starting at block `first`, in the given order.
fn blocks(x: &Tensor, d: usize, first: usize, order: &[usize], hidden: usize) -> Result<Tensor> {
    let one = x.slice(0, d..d + 1)?.reshape(&x.dims()[1..])?;
    let block = |&gate: &usize| one.slice(0, (first + gate) * hidden..(first + gate + 1) * hidden);
    let parts = order.iter().map(block).collect::<Result<Vec<_>>>()?;
    Tensor::concat(&parts.iter().collect::<Vec<_>>(), 0)
}

/// Copies a tensor to `device`, unless it is already there.
fn on(device: &Device, tensor: Tensor) -> Result<Tensor> {
    match tensor.device() == device {
        true => Ok(tensor),
        false => Tensor::from_slice(device, &tensor.read_now()?, tensor.dims()),
    }
}
