//! The operators: one table, and how a node's attributes and inputs are read

mod elementwise;
mod host;
mod index;
mod linear;
mod normalize;
mod recurrent;
mod shape;

use std::collections::HashMap;
use std::ops::RangeInclusive;

pub(super) use recurrent::Recurrent;
pub use recurrent::State;

use super::proto::{Attribute, AttributeValue, Node};
use super::value::{MOST_AXES, Value};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::tensor::Tensor;

/// A node ready to run.
pub(super) enum Op {
    /// A function of its inputs.
    Function(Function),
    /// A recurrent node, whose states a stream carries.
    Recurrent(Box<Recurrent>),
}

pub(super) type Function = Box<dyn Fn(&Args) -> Result<Vec<Value>> + Send + Sync>;

/// Makes an [`Op::Function`].
fn function(f: impl Fn(&Args) -> Result<Vec<Value>> + Send + Sync + 'static) -> Result<Op> {
    Ok(Op::Function(Box::new(f)))
}

/// Elements that the outputs of a node will have, from its inputs: known before anything is made.
type Cost = fn(&Args) -> Result<usize>;

/// One operator.
pub(super) struct Operator {
    pub name: &'static str,
    /// First operator set that has it in a form that is implemented.
    pub since: i64,
    pub inputs: RangeInclusive<usize>,
    /// Outputs that may be asked for.
    pub outputs: usize,
    pub build: fn(&mut Builder) -> Result<Op>,
    /// For operators that are computed at load when every input is a constant.
    pub fold: Option<Cost>,
}

/// The operator of a name.
pub(super) fn find(name: &str) -> Option<&'static Operator> {
    let tables = [elementwise::TABLE, shape::TABLE, index::TABLE, linear::TABLE, normalize::TABLE, recurrent::TABLE];
    tables.into_iter().flatten().find(|o| o.name == name)
}

/// What a node is built from. Attributes are taken out one by one; one that is left is not implemented.
pub(super) struct Builder<'a> {
    pub node: &'a Node<'a>,
    pub opset: i64,
    /// Where the node will run.
    pub device: &'a Device,
    /// A CPU, for what is computed at load.
    pub host: &'a Device,
    /// The inputs that are constants, on the host.
    pub constants: &'a [Option<&'a Value>],
    /// Inputs that the built node holds itself.
    pub absorbed: Vec<usize>,
    attributes: HashMap<&'a str, &'a AttributeValue<'a>>,
}

impl<'a> Builder<'a> {
    pub fn new(
        node: &'a Node<'a>,
        opset: i64,
        [device, host]: [&'a Device; 2],
        constants: &'a [Option<&'a Value>],
    ) -> Result<Self> {
        let mut attributes = HashMap::new();
        let mut twice = None;
        for Attribute { name, value } in &node.attributes {
            if attributes.insert(*name, value).is_some() {
                twice = Some(name);
            }
        }
        let out = Self { node, opset, device, host, constants, absorbed: Vec::new(), attributes };
        match twice {
            Some(name) => Err(out.refuse(format!("attribute {name:?} stands twice"))),
            None => Ok(out),
        }
    }

    /// The error that names this node, its operator, and what is not supported.
    pub fn refuse(&self, what: impl ToString) -> Error {
        let (node, operator) = (self.node.label().to_string(), self.node.op_type.to_string());
        Error::Unsupported { node, operator, what: what.to_string() }
    }

    fn wrong(&self, name: &str, expected: &str) -> Error {
        self.refuse(format!("attribute {name:?} is not {expected}"))
    }

    pub fn int(&mut self, name: &'static str) -> Result<Option<i64>> {
        match self.attributes.remove(name) {
            None => Ok(None),
            Some(AttributeValue::Int(value)) => Ok(Some(*value)),
            Some(_) => Err(self.wrong(name, "an integer")),
        }
    }

