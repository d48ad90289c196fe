//! Parses the messages of `onnx.proto` that inference needs. Strings and tensor data stay in the file's bytes, and
//! lists of messages are read one message at a time, so a small file cannot request much memory.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Unknown fields are skipped, as protocol buffers
//! require. An unsupported field that would change a result is an error that names it.

mod tensor;
mod value_info;

pub use tensor::{External, TensorProto};
pub use value_info::{Dim, ValueInfo};

use std::collections::{BTreeSet, HashSet};

use super::wire::Fields;
use crate::error::{Error, Result};

/// Maximum number of attributes of a node, and of strings in a list, far more than any operator takes.
const MOST: usize = 64;

/// `ModelProto`
#[derive(Debug)]
pub struct Model<'a> {
    /// Version of the operator set `ai.onnx`, if the file names one.
    pub opset: Option<i64>,
    /// Program that wrote the file.
    pub producer: &'a str,
    pub graph: Graph<'a>,
}

/// `GraphProto`: its messages as bytes, after a basic check.
#[derive(Debug, Default)]
pub struct Graph<'a> {
    pub nodes: Vec<&'a [u8]>,
    pub initializers: Vec<&'a [u8]>,
    pub inputs: Vec<&'a [u8]>,
    pub outputs: Vec<&'a [u8]>,
}

/// `NodeProto`
#[derive(Debug, Default)]
pub struct Node<'a> {
    bytes: &'a [u8],
    pub name: &'a str,
    pub op_type: &'a str,
    pub domain: &'a str,
    /// Numbers of inputs and outputs, including omitted ones.
    pub inputs: usize,
    pub outputs: usize,
    /// Messages that [`Attribute::parse`] reads.
    pub attributes: Vec<&'a [u8]>,
}

/// `AttributeProto`
#[derive(Debug)]
pub struct Attribute<'a> {
    pub name: &'a str,
    pub value: AttributeValue<'a>,
}

/// The value of an attribute. For a type that no supported operator takes, only the type's name is kept.
#[derive(Debug)]
pub enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Text(&'a [u8]),
    Tensor(TensorProto<'a>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<&'a [u8]>),
    /// A subgraph, which is parsed when its node is built.
    Graph(&'a [u8]),
    Other(&'static str),
}

fn refused(what: &str, why: &str) -> Error {
    Error::format(format!("ONNX {what}"), why)
}

impl<'a> Model<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (mut opset, mut graph, mut producer) = (None, None, "");
        let mut fields = Fields::new("model", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                2 => producer = fields.text("producer_name", wire)?,
                7 if graph.is_some() => return Err(refused("model", "has two graphs")),
                7 => graph = Some(Graph::parse(fields.bytes("graph", wire)?)?),
                8 => match parse_opset(fields.bytes("opset_import", wire)?)? {
                    ("" | "ai.onnx", _) if opset.is_some() => {
                        return Err(refused("model", "declares two operator sets of ai.onnx"));
                    }
                    ("" | "ai.onnx", version) => opset = Some(version),
                    _ => {}
                },
                25 => return Err(refused("model", "defines functions of its own, which are not supported")),
                _ => {}
            }
        }
        Ok(Self { opset, producer, graph: graph.ok_or_else(|| refused("model", "has no graph"))? })
    }
}

fn parse_opset(bytes: &[u8]) -> Result<(&str, i64)> {
    let (mut domain, mut version) = ("", 0);
    let mut fields = Fields::new("opset_import", bytes);
    while let Some((number, wire)) = fields.next()? {
        match number {
            1 => domain = fields.text("domain", wire)?,
            2 => version = fields.int("version", wire)?,
            _ => {}
        }
    }
    Ok((domain, version))
}

