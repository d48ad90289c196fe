//! Values of a graph: f32 tensors on the device, and integers on the host.

use super::ints::{Ints, elements};
use super::proto::TensorProto;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::shape::MAX_RANK;
use crate::tensor::Tensor;

/// A value of a graph: a tensor of floats on the device, or integers (shapes, lengths, indices) on the host.
///
/// ```
/// use wgru::{Device, Tensor, io::onnx::Value};
/// let x: Value = Tensor::zeros(&Device::cpu(), &[2, 3])?.into();
/// assert_eq!(x.dims(), [2, 3]);
/// let lengths = Value::ints(&[3, 1], &[2])?;
/// assert_eq!(lengths.as_ints()?, [3, 1]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub enum Value {
    /// Floats, on the device.
    Tensor(Tensor),
    /// Integers or booleans, on the host.
    Ints(Ints),
}

impl From<Tensor> for Value {
    fn from(tensor: Tensor) -> Self {
        Value::Tensor(tensor)
    }
}

impl From<Ints> for Value {
    fn from(ints: Ints) -> Self {
        Value::Ints(ints)
    }
}

impl Value {
    /// Creates integers of any shape. Booleans are 0 and 1.
    ///
    /// # Errors
    /// [`Error::Shape`] if `dims` does not match the number of `values`, or if an extent is too large, even when
    /// another extent is 0.
    pub fn ints(values: &[i64], dims: &[usize]) -> Result<Self> {
        Ok(Value::Ints(Ints::new(dims.to_vec(), values.to_vec())?))
    }

    /// Returns the extents, outermost first.
    pub fn dims(&self) -> &[usize] {
        match self {
            Value::Tensor(tensor) => tensor.dims(),
            Value::Ints(ints) => ints.dims(),
        }
    }

    /// Returns the floats.
    ///
    /// # Errors
    /// [`Error::DType`] for integers.
    pub fn as_tensor(&self) -> Result<&Tensor> {
        match self {
            Value::Tensor(tensor) => Ok(tensor),
            Value::Ints(_) => Err(wrong_type("floats", "integers")),
        }
    }

    /// Returns the integers in row-major order.
    ///
    /// # Errors
    /// [`Error::DType`] for floats.
    pub fn as_ints(&self) -> Result<&[i64]> {
        match self {
            Value::Ints(ints) => Ok(ints.values()),
            Value::Tensor(_) => Err(wrong_type("integers", "floats")),
        }
    }

    /// Number of elements.
    pub(super) fn count(&self) -> usize {
        match self {
            Value::Tensor(tensor) => tensor.len(),
            Value::Ints(ints) => ints.values().len(),
        }
    }

    /// Size of the elements in bytes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Value::Tensor(tensor) => 4 * tensor.len() as u64,
            Value::Ints(ints) => 8 * ints.values().len() as u64,
        }
    }
}

fn wrong_type(expected: &str, got: &str) -> Error {
    Error::DType { op: "onnx", arg: "value", expected: expected.into(), got: got.into() }
}

/// Supported types of `TensorProto.DataType`. Half, bfloat16 and double become f32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ElementType {
    Float,
    Half,
    BFloat,
    Double,
    Int32,
    Int64,
    Bool,
}

impl ElementType {
    /// Returns the type with this number. The error is the name of an unsupported type.
    pub fn of(number: i64) -> std::result::Result<Self, String> {
        const OTHERS: [(i64, &str); 8] = [
            (2, "uint8"),
            (3, "int8"),
            (4, "uint16"),
            (5, "int16"),
            (8, "string"),
            (12, "uint32"),
            (13, "uint64"),
            (14, "complex64"),
        ];
        match number {
            1 => Ok(Self::Float),
            6 => Ok(Self::Int32),
            7 => Ok(Self::Int64),
            9 => Ok(Self::Bool),
            10 => Ok(Self::Half),
            11 => Ok(Self::Double),
            16 => Ok(Self::BFloat),
            _ => Err(OTHERS.iter().find(|o| o.0 == number).map_or(format!("number {number}"), |o| o.1.to_string())),
        }
    }

    pub fn is_float(self) -> bool {
        !matches!(self, Self::Int32 | Self::Int64 | Self::Bool)
    }

