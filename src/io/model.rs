//! Parameters of any model, and whole GRUs

use super::TensorFile;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Gru, GruConfig, Module};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Writes a model's parameters under their names.
///
/// # Errors
/// [`Error::Io`], and those of reading back.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_parameters(model: &dyn Module, path: impl AsRef<std::path::Path>) -> Result<()> {
    pollster::block_on(parameters_to_file(model))?.save(path)
}

/// A model's parameters under their names.
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
/// [`Error::Format`] naming the tensor that is missing, superfluous or of another shape.
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
        return Err(Error::format(format!("tensor {extra:?}"), "the model has no such parameter"));
    }
    let find = |(name, tensor): &(String, Tensor)| {
        Ok((tensor.clone(), file.expect(&format!("{prefix}{name}"), tensor.dims())?))
    };
    parameters.iter().map(find).collect()
}

pub(super) fn assign_all(matched: &[(Tensor, &[f32])]) -> Result<()> {
    matched.iter().try_for_each(|(tensor, values)| tensor.assign(values))
}

/// Writes a GRU: PyTorch's names, and in the metadata what the shapes do not tell.
///
/// # Errors
/// As [`save_parameters`].
#[cfg(not(target_arch = "wasm32"))]
pub fn save_gru(gru: &Gru, path: impl AsRef<std::path::Path>) -> Result<()> {
    pollster::block_on(gru_to_file(gru))?.save(path)
}

/// A GRU: PyTorch's names, and in the metadata what the shapes do not tell.
///
/// # Errors
/// Those of reading back.
pub async fn gru_to_file(gru: &Gru) -> Result<TensorFile> {
    let mut file = parameters_to_file(gru).await?;
    let c = gru.config();
    for (key, value) in [("batch_first", c.batch_first), ("reset_after", c.reset_after), ("reverse", c.reverse)] {
        file.metadata.insert(format!("gru.{key}"), value.to_string());
    }
    file.metadata.insert("gru.dropout".into(), c.dropout.to_string());
    Ok(file)
}

/// Builds a GRU from a file: sizes from the shapes, the rest from the metadata. A state dict of `torch.nn.GRU` has
/// none: it is read as PyTorch means it, reset after and time-first.
///
/// ```
/// use wgru::{Device, Rng, io, nn::{GruConfig, Module}};
/// let (device, path) = (Device::cpu(), std::env::temp_dir().join("wgru-doc.safetensors"));
/// let gru = GruConfig { input: 2, hidden: 3, bidirectional: true, ..Default::default() }.build(&device, &mut Rng::new(0))?;
/// io::save_gru(&gru, &path)?;
/// let copy = io::load_gru(&device, &io::TensorFile::open(&path)?)?;
/// assert_eq!(copy.config(), gru.config());
/// assert_eq!(copy.parameters()[0].1.to_vec()?, gru.parameters()[0].1.to_vec()?);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Format`] naming the tensor that is missing, superfluous or of another shape.
pub fn load_gru(device: &Device, file: &TensorFile) -> Result<Gru> {
    let has = |name: &str| file.names().any(|n| n == name);
    let (dims, _) = file.get("weight_ih_l0")?;
    let &[gates, input] = dims else {
        return Err(Error::format("tensor \"weight_ih_l0\"", format!("has shape {dims:?}; expected [3·H, I]")));
    };
    if gates == 0 || gates % 3 != 0 || input == 0 {
        return Err(Error::format("tensor \"weight_ih_l0\"", format!("has shape {dims:?}; expected [3·H, I]")));
    }
    let flag = |key: &str, default: bool| {
        if file.metadata.contains_key(key) { file.field::<bool>(key) } else { Ok(default) }
    };
    let config = GruConfig {
        input,
        hidden: gates / 3,
        layers: (0..).take_while(|l| has(&format!("weight_ih_l{l}"))).count(),
        bias: has("bias_ih_l0"),
        bidirectional: has("weight_ih_l0_reverse"),
        batch_first: flag("gru.batch_first", false)?,
        reset_after: flag("gru.reset_after", true)?,
        reverse: flag("gru.reverse", false)?,
        dropout: if file.metadata.contains_key("gru.dropout") { file.field("gru.dropout")? } else { 0.0 },
        plan: None,
    };
    // Every tensor is compared with the size that the others imply before anything of that size is made.
    let stored: usize = file.names().filter_map(|n| file.get(n).ok()).map(|(_, v)| v.len()).sum();
    if 3 * config.hidden * config.hidden > stored {
        return Err(Error::format("tensor \"weight_ih_l0\"", "no weight_hh_l0 of that hidden size is in the file"));
    }
    let gru = config.build(device, &mut Rng::new(0))?;
    load_parameters(&gru, file)?;
    Ok(gru)
}
