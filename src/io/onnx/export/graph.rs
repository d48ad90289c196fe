//! Builds the graph of an ONNX file.

use super::super::info::Extent;
use super::super::wire::Message;
use crate::error::{Error, Result};
use crate::io::TensorFile;

/// A value in the graph: the input, or the one output of a node.
#[derive(Clone)]
pub struct Value {
    pub name: String,
    pub dims: Vec<Extent>,
    pub indices: bool,
}

/// Nodes and constants, in the order in which they were added.
pub struct Graph {
    nodes: Vec<Message>,
    constants: Vec<Message>,
    /// Names of nodes and constants.
    names: Vec<String>,
    /// The model's parameters.
    pub parameters: TensorFile,
}

impl Graph {
    pub fn new(parameters: TensorFile) -> Self {
        Self { nodes: Vec::new(), constants: Vec::new(), names: Vec::new(), parameters }
    }

    /// Adds a node. The node and its output have the same name.
    pub fn node(
        &mut self,
        name: &str,
        operator: &str,
        inputs: &[&Value],
        attributes: Vec<Message>,
        dims: Vec<Extent>,
    ) -> Value {
        let mut node = Message::default();
        for input in inputs {
            node.bytes(1, input.name.as_bytes());
        }
        node.bytes(2, name.as_bytes()).bytes(3, name.as_bytes()).bytes(4, operator.as_bytes());
        for attribute in attributes {
            node.message(5, attribute);
        }
        self.nodes.push(node);
        self.names.push(name.into());
        Value { name: name.into(), dims, indices: false }
    }

    /// Adds a constant of floats.
    pub fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> Value {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, dims, 1, &raw)
    }

    /// Adds a constant of integers: a list, or a scalar if `dims` is empty.
    pub fn ints(&mut self, name: &str, dims: &[usize], values: &[i64]) -> Value {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.constant(name, dims, 7, &raw)
    }

    fn constant(&mut self, name: &str, dims: &[usize], kind: i64, raw: &[u8]) -> Value {
        let mut tensor = Message::default();
        for &d in dims {
            tensor.int(1, d as i64);
        }
        tensor.int(2, kind).bytes(8, name.as_bytes()).bytes(9, raw);
        self.constants.push(tensor);
        self.names.push(name.into());
        Value { name: name.into(), dims: dims.iter().map(|&d| Extent::Fixed(d)).collect(), indices: kind == 7 }
    }

    /// Adds a parameter of the model under its own name.
    pub fn parameter(&mut self, name: &str) -> Result<Value> {
        let (dims, values) = self.parameters.get(name)?;
        let (dims, values) = (dims.to_vec(), values.to_vec());
        Ok(self.floats(name, &dims, &values))
    }

    /// Permutes the axes of a value.
    pub fn transpose(&mut self, name: &str, x: &Value, axes: &[usize]) -> Result<Value> {
        let dims = axes.iter().map(|&a| x.dims.get(a).cloned()).collect::<Option<Vec<_>>>();
        let dims = dims.ok_or_else(|| wrong(name, x, &format!("{} axes", axes.len())))?;
        let perm: Vec<i64> = axes.iter().map(|&a| a as i64).collect();
        Ok(self.node(name, "Transpose", &[x], vec![ints("perm", &perm)], dims))
    }

    /// Selects a part of an axis from start, end and step. The axis of the result has the extent `kept`.
    pub fn slice(
        &mut self,
        name: &str,
        x: &Value,
        axis: usize,
        range: [i64; 3],
        kept: Option<&Extent>,
    ) -> Result<Value> {
        let mut dims = x.dims.clone();
        match (dims.get_mut(axis), kept) {
            (Some(extent), Some(kept)) => *extent = kept.clone(),
            _ => return Err(wrong(name, x, &format!("an axis {axis}"))),
        }
        let [start, end, step] = range;
        let values = [("start", start), ("end", end), ("axis", axis as i64), ("step", step)];
        let [start, end, axis, step] = values.map(|(part, value)| self.ints(&format!("{name}/{part}"), &[1], &[value]));
        Ok(self.node(&format!("{name}/Slice"), "Slice", &[x, &start, &end, &axis, &step], vec![], dims))
    }

    /// Inserts an axis of extent 1.
    pub fn unsqueezed(&mut self, name: &str, x: &Value, axis: usize) -> Value {
        let mut dims = x.dims.clone();
        dims.insert(axis.min(dims.len()), Extent::Fixed(1));
        let axes = self.ints(&format!("{name}/axes"), &[1], &[axis as i64]);
        self.node(&format!("{name}/Unsqueeze"), "Unsqueeze", &[x, &axes], vec![], dims)
    }

    /// Reduces an axis, which must exist, and removes it.
    pub fn reduced(&mut self, name: &str, operator: &str, x: &Value, axis: usize) -> Value {
        let mut dims = x.dims.clone();
        dims.remove(axis);
        let drop = int("keepdims", 0);
        // In this operator set, only the axes of a sum are an input.
        if operator == "ReduceSum" {
            let axes = self.ints(&format!("{name}/axes"), &[1], &[axis as i64]);
            return self.node(name, operator, &[x, &axes], vec![drop], dims);
        }
        self.node(name, operator, &[x], vec![ints("axes", &[axis as i64]), drop], dims)
    }

    /// Returns the finished file.
    ///
    /// # Errors
    /// [`Error::Format`] for a name shared by layers, parameters or the input.
    pub fn finish(mut self, opset: i64, input: &Value, output: &Value) -> Result<Vec<u8>> {
        self.names.push(input.name.clone());
        self.names.sort_unstable();
        if let Some(pair) = self.names.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(Error::format(format!("onnx::export: the name {:?}", pair[0]), "appears twice"));
        }
        let mut graph = Message::default();
        for node in self.nodes {
            graph.message(1, node);
        }
        graph.bytes(2, b"wgru");
        for tensor in self.constants {
            graph.message(5, tensor);
        }
        graph.message(11, info(input)).message(12, info(output));
        let mut operators = Message::default();
        operators.bytes(1, b"").int(2, opset);
        let mut model = Message::default();
        model.int(1, 8).bytes(2, b"wgru").message(7, graph).message(8, operators);
        Ok(model.into_bytes())
    }
}

