//! Parameters of any model

use super::TensorFile;
use crate::error::{Error, Result};
use crate::nn::{Module, by_storage};
use crate::tensor::Tensor;

/// Writes a model's parameters under their names.
///
/// # Errors
/// [`Error::Io`], and those of reading back.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_parameters(model: &dyn Module, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(parameters_to_file(model))?.save(path)
}

/// A model's parameters under their names, tied ones under each of theirs.
///
/// # Errors
/// Those of reading back.
pub async fn parameters_to_file(model: &dyn Module) -> Result<TensorFile> {
    let mut file = TensorFile::default();
    file.insert_all("", &model.parameters()).await?;
    Ok(file)
}

/// Sets a model's parameters from a file, all or none.
///
/// # Errors
/// [`Error::Format`] naming the tensor that is missing, superfluous, of another shape, or different from one that the
/// model ties it to.
pub fn load_parameters(model: &dyn Module, file: &TensorFile) -> Result<()> {
    assign_all(&matched(&model.parameters(), file, "")?)
}

/// Each parameter with its values of the tensor named `<prefix><name>`; the file must hold exactly these.
pub(super) fn matched<'a>(
    parameters: &[(String, Tensor)],
    file: &'a TensorFile,
    prefix: &str,
) -> Result<Vec<(Tensor, &'a [f32])>> {
    let known = |name: &str| parameters.iter().any(|(n, _)| n == name);
    if let Some(extra) = file.names().filter_map(|n| n.strip_prefix(prefix)).find(|n| !known(n)) {
        let prefix = parameters.first().and_then(|(name, _)| file.prefix_of(name)).filter(|_| prefix.is_empty());
        let elsewhere = prefix.map(|p| format!("; its parameters are under {p:?}: take TensorFile::under({p:?})"));
        let why = format!("the model has no such parameter{}", elsewhere.unwrap_or_default());
        return Err(Error::format(format!("{}: tensor {extra:?}", file.source()), why));
    }
    let find = |(name, tensor): &(String, Tensor)| {
        Ok((tensor.clone(), file.expect(&format!("{prefix}{name}"), tensor.dims())?))
    };
    let found = parameters.iter().map(find).collect::<Result<Vec<_>>>()?;
    check_tied(parameters, file, prefix)?;
    Ok(found)
}

/// Refuses a file with different values for names that the model ties together: only one of them could be kept.
fn check_tied(parameters: &[(String, Tensor)], file: &TensorFile, prefix: &str) -> Result<()> {
    for tied in by_storage(parameters) {
        let bits = |name: &str| -> Result<Vec<u32>> {
            Ok(file.get(&format!("{prefix}{name}"))?.1.iter().map(|v| v.to_bits()).collect())
        };
        let Some((first, others)) = tied.names.split_first() else { continue };
        for other in others {
            if bits(first)? != bits(other)? {
                let why = format!("differs from {first:?}, but the model ties both: one storage under two names");
                return Err(Error::format(format!("tensor {other:?}"), why));
            }
        }
    }
    Ok(())
}

pub(super) fn assign_all(matched: &[(Tensor, &[f32])]) -> Result<()> {
    matched.iter().try_for_each(|(tensor, values)| tensor.assign(values))
}
