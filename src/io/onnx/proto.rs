//! The messages of `onnx.proto` that a model for inference is made of, read in place: text and tensor data stay in the
//! file's bytes, so that a small file cannot ask for much memory.
//!
//! Source: <https://github.com/onnx/onnx/blob/main/onnx/onnx.proto>. Unknown fields are skipped, as protocol buffers
//! ask; fields that would change a result and are not implemented are refused by name.

use super::wire::{Fields, Wire};
use crate::error::{Error, Result};

/// `ModelProto`
#[derive(Debug, Default)]
pub struct Model<'a> {
    /// Domain and version of every operator set.
    pub opsets: Vec<(&'a str, i64)>,
    pub graph: Option<Graph<'a>>,
}

/// `GraphProto`
#[derive(Debug, Default)]
pub struct Graph<'a> {
    pub nodes: Vec<Node<'a>>,
    pub initializers: Vec<TensorProto<'a>>,
    pub inputs: Vec<ValueInfo<'a>>,
    pub outputs: Vec<ValueInfo<'a>>,
}

/// `NodeProto`
#[derive(Debug, Default)]
pub struct Node<'a> {
    pub name: &'a str,
    pub op_type: &'a str,
    pub domain: &'a str,
    pub inputs: Vec<&'a str>,
    pub outputs: Vec<&'a str>,
    pub attributes: Vec<Attribute<'a>>,
}

/// `AttributeProto`
#[derive(Debug)]
pub struct Attribute<'a> {
    pub name: &'a str,
    pub value: AttributeValue<'a>,
}

/// The value of an attribute; what no implemented operator takes is only named.
#[derive(Clone, Debug)]
pub enum AttributeValue<'a> {
    Float(f32),
    Int(i64),
    Text(&'a [u8]),
    Tensor(TensorProto<'a>),
    Floats(Vec<f32>),
    Ints(Vec<i64>),
    Texts(Vec<&'a [u8]>),
    Other(&'static str),
}

/// `TensorProto`
#[derive(Clone, Debug, Default)]
pub struct TensorProto<'a> {
    pub name: &'a str,
    pub dims: Vec<i64>,
    pub data_type: i64,
    pub raw: Option<&'a [u8]>,
    pub floats: Vec<f32>,
    pub doubles: Vec<f64>,
    /// `int32_data` or `int64_data`.
    pub ints: Vec<i64>,
}

/// `ValueInfoProto`
#[derive(Debug)]
pub struct ValueInfo<'a> {
    pub name: &'a str,
    /// A `TensorProto.DataType`; 0 where the file names none.
    pub data_type: i64,
    /// Extents, where the file states the rank.
    pub dims: Option<Vec<Dim<'a>>>,
}

/// One extent of a graph's input or output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim<'a> {
    /// A number.
    Fixed(i64),
    /// A name: equal names are equal extents.
    Named(&'a str),
    /// Anything.
    Free,
}

fn refused(what: &str, why: &str) -> Error {
    Error::format(format!("ONNX {what}"), why)
}

impl<'a> Model<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut fields = Fields::new("model", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                7 if out.graph.is_some() => return Err(refused("model", "holds two graphs")),
                7 => out.graph = Some(Graph::parse(fields.bytes("graph", wire)?)?),
                8 => out.opsets.push(parse_opset(fields.bytes("opset_import", wire)?)?),
                25 => return Err(refused("model", "defines functions of its own, which are not supported")),
                _ => {}
            }
        }
        Ok(out)
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
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut fields = Fields::new("graph", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => out.nodes.push(Node::parse(fields.bytes("node", wire)?)?),
                5 => out.initializers.push(TensorProto::parse(fields.bytes("initializer", wire)?)?),
                11 => out.inputs.push(ValueInfo::parse(fields.bytes("input", wire)?)?),
                12 => out.outputs.push(ValueInfo::parse(fields.bytes("output", wire)?)?),
                15 => return Err(refused("graph", "holds sparse initializers, which are not supported")),
                _ => {}
            }
            // Checked here, so that a few bytes cannot ask for many empty values.
            let newest = match number {
                5 => out.initializers.last().map(|tensor| tensor.name),
                11 => out.inputs.last().map(|value| value.name),
                12 => out.outputs.last().map(|value| value.name),
                _ => None,
            };
            if newest == Some("") {
                return Err(refused("graph", "holds an initializer, an input or an output without a name"));
            }
        }
        Ok(out)
    }
}