    /// An integer that is 0 or 1.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool> {
        match self.int(name)? {
            None => Ok(default),
            Some(value @ 0..=1) => Ok(value == 1),
            Some(value) => Err(self.refuse(format!("attribute {name:?} is {value}, not 0 or 1"))),
        }
    }

    pub fn ints(&mut self, name: &'static str) -> Result<Option<Vec<i64>>> {
        match self.attributes.remove(name) {
            None => Ok(None),
            Some(AttributeValue::Ints(values)) => Ok(Some(values.clone())),
            Some(_) => Err(self.wrong(name, "a list of integers")),
        }
    }

    pub fn float(&mut self, name: &'static str) -> Result<Option<f32>> {
        match self.attributes.remove(name) {
            None => Ok(None),
            Some(AttributeValue::Float(value)) => Ok(Some(*value)),
            Some(_) => Err(self.wrong(name, "a float")),
        }
    }

    pub fn floats(&mut self, name: &'static str) -> Result<Vec<f32>> {
        match self.attributes.remove(name) {
            None => Ok(Vec::new()),
            Some(AttributeValue::Floats(values)) => Ok(values.clone()),
            Some(_) => Err(self.wrong(name, "a list of floats")),
        }
    }

    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        match self.attributes.remove(name) {
            None => Ok(None),
            Some(AttributeValue::Text(text)) => Ok(Some(String::from_utf8_lossy(text).into_owned())),
            Some(_) => Err(self.wrong(name, "a text")),
        }
    }

    pub fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>> {
        match self.attributes.remove(name) {
            None => Ok(None),
            Some(AttributeValue::Texts(list)) => {
                Ok(Some(list.iter().map(|t| String::from_utf8_lossy(t).into_owned()).collect()))
            }
            Some(_) => Err(self.wrong(name, "a list of texts")),
        }
    }

    /// Any attribute, unread.
    pub fn value(&mut self, name: &'static str) -> Option<&'a AttributeValue<'a>> {
        self.attributes.remove(name)
    }

    /// Whether input `i` is there.
    pub fn has(&self, i: usize) -> bool {
        self.node.inputs.get(i).is_some_and(|name| !name.is_empty())
    }

    /// An input that is a constant.
    pub fn constant(&self, i: usize) -> Option<&'a Value> {
        self.constants.get(i).copied().flatten()
    }

    /// A constant number given as an input, or `None` where the input is not there.
    pub fn number(&mut self, i: usize, name: &str) -> Result<Option<f32>> {
        if !self.has(i) {
            return Ok(None);
        }
        let Some(value) = self.constant(i) else {
            return Err(self.refuse(format!("input {name:?} is computed; only a constant is supported")));
        };
        let numbers = match value {
            Value::Tensor(tensor) => tensor.to_vec()?,
            Value::Ints(ints) => ints.values.iter().map(|&v| v as f32).collect(),
        };
        let &[number] = &numbers[..] else {
            return Err(self.refuse(format!("input {name:?} has {} elements; only one is supported", numbers.len())));
        };
        self.absorbed.push(i);
        Ok(Some(number))
    }

    /// Refuses the attributes that no one asked for.
    pub fn finish(&self) -> Result<()> {
        let mut left: Vec<&&str> = self.attributes.keys().collect();
        left.sort_unstable();
        match left.first() {
            Some(name) => {
                let kind = if let AttributeValue::Other(kind) = self.attributes[*name] { kind } else { "value" };
                Err(self.refuse(format!("attribute {name:?}, a {kind}, in operator set {}", self.opset)))
            }
            None => Ok(()),
        }
    }
}

/// The inputs of a node that runs.
pub(super) struct Args<'a> {
    pub device: &'a Device,
    pub inputs: &'a [Option<&'a Value>],
}

impl<'a> Args<'a> {
    /// Input `i`, if it is there.
    pub fn get(&self, i: usize) -> Option<&'a Value> {
        self.inputs.get(i).copied().flatten()
    }

    pub fn value(&self, i: usize) -> Result<&'a Value> {
        self.get(i).ok_or_else(|| Error::value("onnx", "input", format!("input {i}"), "none"))
    }

    pub fn tensor(&self, i: usize) -> Result<&'a Tensor> {
        self.value(i)?.as_tensor()
    }

    pub fn ints(&self, i: usize) -> Result<&'a [i64]> {
        self.value(i)?.as_ints()
    }
}

/// The cost of what only moves the inputs' elements: their number.
fn moved(args: &Args) -> Result<usize> {
    Ok(args.inputs.iter().flatten().map(|v| v.count()).sum())
}

/// An axis that may count from the end.
fn axis_of(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    match usize::try_from(counted) {
        Ok(axis) if axis < rank => Ok(axis),
        _ => Err(Error::value("onnx", "axis", format!("-{rank} ≤ axis < {rank}"), axis)),
    }
}

/// Distinct axes that may count from the end, in order.
fn axes_of(axes: &[i64], rank: usize) -> Result<Vec<usize>> {
    if rank > MOST_AXES {
        return Err(Error::value("onnx", "axes", format!("at most {MOST_AXES}"), rank));
    }
    let mut out = axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?;
    out.sort_unstable();
    if out.windows(2).any(|w| w[0] == w[1]) {
        return Err(Error::value("onnx", "axes", "distinct axes", format!("{axes:?}")));
    }
    Ok(out)
}
