//! Tar archives of `torch.save` before PyTorch 0.1.10.
//!
//! `storages` holds a count, then for each storage a pickle of its key and type, and its elements; then the views of
//! storages. `tensors` does the same for tensors. `pickle` refers to tensors by key. Source: PyTorch,
//! *torch/serialization.py*, `legacy_load`.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::io::budget::Budget;
use crate::io::pickle::{Global, Heap, Kind, Value, load};
use crate::io::torch::{Named, Storages, Tree, elements};

/// First bytes of such a file: the name of its first member.
pub(super) const START: &[u8] = b"sys_info\0";
/// Size of a header and of the units that members fill, in bytes.
const BLOCK: usize = 512;

/// Splits an archive into its files by name.
fn members(bytes: &[u8]) -> Option<HashMap<&str, &[u8]>> {
    let (mut out, mut rest) = (HashMap::new(), bytes);
    while let Some((head, after)) = rest.split_at_checked(BLOCK).filter(|(head, _)| head[0] != 0) {
        let name = std::str::from_utf8(head[..100].split(|&b| b == 0).next()?).ok()?;
        let size = std::str::from_utf8(&head[124..136]).ok()?.trim_matches(['\0', ' ']);
        let size = usize::from_str_radix(size, 8).ok()?;
        if out.insert(name, after.get(..size)?).is_some() {
            return None;
        }
        rest = after.get(size.checked_next_multiple_of(BLOCK)?..).unwrap_or_default();
    }
    Some(out)
}

/// Returns a key, which is a number or its digits.
fn key(value: &Value) -> Option<i64> {
    match value {
        Value::Int(key) => Some(*key),
        Value::Text(key) => key.parse().ok(),
        _ => None,
    }
}

/// Cursor over a member.
struct Cursor<'a, 'b> {
    rest: &'a [u8],
    budget: &'b mut Budget,
}

impl<'a> Cursor<'a, '_> {
    fn pickle(&mut self) -> Result<(Value<'a>, Heap<'a>), String> {
        let (value, heap, rest) = load::<true>(self.rest, self.budget, true)?;
        self.rest = rest;
        Ok((value, heap))
    }

    /// Reads a pickled tuple.
    fn tuple(&mut self) -> Result<Vec<Value<'a>>, String> {
        match self.pickle()? {
            (Value::Tuple(id) | Value::List(id), heap) => Ok(heap.items(id).to_vec()),
            _ => Err("has an entry that is not a tuple".into()),
        }
    }

    /// Reads a pickled count.
    fn count(&mut self) -> Result<usize, String> {
        match self.pickle()? {
            (Value::Int(n), _) => usize::try_from(n).map_err(|_| "has a negative count".into()),
            _ => Err("has a count that is not a number".into()),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or("is cut short")?;
        self.rest = rest;
        Ok(taken)
    }

    fn word(&mut self) -> Result<usize, String> {
        let word = self.take(8)?.try_into().map_err(|_| "is cut short")?;
        usize::try_from(u64::from_le_bytes(word)).map_err(|_| "has a number that is too large".into())
    }

    fn words(&mut self, count: usize) -> Result<Vec<usize>, String> {
        (0..count).map(|_| self.word()).collect()
    }
}

/// Types and elements of the storages, by key.
type Contents<'a> = HashMap<i64, (Kind<'a>, &'a [u8])>;

fn storages<'a>(bytes: &'a [u8], budget: &mut Budget) -> Result<Contents<'a>, String> {
    let mut cursor = Cursor { rest: bytes, budget };
    let mut out = Contents::new();
    for _ in 0..cursor.count()? {
        let entry = cursor.tuple()?;
        let (Some(key), Some(&Value::Global(Global::Storage(kind)))) = (entry.first().and_then(key), entry.get(2))
        else {
            return Err("has a storage without a key and a type".into());
        };
        let size = kind.size().ok_or("has elements of unknown size")?;
        let len = cursor.word()?.checked_mul(size).ok_or("is cut short")?;
        if out.insert(key, (kind, cursor.take(len)?)).is_some() {
            return Err(format!("has the storage {key} twice"));
        }
    }
    if cursor.rest.iter().all(|&b| b == 0) {
        return Ok(out);
    }
    let (Value::List(views), heap) = cursor.pickle()? else { return Err("has no list of views".into()) };
    for view in heap.items(views) {
        let Value::Tuple(view) = view else { return Err("has a view that is not a tuple".into()) };
        let parts: Option<Vec<i64>> = heap.items(*view).iter().map(key).collect();
        let Some(&[target, root, offset, count]) = parts.as_deref() else { return Err("has a damaged view".into()) };
        let &(kind, data) = out.get(&root).ok_or("has a view of a storage that is missing")?;
        let size = kind.size().ok_or("has elements of unknown size")?;
        let place = |n: i64| usize::try_from(n).ok().and_then(|n| n.checked_mul(size));
        let range = place(offset).zip(place(count)).and_then(|(at, len)| data.get(at..at.checked_add(len)?));
        if out.insert(target, (kind, range.ok_or("has a view past its storage")?)).is_some() {
            return Err(format!("has the storage {target} twice"));
        }
    }
    Ok(out)
}

fn tensors<'a>(
    bytes: &'a [u8],
    storages: &Contents<'a>,
    budget: &mut Budget,
) -> Result<HashMap<i64, Named<'a>>, String> {
    let mut cursor = Cursor { rest: bytes, budget };
    let mut out = HashMap::new();
    for _ in 0..cursor.count()? {
        let entry = cursor.tuple()?;
        let (Some(name), Some(storage)) = (entry.first().and_then(key), entry.get(1).and_then(key)) else {
            return Err("has a tensor without a key and a storage".into());
        };
        let &(kind, bytes) = storages.get(&storage).ok_or("has a tensor whose storage is missing")?;
        // The number of axes has four bytes, and four more follow it.
        let axes = cursor.word()? & 0xff;
        let (dims, strides) = (cursor.words(axes)?, cursor.words(axes)?);
        out.insert(name, Named { kind, bytes, offset: cursor.word()?, dims, strides });
    }
    Ok(out)
}

pub(super) fn read(source: &str, bytes: &[u8], budget: &mut Budget) -> Result<TensorFile> {
    let in_member = |name: &str, why: String| Error::format(format!("{source}: {name:?}"), why);
    let members = members(bytes).ok_or_else(|| Error::format(source, "a tar archive of torch.save that is damaged"))?;
    let get = |name: &str| members.get(name).copied();
    let (Some(stored), Some(program)) = (get("storages"), get("pickle")) else {
        return Err(Error::format(
            source,
            "a tar archive without the members storages and pickle of an early torch.save",
        ));
    };
    let contents = storages(stored, budget).map_err(|why| in_member("storages", why))?;
    let named = match get("tensors") {
        Some(bytes) => tensors(bytes, &contents, budget).map_err(|why| in_member("tensors", why))?,
        None => HashMap::new(),
    };
    let (value, heap, _) = load::<true>(program, budget, false).map_err(|why| in_member("pickle", why))?;
    let mut storages = Storages::new();
    for (name, kind) in elements(source, &heap)? {
        let found = name.parse().ok().and_then(|key: i64| contents.get(&key)).filter(|(found, _)| *found == kind);
        let (_, data) = found.ok_or_else(|| in_member("storages", format!("has no storage {name:?} of its type")))?;
        storages.insert(name, Cow::Borrowed(data));
    }
    Tree { named, ..Tree::new(source, &heap, storages, budget) }.file::<true>("", value)
}
