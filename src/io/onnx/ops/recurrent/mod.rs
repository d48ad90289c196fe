//! Runs GRU, LSTM and RNN nodes as layers of this crate.

mod activations;
mod layers;

use super::{Args, Builder, Op, Operator, copied, host};
use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::math::Activation;
use crate::nn::{Recurrent as Layer, RunOptions};
use crate::tensor::Tensor;
use layers::Layers;
pub use layers::Sources;

pub const TABLE: &[Operator] = &[
    Operator::new("GRU", 3..=6, |b| build(b, Cell::Gru)).outputs(2),
    Operator::new("LSTM", 3..=8, |b| build(b, Cell::Lstm)).outputs(3),
    Operator::new("RNN", 3..=6, |b| build(b, Cell::Rnn)).outputs(2),
];

/// Fixed work per step, in addition to its products.
const STEP: u64 = 1 << 15;
/// Maximum number of zero rows and columns that pad the packed weights.
const PACKED: usize = 16;

/// States of a recurrent node, before or after a run.
#[derive(Clone, Debug)]
pub struct State {
    /// Hidden states `[D, B, H]`.
    pub h: Tensor,
    /// Cell states of an LSTM, `[D, B, H]`.
    pub c: Option<Tensor>,
}

/// Parsed attributes of a node.
#[derive(Clone)]
pub struct Spec {
    cell: Cell,
    device: Device,
    hidden: Option<usize>,
    directions: usize,
    pub reverse: bool,
    /// Whether the batch is the first axis.
    layout: bool,
    clip: Option<f32>,
    input_forget: bool,
    /// One entry per direction.
    activations: Vec<Vec<Activation>>,
}

/// A recurrent node.
pub struct Recurrent {
    spec: Spec,
    /// Layers with constant weights, built at load.
    layers: Option<Layers>,
    /// Whether the initial state comes from an input of the model.
    given: bool,
}

fn build(b: &mut Builder, cell: Cell) -> Result<Op> {
    let spec = Spec::of(b, cell)?;
    b.finish()?;
    warn(b, &spec)?;
    let constant = |i: usize| b.constant(i).map(|v| v.as_tensor()).transpose();
    let sources = (constant(1)?, constant(2)?, constant(3)?, constant(7)?);
    let all_there = sources.2.is_some() == b.has(3) && sources.3.is_some() == b.has(7);
    let layers = match sources {
        (Some(w), Some(r), bias, peephole) if all_there => {
            b.absorbed.extend([1, 2, 3, 7]);
            let sources = Sources { w, r, bias, peephole };
            sources.check(&spec)?;
            b.charge(sources.cost())?;
            Some(Layers::new(&spec, sources)?)
        }
        _ => None,
    };
    let given = b.is_fed(5) || b.is_fed(6);
    Ok(Op::Recurrent(Box::new(Recurrent { spec, layers, given })))
}

/// Warns of a bug of PyTorch's exporter: PyTorch's GRU applies the reset gate after the product, but some versions do
/// not write this. Without a recurrent bias, the difference does not show.
fn warn(b: &mut Builder, spec: &Spec) -> Result<()> {
    if spec.cell != Cell::GruResetBefore || !b.is_from_pytorch() {
        return Ok(());
    }
    let Some(Value::Tensor(bias)) = b.constant(3) else { return Ok(()) };
    let values = bias.read_now()?;
    let half = values.len() / spec.directions / 2;
    if half > 0 && values.chunks(half).skip(1).step_by(2).flatten().any(|&v| v != 0.0) {
        b.warn(
            "linear_before_reset is 0 and the recurrent bias is not, which PyTorch's GRU never computes: an exporter of \
             PyTorch wrote it wrongly. Export with dynamo=False, or set linear_before_reset to 1",
        );
    }
    Ok(())
}

