//! Safetensors

use ::safetensors::tensor::{Dtype, SafeTensorError, SafeTensors};

use super::TensorFile;
use super::budget::Budget;
use super::element::{Element, View, strides};
use super::file::METADATA;
use crate::error::{Error, Result};

/// Reads a whole file.
pub(super) fn read(source: &str, bytes: &[u8]) -> Result<TensorFile> {
    let bad = |e: SafeTensorError| Error::format(source, format!("not a whole safetensors file: {e}"));
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(bad)?;
    let parsed = SafeTensors::deserialize(bytes).map_err(bad)?;
    let mut budget = Budget::of(bytes.len());
    let mut file = TensorFile::named(source);
    file.metadata = header.metadata().iter().flatten().map(|(k, v)| (k.clone(), v.clone())).collect();
    for (name, view) in parsed.iter() {
        let what = || format!("{source}: tensor {name:?}");
        let element = element(view.dtype())
            .ok_or_else(|| Error::format(what(), format!("has type {:?}; expected numbers", view.dtype())))?;
        let (bytes, dims) = (view.data(), view.shape());
        let strides = strides(dims, false);
        let view = View { element, bytes, big_endian: false, offset: 0, dims, strides: &strides };
        let values = view.values(&what, &mut budget)?;
        file.insert(name, dims, values);
    }
    file.sort();
    Ok(file)
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::U16 => Element::U16,
        Dtype::U32 => Element::U32,
        Dtype::U64 => Element::U64,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        _ => return None,
    })
}

/// The file's bytes. The same content always gives the same bytes, which the crate `safetensors` does not promise of
/// the metadata; so the header is written here. The file was checked.
pub(super) fn write(file: &TensorFile) -> Vec<u8> {
    // PyTorch's loaders look for this key.
    let mut metadata = file.metadata.clone();
    metadata.entry("format".into()).or_insert_with(|| "pt".into());
    let mut header = serde_json::Map::new();
    header.insert(METADATA.into(), serde_json::json!(metadata));
    let mut end = 0;
    for (name, dims, values) in file.tensors() {
        let start = end;
        end += 4 * values.len();
        let entry = serde_json::json!({ "dtype": "F32", "shape": dims, "data_offsets": [start, end] });
        header.insert(name.to_string(), entry);
    }
    let mut header = serde_json::Value::from(header).to_string();
    // Spaces up to a multiple of 8, so that the data are aligned.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(8) - header.len()));
    let mut bytes = Vec::with_capacity(8 + header.len() + end);
    bytes.extend((header.len() as u64).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(file.tensors().flat_map(|(_, _, values)| values).flat_map(|v| v.to_le_bytes()));
    bytes
}
