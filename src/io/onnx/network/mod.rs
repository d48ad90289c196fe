//! Recognizes models that are a stack of layers, and builds networks of them.
//!
//! Exporters surround layers by nodes that move axes. Here, these nodes run on *tags*, distinct numbers in place of the
//! elements of an activation. The tags that arrive at a layer show how it reads the layer before it, however its input
//! was moved there. Nodes that depend only on constants and extents, such as those of an initial state, run as usual.

mod layers;
mod steps;
mod tags;

use std::collections::{HashMap, HashSet};
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;

use super::external::Read;
use super::info::Extent;
use super::meter::{Cost, Limits, Meter};
use super::ops::Op;
use super::proto::Model;
use super::run::{Graph, Run};
use super::value::Value;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::Network;
use crate::nn::LastState;
use crate::tensor::Tensor;
use layers::{Layer, Layers};
use tags::{Counter, Sequences, Tags};

/// Extents of the axes that a model leaves open. They differ, so that these axes can be told apart.
const FREE: [usize; 2] = [2, 3];
/// Bytes of tags and copied weights that reading may hold, in addition to [`MEMORY_SHARE`] for each weight.
const MEMORY: u64 = 48 << 20;
const MEMORY_SHARE: u64 = 256;
/// Work of reading, in the unit of the [meter](Meter), in addition to [`WORK_SHARE`] for each weight.
const WORK: u64 = 1 << 30;
const WORK_SHARE: u64 = 1 << 16;

/// Builds the network of an ONNX model that is a stack of layers: recurrent layers, linear layers (`MatMul` and `Add`, or
/// `Gemm`), layer norms, activations, the last step, and a connection from the input to the output, with any nodes between
/// that only move axes. It has the bits of the model's weights.
///
/// The network is batch-first, whatever the model is: it gives `[B, T, C]`, or `[B, C]` of the last step, in whatever order
/// the model has these axes. States that are inputs or outputs of the model are dropped: a network starts from zeros, and a
/// stream carries its states.
///
/// ```
/// use wgru::io::{network_to_file, onnx};
/// use wgru::{Device, Rng, nn::{Linear, RecurrentConfig, Sequential}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let model = Sequential::new()
///     .push("gru", RecurrentConfig::gru(3, 8).build(&device, &mut rng)?)
///     .push("head", Linear::new(&device, 8, 1, true, &mut rng)?);
/// let bytes = onnx::export_blocking(&model, &onnx::Input::of(&model).expect("known"))?;
/// let network = onnx::load_network(&device, &bytes)?;
/// let file = pollster::block_on(network_to_file(&network))?;
/// assert_eq!(file.get("gru.weight_hh_l0")?.0, [24, 8]);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unsupported`] naming the first node that does not fit; [`Error::Format`] for a model whose inputs or outputs are
/// not those of a network, and for one whose extents or nodes take too much memory or work; errors of
/// [`OnnxModel::load`](super::OnnxModel::load).
pub fn load_network(device: &Device, bytes: &[u8]) -> Result<Network> {
    load(device, bytes, None)
}

/// Like [`load_network`] for the bytes of a file at `path`. Weights in separate files are read from its folder.
#[cfg(not(target_arch = "wasm32"))]
pub(in crate::io) fn load_network_at(device: &Device, bytes: &[u8], path: &Path) -> Result<Network> {
    let folder = super::external::folder_of(path);
    load(device, bytes, Some(&mut |name: &str| super::external::read_beside(folder, name)))
}

fn load(device: &Device, bytes: &[u8], read: Option<&mut Read>) -> Result<Network> {
    let host = Device::cpu();
    let graph = super::load::load(&host, bytes, read)?;
    let model = Model::parse(bytes)?;
    self::read(&graph, &model, &host, device).map_err(too_large)
}

/// A value of the graph.
#[derive(Clone)]
enum Slot {
    /// Depends only on constants.
    Fixed(Value),
    /// Depends on the extents of activations, which here are not those of a run.
    Extents(Value),
    /// Elements of activations.
    Tags(Tensor),
    /// The output of a node that is no layer of a stack, or of one that reads such an output. With the first such step.
    Foreign(usize),
}

impl Slot {
    fn value(&self) -> Option<Value> {
        match self {
            Slot::Fixed(value) | Slot::Extents(value) => Some(value.clone()),
            Slot::Tags(tensor) => Some(tensor.clone().into()),
            Slot::Foreign(_) => None,
        }
    }

