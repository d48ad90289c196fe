//! The steps that are layers.

use super::layers::{Cell, Layer};
use super::tags::Sequences;
use super::{Made, Reader, Slot};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::convert::transpose;
use crate::io::network::Function;
use crate::io::onnx::meter::Cost;
use crate::io::onnx::ops::{Args, Op, Recurrent};
use crate::io::onnx::proto::{Attribute, AttributeValue, Node};
use crate::io::onnx::run::{Run, Step};
use crate::io::onnx::value::Value;
use crate::tensor::Tensor;

/// Operators that move elements, or copy them.
const MOVES: [&str; 13] = [
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "Flatten",
    "Identity",
    "Dropout",
    "Slice",
    "Gather",
    "Split",
    "Concat",
    "Expand",
    "Cast",
];

impl<'a> Reader<'a> {
    /// Runs a step on tags.
    pub fn step(&mut self, step: &Step, read: &[Option<Slot>], run: &mut Run) -> Result<Made> {
        let values: Vec<Option<Value>> = read.iter().map(|slot| slot.as_ref().and_then(Slot::value)).collect();
        let refs: Vec<Option<&Value>> = values.iter().map(Option::as_ref).collect();
        let args = Args { device: self.host, inputs: &refs, waits: true };
        let tagged = |at: usize| match read.get(at) {
            Some(Some(Slot::Tags(x))) => Some(x),
            _ => None,
        };
        let fixed = |at: usize| match read.get(at) {
            Some(Some(Slot::Fixed(Value::Tensor(x)))) => Some(x),
            _ => None,
        };
        let has_tags = (0..read.len()).any(|at| tagged(at).is_some());
        if !has_tags || matches!(step.operator, "Shape" | "Size") {
            let made = step.run(&args, run).map_err(|e| step.named(e))?;
            let depends = has_tags || read.iter().any(|slot| matches!(slot, Some(Slot::Extents(_))));
            let slot = if depends { Slot::Extents } else { Slot::Fixed };
            return made.into_iter().map(|value| value.on_host().map(slot)).collect::<Result<_>>().map(Some);
        }
        if MOVES.contains(&step.operator) {
            let made = step.run(&args, run).map_err(|e| step.named(e))?;
            // A cast that rounds is none.
            if let ("Cast", Some(x), [Value::Tensor(y)]) = (step.operator, tagged(0), &made[..])
                && x.read_now()? != y.read_now()?
            {
                return Ok(None);
            }
            let slot = |value| if let Value::Tensor(x) = value { Some(Slot::Tags(x)) } else { None };
            return Ok(made.into_iter().map(slot).collect());
        }
        if self.skip {
            return Ok(None);
        }
        // Weights are copied to a layer of their own.
        let weights: Cost = (0..read.len()).filter_map(fixed).map(|x| Cost::floats(x.len())).sum();
        run.meter.charge(weights)?;
        run.meter.hold(weights.bytes);
        let slot = |value| match value {
            Value::Tensor(x) => Slot::Tags(x),
            value => Slot::Extents(value),
        };
        match (&step.op, step.operator) {
            (Op::Recurrent(node), _) => {
                let made = self.recurrent(step, node, &values)?;
                Ok(made.map(|made| made.into_iter().map(slot).collect()))
            }
            (Op::Looped(looped), _) => {
                let Some(inner) = looped.inner(&args, run)? else { return Ok(None) };
                let Some(made) = self.recurrent(step, &looped.node, &inner)? else { return Ok(None) };
                Ok(Some(looped.outputs(&args, &made)?.into_iter().map(slot).collect()))
            }
            (_, "MatMul") => match (tagged(0), fixed(1)) {
                (Some(x), Some(w)) => self.linear(step, x, w, false, None),
                _ => Ok(None),
            },
            (_, "Gemm") => match (tagged(0), fixed(1), fixed(2), read.get(2)) {
                (Some(x), Some(w), bias, third) if bias.is_some() || third.is_none_or(Option::is_none) => {
                    let node = self.node(step)?;
                    let is = |name, usual: f32| number(&node, name).map(|v| v.unwrap_or(usual) == usual);
                    if !(is("alpha", 1.0)? && is("beta", 1.0)? && is("transA", 0.0)?) {
                        return Ok(None);
                    }
                    self.linear(step, x, w, number(&node, "transB")? == Some(1.0), bias)
                }
                _ => Ok(None),
            },
            (_, "LayerNormalization") => match (tagged(0), fixed(1), fixed(2), read.get(2)) {
                (Some(x), Some(scale), bias, third) if bias.is_some() || third.is_none_or(Option::is_none) => {
                    self.norm(step, x, scale, bias)
                }
                _ => Ok(None),
            },
            (_, "Add" | "Mul") => match (tagged(0), tagged(1), fixed(0), fixed(1)) {
                (Some(x), Some(y), ..) if step.operator == "Add" => self.add_input(step, x, y),
                (Some(x), _, _, Some(c)) | (_, Some(x), Some(c), _) => self.constant(step, x, c),
                _ => Ok(None),
            },
            _ => {
                let Some(x) = tagged(0) else { return Ok(None) };
                let function = self.function(step, x, run)?;
                function.map(|function| self.apply(step, x, function)).transpose()
            }
        }
    }

