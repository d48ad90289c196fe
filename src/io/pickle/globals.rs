//! The globals that state dicts and NumPy's arrays use.

use super::{Heap, Place, Storage, Strided, Value};
use crate::io::element::Element;

/// A global that a pickle names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::io) enum Global<'a> {
    OrderedDict,
    /// `torch._utils._rebuild_tensor`, `_v2` and `_v3`.
    RebuildTensor,
    RebuildParameter,
    /// A function of PyTorch that builds a tensor in an unsupported layout, such as a sparse or quantized one.
    RebuildOther(&'a str),
    Storage(Kind<'a>),
    Size,
    Device,
    /// `torch.float32` and the like.
    Dtype,
    /// `torch.storage._load_from_bytes`: a storage inside a plain pickle.
    LoadFromBytes,
    /// `_codecs.encode`, by which protocol 2 stores bytes.
    Encode,
    NumpyDtype,
    /// `numpy.core.multiarray._reconstruct`: an array whose content follows as its state.
    NumpyArray,
    NumpyScalar,
    /// `numpy.core.numeric._frombuffer`.
    NumpyBuffer,
    /// Any other function or class. Nothing calls it.
    Foreign,
}

/// The type of a storage's elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::io) enum Kind<'a> {
    Number(Element),
    /// An unsupported type, by the name of its class.
    Other(&'a str),
}

impl Kind<'_> {
    /// Size of one element in bytes, if it is known.
    pub fn size(self) -> Option<usize> {
        match self {
            Kind::Number(element) => Some(element.size()),
            Kind::Other("QInt8Storage" | "QUInt8Storage" | "UntypedStorage") => Some(1),
            Kind::Other("QInt32Storage") => Some(4),
            Kind::Other("ComplexFloatStorage") => Some(8),
            Kind::Other("ComplexDoubleStorage") => Some(16),
            Kind::Other(_) => None,
        }
    }
}

impl<'a> Global<'a> {
    /// Returns the global with this name, if tensors need it. With `ALL`, also those of NumPy and of plain pickles, and
    /// any other one as foreign.
    pub fn find<const ALL: bool>(module: &'a str, name: &'a str) -> Option<Self> {
        Self::of_tensors(module, name).or_else(|| ALL.then(|| Self::other(module, name)))
    }

