//! Parameters of any model, and whole GRUs

use super::TensorFile;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Gru, GruActivations, GruConfig, Module, Padding, RecurrentOptions};
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
    let a = &c.activations;
    for (key, value) in [("reset", a.reset), ("update", a.update), ("candidate", a.candidate)] {
        file.metadata.insert(format!("gru.activation.{key}"), value.to_string());
    }
    let o = &c.options;
    if let Some(clip) = o.clip {
        file.metadata.insert("gru.clip".into(), clip.to_string());
    }
    file.metadata.insert("gru.repeat_last".into(), (o.padding == Padding::RepeatLast).to_string());
    for (key, share) in shares(o) {
        file.metadata.insert(format!("gru.{key}"), share.to_string());
    }
    Ok(file)
}

fn shares(o: &RecurrentOptions) -> [(&'static str, f32); 4] {
    [
        ("input_dropout", o.input_dropout),
        ("recurrent_dropout", o.recurrent_dropout),
        ("zoneout", o.zoneout),
        ("weight_dropout", o.weight_dropout),
    ]
}

/// A value of the metadata, or what holds without it.
fn field_or<T: std::str::FromStr>(file: &TensorFile, key: &str, default: T) -> Result<T> {
    if file.metadata.contains_key(key) { file.field(key) } else { Ok(default) }
}

fn activations(file: &TensorFile) -> Result<GruActivations> {
    let d = GruActivations::default();
    Ok(GruActivations {
        reset: field_or(file, "gru.activation.reset", d.reset)?,
        update: field_or(file, "gru.activation.update", d.update)?,
        candidate: field_or(file, "gru.activation.candidate", d.candidate)?,
    })
}

fn options(file: &TensorFile) -> Result<RecurrentOptions> {
    let clip = if file.metadata.contains_key("gru.clip") { Some(file.field("gru.clip")?) } else { None };
    let padding = if field_or(file, "gru.repeat_last", false)? { Padding::RepeatLast } else { Padding::Zero };
    Ok(RecurrentOptions {
        clip,
        padding,
        input_dropout: field_or(file, "gru.input_dropout", 0.0)?,
        recurrent_dropout: field_or(file, "gru.recurrent_dropout", 0.0)?,
        zoneout: field_or(file, "gru.zoneout", 0.0)?,
        zoneout_cell: 0.0,
        weight_dropout: field_or(file, "gru.weight_dropout", 0.0)?,
        learn_h0: file.names().any(|n| n == "h0"),
    })
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
    let config = GruConfig {
        input,
        hidden: gates / 3,
        layers: (0..).take_while(|l| has(&format!("weight_ih_l{l}"))).count(),
        bias: has("bias_ih_l0"),
        bidirectional: has("weight_ih_l0_reverse"),
        batch_first: field_or(file, "gru.batch_first", false)?,
        reset_after: field_or(file, "gru.reset_after", true)?,
        reverse: field_or(file, "gru.reverse", false)?,
        dropout: field_or(file, "gru.dropout", 0.0)?,
        activations: activations(file)?,
        options: options(file)?,
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
