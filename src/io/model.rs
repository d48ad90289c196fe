//! Saves and loads the parameters of any model.

use super::TensorFile;
use super::tensors::Names;
use crate::error::{Error, Result};
use crate::nn::Module;
use crate::tensor::Tensor;

/// Writes a model's parameters to a file, under their names.
///
/// # Errors
/// [`Error::Io`], and errors from reading tensors back.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_parameters_blocking(model: &dyn Module, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(parameters_to_file(model))?.save(path)
}

/// Returns a file with a model's named parameters. Tied parameters appear under each of their names.
///
/// # Errors
/// Errors from reading tensors back.
pub async fn parameters_to_file(model: &dyn Module) -> Result<TensorFile> {
    let mut file = TensorFile::default();
    file.insert_all("", &model.parameters()).await?;
    Ok(file)
}

/// Loads a model's parameters from a file. On an error, no parameter is changed.
///
/// # Errors
/// [`Error::Format`] naming the tensor that is missing, unknown, of another shape, or different from one that the model
/// ties to it. For tied weights, one of the names is enough.
pub fn load_parameters(model: &dyn Module, file: &TensorFile) -> Result<()> {
    assign_all(&matched(&model.parameters(), file, "")?)
}

/// Names that are only in the file or only in the model, as returned by `torch.nn.Module.load_state_dict`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncompatibleKeys {
    /// Parameters of the model that are not in the file. They keep their values.
    pub missing_keys: Vec<String>,
    /// Tensors of the file that are not in the model. They are ignored.
    pub unexpected_keys: Vec<String>,
}

/// Loads the parameters whose names are in both the file and the model, as `load_state_dict(…, strict=False)` of
/// PyTorch, for example to start from a model with another head. On an error, no parameter is changed.
///
/// ```
/// use wgru::{Device, Rng, io, nn::{Linear, Sequential}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(1));
/// let mut linear = |output| Linear::new(&device, 3, output, false, &mut rng);
/// let old = Sequential::new().push("body", linear(3)?).push("classes", linear(5)?);
/// let new = Sequential::new().push("body", linear(3)?).push("value", linear(1)?);
/// let file = pollster::block_on(io::parameters_to_file(&old))?;
/// let keys = io::load_parameters_partly(&new, &file)?;
/// assert_eq!(keys.missing_keys, ["value.weight"]);
/// assert_eq!(keys.unexpected_keys, ["classes.weight"]);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Format`] if no name is in both, for a tensor of another shape, and for tensors that differ although the
/// model ties them.
pub fn load_parameters_partly(model: &dyn Module, file: &TensorFile) -> Result<IncompatibleKeys> {
    let parameters = model.parameters();
    let has = |name: &str| file.find(name).is_some();
    let is_found = |(name, tensor): &&(String, Tensor)| {
        has(name) || parameters.iter().any(|(other, tied)| has(other) && tied.shares_memory(tensor))
    };
    let (found, missing): (Vec<_>, Vec<_>) = parameters.iter().partition(is_found);
    let found: Vec<(String, Tensor)> = found.into_iter().cloned().collect();
    if found.is_empty() && !parameters.is_empty() {
        let why = format!("none of the model's {} parameters is in the file", parameters.len());
        return Err(Error::format(file.source(), why));
    }
    let known = Names::new(parameters.iter().map(|(name, _)| name.as_str()));
    let unexpected_keys = file.names().filter(|name| !known.contains(name)).map(String::from).collect();
    assign_all(&paired(&found, file, "")?)?;
    let missing_keys = missing.into_iter().map(|(name, _)| name.clone()).collect();
    Ok(IncompatibleKeys { missing_keys, unexpected_keys })
}

/// Pairs each parameter with the values of the tensor named `<prefix><name>`. The file must hold exactly these tensors.
pub(super) fn matched<'a>(
    parameters: &[(String, Tensor)],
    file: &'a TensorFile,
    prefix: &str,
) -> Result<Vec<(Tensor, &'a [f32])>> {
    let known = Names::new(parameters.iter().map(|(name, _)| name.as_str()));
    if let Some(extra) = file.names().filter_map(|n| n.strip_prefix(prefix)).find(|n| !known.contains(n)) {
        let prefix = parameters.first().and_then(|(name, _)| file.prefix_of(name)).filter(|_| prefix.is_empty());
        let elsewhere = prefix.map(|p| format!("; its parameters are under {p:?}: use TensorFile::under({p:?})"));
        let why = format!("the model has no such parameter{}", elsewhere.unwrap_or_default());
        return Err(Error::format(format!("{}: tensor {extra:?}", file.source()), why));
    }
    paired(parameters, file, prefix)
}

/// Pairs each parameter with the values of the tensor named `<prefix><name>`, among any other tensors.
fn paired<'a>(parameters: &[(String, Tensor)], file: &'a TensorFile, prefix: &str) -> Result<Vec<(Tensor, &'a [f32])>> {
    let values = |name: &str| file.find(&format!("{prefix}{name}")).map(|(_, values)| values);
    let mut found = Vec::with_capacity(parameters.len());
    for (i, (name, tensor)) in parameters.iter().enumerate() {
        let tied = parameters.iter().enumerate().filter(|(j, (_, other))| *j != i && other.shares_memory(tensor));
        let mut tied = tied.filter_map(|(_, (other, _))| Some((other, values(other)?)));
        match values(name) {
            Some(own) => check_tied(file, (name, own), tied)?,
            // Some programs save tied weights under only one of their names.
            None if tied.next().is_some() => continue,
            None => {}
        }
        found.push((tensor.clone(), file.expect(&format!("{prefix}{name}"), tensor.dims())?));
    }
    Ok(found)
}

/// Rejects a file whose values differ between names that the model ties together.
fn check_tied<'a>(
    file: &TensorFile,
    (name, own): (&str, &[f32]),
    mut tied: impl Iterator<Item = (&'a String, &'a [f32])>,
) -> Result<()> {
    let same = |other: &[f32]| other.iter().map(|v| v.to_bits()).eq(own.iter().map(|v| v.to_bits()));
    match tied.find(|(_, other)| !same(other)) {
        Some((other, _)) => {
            let why = format!(
                "differs from {name:?}, but the model ties the two: they are one parameter. Load the file into a model \
                 whose weights are not tied"
            );
            Err(Error::format(format!("{}: tensor {other:?}", file.source()), why))
        }
        None => Ok(()),
    }
}

pub(super) fn assign_all(matched: &[(Tensor, &[f32])]) -> Result<()> {
    matched.iter().try_for_each(|(tensor, values)| tensor.assign(values))
}