    fn of_tensors(module: &'a str, name: &'a str) -> Option<Self> {
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2" | "_rebuild_tensor_v3") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Self::RebuildParameter,
            ("torch._utils" | "torch._tensor", name) if name.starts_with("_rebuild_") => Self::RebuildOther(name),
            ("torch", "Size") => Self::Size,
            ("torch", "device") => Self::Device,
            ("torch", "float64" | "float32" | "float16" | "bfloat16" | "bool" | "uint8") => Self::Dtype,
            ("torch", "int8" | "int16" | "int32" | "int64") => Self::Dtype,
            ("torch" | "torch.cuda" | "torch.storage", storage) if storage.ends_with("Storage") => {
                Self::Storage(match storage {
                    "DoubleStorage" => Kind::Number(Element::F64),
                    "FloatStorage" => Kind::Number(Element::F32),
                    "HalfStorage" => Kind::Number(Element::F16),
                    "BFloat16Storage" => Kind::Number(Element::Bf16),
                    "LongStorage" => Kind::Number(Element::I64),
                    "IntStorage" => Kind::Number(Element::I32),
                    "ShortStorage" => Kind::Number(Element::I16),
                    "CharStorage" => Kind::Number(Element::I8),
                    "ByteStorage" => Kind::Number(Element::U8),
                    "BoolStorage" => Kind::Number(Element::Bool),
                    other => Kind::Other(other),
                })
            }
            _ => return None,
        })
    }

    fn other(module: &str, name: &str) -> Self {
        match (module, name) {
            ("torch.storage", "_load_from_bytes") => Self::LoadFromBytes,
            ("_codecs", "encode") => Self::Encode,
            ("numpy", "dtype") => Self::NumpyDtype,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct") => Self::NumpyArray,
            ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::NumpyScalar,
            ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Self::NumpyBuffer,
            _ => Self::Foreign,
        }
    }

    /// Calls the global with `args`. The result is always plain data.
    pub fn call<const ALL: bool>(self, args: &[Value<'a>], heap: &mut Heap<'a>) -> Result<Value<'a>, String> {
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
            (Self::RebuildTensor, [storage, Value::Int(offset), dims, strides, rest @ ..]) => {
                let storage = match *storage {
                    Value::Storage(id) => id,
                    // Some tar files hold the storage's id in place of the storage.
                    Value::Tuple(_) => match heap.persistent(*storage)? {
                        Value::Storage(id) => id,
                        _ => return Err("a tensor without a storage".into()),
                    },
                    _ => return Err("a tensor without a storage".into()),
                };
                let offset = usize::try_from(*offset).map_err(|_| format!("a tensor starts at {offset}"))?;
                let (dims, strides) = (heap.extents(*dims)?, heap.extents(*strides)?);
                // `rest` holds `requires_grad`, hooks, and metadata such as a negation flag.
                let flagged = rest.get(2).is_some_and(|v| *v != Value::None) || rest.len() > 3;
                heap.tensors.push(Strided { storage, offset, dims, strides, flagged });
                Ok(Value::Tensor(heap.tensors.len() - 1))
            }
            (Self::RebuildParameter, [tensor @ (Value::Tensor(_) | Value::Unsupported(_)), ..]) => Ok(*tensor),
            (Self::RebuildOther(name), _) => Ok(Value::Unsupported(name)),
            (Self::Size, [size @ Value::Tuple(_)]) => Ok(*size),
            (Self::Device, _) => Ok(Value::Opaque),
            (Self::Foreign, _) if ALL => Ok(heap.object()),
            (Self::NumpyDtype | Self::NumpyArray | Self::NumpyScalar | Self::NumpyBuffer | Self::Encode, _) if ALL => {
                self.call_numpy(args, heap)
            }
            _ => Err(format!("{self:?} is called with arguments that it does not take")),
        }
    }
}

impl<'a> Heap<'a> {
    pub(super) fn dict(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) -> Value<'a> {
        self.pairs.push(pairs);
        Value::Dict(self.pairs.len() - 1)
    }

    /// Adds an object of a foreign class, without attributes.
    pub(super) fn object(&mut self) -> Value<'a> {
        self.pairs.push(Vec::new());
        Value::Object(self.pairs.len() - 1)
    }

    /// Resolves the tuple `('storage', class, key, device, elements, ..)` with which a pickle names a storage of the
    /// file.
    pub(super) fn persistent(&mut self, id: Value<'a>) -> Result<Value<'a>, String> {
        let Value::Tuple(id) = id else { return Err("a persistent id that is not a tuple".into()) };
        match *self.items(id) {
            [
                Value::Text("storage"),
                Value::Global(Global::Storage(kind)),
                Value::Text(key),
                _,
                Value::Int(_),
                ref view @ ..,
            ] => {
                if view.iter().any(|v| *v != Value::None) {
                    return Err(format!("storage {key:?} is a part of another storage, which is not supported"));
                }
                self.storages.push(Storage { kind, place: Place::File(key) });
                Ok(Value::Storage(self.storages.len() - 1))
            }
            // The source code of a module saved as a whole: ('module', class, file, source).
            [Value::Text("module"), class, ..] => Ok(class),
            _ => Err("a persistent id that names no storage".into()),
        }
    }

    /// Reads a tuple of extents.
    pub(super) fn extents(&self, tuple: Value<'a>) -> Result<Vec<usize>, String> {
        let extent = |v: &Value| match *v {
            Value::Int(n) => usize::try_from(n).ok(),
            _ => None,
        };
        let Value::Tuple(id) = tuple else { return Err("a shape that is not a tuple".into()) };
        let extents = self.items(id).iter().map(extent).collect::<Option<_>>();
        extents.ok_or_else(|| "a shape or stride that is not a tuple of counts".into())
    }
}