    fn bytes(&self) -> u64 {
        self.value().map_or(0, |value| value.bytes())
    }

    /// Returns the cost of reading the tags.
    fn cost(&self) -> Cost {
        if let Slot::Tags(x) = self { Cost::floats(x.len()) } else { Cost::default() }
    }

    fn foreign(&self) -> Option<usize> {
        if let Slot::Foreign(at) = self { Some(*at) } else { None }
    }
}

struct Reader<'a> {
    model: &'a Model<'a>,
    host: &'a Device,
    counter: Counter,
    input: Tags,
    /// Extents of the input without its features.
    outer: Vec<usize>,
    /// Inputs that can be initial states.
    given: Vec<Tags>,
    /// The tags of the states after the last step.
    states: HashSet<u32>,
    /// The output of the last layer.
    front: Tags,
    /// Known from the first recurrent layer on.
    sequences: Option<Sequences>,
    /// Whether the front holds only the last steps.
    is_last: bool,
    /// Whether the input was added to the output.
    skip: bool,
    layers: Layers,
}

/// The outputs of a step; `None` if it is no layer.
type Made = Option<Vec<Slot>>;

fn read(graph: &Graph, model: &Model, host: &Device, device: &Device) -> Result<Network> {
    let body = &graph.body;
    let mut slots: Vec<Option<Slot>> = vec![None; body.slots];
    for (slot, value) in &body.constants {
        slots[*slot] = Some(Slot::Fixed(value.clone()));
    }
    let (mut counter, mut tags) = (Counter::new(graph.weights), Vec::new());
    let extents = extents(graph)?;
    for (dims, (_, slot)) in extents.iter().zip(&graph.inputs) {
        let (&width, rows) = dims.split_last().ok_or_else(|| wrong("has an input without axes"))?;
        let rows = rows.iter().try_fold(1usize, |all, &n| all.checked_mul(n)).unwrap_or(usize::MAX);
        let own = counter.next(rows, width)?;
        slots[*slot] = Some(Slot::Tags(Tensor::from_slice(host, &own.values(), dims)?));
        tags.push(own);
    }
    let [input, ref given @ ..] = tags[..] else { return Err(wrong("has no input")) };
    let outer = extents.first().and_then(|dims| dims.split_last()).map_or(Vec::new(), |(_, outer)| outer.to_vec());
    let mut reader = Reader {
        model,
        host,
        counter,
        input,
        outer,
        given: given.to_vec(),
        states: HashSet::new(),
        front: input,
        sequences: None,
        is_last: false,
        skip: false,
        layers: Layers::default(),
    };
    let limit = |fixed: u64, share: u64| Some(graph.weights.saturating_mul(share).saturating_add(fixed));
    let limits = Limits { memory: limit(MEMORY, MEMORY_SHARE), work: limit(WORK, WORK_SHARE) };
    let meter = Meter::of_run(limits, 0, 0);
    let mut run = Run { device: host, states: None, initial: None, meter, waits: true };
    // Whether the meter holds the bytes of a value.
    let mut is_held = vec![false; body.slots];
    for (at, step) in body.steps.iter().enumerate() {
        let [inputs, outputs, end] = step.links.map(|at| at as usize);
        let read: Vec<Option<Slot>> =
            body.links[inputs..outputs].iter().map(|link| slots[link.slot()?].clone()).collect();
        run.meter.charge(read.iter().flatten().map(Slot::cost).sum())?;
        let foreign = read.iter().flatten().find_map(Slot::foreign);
        let made = match foreign {
            Some(_) => None,
            None => reader.step(step, &read, &mut run)?,
        };
        for (k, link) in body.links[outputs..end].iter().enumerate() {
            let slot = made.as_ref().and_then(|made| made.get(k).cloned());
            if let Some(place) = link.slot() {
                let slot = slot.unwrap_or(Slot::Foreign(foreign.unwrap_or(at)));
                run.meter.hold(slot.bytes());
                slots[place] = Some(slot);
                is_held[place] = true;
            }
        }
        for place in body.links[inputs..end].iter().filter(|link| link.is_last()).filter_map(|link| link.slot()) {
            let slot = slots[place].take().filter(|_| is_held[place]);
            run.meter.release(slot.map_or(0, |slot| slot.bytes()));
        }
    }
    let mut outputs = Vec::new();
    for ((info, _), slot) in graph.outputs.iter().zip(&body.outputs) {
        let slot = slots[*slot].clone().ok_or_else(|| wrong("has an output that is never computed"))?;
        run.meter.charge(slot.cost())?;
        outputs.push((&*info.name, reader.is_state(&slot)?, slot));
    }
    if let Some(at) = outputs.iter().find_map(|(.., slot)| slot.foreign()) {
        let step = &body.steps[at];
        let what = "in a network; expected recurrent layers, linear layers and activations, one after another";
        return Err(Error::unsupported(&step.label, step.operator, what));
    }
    // States beside the output are dropped.
    let others = outputs.iter().filter(|(_, is_state, _)| !is_state).count();
    match outputs.iter().find(|(_, is_state, _)| !is_state).or(outputs.first()) {
        Some((name, _, Slot::Tags(y))) if others <= 1 => reader.end(name, y)?,
        Some((_, _, Slot::Fixed(_) | Slot::Extents(_))) => {
            return Err(wrong("has an output that does not depend on its input"));
        }
        _ => {
            let names: Vec<&str> = outputs.iter().map(|(name, ..)| *name).take(8).collect();
            return Err(wrong(&format!("has the outputs {names:?}; a network has one, besides its states")));
        }
    }
    reader.layers.network(device, reader.skip)
}

