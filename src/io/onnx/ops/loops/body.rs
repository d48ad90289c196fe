//! Reads the body of a loop symbolically.

use std::collections::HashMap;
use std::rc::Rc;

use super::arrays::Array;
use super::symbols::{Symbol, bounded, difference, gate, product, scaled, sum};
use crate::error::Result;
use crate::io::onnx::proto::{Attribute, AttributeValue, Node};
use crate::io::onnx::value::Value;
use crate::math::Activation;

/// Maximum number of nodes of a body that is read; recurrent cells have fewer.
pub const MOST: usize = 128;

/// Maximum number of bounds of a counter.
const BOUNDS: usize = 4;

/// The values of a body by name.
#[derive(Default)]
pub struct Body<'a> {
    symbols: HashMap<&'a str, Symbol>,
    /// Names of values that are other ones.
    same: HashMap<&'a str, &'a str>,
    /// The sequence whose steps are [`Symbol::Input`].
    pub sequence: Option<usize>,
    /// Number of floats that may still be copied.
    pub left: usize,
}

/// Attributes of a node, by name.
struct Attributes<'a>(Vec<Attribute<'a>>);

impl Attributes<'_> {
    fn int(&self, name: &str) -> Option<i64> {
        self.0.iter().find(|a| a.name == name).and_then(|a| match a.value {
            AttributeValue::Int(value) => Some(value),
            _ => None,
        })
    }

    fn float(&self, name: &str, usual: f32) -> f32 {
        let found = self.0.iter().find(|a| a.name == name);
        found.map_or(usual, |a| if let AttributeValue::Float(value) = a.value { value } else { f32::NAN })
    }

    fn ints(&self, name: &str) -> Option<&[i64]> {
        self.0.iter().find(|a| a.name == name).and_then(|a| match &a.value {
            AttributeValue::Ints(values) => Some(&values[..]),
            _ => None,
        })
    }
}

/// Returns what a constant is; `None` if it would have to be read from a device.
pub fn constant(value: &Value, left: &mut usize) -> Result<Option<Symbol>> {
    Ok(match value {
        Value::Tensor(tensor) => match left.checked_sub(tensor.len()) {
            Some(rest) => {
                *left = rest;
                Some(Symbol::Constant(Array::new(tensor.dims(), tensor.read_now()?)))
            }
            None => None,
        },
        Value::Ints(ints) if ints.values().len() <= MOST => Some(Symbol::Ints(ints.values().to_vec())),
        _ => None,
    })
}

impl<'a> Body<'a> {
    /// A body without values, of which `left` floats may be copied.
    pub fn new(left: usize) -> Self {
        Self { left, ..Self::default() }
    }

    pub fn define(&mut self, name: &'a str, symbol: Symbol) {
        self.symbols.insert(name, symbol);
    }

    pub fn get(&self, name: &str) -> &Symbol {
        self.symbols.get(name).unwrap_or(&Symbol::Other)
    }

