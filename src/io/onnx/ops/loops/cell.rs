//! Recognizes loops over the steps of a sequence whose body is a recurrent cell: those that tf2onnx writes for layers of
//! Keras with options that it does not convert to nodes (ADR 0050).

use super::Loop;
use super::body::{Body, MOST, constant};
use super::symbols::{Bound, Gate, Linear, Symbol};
use crate::cell::Cell;
use crate::error::Result;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::ops::recurrent::{Recurrent, Sources, Spec};
use crate::io::onnx::ops::{Args, Builder};
use crate::io::onnx::proto::{Graph, Node, ValueInfo};
use crate::io::onnx::run::Run;
use crate::io::onnx::value::{Value, from_proto};
use crate::math::Activation;
use crate::tensor::Tensor;

/// Floats that may be copied while a body is read, besides four times those of the constants that it reads.
const COPIED: usize = 1 << 12;

/// A loop that is a recurrent node. Values are named by their place among the inputs of the loop and its captures.
pub struct Looped {
    pub node: Recurrent,
    /// The loop itself, for runs with other numbers of iterations than steps.
    pub whole: Loop,
    sequence: usize,
    state: usize,
    /// Bounds of the number of iterations.
    limits: Vec<Bound>,
    outputs: Vec<Output>,
}

/// An output of the loop.
#[derive(Clone, Copy)]
enum Output {
    /// The number of iterations.
    Count,
    /// The last state.
    Last,
    /// An input that the body does not change.
    Input(usize),
    /// The states of all steps.
    All,
}

/// A recurrent layer found in a loop.
pub struct Found {
    spec: Spec,
    /// `W` `[1, G·H, I]`, `R` `[1, G·H, H]`, `B` `[1, 2·G·H]` as in nodes of ONNX.
    weights: [Tensor; 3],
    sequence: usize,
    state: usize,
    limits: Vec<Bound>,
    outputs: Vec<Output>,
}

impl Found {
    /// Builds the node.
    pub fn build(self, b: &mut Builder, whole: Loop) -> Result<Looped> {
        let [w, r, bias] = &self.weights;
        let sources = Sources { w, r, bias: Some(bias), peephole: None };
        b.charge(sources.cost())?;
        let Self { sequence, state, limits, outputs, .. } = self;
        let node = Recurrent::with_weights(self.spec, sources, b.is_fed(state))?;
        Ok(Looped { node, whole, sequence, state, limits, outputs })
    }
}

/// Returns the names of messages.
fn names<'a>(messages: &[&'a [u8]]) -> Result<Vec<&'a str>> {
    messages.iter().map(|bytes| Ok(ValueInfo::parse(bytes)?.name)).collect()
}

