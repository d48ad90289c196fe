//! Programs of `torch.export.save` (`.pt2`): the weights are raw members of a zip archive, described in JSON. Older
//! programs hold a file of `torch.save`. Source: PyTorch, *torch/export/pt2_archive/*, *torch/_export/serde/schema.py*.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use super::tree::{field, size};
use crate::error::{Error, Result};
use crate::io::budget::Budget;
use crate::io::element::{Element, View};
use crate::io::zip::{Archive, Member};
use crate::io::{TensorFile, torch};
use crate::json;

/// Ends of the members that describe the weights and the constants, in the present and in older formats.
const CONFIGS: [&str; 2] = ["_weights_config.json", "_constants_config.json"];
const OLDER: [&str; 2] = ["serialized_state_dict.pt", "serialized_constants.pt"];

pub(super) fn read(source: &str, archive: &Archive, budget: &mut Budget) -> Result<TensorFile> {
    let mut file = TensorFile::named(source);
    let members: HashMap<&str, &Member> = archive.members().iter().map(|member| (member.name, member)).collect();
    // Several tensors may refer to one member, which is read once.
    let mut data: HashMap<String, Cow<[u8]>> = HashMap::new();
    for member in archive.members() {
        if OLDER.iter().any(|end| member.name.ends_with(end)) {
            let bytes = archive.read(member, budget)?;
            add(&mut file, "", torch_save(source, &bytes, budget)?, budget)?;
        }
        if !CONFIGS.iter().any(|end| member.name.ends_with(end)) {
            continue;
        }
        let text = archive.read(member, budget)?;
        let object = json::object(&text).map_err(|why| archive.error(member.name, format!("is {why}")))?;
        let folder = &member.name[..member.name.rfind('/').map_or(0, |at| at + 1)];
        for entry in json::entries(field(object, "config").unwrap_or_default()) {
            let (name, entry) = entry.map_err(|why| archive.error(member.name, format!("holds {why}")))?;
            budget.take_name(source, name.len())?;
            let what = || format!("{source}: tensor {name:?}");
            let bad = |why: &str| Error::format(what(), why);
            let path = field(entry, "path_name").and_then(json::text).ok_or_else(|| bad("has no path_name"))?;
            let path = format!("{folder}{path}");
            let member = members.get(path.as_str()).ok_or_else(|| bad("is not in the archive"))?;
            let data = match data.entry(path) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(place) => place.insert(archive.read(member, budget)?),
            };
            if field(entry, "use_pickle") == Some("true") {
                add(&mut file, &name, torch_save(source, data, budget)?, budget)?;
                continue;
            }
            let meta = field(entry, "tensor_meta").unwrap_or_default();
            let (dims, strides) = (extents(meta, "sizes"), extents(meta, "strides"));
            let offset = field(meta, "storage_offset").and_then(|offset| size(offset, "as_int"));
            let (Some(dims), Some(strides), Some(offset)) = (dims, strides, offset) else {
                return Err(bad("has extents that are not whole numbers"));
            };
            let values = match size(meta, "dtype").and_then(element) {
                Some(element) => {
                    let (bytes, dims, strides) = (&data[..], &dims[..], &strides[..]);
                    View { element, bytes, big_endian: false, offset, dims, strides }.values(&what, budget)?
                }
                None => Err("has elements of an unsupported type".into()),
            };
            file.put(&name, &dims, values);
        }
    }
    file.sorted()
}

/// Returns the element type with this number in `ScalarType`.
fn element(number: usize) -> Option<Element> {
    use Element::*;
    let types = [U8, I8, I16, I32, I64, F16, F32, F64];
    match number {
        1..=8 => types.get(number - 1).copied(),
        12 => Some(Bool),
        13 => Some(Bf16),
        28 => Some(U16),
        _ => None,
    }
}

fn extents(meta: &str, key: &str) -> Option<Vec<usize>> {
    json::items(field(meta, key)?).take(64).map(|extent| size(extent, "as_int")).collect()
}

fn torch_save(source: &str, bytes: &[u8], budget: &mut Budget) -> Result<TensorFile> {
    torch::read_archive::<true>(source, &Archive::new(source, bytes)?, budget)
}

/// Adds the tensors of a nested file. A file that is a single tensor gets the name `name`.
fn add(file: &mut TensorFile, name: &str, nested: TensorFile, budget: &mut Budget) -> Result<()> {
    let named = |own| if name.is_empty() { own } else { name };
    for (own, dims, values) in nested.tensors() {
        budget.take(|| format!("{}: tensor {own:?}", file.source()), 4 * values.len())?;
        file.add(named(own), dims, values.to_vec());
    }
    for (own, why) in nested.unreadable() {
        file.put(named(own), &[], Err(why.into()));
    }
    Ok(())
}