impl Reader<'_> {
    /// Whether a value holds only states after the last step.
    fn is_state(&self, slot: &Slot) -> Result<bool> {
        let Slot::Tags(x) = slot else { return Ok(false) };
        Ok(x.read_now()?.iter().all(|v| self.states.contains(&v.to_bits())))
    }

    /// Returns the place in the front of each element that a layer reads. Adds the selection of the last step if it reads
    /// only that.
    fn take(&mut self, [label, operator]: [&str; 2], x: &Tensor) -> Result<Vec<usize>> {
        let values = x.read_now()?;
        if let Some(places) = self.front.places(&values) {
            return Ok(places);
        }
        let last = self.last_state().filter(|(_, wanted)| {
            let is_last = |(&v, &place): (&f32, &usize)| self.front.place(v) == Some(place);
            !self.skip && values.len() == wanted.len() && values.iter().zip(wanted).all(is_last)
        });
        let Some((last, _)) = last else {
            let why = "it reads neither the whole output of the layer before it nor the last state";
            return Err(Error::unsupported(label, operator, why));
        };
        self.layers.push("", Layer::Last(last));
        self.front = self.counter.next(values.len() / self.front.width, self.front.width)?;
        self.is_last = true;
        Ok((0..values.len()).collect())
    }

    /// Checks that the output of the model is that of the last layer, up to the order of the axes.
    fn end(&mut self, name: &str, y: &Tensor) -> Result<()> {
        let places = self.take([name, "output"], y)?;
        let width = self.front.width;
        // Extents and strides of the axes.
        let axes: Vec<[usize; 2]> = match self.sequences {
            Some(Sequences { batch, .. }) if self.is_last => vec![[batch, width], [width, 1]],
            Some(known @ Sequences { batch, steps, .. }) => {
                vec![[batch, known.row(1, 0) * width], [steps, known.row(0, 1) * width], [width, 1]]
            }
            None => self.outer.iter().rev().fold(vec![[width, 1]], |mut axes, &extent| {
                axes.insert(0, [extent, axes[0][0] * axes[0][1]]);
                axes
            }),
        };
        match is_in_some_order(&places, &axes) {
            true => Ok(()),
            false => Err(Error::unsupported(name, "output", "other than the output of the last layer in its order")),
        }
    }

    /// Returns the layer that selects the last state of each sequence, and the places that it reads.
    fn last_state(&self) -> Option<(LastState, Vec<usize>)> {
        let (sequences, (c, is_direct)) = (self.sequences?, self.layers.last_recurrent()?);
        let last = LastState { batch_first: true, bidirectional: c.bidirectional, reverse: c.reverse };
        if self.is_last || !is_direct && (last.bidirectional || last.reverse) {
            return None;
        }
        let width = self.front.width;
        let place = |b: usize, feature: usize| {
            let is_backward = last.reverse || last.bidirectional && feature >= width / 2;
            sequences.row(b, if is_backward { 0 } else { sequences.steps - 1 }) * width + feature
        };
        Some((last, (0..sequences.batch).flat_map(|b| (0..width).map(move |f| place(b, f))).collect()))
    }
}

