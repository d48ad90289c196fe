//! Builds ONNX models byte by byte, without the crate's own writer.
#![allow(dead_code, reason = "each test file uses only some of these items")]

/// A Protocol Buffers message.
#[derive(Clone, Default)]
pub struct Bytes(pub Vec<u8>);

fn varint(out: &mut Vec<u8>, mut value: u64) {
    while value > 127 {
        out.push((value % 128 + 128) as u8);
        value /= 128;
    }
    out.push(value as u8);
}

impl Bytes {
    pub fn int(mut self, field: u64, value: i64) -> Self {
        varint(&mut self.0, field * 8);
        varint(&mut self.0, value as u64);
        self
    }

    pub fn raw(mut self, field: u64, bytes: impl AsRef<[u8]>) -> Self {
        varint(&mut self.0, field * 8 + 2);
        varint(&mut self.0, bytes.as_ref().len() as u64);
        self.0.extend(bytes.as_ref());
        self
    }

    pub fn float(mut self, field: u64, value: f32) -> Self {
        varint(&mut self.0, field * 8 + 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub fn all<T>(self, items: impl IntoIterator<Item = T>, f: impl Fn(Self, T) -> Self) -> Self {
        items.into_iter().fold(self, f)
    }
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn named(name: &str, kind: i64) -> Bytes {
    Bytes::default().raw(1, name).int(20, kind)
}

pub fn attribute_int(name: &str, value: i64) -> Bytes {
    named(name, 2).int(3, value)
}

pub fn attribute_ints(name: &str, values: &[i64]) -> Bytes {
    named(name, 7).all(values, |b, &v| b.int(8, v))
}

pub fn attribute_float(name: &str, value: f32) -> Bytes {
    named(name, 1).float(2, value)
}

pub fn attribute_floats(name: &str, values: &[f32]) -> Bytes {
    named(name, 6).all(values, |b, &v| b.float(7, v))
}

pub fn attribute_text(name: &str, value: &str) -> Bytes {
    named(name, 3).raw(4, value)
}

pub fn attribute_texts(name: &str, values: &[String]) -> Bytes {
    named(name, 8).all(values, |b, v| b.raw(9, v))
}

pub fn attribute_graph(name: &str, graph: Bytes) -> Bytes {
    named(name, 5).raw(6, graph)
}

pub fn attribute_tensor(name: &str, tensor: Bytes) -> Bytes {
    named(name, 4).raw(5, tensor)
}

/// `NodeProto`, named after its operator.
pub fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Bytes]) -> Bytes {
    let b = Bytes::default().all(inputs, |b, i| b.raw(1, i)).all(outputs, |b, o| b.raw(2, o));
    b.raw(3, format!("the {operator}")).raw(4, operator).all(attributes, |b, a| b.raw(5, a))
}

/// `TensorProto` of f32.
pub fn floats(name: &str, dims: &[i64], values: &[f32]) -> Bytes {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Bytes::default().all(dims, |b, &d| b.int(1, d)).int(2, 1).raw(8, name).raw(9, raw)
}

/// `TensorProto` of int64.
pub fn ints(name: &str, dims: &[i64], values: &[i64]) -> Bytes {
    let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
    Bytes::default().all(dims, |b, &d| b.int(1, d)).int(2, 7).raw(8, name).raw(9, raw)
}

/// `ValueInfoProto`; a negative extent is free.
pub fn value(name: &str, kind: i64, dims: &[i64]) -> Bytes {
    let dim = |b: Bytes, &d: &i64| b.raw(1, if d < 0 { Bytes::default() } else { Bytes::default().int(1, d) });
    let shape = Bytes::default().all(dims, dim);
    let tensor = Bytes::default().int(1, kind).raw(2, shape);
    Bytes::default().raw(1, name).raw(2, Bytes::default().raw(1, tensor))
}

/// The parts of a model.
#[derive(Clone, Default)]
pub struct Model {
    pub opset: i64,
    pub nodes: Vec<Bytes>,
    pub initializers: Vec<Bytes>,
    pub inputs: Vec<Bytes>,
    pub outputs: Vec<Bytes>,
}

impl Model {
    /// The graph alone, for an attribute.
    pub fn graph(&self) -> Bytes {
        Bytes::default()
            .all(&self.nodes, |b, n| b.raw(1, n))
            .raw(2, "graph")
            .all(&self.initializers, |b, t| b.raw(5, t))
            .all(&self.inputs, |b, v| b.raw(11, v))
            .all(&self.outputs, |b, v| b.raw(12, v))
    }

    pub fn bytes(&self) -> Vec<u8> {
        let graph = self.graph();
        Bytes::default().int(1, 8).raw(7, graph).raw(8, Bytes::default().raw(1, "").int(2, self.opset)).0
    }
}