impl Spec {
    pub fn of(b: &mut Builder, cell: Cell) -> Result<Self> {
        let (directions, reverse) = match b.text("direction")?.as_deref() {
            None | Some("forward") => (1, false),
            Some("reverse") => (1, true),
            Some("bidirectional") => (2, false),
            Some(other) => return Err(b.refuse(format!("direction {other:?}"))),
        };
        let hidden = match b.int("hidden_size")? {
            None => None,
            Some(size @ 1..=0x7fff_ffff) => Some(size as usize),
            Some(size) => return Err(b.refuse(format!("hidden_size {size}"))),
        };
        if b.opset < 7 {
            // Whether the outputs of all steps are wanted, which the names of the outputs say already.
            b.flag("output_sequence", false)?;
        }
        let clip = b.float("clip")?;
        if let Some(clip) = clip.filter(|c| c.is_nan() || *c <= 0.0) {
            return Err(b.refuse(format!("clip {clip}; it must be above 0")));
        }
        // By default, ONNX's reset gate acts before the product.
        let resets_before = cell == Cell::Gru && !b.flag("linear_before_reset", false)?;
        Ok(Self {
            cell: if resets_before { Cell::GruResetBefore } else { cell },
            device: b.device.clone(),
            hidden,
            directions,
            reverse,
            layout: b.opset >= 14 && b.flag("layout", false)?,
            clip,
            input_forget: cell == Cell::Lstm && b.flag("input_forget", false)?,
            activations: activations::read(b, cell, directions)?,
        })
    }

    /// The spec of a layer that only runs forward.
    pub fn forward(cell: Cell, device: &Device, hidden: usize, activations: Vec<Activation>) -> Self {
        Self {
            cell,
            device: device.clone(),
            hidden: Some(hidden),
            directions: 1,
            reverse: false,
            layout: false,
            clip: None,
            input_forget: false,
            activations: vec![activations],
        }
    }

    /// Swaps the first two axes of an input or a state if the node's layout puts the batch first. The same swap
    /// converts back.
    fn turned(&self, state: &Tensor) -> Result<Tensor> {
        if self.layout && state.dims().len() == 3 { state.permute(&[1, 0, 2]) } else { Ok(state.clone()) }
    }
}

impl Spec {
    /// Returns one spec for each direction, all of them forward.
    pub fn by_direction(&self) -> Vec<Self> {
        let one = |activations: &Vec<Activation>| Self {
            directions: 1,
            reverse: false,
            activations: vec![activations.clone()],
            ..self.clone()
        };
        self.activations.iter().map(one).collect()
    }
}

impl Recurrent {
    /// A node with these weights. `given` tells whether its initial state comes from an input of the model.
    pub fn with_weights(spec: Spec, sources: Sources, given: bool) -> Result<Self> {
        sources.check(&spec)?;
        let layers = Some(Layers::new(&spec, sources)?);
        Ok(Self { spec, layers, given })
    }

    /// Sizes of input and state; zeros if the weights are not known yet.
    pub fn sizes(&self) -> [usize; 2] {
        self.layers.as_ref().map_or([0; 2], Layers::sizes)
    }

    /// Whether the initial state comes from an input of the model, which a stream then carries.
    pub fn is_given(&self) -> bool {
        self.given
    }

    /// Number of state units; 0 if the weights are not known yet.
    pub fn hidden(&self) -> usize {
        self.sizes()[1]
    }

    /// Returns the layer with the weights of all directions; `None` if the weights are computed, or if the directions
    /// have different activations.
    pub fn layer(&self) -> Option<&Layer> {
        self.layers.as_ref().and_then(Layers::one)
    }

    /// Whether the batch is the first axis of sequences and states.
    pub fn is_batch_first(&self) -> bool {
        self.spec.layout
    }

    /// Whether the node reads its sequence only forward.
    pub fn is_causal(&self) -> bool {
        self.spec.directions == 1 && !self.spec.reverse
    }

    /// Returns an upper bound on the cost of [`run`](Recurrent::run).
    pub fn cost(&self, args: &Args) -> Result<Cost> {
        let (spec, x) = (&self.spec, args.tensor(0)?);
        let steps = match *x.dims() {
            [_, steps, _] if spec.layout => steps,
            [steps, _, _] => steps,
            ref other => return Err(Error::shape("onnx", "X", "three axes", other)),
        };
        let ([input, hidden], built) = match &self.layers {
            Some(layers) => (layers.sizes(), Cost::default()),
            None => {
                let sources = Sources::of(args)?;
                // The initial parameters, the reordered blocks of gates, and the parts of each block.
                (sources.check(spec)?, sources.cost().times(3))
            }
        };
        let (blocks, directions) = (spec.cell.gates(), spec.directions);
        let rows = extent(&[x.len() / input, directions])?;
        let gates = blocks * hidden;
        // Gates, states and outputs of every step, each with a copy; the first and last states; the packed weights.
        let values = Cost::floats(rows.saturating_mul(2 * gates + 6 * hidden));
        let padded = hidden + PACKED;
        let packed = Cost::floats((directions * blocks * padded).saturating_mul(padded));
        let products = Cost::product([1, rows, gates, input + hidden]);
        let each = Cost { bytes: 0, work: STEP }.times(steps * directions);
        Ok(built + values + copied(args)?.times(2) + packed + products + each)
    }