    fn width(self) -> usize {
        match self {
            Self::Bool => 1,
            Self::Half | Self::BFloat => 2,
            Self::Float | Self::Int32 => 4,
            Self::Double | Self::Int64 => 8,
        }
    }
}

/// Reads a tensor from the bytes of a `.pb` file, the format of ONNX's test data. Returns its name and its value.
///
/// # Errors
/// [`Error::Format`] if the bytes are not a complete tensor of a supported type.
pub fn read_tensor(device: &Device, bytes: &[u8]) -> Result<(String, Value)> {
    let proto = TensorProto::parse(bytes)?;
    Ok((proto.name.into(), from_proto(proto, device)?))
}

/// Converts a tensor from a file. Floats are placed on `device`.
pub(super) fn from_proto(proto: TensorProto, device: &Device) -> Result<Value> {
    let name = proto.name;
    let bad = |why: String| Error::format(format!("ONNX tensor {name:?}"), why);
    let kind = ElementType::of(proto.data_type)
        .map_err(|name| bad(format!("holds elements of type {name}, which is not supported")))?;
    if proto.dims.len() > MAX_RANK {
        return Err(bad(format!("has {} axes; at most {MAX_RANK} are supported", proto.dims.len())));
    }
    let dims: Vec<usize> = proto
        .dims
        .iter()
        .map(|&d| usize::try_from(d))
        .collect::<Result<_, _>>()
        .map_err(|_| bad(format!("has a negative extent: {:?}", proto.dims)))?;
    let count = elements(&dims).map_err(|e| bad(e.to_string()))?;
    let wrong = |got: usize| bad(format!("has shape {dims:?} but {got} elements"));
    let part = || bad("ends within an element".into());
    if kind.is_float() {
        let values = floats(proto, kind).ok_or_else(part)?;
        if count != values.len() {
            return Err(wrong(values.len()));
        }
        if values.is_empty() {
            return Err(bad("is empty, which is not supported for floats".into()));
        }
        return Ok(Value::Tensor(Tensor::from_slice(device, &values, &dims)?));
    }
    let values = integers(proto, kind).ok_or_else(part)?;
    if count != values.len() {
        return Err(wrong(values.len()));
    }
    Ok(Ints::new(dims, values).map_err(|e| bad(e.to_string()))?.into())
}

fn words<const N: usize, T>(bytes: &[u8], f: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks().0.iter().map(|&b| f(b)).collect()
}

fn floats(proto: TensorProto, kind: ElementType) -> Option<Vec<f32>> {
    let half = |bits: u16| half::f16::from_bits(bits).to_f32();
    let brain = |bits: u16| half::bf16::from_bits(bits).to_f32();
    let Some(raw) = proto.raw else {
        return Some(match kind {
            ElementType::Half => proto.ints.iter().map(|&b| half(b as u16)).collect(),
            ElementType::BFloat => proto.ints.iter().map(|&b| brain(b as u16)).collect(),
            ElementType::Double => proto.doubles.iter().map(|&v| v as f32).collect(),
            _ => proto.floats,
        });
    };
    if !raw.len().is_multiple_of(kind.width()) {
        return None;
    }
    Some(match kind {
        ElementType::Half => words(raw, |b| half(u16::from_le_bytes(b))),
        ElementType::BFloat => words(raw, |b| brain(u16::from_le_bytes(b))),
        ElementType::Double => words(raw, |b| f64::from_le_bytes(b) as f32),
        _ => words(raw, f32::from_le_bytes),
    })
}

fn integers(proto: TensorProto, kind: ElementType) -> Option<Vec<i64>> {
    let mut values = match proto.raw {
        None => proto.ints,
        Some(raw) if !raw.len().is_multiple_of(kind.width()) => return None,
        Some(raw) => match kind {
            ElementType::Int32 => words(raw, |b| i32::from_le_bytes(b).into()),
            ElementType::Int64 => words(raw, i64::from_le_bytes),
            _ => raw.iter().map(|&b| b.into()).collect(),
        },
    };
    if kind == ElementType::Bool {
        values.iter_mut().for_each(|v| *v = (*v != 0).into());
    }
    Some(values)
}