    /// Follows nodes that change nothing.
    pub fn origin(&self, name: &'a str) -> &'a str {
        self.same.get(name).copied().unwrap_or(name)
    }

    /// Notes that a node changes nothing.
    pub fn alias(&mut self, node: &Node<'a>) {
        if let ("Identity", Some(from), Some(to)) = (node.op_type, node.inputs().next(), node.outputs().next()) {
            self.same.insert(to, self.origin(from));
        }
    }

    /// Adds the outputs of a node.
    pub fn node(&mut self, node: &Node<'a>) -> Result<()> {
        let attributes =
            Attributes(node.attributes.iter().map(|bytes| Attribute::parse(bytes)).collect::<Result<_>>()?);
        let found = if matches!(node.domain, "" | "ai.onnx") { self.outputs(node, &attributes) } else { None };
        let mut found = found.unwrap_or_default();
        let bias = |symbol: &Symbol| match symbol {
            Symbol::Linear(of) => of.bias.as_ref().map_or(0, Vec::len),
            _ => 0,
        };
        match self.left.checked_sub(found.iter().map(bias).sum()) {
            Some(left) => self.left = left,
            None => found.clear(),
        }
        for (name, symbol) in node.outputs().zip(found) {
            self.define(name, symbol);
        }
        Ok(())
    }

    fn outputs(&mut self, node: &Node<'a>, attributes: &Attributes) -> Option<Vec<Symbol>> {
        let inputs: Vec<Symbol> = node.inputs().map(|name| self.get(name).clone()).collect();
        let one = |symbol: Option<Symbol>| symbol.map(|symbol| vec![symbol]);
        let either = |f: fn(&Symbol, &Symbol) -> Option<Symbol>, a, b| f(a, b).or_else(|| f(b, a));
        let activation = |function: Activation| one(gate(function, inputs.first()?));
        match (node.op_type, &inputs[..]) {
            ("Identity", [x]) => Some(vec![x.clone()]),
            ("Cast", [x @ (Symbol::Counter | Symbol::Next | Symbol::Ints(_) | Symbol::Limit(_))]) => {
                Some(vec![x.clone()])
            }
            ("Cast", [Symbol::Outer(place)]) => Some(vec![Symbol::Limit(*place)]),
            ("Gather", [Symbol::Outer(place), Symbol::Counter]) if attributes.int("axis").unwrap_or(0) == 0 => {
                let is_only = *self.sequence.get_or_insert(*place) == *place;
                is_only.then(|| vec![Symbol::Input])
            }
            ("Less", [Symbol::Next, limit]) => Some(vec![Symbol::Below(vec![limit.bound()?])]),
            ("And", [Symbol::Below(a), Symbol::Below(b)]) if a.len() + b.len() <= BOUNDS => {
                Some(vec![Symbol::Below([&a[..], b].concat())])
            }
            ("MatMul", [x, Symbol::Constant(matrix)]) => one(product(x, matrix)),
            ("Gemm", [x, Symbol::Constant(matrix), rest @ ..]) => {
                let is_plain = attributes.float("alpha", 1.0) == 1.0 && attributes.float("beta", 1.0) == 1.0;
                if !is_plain || attributes.int("transA").unwrap_or(0) != 0 {
                    return None;
                }
                let matrix = match attributes.int("transB").unwrap_or(0) {
                    0 => matrix.clone(),
                    _ => self.charged(matrix.transposed())?,
                };
                let made = product(x, &matrix)?;
                match rest {
                    [] => Some(vec![made]),
                    [bias @ Symbol::Constant(row)] if row.scalar().is_none() => one(sum(&made, bias)),
                    [bias @ Symbol::Linear(_)] => one(sum(&made, bias)),
                    _ => None,
                }
            }
            ("Add", [a, b]) => one(either(sum, a, b)),
            ("Sub", [a, b]) => one(difference(a, b)),
            ("Mul", [a, b]) => one(either(scaled, a, b)),
            ("Max", [a, Symbol::Constant(c)] | [Symbol::Constant(c), a]) => one(bounded(a, c.single()?, true)),
            ("Min", [a, Symbol::Constant(c)] | [Symbol::Constant(c), a]) => one(bounded(a, c.single()?, false)),
            ("Clip", [a, Symbol::Constant(low), Symbol::Constant(high)]) => {
                one(bounded(&bounded(a, low.single()?, true)?, high.single()?, false))
            }
            ("Sigmoid", [_]) => activation(Activation::Sigmoid),
            ("Tanh", [_]) => activation(Activation::Tanh),
            ("Relu", [_]) => activation(Activation::Relu),
            ("Softsign", [_]) => activation(Activation::Softsign),
            ("Softplus", [_]) => activation(Activation::Softplus),
            ("Elu", [_]) => activation(Activation::Elu { alpha: attributes.float("alpha", 1.0) }),
            ("HardSigmoid", [_]) => {
                let (alpha, beta) = (attributes.float("alpha", 0.2), attributes.float("beta", 0.5));
                activation(Activation::HardSigmoid { alpha, beta })
            }
            ("Split", [x, sizes @ ..]) => {
                let extent = extent(x, attributes.int("axis").unwrap_or(0))?;
                let sizes = match (sizes, attributes.ints("split")) {
                    ([Symbol::Ints(sizes)], _) => sizes.clone(),
                    (_, Some(sizes)) => sizes.to_vec(),
                    // Equal parts, of which the last one may be shorter.
                    _ => {
                        let each = extent.1.div_ceil(node.outputs.max(1));
                        (0..node.outputs).map(|k| extent.1.saturating_sub(k * each).min(each) as i64).collect()
                    }
                };
                let mut at = 0usize;
                let mut next = |size: &i64| {
                    let end = at.checked_add(usize::try_from(*size).ok()?)?;
                    let part = self.part(x, extent.0, at, end);
                    at = end;
                    part
                };
                sizes.iter().map(&mut next).collect()
            }
            ("Slice", [x, Symbol::Ints(starts), Symbol::Ints(ends), rest @ ..]) => {
                let usual: Vec<i64> = (0..starts.len() as i64).collect();
                let axes = match rest {
                    [Symbol::Ints(axes), ..] => axes,
                    [] => &usual,
                    _ => return None,
                };
                match rest.get(1) {
                    None => {}
                    Some(Symbol::Ints(steps)) if steps.iter().all(|&step| step == 1) => {}
                    Some(_) => return None,
                }
                let mut out = x.clone();
                for ((&start, &end), &axis) in starts.iter().zip(ends).zip(axes) {
                    // The batch as a whole.
                    if matches!(out, Symbol::Linear(_)) && axis == 0 && start == 0 && end >= i64::from(i32::MAX) {
                        continue;
                    }
                    let (axis, extent) = extent(&out, axis)?;
                    let bound = |at: i64| {
                        let at = if at < 0 { at.saturating_add(extent as i64) } else { at };
                        at.clamp(0, extent as i64) as usize
                    };
                    out = self.part(&out, axis, bound(start), bound(end))?;
                }
                Some(vec![out])
            }
            ("Squeeze", [Symbol::Constant(x), axes @ ..]) => {
                let axes = match axes {
                    [Symbol::Ints(axes)] => Some(&axes[..]),
                    [] => attributes.ints("axes"),
                    _ => return None,
                };
                Some(vec![Symbol::Constant(x.squeezed(axes)?)])
            }
            ("Transpose", [Symbol::Constant(x)]) if matches!(attributes.ints("perm"), None | Some([1, 0])) => {
                Some(vec![Symbol::Constant(self.charged(x.transposed())?)])
            }
            _ => None,
        }
    }

    /// Counts the floats of a copy.
    fn charged(&mut self, array: Option<Array>) -> Option<Array> {
        let array = array?;
        self.left = self.left.checked_sub(array.values.len())?;
        Some(array)
    }

    /// Returns a part of a constant or of the columns of a sum.
    fn part(&mut self, x: &Symbol, axis: usize, start: usize, end: usize) -> Option<Symbol> {
        match x {
            Symbol::Constant(x) => Some(Symbol::Constant(self.charged(x.part(axis, start, end))?)),
            Symbol::Linear(of) => {
                let made = of.part(start, end)?;
                for matrix in [&made.x, &made.h, &made.reset.as_ref().map(|(_, v)| v.clone())].into_iter().flatten() {
                    self.charged(Some(matrix.clone()))?;
                }
                Some(Symbol::Linear(Rc::new(made)))
            }
            _ => None,
        }
    }
}

/// Returns an axis, counted from the start, and its extent. A sum has two axes, of which only the last is known.
fn extent(x: &Symbol, axis: i64) -> Option<(usize, usize)> {
    match x {
        Symbol::Constant(x) => {
            let axis = usize::try_from(if axis < 0 { axis + x.dims.len() as i64 } else { axis }).ok()?;
            Some((axis, *x.dims.get(axis)?))
        }
        Symbol::Linear(of) if matches!(axis, -1 | 1) => Some((1, of.columns)),
        _ => None,
    }
}