impl<'a> Node<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut fields = Fields::new("node", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => out.inputs.push(fields.text("input", wire)?),
                2 => out.outputs.push(fields.text("output", wire)?),
                3 => out.name = fields.text("name", wire)?,
                4 => out.op_type = fields.text("op_type", wire)?,
                5 => out.attributes.push(Attribute::parse(fields.bytes("attribute", wire)?)?),
                7 => out.domain = fields.text("domain", wire)?,
                8 if !fields.bytes("overload", wire)?.is_empty() => {
                    return Err(refused("node", "names an overload of a function, which is not supported"));
                }
                _ => {}
            }
        }
        // Checked here, so that a few bytes cannot ask for many empty nodes.
        if out.op_type.is_empty() || !out.outputs.iter().any(|o| !o.is_empty()) {
            let why = "has no operator or no output";
            return Err(refused(&format!("node {:?} ({})", out.name, out.op_type), why));
        }
        Ok(out)
    }

    /// Its name, or that of its first output where it has none.
    pub fn label(&self) -> &'a str {
        if self.name.is_empty() { self.outputs.iter().find(|o| !o.is_empty()).unwrap_or(&"") } else { self.name }
    }
}

impl<'a> Attribute<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let (mut name, mut kind) = ("", 0);
        let (mut float, mut int, mut text, mut tensor) = (0.0, 0, &[][..], None);
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
                // A subgraph is never entered, however deep it is.
                6 | 11 => other = "graph",
                7 => fields.floats("floats", wire, &mut floats)?,
                8 => fields.ints("ints", wire, &mut ints)?,
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
            6 => AttributeValue::Floats(floats),
            7 => AttributeValue::Ints(ints),
            8 => AttributeValue::Texts(texts),
            _ => return Err(refused(&format!("attribute {name:?}"), &format!("has type {kind}, which is not known"))),
        };
        Ok(Self { name, value })
    }
}

impl<'a> TensorProto<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self::default();
        let mut fields = Fields::new("tensor", bytes);
        let mut refusal = None;
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => fields.ints("dims", wire, &mut out.dims)?,
                2 => out.data_type = fields.int("data_type", wire)?,
                3 => refusal = Some("is stored in segments"),
                4 => fields.floats("float_data", wire, &mut out.floats)?,
                5 | 7 => fields.ints("int32_data or int64_data", wire, &mut out.ints)?,
                8 => out.name = fields.text("name", wire)?,
                9 => out.raw = Some(fields.bytes("raw_data", wire)?),
                10 => fields.doubles("double_data", wire, &mut out.doubles)?,
                13 => refusal = Some("is stored in a file of its own"),
                14 if fields.int("data_location", wire)? != 0 => refusal = Some("is stored in a file of its own"),
                _ => {}
            }
        }
        match refusal {
            Some(why) => Err(refused(&format!("tensor {:?}", out.name), &format!("{why}, which is not supported"))),
            None => Ok(out),
        }
    }
}

impl<'a> ValueInfo<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self> {
        let mut out = Self { name: "", data_type: 0, dims: None };
        let mut fields = Fields::new("value", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => out.name = fields.text("name", wire)?,
                2 => out.parse_type(fields.bytes("type", wire)?)?,
                _ => {}
            }
        }
        Ok(out)
    }

    fn parse_type(&mut self, bytes: &'a [u8]) -> Result<()> {
        let mut fields = Fields::new("type", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => self.parse_tensor_type(fields.bytes("tensor_type", wire)?)?,
                4 | 5 | 8 | 9 => {
                    return Err(refused(&format!("value {:?}", self.name), "is no tensor, which is not supported"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn parse_tensor_type(&mut self, bytes: &'a [u8]) -> Result<()> {
        let mut fields = Fields::new("tensor type", bytes);
        while let Some((number, wire)) = fields.next()? {
            match number {
                1 => self.data_type = fields.int("elem_type", wire)?,
                2 => self.dims = Some(parse_dims(fields.bytes("shape", wire)?)?),
                _ => {}
            }
        }
        Ok(())
    }
}

fn parse_dims(bytes: &[u8]) -> Result<Vec<Dim<'_>>> {
    let mut out = Vec::new();
    let mut fields = Fields::new("shape", bytes);
    while let Some((number, wire)) = fields.next()? {
        if number != 1 {
            continue;
        }
        let mut dim = Dim::Free;
        let mut inner = Fields::new("dimension", fields.bytes("dim", wire)?);
        while let Some((number, wire)) = inner.next()? {
            match (number, wire) {
                (1, Wire::Varint(extent)) => dim = Dim::Fixed(extent as i64),
                (2, wire) => match inner.text("dim_param", wire)? {
                    "" => {}
                    name => dim = Dim::Named(name),
                },
                _ => {}
            }
        }
        out.push(dim);
    }
    Ok(out)
}