/// Reads the body of a loop. `own` is the number of the node's own inputs, which its captures follow.
pub fn find<'a>(b: &mut Builder<'a, '_, '_>, graph: &Graph<'a>, own: usize) -> Result<Option<Found>> {
    let (inputs, outputs) = (names(&graph.inputs)?, names(&graph.outputs)?);
    // A number of iterations would have to be compared, too.
    if graph.nodes.len() > MOST || inputs.len() != own || outputs.len() < own - 1 || b.has(0) {
        return Ok(None);
    }
    let nodes = graph.nodes.iter().map(|bytes| Node::parse(bytes)).collect::<Result<Vec<_>>>()?;
    if !nodes.iter().any(|node| matches!(node.op_type, "MatMul" | "Gemm")) {
        return Ok(None);
    }
    let captures = b.node.captures(0)?;
    // A file may have many loops that read the same constants.
    let known: usize = (2..own + captures.len()).filter_map(|i| b.constant(i)).map(Value::count).sum();
    if b.charge(Cost { bytes: 0, work: 4 * known as u64 }).is_err() {
        return Ok(None);
    }
    let mut body = Body::new(COPIED + 5 * known);
    for tensor in graph.initializers() {
        let tensor = tensor?;
        let name = tensor.name;
        if let Some(tensor) = b.resolve(tensor)? {
            let value = from_proto(tensor, b.host)?;
            body.left += 5 * value.count();
            if let Some(symbol) = constant(&value, &mut body.left)? {
                body.define(name, symbol);
            }
        }
    }
    nodes.iter().for_each(|node| body.alias(node));
    // The iteration, whether to go on, then the carried values.
    body.define(inputs[0], Symbol::Counter);
    let (mut state, mut places) = (None, Vec::new());
    for place in 2..own {
        let (input, output) = (inputs[place], body.origin(outputs[place - 1]));
        let is_counter = nodes.iter().any(|node| {
            node.op_type == "Add" && node.outputs().next() == Some(output) && node.inputs().any(|name| name == input)
        });
        let is_zero = b.constant(place).is_some_and(|v| matches!(v, Value::Ints(v) if v.values() == [0]));
        let kind = if output == input {
            match b.constant(place) {
                Some(value) => constant(value, &mut body.left)?.unwrap_or(Symbol::Outer(place)),
                None => Symbol::Outer(place),
            }
        } else if is_zero && is_counter {
            Symbol::Counter
        } else if state.replace(place).is_none() {
            Symbol::State
        } else {
            return Ok(None);
        };
        places.push((place, output, kind.clone()));
        body.define(input, kind);
    }
    let Some(state) = state else { return Ok(None) };
    for (k, name) in captures.iter().enumerate() {
        let symbol = match b.constant(own + k) {
            Some(value) => constant(value, &mut body.left)?.unwrap_or(Symbol::Outer(own + k)),
            None => Symbol::Outer(own + k),
        };
        body.define(name, symbol);
    }
    for node in &nodes {
        body.node(node)?;
    }
    // All values of the loop must be one of these.
    let mut found = Vec::new();
    let next = body.origin(outputs[state - 1]);
    for (place, output, kind) in places {
        found.push(match kind {
            Symbol::State => Output::Last,
            Symbol::Counter if matches!(body.get(output), Symbol::Next) => Output::Count,
            Symbol::Counter => return Ok(None),
            _ => Output::Input(place),
        });
    }
    let stacked = &outputs[own - 1..];
    if !stacked.iter().all(|name| body.origin(name) == next) {
        return Ok(None);
    }
    found.extend(stacked.iter().map(|_| Output::All));
    let (Symbol::Below(limits), Some(sequence)) = (body.get(outputs[0]).clone(), body.sequence) else {
        return Ok(None);
    };
    let Some((cell, functions, sums)) = equations(body.get(outputs[state - 1])) else { return Ok(None) };
    let Some(weights) = weights(&sums) else { return Ok(None) };
    let [rows, input, hidden] = weights.sizes;
    let tensor = |values: &[f32], dims: &[usize]| Tensor::from_slice(b.host, values, dims);
    let weights = [
        tensor(&weights.w, &[1, rows, input])?,
        tensor(&weights.r, &[1, rows, hidden])?,
        tensor(&weights.bias, &[1, 2 * rows])?,
    ];
    let spec = Spec::forward(cell, b.device, hidden, functions);
    Ok(Some(Found { spec, weights, sequence, state, limits, outputs: found }))
}

/// The sums of a gate: what multiplies x, what multiplies h, and the two biases.
struct Sums<'a> {
    x: &'a Linear,
    h: &'a super::arrays::Array,
    /// The bias beside the recurrent product, if it is apart.
    second: Option<&'a [f32]>,
}

/// Returns the cell, ONNX's activations f and g, and the sums of its gates in ONNX's order.
fn equations(next: &Symbol) -> Option<(Cell, Vec<Activation>, Vec<Sums<'_>>)> {
    fn plain(gate: &Gate) -> Option<Sums<'_>> {
        let is_plain = gate.reset.is_none() && gate.of.reset.is_none();
        let h = gate.of.h.as_ref().filter(|_| is_plain)?;
        Some(Sums { x: &gate.of, h, second: None })
    }
    match next {
        Symbol::Gate(gate) => Some((Cell::Rnn, vec![gate.function], vec![plain(gate)?])),
        Symbol::Step(z, n) => {
            let (cell, r, last) = match (&n.reset, &n.of.reset) {
                // The reset gate acts after the recurrent product, which has a bias of its own.
                (Some((r, other)), None) if n.of.h.is_none() && other.x.is_none() && other.reset.is_none() => {
                    (Cell::Gru, r, Sums { x: &n.of, h: other.h.as_ref()?, second: other.bias.as_deref() })
                }
                (None, Some((r, matrix))) if n.of.h.is_none() => {
                    (Cell::GruResetBefore, r, Sums { x: &n.of, h: matrix, second: None })
                }
                _ => return None,
            };
            if z.function != r.function {
                return None;
            }
            Some((cell, vec![z.function, n.function], vec![plain(z)?, plain(r)?, last]))
        }
        _ => None,
    }
}