impl<'a> Graph<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut fields = Fields::new("graph", bytes);
        while let Some((number, wire)) = fields.next()? {
            let (list, what, name) = match number {
                1 => (&mut out.nodes, "node", None),
                5 => (&mut out.initializers, "initializer", Some(8)),
                11 => (&mut out.inputs, "input", Some(1)),
                12 => (&mut out.outputs, "output", Some(1)),
                15 => return Err(refused("graph", "holds sparse initializers, which are not supported")),
                _ => continue,
            };
            let message = fields.bytes(what, wire)?;
            // Checked here, so that a small file cannot hold many empty messages.
            match name {
                None => drop(Node::parse(message)?),
                Some(field) if !has_text(what, message, field)? => {
                    return Err(refused("graph", "holds an initializer, an input or an output without a name"));
                }
                Some(_) => {}
            }
            list.push(message);
        }
        Ok(out)
    }

    pub fn initializers(&self) -> impl Iterator<Item = Result<TensorProto<'a>>> {
        self.initializers.iter().map(|bytes| TensorProto::parse(bytes))
    }
}

/// Whether a message has a nonempty string in field `field`.
fn has_text(message: &'static str, bytes: &[u8], field: u64) -> Result<bool> {
    let mut fields = Fields::new(message, bytes);
    let mut found = false;
    while let Some((number, wire)) = fields.next()? {
        if number == field {
            found = !fields.bytes("name", wire)?.is_empty();
        }
    }
    Ok(found)
}

/// Iterates over the names of inputs or outputs in a node message that was parsed before.
fn names(bytes: &[u8], field: u64) -> impl Iterator<Item = &str> {
    let mut fields = Fields::new("node", bytes);
    std::iter::from_fn(move || {
        while let Ok(Some((number, wire))) = fields.next() {
            if number == field {
                return fields.text("name", wire).ok();
            }
        }
        None
    })
}

impl<'a> Graph<'a> {
    /// Iterates over the names of a node's inputs. An omitted input has an empty name.
    pub fn inputs_of(&self, node: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        names(self.nodes[node], 1)
    }

    /// Iterates over the names of a node's outputs. An omitted output has an empty name.
    pub fn outputs_of(&self, node: usize) -> impl Iterator<Item = &'a str> + use<'a> {
        names(self.nodes[node], 2)
    }
}

/// Maximum depth of nested subgraphs. Every level parses those below it a few times.
const DEPTH: usize = 8;

impl<'a> Graph<'a> {
    /// Returns the names that a node's subgraphs use, but that only outer graphs define, in alphabetic order.
    pub fn captures_of(&self, node: usize) -> Result<Vec<&'a str>> {
        Node::parse(self.nodes[node])?.captures(0)
    }

    /// Adds the names that the graph uses and does not define.
    fn free(&self, depth: usize, out: &mut BTreeSet<&'a str>) -> Result<()> {
        let (mut defined, mut used) = (HashSet::new(), BTreeSet::new());
        for proto in self.initializers() {
            defined.insert(proto?.name);
        }
        for input in &self.inputs {
            defined.insert(ValueInfo::parse(input)?.name);
        }
        for node in 0..self.nodes.len() {
            defined.extend(self.outputs_of(node));
            used.extend(self.inputs_of(node));
            used.extend(Node::parse(self.nodes[node])?.captures(depth)?);
        }
        for output in &self.outputs {
            used.insert(ValueInfo::parse(output)?.name);
        }
        out.extend(used.into_iter().filter(|name| !name.is_empty() && !defined.contains(name)));
        Ok(())
    }
}

