//! NumPy's arrays, and the tensors of plain pickles.

use std::borrow::Cow;
use std::ops::Range;

use super::{Global, Heap, Kind, Place, Value, load};
use crate::io::budget::Budget;
use crate::io::element::Element;
use crate::io::signature::TORCH_LEGACY;

/// The element type of an array.
#[derive(Clone, Debug)]
pub(in crate::io) struct Dtype<'a> {
    /// NumPy's name without byte order, such as `f4`.
    pub name: &'a str,
    pub big_endian: bool,
}

impl Dtype<'_> {
    pub fn element(&self) -> Option<Element> {
        Element::of_numpy(self.name)
    }
}

/// A NumPy array. Its state is set after it was created.
#[derive(Clone, Debug, Default)]
pub(in crate::io) struct Array {
    pub dims: Vec<usize>,
    pub first_fastest: bool,
    pub dtype: usize,
    /// The bytes of the elements; `None` before the state is set, and for an array of Python objects.
    pub data: Option<usize>,
}

impl<'a> Global<'a> {
    pub(super) fn call_numpy(self, args: &[Value<'a>], heap: &mut Heap<'a>) -> Result<Value<'a>, String> {
        match (self, args) {
            (Self::Encode, [Value::Text(text), Value::Text("latin1" | "latin-1")]) => {
                let bytes = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect::<Option<Vec<u8>>>();
                Ok(heap.add_bytes(Cow::Owned(bytes.ok_or("bytes that are not Latin-1")?)))
            }
            (Self::NumpyDtype, [Value::Text(name), ..]) => {
                let (order, rest) = name.split_at_checked(1).unwrap_or_default();
                let name = if matches!(order, "<" | ">" | "|" | "=") { rest } else { name };
                heap.dtypes.push(Dtype { name, big_endian: order == ">" });
                Ok(Value::Dtype(heap.dtypes.len() - 1))
            }
            (Self::NumpyArray, _) => Ok(heap.add_array(Array::default())),
            (Self::NumpyBuffer, [data, Value::Dtype(dtype), dims, order, ..]) => {
                let (dims, first_fastest) = (heap.extents(*dims)?, *order == Value::Text("F"));
                let data = Some(heap.data(*data)?);
                Ok(heap.add_array(Array { dims, first_fastest, dtype: *dtype, data }))
            }
            (Self::NumpyScalar, [Value::Dtype(dtype), data]) => {
                let data = heap.data(*data)?;
                Ok(heap.scalar(*dtype, data).unwrap_or(Value::Opaque))
            }
            // A scalar of another kind, such as a string.
            (Self::NumpyScalar | Self::Encode | Self::NumpyDtype, _) => Ok(Value::Opaque),
            _ => Err(format!("{self:?} is called with arguments that it does not take")),
        }
    }
}

impl<'a> Heap<'a> {
    pub(super) fn add_bytes(&mut self, bytes: Cow<'a, [u8]>) -> Value<'a> {
        self.bytes.push(bytes);
        Value::Bytes(self.bytes.len() - 1)
    }

    fn add_array(&mut self, array: Array) -> Value<'a> {
        self.arrays.push(array);
        Value::Array(self.arrays.len() - 1)
    }

    /// Returns the index of the bytes of a value. Python 2 stores bytes as strings.
    fn data(&mut self, value: Value<'a>) -> Result<usize, String> {
        match value {
            Value::Bytes(id) => Ok(id),
            Value::Text(text) => {
                self.bytes.push(Cow::Borrowed(text.as_bytes()));
                Ok(self.bytes.len() - 1)
            }
            _ => Err("an array whose data are not bytes".into()),
        }
    }

    /// Returns a NumPy scalar; `None` if its type is not a number.
    fn scalar(&self, dtype: usize, data: usize) -> Option<Value<'a>> {
        let dtype = self.dtype(dtype)?;
        let element = dtype.element()?;
        let mut word = [0; 8];
        let bytes = Some(self.bytes(data)).filter(|bytes| bytes.len() == element.size())?;
        word[..bytes.len()].copy_from_slice(bytes);
        if dtype.big_endian {
            word[..bytes.len()].reverse();
        }
        let word = u64::from_le_bytes(word);
        Some(match element {
            Element::F64 => Value::Float(f64::from_bits(word)),
            Element::I64 => Value::Int(word as i64),
            Element::U64 => Value::Int(i64::try_from(word).ok()?),
            Element::I32 => Value::Int(i64::from(word as u32 as i32)),
            Element::U32 => Value::Int(word as i64),
            Element::Bool => Value::Bool(word != 0),
            Element::F16 | Element::Bf16 | Element::F32 => Value::Float(f64::from(element.value(word)?)),
            _ => Value::Int(element.value(word)? as i64),
        })
    }

    /// Sets the state of an array: version, shape, dtype, whether the first axis is fastest, and the data.
    pub(super) fn set_array(&mut self, array: usize, state: &[Value<'a>]) -> Result<(), String> {
        let [_, dims, Value::Dtype(dtype), Value::Bool(first_fastest), data] = *state else {
            return Err("an array with a state that cannot be read".into());
        };
        let dims = self.extents(dims)?;
        // An array of Python objects has a list.
        let data = if let Value::List(_) = data { None } else { Some(self.data(data)?) };
        if let Some(array) = self.arrays.get_mut(array) {
            *array = Array { dims, first_fastest, dtype, data };
        }
        Ok(())
    }

    /// Sets the state of a dtype, of which only the byte order is used.
    pub(super) fn set_dtype(&mut self, dtype: usize, state: &[Value<'a>]) {
        if let (Some(dtype), Some(Value::Text(order))) = (self.dtypes.get_mut(dtype), state.get(1)) {
            dtype.big_endian |= *order == ">";
        }
    }

    /// Adds the storage that `torch.storage._load_from_bytes` reads: a file of `torch.save` before PyTorch 1.6.
    pub(super) fn load_storage(&mut self, bytes: usize, budget: &mut Budget) -> Result<Value<'a>, String> {
        let (element, place) = inline_storage(self.bytes(bytes), budget)?;
        self.storages.push(super::Storage { kind: Kind::Number(element), place: Place::Bytes(bytes, place) });
        Ok(Value::Storage(self.storages.len() - 1))
    }
}

fn inline_storage(bytes: &[u8], budget: &mut Budget) -> Result<(Element, Range<usize>), String> {
    let damaged = || "a storage inside the pickle that cannot be read".to_string();
    let rest = bytes.strip_prefix(TORCH_LEGACY).ok_or_else(damaged)?;
    let (_, _, rest) = load::<true>(rest, budget, true)?;
    let (system, parts, rest) = load::<true>(rest, budget, true)?;
    let little = (Value::Text("little_endian"), Value::Bool(true));
    let is_little = matches!(system, Value::Dict(system) if parts.pairs(system).contains(&little));
    let (value, heap, rest) = load::<true>(rest, budget, true)?;
    let (_, _, rest) = load::<true>(rest, budget, true)?;
    let Value::Storage(id) = value else { return Err(damaged()) };
    let Some(Kind::Number(element)) = heap.storage(id).map(|storage| storage.kind) else {
        return Err("a storage inside the pickle with an unsupported type of elements".into());
    };
    let (count, data) = rest.split_first_chunk::<8>().filter(|_| is_little).ok_or_else(damaged)?;
    let len = usize::try_from(u64::from_le_bytes(*count)).ok().and_then(|n| n.checked_mul(element.size()));
    let len = len.filter(|&len| len <= data.len()).ok_or_else(damaged)?;
    let start = bytes.len() - data.len();
    Ok((element, start..start + len))
}
