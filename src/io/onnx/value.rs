//! Values of a graph: f32 tensors on the device, integers on the host, and integers that the device computed.
//! See `docs/adr/0041-comparisons-stay-on-the-device.md`.

use super::element::ElementType;
use super::ints::{Ints, elements};
use super::proto::TensorProto;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::shape::MAX_RANK;
use crate::tensor::Tensor;

/// A value of a graph: a tensor of floats on the device, integers (shapes, lengths, indices) on the host, or integers
/// that were computed from floats.
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
    /// Integers or booleans that the device computed from floats, stored as floats: exact up to 2^24. A run on the CPU
    /// returns [`Value::Ints`] instead. [`read_ints`](Value::read_ints) reads both.
    Whole(Tensor),
}

/// Largest integer up to which f32 represents every integer.
pub(super) const EXACT: i64 = 1 << 24;

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
            Value::Tensor(tensor) | Value::Whole(tensor) => tensor.dims(),
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
            Value::Ints(_) | Value::Whole(_) => Err(wrong_type("floats", "integers")),
        }
    }

    /// Returns the integers in row-major order.
    ///
    /// # Errors
    /// [`Error::DType`] for floats, and for integers on a GPU, which [`read_ints`](Value::read_ints) reads.
    pub fn as_ints(&self) -> Result<&[i64]> {
        match self {
            Value::Ints(ints) => Ok(ints.values()),
            Value::Tensor(_) => Err(wrong_type("integers", "floats")),
            Value::Whole(_) => Err(wrong_type("integers on the host", "integers on a GPU, which read_ints reads")),
        }
    }

    /// Returns the integers in row-major order, and reads them back if a GPU computed them.
    ///
    /// # Errors
    /// [`Error::DType`] for floats; otherwise like [`Tensor::read`].
    pub async fn read_ints(&self) -> Result<Vec<i64>> {
        match self {
            Value::Whole(tensor) => Ok(integers_of(&tensor.read().await?)),
            _ => Ok(self.as_ints()?.to_vec()),
        }
    }

    /// Like [`read_ints`](Value::read_ints), and blocks until the integers have arrived. Not in browsers.
    ///
    /// # Errors
    /// Same as [`read_ints`](Value::read_ints).
    #[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
    pub fn read_ints_blocking(&self) -> Result<Vec<i64>> {
        match self {
            Value::Whole(tensor) => Ok(integers_of(&tensor.read_blocking()?)),
            _ => Ok(self.as_ints()?.to_vec()),
        }
    }

    /// Moves integers that the device computed to the host. Reads without waiting on the CPU; elsewhere, the caller
    /// must have been allowed to wait.
    pub(super) fn on_host(self) -> Result<Self> {
        match self {
            Value::Whole(tensor) => Ok(Ints::new(tensor.dims().to_vec(), integers_of(&tensor.read_now()?))?.into()),
            other => Ok(other),
        }
    }

    /// Returns the tensor on the device: of floats, or of integers that the device computed.
    pub(super) fn on_device(&self) -> Option<&Tensor> {
        match self {
            Value::Tensor(tensor) | Value::Whole(tensor) => Some(tensor),
            Value::Ints(_) => None,
        }
    }

    /// Returns a tensor as a value of the same kind as this one, which is on the device.
    pub(super) fn like(&self, tensor: Tensor) -> Self {
        if let Value::Whole(_) = self { Value::Whole(tensor) } else { Value::Tensor(tensor) }
    }

    /// Returns integers as floats on the device, or the tensor that is already there.
    ///
    /// # Errors
    /// [`Error::Value`] for integers that f32 does not represent.
    pub(super) fn to_floats(&self, device: &Device) -> Result<Tensor> {
        match self {
            Value::Tensor(tensor) | Value::Whole(tensor) => Ok(tensor.clone()),
            Value::Ints(ints) => match ints.values().iter().find(|v| v.unsigned_abs() > EXACT as u64) {
                Some(v) => Err(Error::value("onnx", "input", "integers of at most 2^24 on the device", v)),
                None => {
                    let values: Vec<f32> = ints.values().iter().map(|&v| v as f32).collect();
                    Tensor::from_slice(device, &values, ints.dims())
                }
            },
        }
    }

    /// Whether the value holds floats.
    pub(super) fn is_float(&self) -> bool {
        matches!(self, Value::Tensor(_))
    }

    /// Number of elements.
    pub(super) fn count(&self) -> usize {
        match self {
            Value::Tensor(tensor) | Value::Whole(tensor) => tensor.len(),
            Value::Ints(ints) => ints.values().len(),
        }
    }

    /// Size of the elements in bytes.
    pub(super) fn bytes(&self) -> u64 {
        match self {
            Value::Tensor(tensor) | Value::Whole(tensor) => 4 * tensor.len() as u64,
            Value::Ints(ints) => 8 * ints.values().len() as u64,
        }
    }
}

fn integers_of(floats: &[f32]) -> Vec<i64> {
    floats.iter().map(|&v| v as i64).collect()
}

fn wrong_type(expected: &str, got: &str) -> Error {
    Error::DType { op: "onnx", arg: "value", expected: expected.into(), got: got.into() }
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
            // Exporters write a list without elements for an optional input.
            return Ok(Ints::new(dims, Vec::new()).map_err(|e| bad(e.to_string()))?.of_kind(kind).into());
        }
        return Ok(Value::Tensor(Tensor::from_slice(device, &values, &dims)?));
    }
    let values = integers(proto, kind).ok_or_else(part)?;
    if count != values.len() {
        return Err(wrong(values.len()));
    }
    Ok(Ints::new(dims, values).map_err(|e| bad(e.to_string()))?.of_kind(kind).into())
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
            ElementType::Int8 => raw.iter().map(|&b| (b as i8).into()).collect(),
            ElementType::Int16 => words(raw, |b| i16::from_le_bytes(b).into()),
            ElementType::UInt16 => words(raw, |b| u16::from_le_bytes(b).into()),
            ElementType::Int32 => words(raw, |b| i32::from_le_bytes(b).into()),
            ElementType::UInt32 => words(raw, |b| u32::from_le_bytes(b).into()),
            ElementType::Int64 | ElementType::UInt64 => words(raw, i64::from_le_bytes),
            _ => raw.iter().map(|&b| b.into()).collect(),
        },
    };
    values.iter_mut().for_each(|v| *v = kind.wrap(*v));
    Some(values)
}
