//! Arrays with names and extents, in both directions.
#![allow(unsafe_code, reason = "takes pointers from C")]

use std::ffi::{CString, c_char};
use std::ptr;

use engine::io::onnx::Value;
use engine::{Device, Tensor};

use crate::failure::{Failure, Result};
use crate::raw;

/// Maximum number of axes of a tensor.
pub const WGRU_MAX_RANK: usize = 8;

/// An array of floats or integers that belongs to someone else: in an input, to the caller; in an output, to the
/// `WgruOutputs` it was taken from. Rows are contiguous: the last axis varies fastest.
///
/// Exactly one of `floats` and `ints` is not null. Start from zeros (`WgruTensor x = {0};`), and set what is needed.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct WgruTensor {
    /// Name of the input or output, UTF-8. In an input, null stands for the only input of a model.
    pub name: *const c_char,
    /// `len` floats, or null.
    pub floats: *const f32,
    /// `len` integers, or null. Booleans are 0 and 1.
    pub ints: *const i64,
    /// Number of elements: the product of the extents.
    pub len: usize,
    /// Number of axes.
    pub rank: usize,
    /// Extents, outermost first. Those from `rank` on are ignored in inputs, and 0 in outputs.
    pub dims: [usize; WGRU_MAX_RANK],
}

/// The elements of an input.
enum Elements<'a> {
    Floats(&'a [f32]),
    Ints(&'a [i64]),
}

/// An input that was checked, as far as the model does not matter.
pub struct Input<'a> {
    pub name: Option<&'a str>,
    dims: &'a [usize],
    elements: Elements<'a>,
}

impl<'a> Input<'a> {
    /// Checks a tensor from C.
    ///
    /// # Safety
    /// The pointers in it must be null, or point to what the documentation of `WgruTensor` says.
    pub unsafe fn of(tensor: &'a WgruTensor) -> Result<Self> {
        let dims = tensor.dims.get(..tensor.rank).ok_or_else(|| {
            Failure::value(format!("inputs: expected at most {WGRU_MAX_RANK} axes, got {}", tensor.rank))
        })?;
        let len = dims.iter().try_fold(1usize, |len, &extent| len.checked_mul(extent));
        let expected = len.ok_or_else(|| Failure::value("inputs: the extents are too large"))?;
        if expected != tensor.len {
            return Err(Failure::Length { arg: "inputs: len", expected, got: tensor.len });
        }
        // SAFETY: as for this function.
        let elements = unsafe {
            match (tensor.floats.is_null(), tensor.ints.is_null()) {
                (_, true) => Elements::Floats(raw::slice("inputs: floats", tensor.floats, tensor.len)?),
                (true, false) => Elements::Ints(raw::slice("inputs: ints", tensor.ints, tensor.len)?),
                (false, false) => {
                    return Err(Failure::Pointer { arg: "inputs", why: "floats and ints are both set" });
                }
            }
        };
        // SAFETY: as for this function.
        let name = unsafe { raw::text("inputs: name", tensor.name) }?;
        Ok(Self { name, dims, elements })
    }

    /// Checks all tensors of an array.
    ///
    /// # Safety
    /// As for [`raw::slice`] and [`Input::of`].
    pub unsafe fn all(data: *const WgruTensor, count: usize) -> Result<Vec<Self>> {
        // SAFETY: as for this function.
        let tensors: &'a [WgruTensor] = unsafe { raw::slice("inputs", data, count) }?;
        // SAFETY: as for this function.
        tensors.iter().map(|tensor| unsafe { Input::of(tensor) }).collect()
    }

    /// Name for error messages.
    fn shown(&self) -> &str {
        self.name.unwrap_or("the input")
    }

    /// Copies the floats to a device. Integers are the indices that an embedding takes.
    pub fn to_tensor(&self, device: &Device) -> Result<Tensor> {
        match self.elements {
            Elements::Floats(floats) => Ok(Tensor::from_slice(device, floats, self.dims)?),
            Elements::Ints(ints) => {
                let indices: Option<Vec<u32>> = ints.iter().map(|&index| u32::try_from(index).ok()).collect();
                let indices = indices.ok_or_else(|| {
                    Failure::value(format!("{}: expected indices from 0 to {}", self.shown(), u32::MAX))
                })?;
                Ok(Tensor::from_indices(device, &indices, self.dims)?)
            }
        }
    }

    /// Copies the elements to a value of a graph.
    pub fn to_value(&self, device: &Device) -> Result<Value> {
        match self.elements {
            Elements::Floats(floats) => Ok(Tensor::from_slice(device, floats, self.dims)?.into()),
            Elements::Ints(ints) => Ok(Value::ints(ints, self.dims)?),
        }
    }

    /// Returns the integers as lengths.
    pub fn to_lengths(&self) -> Result<Vec<usize>> {
        let lengths = match self.elements {
            Elements::Ints(ints) => ints.iter().map(|&length| usize::try_from(length).ok()).collect(),
            Elements::Floats(_) => None,
        };
        lengths.ok_or_else(|| Failure::value(format!("{}: expected integers from 0 on", self.shown())))
    }
}

/// An output that was read back.
pub struct Output {
    pub name: CString,
    dims: Vec<usize>,
    values: Values,
}

enum Values {
    Floats(Vec<f32>),
    Ints(Vec<i64>),
}

impl Output {
    /// Reads a value back. Blocks until it has been computed.
    pub fn read(name: &str, value: &Value) -> Result<Self> {
        let values = match value {
            Value::Tensor(tensor) => Values::Floats(tensor.read_blocking()?),
            _ => Values::Ints(value.read_ints_blocking()?),
        };
        Ok(Self { name: c_name(name), dims: value.dims().to_vec(), values })
    }

    /// Returns a view for C, which is valid as long as this object.
    pub fn view(&self) -> WgruTensor {
        let mut dims = [0; WGRU_MAX_RANK];
        dims.iter_mut().zip(&self.dims).for_each(|(to, from)| *to = *from);
        let (floats, ints, len) = match &self.values {
            Values::Floats(values) => (values.as_ptr(), ptr::null(), values.len()),
            Values::Ints(values) => (ptr::null(), values.as_ptr(), values.len()),
        };
        WgruTensor { name: self.name.as_ptr(), floats, ints, len, rank: self.dims.len().min(WGRU_MAX_RANK), dims }
    }
}

/// Returns a name as a C string. Names in files may contain zeros, which become U+FFFD.
pub fn c_name(name: &str) -> CString {
    CString::new(name.replace('\0', "\u{fffd}")).unwrap_or_default()
}
