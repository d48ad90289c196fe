//! Checkpoints in several files, with an index: `model.safetensors.index.json`.

use std::collections::BTreeSet;
use std::path::{Component, Path};

use super::tree::field;
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::json;

/// The key of the index that maps tensors to files.
pub(super) const MAP: &str = "weight_map";

/// Reads the files that an index names. They must be in its folder.
pub(super) fn read(path: &Path, index: &str) -> Result<TensorFile> {
    let source = path.display().to_string();
    let bad = |why: String| Error::format(&source, why);
    let map = json::texts(field(index, MAP).unwrap_or_default()).map_err(|why| bad(format!("holds {why}")))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut file = TensorFile::named(&source);
    for name in map.values().collect::<BTreeSet<_>>() {
        let mut parts = Path::new(name).components();
        let is_plain =
            matches!((parts.next(), parts.next()), (Some(Component::Normal(part)), None) if part == name.as_str());
        if !is_plain || name.contains(['/', '\\', ':', '\0']) {
            return Err(bad(format!("names the file {name:?}; expected a file in the folder of the index")));
        }
        let shard = TensorFile::open(folder.join(name))?;
        for tensor in map.iter().filter(|(_, file)| *file == name).map(|(tensor, _)| tensor) {
            match (shard.find(tensor), shard.reason(tensor)) {
                (Some((dims, values)), _) => file.add(tensor, dims, values.to_vec()),
                (None, Some(why)) => file.put(tensor, &[], Err(why.into())),
                (None, None) => return Err(bad(format!("has no tensor {tensor:?} in {name:?}"))),
            }
        }
    }
    file.sorted()
}
