//! The layers that were found in a graph, and the network that they make.

use std::collections::HashMap;

use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::Network;
use crate::io::network::Function;
use crate::nn::{LastState, LayerNorm, Linear, Module, Recurrent, RecurrentConfig, RecurrentOptions, Sequential};
use crate::tensor::Tensor;

/// A layer of a stack.
pub enum Layer {
    Recurrent(Cell),
    Linear {
        /// `[out, in]`
        dims: [usize; 2],
        weight: Vec<f32>,
        bias: Option<Vec<f32>>,
    },
    /// With its scale, bias and ε.
    Norm(Vec<f32>, Vec<f32>, f32),
    Function(Function),
    Last(LastState),
}

/// A recurrent layer with its initial states `[D, H]`, if they are not zeros.
pub struct Cell {
    pub layer: Recurrent,
    pub first: [Option<Vec<f32>>; 2],
}

/// Layers with their names, in order.
#[derive(Default)]
pub struct Layers(Vec<(String, Layer)>);

/// Returns the name of a layer from the label of its node, which exporters make of the module and the operator:
/// `/head/MatMul`, `gru/l0/GRU`. `None` if the label has no such parts.
fn name_of(label: &str) -> Option<String> {
    let (path, _) = label.trim_matches('/').rsplit_once('/')?;
    // Layers of a stack, as this crate writes them.
    let path = match path.rsplit_once('/') {
        Some((path, part)) if part.strip_prefix('l').is_some_and(|k| k.parse::<u32>().is_ok()) => path,
        _ => path,
    };
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    let name: String = path.chars().map(|c| if is_good(c) { c } else { '.' }).collect();
    Some(name.trim_matches('.').to_string()).filter(|name| !name.is_empty())
}

impl Layers {
    pub fn push(&mut self, label: &str, layer: Layer) {
        let usual = match &layer {
            Layer::Recurrent(cell) => cell.layer.config().cell.layer(),
            Layer::Linear { .. } => "linear",
            Layer::Norm(..) => "norm",
            Layer::Function(_) => "activation",
            Layer::Last(_) => "last",
        };
        let own = name_of(label);
        let name = match (&layer, own) {
            (Layer::Recurrent(_) | Layer::Linear { .. } | Layer::Norm(..), Some(name)) => name,
            _ => usual.into(),
        };
        self.0.push((name, layer));
    }

    /// Returns the last layer.
    pub fn last_mut(&mut self) -> Option<&mut Layer> {
        self.0.last_mut().map(|(_, layer)| layer)
    }

    /// Returns the configuration of the last recurrent layer, and whether it is the last layer of all.
    pub fn last_recurrent(&self) -> Option<(&RecurrentConfig, bool)> {
        let mut behind = self.0.iter().rev().enumerate();
        behind.find_map(|(after, (_, layer))| match layer {
            Layer::Recurrent(cell) => Some((cell.layer.config(), after == 0)),
            _ => None,
        })
    }

    /// Builds the network. Recurrent layers one after another become a stack, if they differ only in their input.
    pub fn network(self, device: &Device, skip: bool) -> Result<Network> {
        let (mut out, mut names) = (Sequential::new(), HashMap::new());
        // The number of uses of each name, so that many layers of one name do not search for long.
        let mut free = |name: String| {
            let mut own = name.clone();
            while names.contains_key(&own) {
                let uses = names.entry(name.clone()).or_insert(0u64);
                *uses += 1;
                own = format!("{name}_{uses}");
            }
            names.insert(own.clone(), 0);
            own
        };
        let mut layers = self.0.into_iter().peekable();
        while let Some((name, layer)) = layers.next() {
            let name = free(name);
            out = match layer {
                Layer::Recurrent(cell) => {
                    let mut cells = vec![cell];
                    while let Some((_, Layer::Recurrent(next))) =
                        layers.next_if(|(_, next)| matches!(next, Layer::Recurrent(next) if fits(&cells[0], next)))
                    {
                        cells.push(next);
                    }
                    out.push(&name, stacked(device, &cells)?)
                }
                Layer::Linear { dims, weight, bias } => {
                    let bias = bias.map(|bias| Tensor::from_slice(device, &bias, &dims[..1])).transpose()?;
                    out.push(&name, Linear::from_parameters(Tensor::from_slice(device, &weight, &dims)?, bias)?)
                }
                Layer::Norm(scale, bias, eps) => {
                    let [scale, bias] = [scale, bias].map(|v| Tensor::from_slice(device, &v, &[v.len()]));
                    out.push(&name, LayerNorm::from_parameters(scale?, bias?, eps)?)
                }
                Layer::Function(function) => out.push(&name, function),
                Layer::Last(last) => out.push(&name, last),
            };
        }
        match out.count() {
            0 => Err(Error::format("ONNX model", "holds no layer")),
            _ => Ok(Network::of_layers(out, skip)),
        }
    }
}

/// Whether a layer can be the next one of a stack.
fn fits(first: &Cell, next: &Cell) -> bool {
    let (c, next) = (first.layer.config(), next.layer.config());
    next.input == c.directions() * c.out() && RecurrentConfig { input: c.input, ..next.clone() } == *c
}

/// Joins layers to one with several layers. It is batch-first.
fn stacked(device: &Device, cells: &[Cell]) -> Result<Recurrent> {
    let c = cells[0].layer.config();
    let learn_h0 = cells.iter().any(|cell| cell.first.iter().any(Option::is_some));
    let options = RecurrentOptions { learn_h0, ..c.options };
    let config = RecurrentConfig { layers: cells.len(), batch_first: true, options, ..c.clone() };
    Recurrent::from_parameters(device, config, |name, dims| {
        let missing = || Error::value("onnx", "weights", "every parameter has a source", name);
        let state = ["h0", "c0"].iter().position(|state| *state == name);
        if let Some(state) = state {
            let len = c.directions() * c.hidden;
            let zeros = vec![0.0; len];
            let values: Vec<f32> =
                cells.iter().flat_map(|cell| cell.first[state].as_ref().unwrap_or(&zeros)).copied().collect();
            return Tensor::from_slice(device, &values, dims);
        }
        let (part, rest) = name.rsplit_once("_l").ok_or_else(missing)?;
        let (number, reverse) = rest.split_once('_').unwrap_or((rest, ""));
        let cell = number.parse().ok().and_then(|number: usize| cells.get(number)).ok_or_else(missing)?;
        let own = crate::nn::parameter_name(part, 0, !reverse.is_empty());
        let tensor = cell.layer.parameters().into_iter().find(|(name, _)| *name == own).ok_or_else(missing)?.1;
        Tensor::from_slice(device, &tensor.read_now()?, dims)
    })
}