/// Whether places are those of these axes, given as extents and strides, in some order.
fn is_in_some_order(places: &[usize], axes: &[[usize; 2]]) -> bool {
    let mut rest: Vec<[usize; 2]> = axes.iter().copied().filter(|[extent, _]| *extent > 1).collect();
    // Strides differ, so the places tell the order, from the last axis to the first.
    let (mut order, mut len) = (Vec::new(), 1);
    while !rest.is_empty() {
        let Some(next) = rest.iter().position(|[_, stride]| places.get(len) == Some(stride)) else { return false };
        let axis = rest.remove(next);
        len *= axis[0];
        order.push(axis);
    }
    let want = |at: usize| {
        let add =
            |(at, place): (usize, usize), [extent, stride]: &[usize; 2]| (at / extent, place + at % extent * stride);
        order.iter().fold((at, 0), add).1
    };
    places.len() == len && places.iter().enumerate().all(|(at, &place)| place == want(at))
}

/// Returns the extents of the tags of all inputs: those that are fixed, and small ones for the others.
fn extents(graph: &Graph) -> Result<Vec<Vec<usize>>> {
    let open = vec![Extent::Free; 3];
    let mut known: HashMap<&str, usize> = HashMap::new();
    let mut out = Vec::new();
    for (k, (info, _)) in graph.inputs.iter().enumerate() {
        if !info.float {
            return Err(wrong(&format!("has an input of integers, {:?}; expected floats", info.name)));
        }
        let dims = info.dims.as_ref().unwrap_or(&open);
        if k == 0 && !(2..=3).contains(&dims.len()) {
            return Err(wrong(&format!("has an input of {} axes; expected 2 or 3", dims.len())));
        }
        let mut own = Vec::new();
        for (axis, extent) in dims.iter().enumerate() {
            let name = if let Extent::Named(name) = extent { Some(name.as_str()) } else { None };
            own.push(match (extent, name.and_then(|name| known.get(name))) {
                (Extent::Fixed(n), _) => *n,
                (_, Some(n)) => *n,
                _ if k == 0 && axis + 1 == dims.len() => features(graph)?,
                _ if k == 0 => FREE[axis],
                _ => 1,
            });
            known.extend(name.map(|name| (name, own[axis])));
        }
        out.push(own);
    }
    Ok(out)
}

/// Returns the features of the input of the first recurrent layer.
fn features(graph: &Graph) -> Result<usize> {
    let told = graph.body.steps.iter().find_map(|step| match &step.op {
        Op::Recurrent(node) => Some(node.sizes()[0]),
        Op::Looped(looped) => Some(looped.node.sizes()[0]),
        _ => None,
    });
    let why = "leaves the number of features open, and has no recurrent layer of constant weights";
    told.filter(|&n| n > 0).ok_or_else(|| wrong(why))
}

/// Names the limit of this reading instead of that of a run.
fn too_large(error: Error) -> Error {
    match error {
        Error::Budget { limit, .. } => wrong(&format!("takes too much {limit} to look for its layers")),
        Error::Node { source, .. } if matches!(*source, Error::Budget { .. }) => too_large(*source),
        other => other,
    }
}

fn wrong(why: &str) -> Error {
    Error::format("ONNX model", why)
}

#[cfg(test)]
mod tests {
    use super::is_in_some_order;

    #[test]
    fn places_are_those_of_the_axes_in_one_order() {
        let axes = [[2, 3], [3, 1]];
        assert!(is_in_some_order(&[0, 1, 2, 3, 4, 5], &axes));
        assert!(is_in_some_order(&[0, 3, 1, 4, 2, 5], &axes));
        // The order follows from the places 1 and 3, with which the others do not agree.
        assert!(!is_in_some_order(&[0, 1, 2, 3, 5, 4], &axes));
        assert!(!is_in_some_order(&[1, 1, 2, 3, 4, 5], &axes));
        assert!(!is_in_some_order(&[0, 1, 2, 3, 4], &axes));
        assert!(is_in_some_order(&[0], &[]));
    }
}
