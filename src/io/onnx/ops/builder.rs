//! Reads a node's attributes and constant inputs.

use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::onnx::element::ElementType;
use crate::io::onnx::loader::{Context, Fact, Inputs, Loaded, load_body};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::proto::{Attribute, AttributeValue, Graph, Node, TensorProto, ValueInfo};
use crate::io::onnx::run::Link;
use crate::io::onnx::value::Value;

/// Attributes and inputs of a node that is being built. Reading an attribute removes it; any that remain are
/// unsupported.
pub(in crate::io::onnx) struct Builder<'a, 'b, 'c> {
    pub node: &'a Node<'a>,
    pub opset: i64,
    /// Device that the node will run on.
    pub device: &'c Device,
    /// A CPU device, for values that are computed at load time.
    pub host: &'c Device,
    /// Inputs whose values the built node stores itself.
    pub absorbed: Vec<usize>,
    /// Type that a cast names, if it is narrower than f32.
    pub narrow: Option<ElementType>,
    label: &'a str,
    links: &'a [Link],
    facts: &'a [&'a Fact],
    context: &'b mut Context<'c>,
    attributes: Vec<Attribute<'a>>,
}

impl<'a, 'b, 'c> Builder<'a, 'b, 'c> {
    /// Creates a builder. `links` are the node's inputs and the values that its subgraphs read, with what is known
    /// about them.
    pub fn new(
        node: &'a Node<'a>,
        label: &'a str,
        links: &'a [Link],
        facts: &'a [&'a Fact],
        context: &'b mut Context<'c>,
    ) -> Result<Self> {
        let mut attributes: Vec<Attribute> = Vec::with_capacity(node.attributes.len());
        let mut twice = None;
        for bytes in &node.attributes {
            let attribute = Attribute::parse(bytes)?;
            twice = twice.or(attributes.iter().find(|a| a.name == attribute.name).map(|a| a.name));
            attributes.push(attribute);
        }
        let (opset, device, host) = (context.opset, context.device, context.host);
        let (absorbed, narrow) = (Vec::new(), None);
        let out = Self { node, opset, device, host, absorbed, narrow, label, links, facts, context, attributes };
        match twice {
            Some(name) => Err(out.refuse(format!("attribute {name:?} appears twice"))),
            None => Ok(out),
        }
    }

    /// Returns the error that names this node, its operator, and the unsupported feature.
    pub fn refuse(&self, what: impl ToString) -> Error {
        Error::unsupported(self.node.label(), self.node.op_type, what)
    }

    /// Reads an attribute with `get`, which returns `None` unless it has the `expected` type.
    fn read<T>(
        &mut self,
        name: &'static str,
        expected: &str,
        get: impl FnOnce(AttributeValue<'a>) -> Option<T>,
    ) -> Result<Option<T>> {
        let Some(value) = self.value(name) else { return Ok(None) };
        get(value).map(Some).ok_or_else(|| self.refuse(format!("attribute {name:?} is not {expected}")))
    }

    pub fn int(&mut self, name: &'static str) -> Result<Option<i64>> {
        self.read(name, "an integer", |value| if let AttributeValue::Int(v) = value { Some(v) } else { None })
    }

    /// Reads an integer that must be 0 or 1.
    pub fn flag(&mut self, name: &'static str, default: bool) -> Result<bool> {
        match self.int(name)? {
            None => Ok(default),
            Some(value @ 0..=1) => Ok(value == 1),
            Some(value) => Err(self.refuse(format!("attribute {name:?} is {value}, not 0 or 1"))),
        }
    }

    pub fn ints(&mut self, name: &'static str) -> Result<Option<Vec<i64>>> {
        self.read(name, "a list of integers", |value| if let AttributeValue::Ints(v) = value { Some(v) } else { None })
    }

    pub fn float(&mut self, name: &'static str) -> Result<Option<f32>> {
        self.read(name, "a float", |value| if let AttributeValue::Float(v) = value { Some(v) } else { None })
    }

    pub fn floats(&mut self, name: &'static str) -> Result<Vec<f32>> {
        let get = |value| if let AttributeValue::Floats(v) = value { Some(v) } else { None };
        Ok(self.read(name, "a list of floats", get)?.unwrap_or_default())
    }

    pub fn text(&mut self, name: &'static str) -> Result<Option<String>> {
        let get = |value| if let AttributeValue::Text(v) = value { Some(v) } else { None };
        self.read(name, "a string", get)?.map(|text| self.short(name, text)).transpose()
    }

    pub fn texts(&mut self, name: &'static str) -> Result<Option<Vec<String>>> {
        let get = |value| if let AttributeValue::Texts(v) = value { Some(v) } else { None };
        let list = self.read(name, "a list of strings", get)?;
        list.map(|list| list.into_iter().map(|text| self.short(name, text)).collect::<Result<_>>()).transpose()
    }

    /// Converts a short string: the name of a mode or function.
    fn short(&self, name: &str, text: &[u8]) -> Result<String> {
        const LONGEST: usize = 256;
        match text {
            text if text.len() <= LONGEST => Ok(String::from_utf8_lossy(text).into_owned()),
            _ => Err(self.refuse(format!("attribute {name:?}, a string of {} bytes", text.len()))),
        }
    }

    /// Removes and returns an attribute of any type.
    pub fn value(&mut self, name: &'static str) -> Option<AttributeValue<'a>> {
        let place = self.attributes.iter().position(|a| a.name == name)?;
        Some(self.attributes.swap_remove(place).value)
    }

    /// Whether input `i` is present.
    pub fn has(&self, i: usize) -> bool {
        self.links.get(i).is_some_and(|link| link.slot().is_some())
    }

    /// Returns the value of input `i`, if it is constant.
    pub fn constant(&self, i: usize) -> Option<&'a Value> {
        self.facts.get(i)?.value.as_deref()
    }

    /// Reads a constant input of one element, which the node then stores itself. `None` if the input is not present.
    pub fn number(&mut self, i: usize, name: &str) -> Result<Option<Number>> {
        if !self.has(i) {
            return Ok(None);
        }
        let Some(value) = self.constant(i) else {
            return Err(self.refuse(format!("input {name:?} is computed; only a constant is supported")));
        };
        if value.count() != 1 {
            return Err(self.refuse(format!("input {name:?} has {} elements; only one is supported", value.count())));
        }
        let number = match value {
            Value::Tensor(tensor) => tensor.item_now()?,
            Value::Ints(ints) => ints.values()[0] as f32,
            Value::Whole(_) => return Err(self.refuse(format!("input {name:?} is on the device"))),
        };
        self.absorbed.push(i);
        Ok(Some(Number { value: number, rank: value.dims().len() }))
    }

    /// Charges the memory of constants that the node copies.
    ///
    /// # Errors
    /// [`Error::Budget`] if the constants are too large for the size of the file.
    pub fn charge(&mut self, cost: Cost) -> Result<()> {
        self.context.meter.charge(cost)?;
        self.context.meter.hold(cost.bytes);
        Ok(())
    }

    /// Whether input `i` was computed from an input of the model.
    pub fn is_fed(&self, i: usize) -> bool {
        self.facts.get(i).is_some_and(|fact| fact.fed)
    }

    /// Type that the cast that made input `i` names, if it is narrower than f32.
    pub fn narrow_input(&self, i: usize) -> Option<ElementType> {
        self.facts.get(i)?.narrow
    }

    /// Whether PyTorch wrote the file.
    pub fn is_from_pytorch(&self) -> bool {
        self.context.producer == "pytorch"
    }

    /// Adds a warning that names the node.
    pub fn warn(&mut self, what: &str) {
        self.context.report.warn(format!("ONNX node {:?} ({}): {what}", self.label, self.node.op_type));
    }

    /// Parses the subgraph of an attribute, which is read later.
    pub fn graph(&self, name: &str) -> Result<Option<Graph<'a>>> {
        match self.attributes.iter().find(|a| a.name == name).map(|a| &a.value) {
            Some(AttributeValue::Graph(bytes)) => Graph::parse(bytes).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns a tensor with its data, which may be in another file; `None` if they are not needed.
    pub fn resolve<'t>(&'t self, tensor: TensorProto<'t>) -> Result<Option<TensorProto<'t>>> {
        self.context.files.resolve(tensor)
    }

    /// Loads the subgraph of an attribute. Its inputs are unknown. `captures` are the names of outer values that it may
    /// read; they follow the node's own inputs.
    pub fn subgraph(&mut self, name: &'static str, captures: &[&'a str]) -> Result<Loaded> {
        let Some(AttributeValue::Graph(bytes)) = self.value(name) else {
            return Err(self.refuse(format!("attribute {name:?} is missing or not a graph")));
        };
        let graph = Graph::parse(bytes)?;
        let mut inputs = Inputs { infos: Vec::new(), facts: Vec::with_capacity(graph.inputs.len() + captures.len()) };
        for bytes in &graph.inputs {
            inputs.facts.push((ValueInfo::parse(bytes)?.name, Fact { fed: true, ..Fact::default() }));
        }
        for (capture, fact) in captures.iter().zip(&self.facts[self.node.inputs..]) {
            inputs.facts.push((capture, (*fact).clone()));
        }
        let prefix = format!("{}.{name}/", self.label);
        load_body(self.context, &graph, inputs, &prefix)
    }

    /// Marks the outer values that no subgraph reads. `read` has an entry for each of the captures.
    pub fn drop_captures(&mut self, read: &[bool]) {
        let first = self.node.inputs;
        self.absorbed.extend((0..read.len()).filter(|&i| !read[i]).map(|i| first + i));
    }

    /// Returns an error if an attribute was not read.
    pub fn finish(&self) -> Result<()> {
        match self.attributes.iter().min_by_key(|a| a.name) {
            Some(Attribute { name, value }) => {
                let kind = match value {
                    AttributeValue::Other(kind) => kind,
                    AttributeValue::Graph(_) => "graph",
                    _ => "value",
                };
                Err(self.refuse(format!("attribute {name:?}, a {kind}, in operator set {}", self.opset)))
            }
            None => Ok(()),
        }
    }
}

/// A constant of one element.
#[derive(Clone, Copy, Debug)]
pub(in crate::io::onnx) struct Number {
    pub value: f32,
    /// Number of axes, all of extent 1. A result that broadcasts with it has at least this many axes.
    pub rank: usize,
}