struct Weights {
    w: Vec<f32>,
    r: Vec<f32>,
    bias: Vec<f32>,
    /// Rows, inputs, units.
    sizes: [usize; 3],
}

/// Stacks the weights of all gates, one row per unit.
fn weights(sums: &[Sums]) -> Option<Weights> {
    let first = sums.first()?;
    let [input, hidden] = first.x.x.as_ref()?.matrix()?;
    let (mut w, mut r, mut b, mut second) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for sum in sums {
        let x = sum.x.x.as_ref()?;
        if x.matrix()? != [input, hidden] || sum.h.matrix()? != [hidden, hidden] || input * hidden == 0 {
            return None;
        }
        w.extend(x.transposed()?.values.iter());
        r.extend(sum.h.transposed()?.values.iter());
        let add = |out: &mut Vec<f32>, bias: Option<&[f32]>| match bias {
            Some(bias) if bias.len() == hidden => {
                out.extend(bias);
                Some(())
            }
            Some(_) => None,
            None => {
                out.resize(out.len() + hidden, 0.0);
                Some(())
            }
        };
        add(&mut b, sum.x.bias.as_deref())?;
        add(&mut second, sum.second)?;
    }
    b.extend(second);
    Some(Weights { w, r, bias: b, sizes: [sums.len() * hidden, input, hidden] })
}

impl Looped {
    /// Returns the inputs of the recurrent node; `None` if the loop has to run, because its iterations are not the steps
    /// of the sequence, or because that is not known.
    pub fn inner(&self, args: &Args, run: &Run) -> Result<Option<[Option<Value>; 6]>> {
        let (Some(Value::Tensor(x)), Some(Value::Tensor(h))) = (args.get(self.sequence), args.get(self.state)) else {
            return Ok(None);
        };
        let (&[steps, batch, input], &[rows, hidden]) = (x.dims(), h.dims()) else { return Ok(None) };
        let number = |i: usize| match args.get(i) {
            Some(Value::Whole(_)) if run.device.is_gpu() && !run.waits => Ok(None),
            Some(Value::Tensor(_)) | None => Ok(None),
            Some(value) => Ok(match value.clone().on_host()?.as_ints()? {
                &[number] => Some(number),
                _ => None,
            }),
        };
        let mut most = i64::MAX;
        for &limit in &self.limits {
            let limit = match limit {
                Bound::Outer(place) => number(place)?,
                Bound::Known(limit) => Some(limit),
            };
            match limit {
                Some(limit) => most = most.min(limit),
                None => return Ok(None),
            }
        }
        let starts = args.get(1).is_none() || number(1)?.is_some_and(|condition| condition != 0);
        let fits = starts
            && steps > 0
            && i64::try_from(steps) == Ok(most)
            && rows == batch
            && [input, hidden] == self.node.sizes();
        let first = fits.then(|| h.reshape(&[1, batch, hidden])).transpose()?;
        Ok(first.map(|first| [Some(x.clone().into()), None, None, None, None, Some(first.into())]))
    }

    /// Returns the outputs of the loop from those of the node.
    pub fn outputs(&self, args: &Args, made: &[Value]) -> Result<Vec<Value>> {
        let (all, last) = (made[0].as_tensor()?, made[1].as_tensor()?);
        let &[steps, _, batch, hidden] = all.dims() else { return Ok(made.to_vec()) };
        let one = |output: &Output| match *output {
            Output::Count => Value::ints(&[steps as i64], &[]),
            Output::Last => Ok(last.reshape(&[batch, hidden])?.into()),
            Output::Input(place) => args.value(place).cloned(),
            Output::All => Ok(all.reshape(&[steps, batch, hidden])?.into()),
        };
        self.outputs.iter().map(one).collect()
    }
}