impl<'a> Node<'a> {
    /// Returns the names that the subgraphs use, but that only outer graphs define, in alphabetic order.
    pub fn captures(&self, depth: usize) -> Result<Vec<&'a str>> {
        let mut out = BTreeSet::new();
        if matches!(self.op_type, "If" | "Loop" | "Scan") {
            for bytes in &self.attributes {
                let AttributeValue::Graph(graph) = Attribute::parse(bytes)?.value else { continue };
                if depth == DEPTH {
                    let why = format!("nests subgraphs more than {DEPTH} levels deep");
                    return Err(refused(&format!("node {:?}", self.label()), &why));
                }
                Graph::parse(graph)?.free(depth + 1, &mut out)?;
            }
        }
        Ok(out.into_iter().collect())
    }

    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self { bytes, ..Self::default() };
        let mut has_output = false;
        let mut fields = Fields::new("node", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => {
                    fields.text("input", wire)?;
                    out.inputs += 1;
                }
                2 => {
                    has_output |= !fields.text("output", wire)?.is_empty();
                    out.outputs += 1;
                }
                3 => out.name = fields.text("name", wire)?,
                4 => out.op_type = fields.text("op_type", wire)?,
                5 => out.attributes.push(fields.bytes("attribute", wire)?),
                7 => out.domain = fields.text("domain", wire)?,
                8 if !fields.bytes("overload", wire)?.is_empty() => {
                    return Err(refused("node", "names an overload of a function, which is not supported"));
                }
                _ => {}
            }
            if out.attributes.len() > MOST {
                return Err(refused(&format!("node {:?}", out.name), &format!("has more than {MOST} attributes")));
            }
        }
        if out.op_type.is_empty() || !has_output {
            let why = "has no operator or no output";
            return Err(refused(&format!("node {:?} ({})", out.name, out.op_type), why));
        }
        Ok(out)
    }

    /// Iterates over the names of the inputs. An omitted input has an empty name.
    pub fn inputs(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        names(self.bytes, 1)
    }

    /// Iterates over the names of the outputs. An omitted output has an empty name.
    pub fn outputs(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        names(self.bytes, 2)
    }

    /// Returns the node's name, or that of its first output if it has none.
    pub fn label(&self) -> &'a str {
        if self.name.is_empty() { self.outputs().find(|o| !o.is_empty()).unwrap_or("") } else { self.name }
    }
}

impl<'a> Attribute<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (mut name, mut kind) = ("", 0);
        let (mut float, mut int, mut text, mut tensor, mut graph) = (0.0, 0, &[][..], None, None);
        let (mut floats, mut ints, mut texts) = (Vec::new(), Vec::new(), Vec::new());
        let mut other = "value";
        let mut fields = Fields::new("attribute", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => name = fields.text("name", wire)?,
                2 => float = fields.float("f", wire)?,
                3 => int = fields.int("i", wire)?,
                4 => text = fields.bytes("s", wire)?,
                5 => tensor = Some(TensorProto::parse(fields.bytes("t", wire)?)?),
                6 => graph = Some(fields.bytes("g", wire)?),
                11 => other = "list of graphs",
                7 => fields.floats("floats", wire, &mut floats)?,
                8 => fields.ints("ints", wire, &mut ints)?,
                9 if texts.len() == MOST => {
                    return Err(refused(&format!("attribute {name:?}"), &format!("has more than {MOST} strings")));
                }
                9 => texts.push(fields.bytes("strings", wire)?),
                10 => other = "list of tensors",
                14 | 15 => other = "type",
                20 => kind = fields.int("type", wire)?,
                21 => other = "reference to a function's attribute",
                22 | 23 => other = "sparse tensor",
                _ => {}
            }
        }
        if name.is_empty() {
            return Err(refused("attribute", "has no name"));
        }
        let value = match kind {
            _ if other != "value" => AttributeValue::Other(other),
            1 => AttributeValue::Float(float),
            2 => AttributeValue::Int(int),
            3 => AttributeValue::Text(text),
            4 => {
                AttributeValue::Tensor(tensor.ok_or_else(|| refused(&format!("attribute {name:?}"), "has no tensor"))?)
            }
            5 => AttributeValue::Graph(graph.ok_or_else(|| refused(&format!("attribute {name:?}"), "has no graph"))?),
            6 => AttributeValue::Floats(floats),
            7 => AttributeValue::Ints(ints),
            8 => AttributeValue::Texts(texts),
            _ => return Err(refused(&format!("attribute {name:?}"), &format!("has type {kind}, which is unknown"))),
        };
        Ok(Self { name, value })
    }
}
