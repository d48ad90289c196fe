//! The globals that state dicts use.

use super::{Heap, Storage, Strided, Value};
use crate::io::element::Element;

/// A global that a pickle may name. Any other name is an error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::io) enum Global {
    OrderedDict,
    /// `torch._utils._rebuild_tensor` and `_v2`.
    RebuildTensor,
    RebuildParameter,
    Storage(Element),
    Size,
    Device,
    /// `torch.float32` and the like.
    Dtype,
}

impl Global {
    /// Returns the global with this name, if it is supported.
    pub fn find(module: &str, name: &str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "Size") => Self::Size,
            ("torch", "device") => Self::Device,
            ("torch", "float64" | "float32" | "float16" | "bfloat16" | "bool" | "uint8") => Self::Dtype,
            ("torch", "int8" | "int16" | "int32" | "int64") => Self::Dtype,
            ("torch", storage) => Self::Storage(match storage {
                "DoubleStorage" => Element::F64,
                "FloatStorage" => Element::F32,
                "HalfStorage" => Element::F16,
                "BFloat16Storage" => Element::Bf16,
                "LongStorage" => Element::I64,
                "IntStorage" => Element::I32,
                "ShortStorage" => Element::I16,
                "CharStorage" => Element::I8,
                "ByteStorage" => Element::U8,
                "BoolStorage" => Element::Bool,
                _ => return None,
            }),
            _ => return None,
        })
    }

    /// Calls the global with `args`. The result is always plain data.
    pub fn call<'a>(self, args: &[Value<'a>], heap: &mut Heap<'a>) -> Result<Value<'a>, String> {
        match (self, args) {
            (Self::OrderedDict, []) => Ok(heap.dict(Vec::new())),
            (Self::OrderedDict, [Value::List(list)]) => {
                let pair = |v: &Value<'a>| match *v {
                    Value::Tuple(id) | Value::List(id) => {
                        <[Value; 2]>::try_from(heap.items(id)).ok().map(|[k, v]| (k, v))
                    }
                    _ => None,
                };
                let pairs: Option<Vec<_>> = heap.items(*list).iter().map(pair).collect();
                pairs.map(|pairs| heap.dict(pairs)).ok_or_else(|| "an OrderedDict of items that are not pairs".into())
            }
            (Self::RebuildTensor, [Value::Storage(storage), Value::Int(offset), dims, strides, rest @ ..]) => {
                // `rest` holds `requires_grad`, hooks, and metadata such as a negation flag.
                if rest.get(2).is_some_and(|v| *v != Value::None) || rest.len() > 3 {
                    return Err("a tensor with flags, such as conjugation, which is not supported".into());
                }
                let offset = usize::try_from(*offset).map_err(|_| format!("a tensor starts at {offset}"))?;
                let (dims, strides) = (heap.extents(*dims)?, heap.extents(*strides)?);
                heap.tensors.push(Strided { storage: *storage, offset, dims, strides });
                Ok(Value::Tensor(heap.tensors.len() - 1))
            }
            (Self::RebuildParameter, [tensor @ Value::Tensor(_), ..]) => Ok(*tensor),
            (Self::Size, [size @ Value::Tuple(_)]) => Ok(*size),
            (Self::Device, _) => Ok(Value::Opaque),
            _ => Err(format!("{self:?} is called with arguments that it does not take")),
        }
    }
}

impl<'a> Heap<'a> {
    pub(super) fn dict(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.pairs.push(pairs);
        Value::Dict(self.pairs.len() - 1)
    }

    /// Resolves the tuple `('storage', class, key, device, elements, ..)` with which a pickle names a storage of the
    /// file.
    pub(super) fn persistent(&mut self, id: Value<'a>) -> Result<Value<'a>, String> {
        let Value::Tuple(id) = id else { return Err("a persistent id that is not a tuple".into()) };
        match *self.items(id) {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(element)),
                Value::Text(key),
                _,
                Value::Int(_),
                ref view @ ..,
            ] => {
                if view.iter().any(|v| *v != Value::None) {
                    return Err(format!("storage {key:?} is a part of another storage, which is not supported"));
                }
                self.storages.push(Storage { element, key });
                Ok(Value::Storage(self.storages.len() - 1))
            }
            _ => Err("a persistent id that names no storage".into()),
        }
    }

    /// Reads a tuple of extents.
    fn extents(&self, tuple: Value<'a>) -> Result<Vec<usize>, String> {
        let extent = |v: &Value| match *v {
            Value::Int(n) => usize::try_from(n).ok(),
            _ => None,
        };
        let Value::Tuple(id) = tuple else { return Err("a shape that is not a tuple".into()) };
        let extents = self.items(id).iter().map(extent).collect::<Option<_>>();
        extents.ok_or_else(|| "a shape or stride that is not a tuple of counts".into())
    }
}