    /// Replaces the front by the output of a layer with `width` features. Each row of `places` becomes a row of it.
    /// Returns `None` if these are not whole rows.
    fn rows(&mut self, x: &Tensor, places: &[usize], width: usize) -> Result<Option<Tensor>> {
        let from = self.front.width;
        let is_row =
            |row: &[usize]| row[0].is_multiple_of(from) && row.iter().zip(row[0]..).all(|(&place, want)| place == want);
        let Some((last, outer)) = x.dims().split_last() else { return Ok(None) };
        if *last != from || !places.chunks(from).all(is_row) {
            return Ok(None);
        }
        let front = self.counter.next(self.front.rows, width)?;
        self.front = front;
        let rows = places.chunks(from).map(|row| row[0] / from * width);
        let values: Vec<f32> = rows.flat_map(|row| (row..row + width).map(move |at| front.value(at))).collect();
        Tensor::from_slice(self.host, &values, &[outer, &[width]].concat()).map(Some)
    }

    /// Returns the message of a step.
    fn node(&self, step: &Step) -> Result<Node<'a>> {
        Node::parse(self.model.graph.nodes[step.node as usize])
    }

    fn linear(&mut self, step: &Step, x: &Tensor, w: &Tensor, is_rows: bool, bias: Option<&Tensor>) -> Result<Made> {
        let &[first, second] = w.dims() else { return Ok(None) };
        let [input, output] = if is_rows { [second, first] } else { [first, second] };
        let places = self.take([&step.label, step.operator], x)?;
        if input != self.front.width {
            return Ok(None);
        }
        let values = w.read_now()?;
        let weight = if is_rows { values } else { transpose(&values, output) };
        let bias = match bias {
            Some(bias) => match whole_bias(bias, output)? {
                Some(bias) => Some(bias),
                None => return Ok(None),
            },
            None => None,
        };
        let Some(y) = self.rows(x, &places, output)? else { return Ok(None) };
        self.layers.push(&step.label, Layer::Linear { dims: [output, input], weight, bias });
        Ok(Some(vec![Slot::Tags(y)]))
    }

    fn norm(&mut self, step: &Step, x: &Tensor, scale: &Tensor, bias: Option<&Tensor>) -> Result<Made> {
        let node = self.node(step)?;
        let (axis, width) = (number(&node, "axis")?.unwrap_or(-1.0), self.front.width);
        if axis != -1.0 && axis + 1.0 != x.dims().len() as f32 {
            return Ok(None);
        }
        let places = self.take([&step.label, step.operator], x)?;
        let Some(scale) = whole_bias(scale, width)? else { return Ok(None) };
        let bias = match bias {
            Some(bias) => whole_bias(bias, width)?,
            None => Some(vec![0.0; width]),
        };
        let (Some(bias), Some(y)) = (bias, self.rows(x, &places, width)?) else { return Ok(None) };
        let eps = number(&node, "epsilon")?.unwrap_or(1e-5);
        self.layers.push(&step.label, Layer::Norm(scale, bias, eps));
        Ok(Some(vec![Slot::Tags(y)]))
    }

    /// Adds or multiplies by a constant: the bias of a linear layer, or one number.
    fn constant(&mut self, step: &Step, x: &Tensor, c: &Tensor) -> Result<Made> {
        let (is_sum, width) = (step.operator == "Add", self.front.width);
        let places = self.take([&step.label, step.operator], x)?;
        let is_open = matches!(self.layers.last_mut(), Some(Layer::Linear { bias: None, .. }));
        if is_sum
            && is_open
            && c.dims().last() == Some(&width)
            && c.dims().len() <= x.dims().len()
            && let Some(own) = whole_bias(c, width)?
        {
            // The bias must lie along the features.
            let Some(y) = self.rows(x, &places, width)? else { return Ok(None) };
            if let Some(Layer::Linear { bias, .. }) = self.layers.last_mut() {
                *bias = Some(own);
            }
            return Ok(Some(vec![Slot::Tags(y)]));
        }
        if c.len() != 1 || c.dims().len() > x.dims().len() {
            return Ok(None);
        }
        let number = c.item_now()?;
        match (is_sum, self.layers.last_mut()) {
            (true, Some(Layer::Function(Function::Rescale { offset, .. }))) if *offset == 0.0 => *offset = number,
            _ => {
                let (scale, offset) = if is_sum { (1.0, number) } else { (number, 0.0) };
                self.layers.push(&step.label, Layer::Function(Function::Rescale { scale, offset }));
            }
        }
        self.mapped(x, &places).map(Some)
    }

    /// Adds the first features of the input to the output.
    fn add_input(&mut self, step: &Step, x: &Tensor, y: &Tensor) -> Result<Made> {
        let (a, b) = (x.read_now()?, y.read_now()?);
        let (input, front) = (self.input, self.front);
        let is_pair = |y: f32, x: f32| match (front.place(y), input.place(x)) {
            (Some(y), Some(x)) => (y / front.width, y % front.width) == (x / input.width, x % input.width),
            _ => false,
        };
        let all = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(&y, &x)| is_pair(y, x));
        let is_first = self.layers.last_mut().is_none();
        if x.dims() != y.dims() || self.is_last || self.skip || is_first {
            return Ok(None);
        }
        let sum = match (all(&a, &b), all(&b, &a)) {
            (true, _) => x,
            (_, true) => y,
            _ => return Ok(None),
        };
        let places = self.take([&step.label, step.operator], sum)?;
        self.skip = true;
        self.mapped(sum, &places).map(Some)
    }

    /// Adds a function of each value, or of each row.
    fn apply(&mut self, step: &Step, x: &Tensor, function: Function) -> Result<Vec<Slot>> {
        let places = self.take([&step.label, step.operator], x)?;
        let is_softmax = matches!(function, Function::Softmax | Function::LogSoftmax);
        self.layers.push(&step.label, Layer::Function(function));
        if is_softmax {
            let made = self.rows(x, &places, self.front.width)?;
            let made = made
                .ok_or_else(|| Error::unsupported(&step.label, step.operator, "over an axis other than the features"));
            return Ok(vec![Slot::Tags(made?)]);
        }
        self.mapped(x, &places)
    }

    /// Replaces the front by the output of a layer that keeps the place of each value.
    fn mapped(&mut self, x: &Tensor, places: &[usize]) -> Result<Vec<Slot>> {
        self.front = self.counter.next(self.front.rows, self.front.width)?;
        let values: Vec<f32> = places.iter().map(|&place| self.front.value(place)).collect();
        Ok(vec![Slot::Tags(Tensor::from_slice(self.host, &values, x.dims())?)])
    }

    /// Returns the layer of an activation.
    fn function(&self, step: &Step, x: &Tensor, run: &mut Run) -> Result<Option<Function>> {
        let node = self.node(step)?;
        let option = |name: &str, usual: f32| number(&node, name).map(|v| v.unwrap_or(usual));
        Ok(Some(match step.operator {
            "Tanh" => Function::Tanh,
            "Sigmoid" => Function::Sigmoid,
            "Relu" => Function::Relu,
            "Softplus" => Function::Softplus,
            "Softsign" => Function::Softsign,
            "Exp" => Function::Exp,
            "Mish" => Function::Mish,
            "Elu" => Function::Elu(option("alpha", 1.0)?),
            "LeakyRelu" => Function::LeakyRelu { slope: option("alpha", 0.01)?, max: None },
            "HardSigmoid" => Function::HardSigmoid { slope: option("alpha", 0.2)?, offset: option("beta", 0.5)? },
            "Clip" => {
                // The limits are inputs or attributes, which the step holds.
                let ends = Tensor::from_slice(self.host, &[f32::MIN, f32::MAX], &[2])?.into();
                let made = step.run(&Args { device: self.host, inputs: &[Some(&ends)], waits: true }, run)?;
                match made[0].as_tensor()?.read_now()?[..] {
                    [0.0, f32::MAX] => Function::Relu,
                    [0.0, max] => Function::LeakyRelu { slope: 0.0, max: Some(max) },
                    _ => return Ok(None),
                }
            }
            "Softmax" | "LogSoftmax" => {
                let usual = if self.model.opset.unwrap_or_default() < 13 { 1.0 } else { -1.0 };
                let axis = option("axis", usual)?;
                match (axis == -1.0 || axis + 1.0 == x.dims().len() as f32, step.operator) {
                    (false, _) => return Ok(None),
                    (true, "Softmax") => Function::Softmax,
                    (true, _) => Function::LogSoftmax,
                }
            }
            _ => return Ok(None),
        }))
    }

    /// Adds a recurrent layer. Returns the output and the last hidden state.
    fn recurrent(&mut self, step: &Step, node: &Recurrent, read: &[Option<Value>]) -> Result<Option<Vec<Value>>> {
        let get = |at: usize| read.get(at).and_then(Option::as_ref);
        let (Some(layer), Some(x)) = (node.layer().cloned(), get(0)) else { return Ok(None) };
        let x = x.as_tensor()?;
        let places = self.take([&step.label, step.operator], x)?;
        let c = layer.config();
        let (is_batch_first, width) = (node.is_batch_first(), c.directions() * c.hidden);
        let (batch, steps) = match *x.dims() {
            [batch, steps, features] if is_batch_first && features == c.input => (batch, steps),
            [steps, batch, features] if features == c.input => (batch, steps),
            _ => return Ok(None),
        };
        let candidates = match self.sequences {
            Some(known) => vec![known],
            None => [false, true].map(|is_time_first| Sequences { batch, steps, is_time_first }).to_vec(),
        };
        let input = c.input;
        let is_read = |sequences: &Sequences| {
            let want = |at: usize| {
                let (row, feature) = (at / input, at % input);
                let (b, t) = if is_batch_first { (row / steps, row % steps) } else { (row % batch, row / batch) };
                sequences.row(b, t) * input + feature
            };
            (sequences.batch, sequences.steps) == (batch, steps)
                && places.iter().enumerate().all(|(at, &p)| p == want(at))
        };
        let Some(sequences) = candidates.into_iter().find(is_read).filter(|_| !self.is_last) else {
            let why = "it does not read the steps of the sequences in their order";
            return Err(Error::unsupported(&step.label, step.operator, why));
        };
        if let Some(lengths) = get(4)
            && lengths.as_ints()?.iter().any(|&len| len != steps as i64)
        {
            return Err(Error::unsupported(&step.label, step.operator, "sequences of several lengths"));
        }
        let directions = c.directions();
        let mut first = [None, None];
        for (state, at) in first.iter_mut().zip([5, 6]) {
            let Some(given) = get(at) else { continue };
            let given = given.as_tensor()?;
            let given = if is_batch_first { given.permute(&[1, 0, 2])? } else { given.clone() };
            let values = given.read_now()?;
            if self.given.iter().any(|tags| values.iter().all(|&v| tags.place(v).is_some())) {
                continue;
            }
            let one = one_of_all(&values, [directions, batch, c.hidden]);
            let Some(values) = one.filter(|values| !values.iter().any(|&v| self.counter.is_tag(v))) else {
                let why = "initial states that differ from sequence to sequence, or depend on the input";
                return Err(Error::unsupported(&step.label, step.operator, why));
            };
            *state = Some(values).filter(|values| values.iter().any(|&v| v != 0.0));
        }
        self.sequences = Some(sequences);
        self.front = self.counter.next(self.front.rows, width)?;
        let (front, hidden, is_reverse) = (self.front, c.hidden, c.reverse);
        let tag = |[b, t, d, unit]: [usize; 4]| front.value(sequences.row(b, t) * width + d * hidden + unit);
        let last = |[b, d, unit]: [usize; 3]| tag([b, if is_reverse || d == 1 { 0 } else { steps - 1 }, d, unit]);
        let (y, h) = match is_batch_first {
            true => (
                tensor(self.host, [batch, steps, directions, hidden], tag)?,
                tensor(self.host, [batch, directions, hidden], last)?,
            ),
            false => (
                tensor(self.host, [steps, directions, batch, hidden], |[t, d, b, unit]| tag([b, t, d, unit]))?,
                tensor(self.host, [directions, batch, hidden], |[d, b, unit]| last([b, d, unit]))?,
            ),
        };
        // Only other states and the outputs of the model may be cell states.
        let cells = self.counter.next(batch, width)?.values();
        let cells = Tensor::from_slice(self.host, &cells, h.dims())?;
        self.states.extend(h.read_now()?.iter().chain(&cells.read_now()?).map(|v| v.to_bits()));
        self.layers.push(&step.label, Layer::Recurrent(Cell { layer, first }));
        Ok(Some(vec![y.into(), h.into(), cells.into()]))
    }
}