/// Returns the error for a value that a layer does not accept.
pub fn wrong(layer: &str, x: &Value, expected: &str) -> Error {
    let got = format!("{:?}", x.dims);
    Error::Shape { op: "onnx::export", arg: "input", expected: format!("{expected} for layer {layer:?}"), got }
}

fn info(value: &Value) -> Message {
    let mut shape = Message::default();
    for extent in &value.dims {
        let mut dim = Message::default();
        match extent {
            Extent::Fixed(n) => dim.int(1, *n as i64),
            Extent::Named(name) => dim.bytes(2, name.as_bytes()),
            Extent::Free => &mut dim,
        };
        shape.message(1, dim);
    }
    let (mut tensor, mut kind, mut info) = (Message::default(), Message::default(), Message::default());
    tensor.int(1, if value.indices { 7 } else { 1 }).message(2, shape);
    kind.message(1, tensor);
    info.bytes(1, value.name.as_bytes()).message(2, kind);
    info
}

fn attribute(name: &str, kind: i64) -> Message {
    let mut out = Message::default();
    out.bytes(1, name.as_bytes()).int(20, kind);
    out
}

pub fn float(name: &str, value: f32) -> Message {
    let mut out = attribute(name, 1);
    out.float(2, value);
    out
}

pub fn int(name: &str, value: i64) -> Message {
    let mut out = attribute(name, 2);
    out.int(3, value);
    out
}

pub fn text(name: &str, value: &str) -> Message {
    let mut out = attribute(name, 3);
    out.bytes(4, value.as_bytes());
    out
}

pub fn floats(name: &str, values: &[f32]) -> Message {
    let mut out = attribute(name, 6);
    for &v in values {
        out.float(7, v);
    }
    out
}

pub fn ints(name: &str, values: &[i64]) -> Message {
    let mut out = attribute(name, 7);
    for &v in values {
        out.int(8, v);
    }
    out
}

pub fn texts(name: &str, values: &[String]) -> Message {
    let mut out = attribute(name, 8);
    for v in values {
        out.bytes(9, v.as_bytes());
    }
    out
}

/// Returns the error for a layer that cannot be exported.
pub fn refuse(layer: &str, operator: &str, what: &str) -> Error {
    Error::Unsupported { node: layer.into(), operator: operator.into(), what: format!("export of {what}") }
}

/// Returns the extents with the last one, which must be `from`, replaced by `to`.
pub fn replaced(layer: &str, x: &Value, from: usize, to: usize) -> Result<Vec<Extent>> {
    match x.dims.split_last() {
        Some((Extent::Fixed(last), rest)) if *last == from && !x.indices => {
            Ok(rest.iter().cloned().chain([Extent::Fixed(to)]).collect())
        }
        _ => Err(wrong(layer, x, &format!("floats with a last extent of {from}"))),
    }
}