    /// Returns the state that a run without a carried one starts from. `last` is the state after it.
    pub fn initial(&self, args: &Args, last: &State) -> Result<State> {
        let first = |i: usize, last: &Tensor| match args.get(i) {
            Some(value) => self.spec.turned(value.as_tensor()?),
            None => Tensor::zeros(last.device(), last.dims()),
        };
        Ok(State { h: first(5, &last.h)?, c: last.c.as_ref().map(|c| first(6, c)).transpose()? })
    }

    /// Runs the node. `carried` states replace its own initial states.
    pub fn run(&self, args: &Args, carried: Option<&State>) -> Result<(Vec<Value>, State)> {
        let spec = &self.spec;
        let x = spec.turned(args.tensor(0)?)?;
        let built;
        let layers = match &self.layers {
            Some(layers) => layers,
            None => {
                built = Layers::new(spec, Sources::of(args)?)?;
                &built
            }
        };
        let lengths = host::optional(args, 4)?.map(|l| lengths(l, x.dims())).transpose()?;
        let first = |i: usize| args.get(i).map(|v| spec.turned(v.as_tensor()?)).transpose();
        let (h0, c0) = match carried {
            Some(state) => (Some(state.h.clone()), state.c.clone()),
            None => (first(5)?, first(6)?),
        };
        let lengths = lengths.as_deref();
        let input = RunOptions { h0: h0.as_ref(), c0: c0.as_ref(), lengths, ..RunOptions::default() };
        let (y, state) = layers.run(&x, input)?;

        let (steps, batch) = (x.dims()[0], x.dims()[1]);
        let y = y.reshape(&[steps, batch, spec.directions, state.h.dims()[2]])?;
        let y = match (spec.layout, spec.directions) {
            (true, _) => y.permute(&[1, 0, 2, 3])?,
            (false, 1) => y.reshape(&[steps, 1, batch, state.h.dims()[2]])?,
            (false, _) => y.permute(&[0, 2, 1, 3])?,
        };
        let mut outputs = vec![y.into()];
        for last in [Some(&state.h), state.c.as_ref()].into_iter().flatten() {
            outputs.push(spec.turned(&shown(last, lengths)?)?.into());
        }
        Ok((outputs, state))
    }
}

/// Returns `sequence_lens`, after checking them against `x` `[T, B, I]`.
fn lengths(given: &[i64], x: &[usize]) -> Result<Vec<usize>> {
    let &[steps, batch, _] = x else { return Err(Error::shape("onnx", "X", "three axes", x)) };
    if given.len() != batch {
        return Err(Error::shape("onnx", "sequence_lens", format!("[{batch}]"), &[given.len()]));
    }
    let fits = |&length: &i64| usize::try_from(length).ok().filter(|&length| length <= steps);
    let wrong = |&length: &i64| Error::value("onnx", "sequence_lens", format!("lengths of 0 to {steps}"), length);
    given.iter().map(|length| fits(length).ok_or_else(|| wrong(length))).collect()
}

/// Returns the last states as ONNX Runtime does: 0 for a sequence without steps, even if its initial state is not 0.
fn shown(last: &Tensor, lengths: Option<&[usize]>) -> Result<Tensor> {
    let Some(lengths) = lengths.filter(|l| l.contains(&0)) else { return Ok(last.clone()) };
    let rows: Vec<f32> = lengths.iter().map(|&l| if l == 0 { 0.0 } else { 1.0 }).collect();
    last.mask(&Tensor::from_slice(last.device(), &rows, &[1, rows.len(), 1])?)
}