/// Creates a tensor from a function of the indices.
fn tensor<const N: usize>(device: &Device, dims: [usize; N], f: impl Fn([usize; N]) -> f32) -> Result<Tensor> {
    let values: Vec<f32> = (0..dims.iter().product())
        .map(|mut at: usize| {
            let mut index = [0; N];
            for (index, &extent) in index.iter_mut().zip(&dims).rev() {
                (*index, at) = (at % extent, at / extent);
            }
            f(index)
        })
        .collect();
    Tensor::from_slice(device, &values, &dims)
}

/// Returns the state of one sequence, `[D, H]` of `[D, B, H]`, if that of all sequences is the same.
fn one_of_all(values: &[f32], [directions, batch, hidden]: [usize; 3]) -> Option<Vec<f32>> {
    let mut out = Vec::with_capacity(directions * hidden);
    for direction in values.chunks(batch * hidden) {
        let first = direction.get(..hidden)?;
        if direction.chunks(hidden).any(|other| other != first) {
            return None;
        }
        out.extend(first);
    }
    (values.len() == directions * batch * hidden).then_some(out)
}

/// Returns a constant that is added to each row, as the bias of a linear layer.
fn whole_bias(c: &Tensor, width: usize) -> Result<Option<Vec<f32>>> {
    let is_row = c.len() == width && c.dims().last().is_none_or(|&last| last == width);
    if is_row { c.read_now().map(Some) } else { Ok(None) }
}

/// Returns an attribute that is a number.
fn number(node: &Node, name: &str) -> Result<Option<f32>> {
    for bytes in &node.attributes {
        let attribute = Attribute::parse(bytes)?;
        if attribute.name == name {
            return Ok(match attribute.value {
                AttributeValue::Int(v) => Some(v as f32),
                AttributeValue::Float(v) => Some(v),
                _ => None,
            });
        }
    }
    Ok(None)
}
