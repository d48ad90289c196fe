//! Files with recurrent layers, under PyTorch's tensor names. The metadata holds the options that the shapes do not
//! imply.

use super::tensors::Names;
use super::verify::{self, PREFIX, verify};
use super::{TensorFile, parameters_to_file};
use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::math::number;
use crate::nn::{Padding, Recurrent, RecurrentConfig, RecurrentOptions};
use crate::tensor::Tensor;

/// Prefixes of a layer's options in the metadata; see [`Cell::layer`].
const KINDS: [&str; 3] = ["gru", "lstm", "rnn"];

/// Returns the options that the shapes do not imply, as metadata keys and values.
fn fields(c: &RecurrentConfig) -> Vec<(String, String)> {
    let o = &c.options;
    let mut out = vec![
        ("batch_first".to_string(), c.batch_first.to_string()),
        ("reverse".into(), c.reverse.to_string()),
        ("repeat_last".into(), (o.padding == Padding::RepeatLast).to_string()),
    ];
    out.extend(o.clip.map(|clip| ("clip".into(), clip.to_string())));
    let shares = [
        ("dropout", c.dropout),
        ("input_dropout", o.input_dropout),
        ("recurrent_dropout", o.recurrent_dropout),
        ("zoneout", o.zoneout),
        ("weight_dropout", o.weight_dropout),
    ];
    out.extend(shares.map(|(key, share)| (key.into(), share.to_string())));
    match c.cell {
        Cell::Gru | Cell::GruResetBefore => out.push(("reset_after".into(), (c.cell == Cell::Gru).to_string())),
        Cell::Lstm => {
            out.push(("input_forget".into(), c.input_forget.to_string()));
            out.push(("zoneout_cell".into(), o.zoneout_cell.to_string()));
        }
        Cell::Rnn | Cell::RnnRelu => {}
    }
    let named = c.cell.activation_names().iter().zip(c.activations());
    out.extend(named.map(|(name, activation)| (format!("activation.{name}"), activation.to_string())));
    out
}

/// Sets one of the [`fields`]. Returns `None` if the value cannot be parsed, and `Some(false)` if the key is unknown.
fn set(c: &mut RecurrentConfig, key: &str, text: &str) -> Option<bool> {
    fn put<T>(place: &mut T, read: Option<T>) -> Option<bool> {
        *place = read?;
        Some(true)
    }
    let share = || number(text).map(|share| share as f32);
    let flag = || text.parse().ok();
    let o = &mut c.options;
    match key {
        "batch_first" => put(&mut c.batch_first, flag()),
        "reverse" => put(&mut c.reverse, flag()),
        "dropout" => put(&mut c.dropout, share()),
        "input_dropout" => put(&mut o.input_dropout, share()),
        "recurrent_dropout" => put(&mut o.recurrent_dropout, share()),
        "zoneout" => put(&mut o.zoneout, share()),
        "weight_dropout" => put(&mut o.weight_dropout, share()),
        "clip" => put(o.clip.insert(0.0), share()),
        "repeat_last" => {
            o.padding = if flag()? { Padding::RepeatLast } else { Padding::Zero };
            Some(true)
        }
        "reset_after" if c.cell.is_gru() => {
            c.cell = if flag()? { Cell::Gru } else { Cell::GruResetBefore };
            Some(true)
        }
        "input_forget" if c.cell == Cell::Lstm => put(&mut c.input_forget, flag()),
        "zoneout_cell" if c.cell == Cell::Lstm => put(&mut o.zoneout_cell, share()),
        _ => {
            let gate = key.strip_prefix("activation.").unwrap_or_default();
            match c.cell.activation_names().iter().position(|name| *name == gate) {
                Some(place) => {
                    c.activations = c.activations().to_vec();
                    put(&mut c.activations[place], text.parse().ok())
                }
                None => Some(false),
            }
        }
    }
}

/// Reads the options from the metadata of a file.
fn read_fields(c: &mut RecurrentConfig, file: &TensorFile) -> Result<()> {
    for (key, text) in &file.metadata {
        let Some((prefix, rest)) = key.split_once('.').filter(|(prefix, _)| KINDS.contains(prefix)) else { continue };
        let bad = |why: String| Error::format(format!("{}: metadata {key:?}", file.source()), why);
        if prefix != c.cell.layer() {
            return Err(bad(format!("belongs to a different kind of layer than {}", c.cell.layer())));
        }
        match set(c, rest, text) {
            Some(true) => {}
            Some(false) => return Err(bad("is unknown: the file needs a newer version of this crate".into())),
            None => return Err(bad(format!("{text:?} cannot be read"))),
        }
    }
    Ok(())
}

/// Returns the configuration of a file's layer: sizes from the shapes, options from the metadata.
pub(super) fn config(file: &TensorFile) -> Result<RecurrentConfig> {
    let cell = cell_of(file)?;
    let has = |name: &str| file.find(name).is_some();
    let (dims, _) = file.get("weight_ih_l0")?;
    let (rows, input) = match *dims {
        [rows, input] if rows > 0 && rows % cell.gates() == 0 && input > 0 => (rows, input),
        _ => {
            let why = format!("has shape {dims:?}; expected [{}·H, I]", cell.gates());
            return Err(Error::format(format!("{}: tensor \"weight_ih_l0\"", file.source()), why));
        }
    };
    let projection = file.find("weight_hr_l0").filter(|_| cell == Cell::Lstm);
    let mut c = RecurrentConfig {
        projection: projection.and_then(|(dims, _)| dims.first().copied()).unwrap_or(0),
        layers: (0..).take_while(|l| has(&format!("weight_ih_l{l}"))).count(),
        bias: has("bias_ih_l0"),
        bidirectional: has("weight_ih_l0_reverse"),
        peephole: cell == Cell::Lstm && has("weight_peephole_l0"),
        options: RecurrentOptions { learn_h0: has("h0"), ..RecurrentOptions::default() },
        ..RecurrentConfig::new(cell, input, rows / cell.gates())
    };
    read_fields(&mut c, file)?;
    c.canonical()
}

/// Returns the cell of a file's layer, from the metadata if possible, else from the shapes.
fn cell_of(file: &TensorFile) -> Result<Cell> {
    let has = |kind: &str| file.metadata.keys().any(|key| key.split_once('.').is_some_and(|(k, _)| k == kind));
    if let Some(cell) = [Cell::Gru, Cell::Lstm, Cell::Rnn].into_iter().find(|cell| has(cell.layer())) {
        return Ok(cell);
    }
    let (dims, _) = file.get("weight_hh_l0")?;
    let is_projected = file.find("weight_hr_l0").is_some();
    match *dims {
        [_, _] if is_projected => Ok(Cell::Lstm),
        [rows, h] if h > 0 && rows == h => Ok(Cell::Rnn),
        [rows, h] if h > 0 && rows % h == 0 && rows / h == 3 => Ok(Cell::Gru),
        [rows, h] if h > 0 && rows % h == 0 && rows / h == 4 => Ok(Cell::Lstm),
        _ => {
            let why = format!("has shape {dims:?}; expected [H, H], [3·H, H] or [4·H, H]");
            Err(Error::format(format!("{}: tensor \"weight_hh_l0\"", file.source()), why))
        }
    }
}

/// Writes a recurrent layer with its options. [`load_recurrent`] reads it back.
///
/// # Errors
/// Errors from reading back from the device.
pub async fn recurrent_to_file(layer: &Recurrent) -> Result<TensorFile> {
    let mut file = parameters_to_file(layer).await?;
    let c = layer.config();
    file.metadata.extend(fields(c).into_iter().map(|(key, text)| (format!("{}.{key}", c.cell.layer()), text)));
    Ok(file)
}

/// Builds the recurrent layer in a file: sizes from the shapes, options from the metadata.
///
/// A state dict of `torch.nn.GRU`, `LSTM` or `RNN` has no metadata; it gets PyTorch's defaults: time-first, reset after
/// the product for a GRU, tanh for an RNN. The cell is in [`config().cell`](RecurrentConfig::cell). If the file holds a
/// run, the layer is checked with it on `device`; see [`verify`].
///
/// # Errors
/// [`Error::Format`] naming the tensor that is missing, unexpected or of another shape, the option that is unknown or
/// of a different kind of layer, or the first value of the run that differs; [`Error::Value`] for options that the
/// layer does not have.
pub async fn load_recurrent(device: &Device, file: &TensorFile) -> Result<Recurrent> {
    Ok(load_recurrent_verified(device, file).await?.0)
}

/// Like [`load_recurrent`], but also returns the largest error of the file's run, if it holds one; see [`verify`].
///
/// # Errors
/// Same as [`load_recurrent`].
pub async fn load_recurrent_verified(device: &Device, file: &TensorFile) -> Result<(Recurrent, Option<f64>)> {
    let layer = build(device, file, false)?;
    let error = if verify::is_in(file) { Some(verify(&layer, file).await?) } else { None };
    Ok((layer, error))
}

/// Builds the layer in a file, without a run. With `batch_first`, it is batch-first, whatever the file says.
pub(super) fn build(device: &Device, file: &TensorFile, batch_first: bool) -> Result<Recurrent> {
    let (mut c, values) = read(file)?;
    c.batch_first |= batch_first;
    let mut values = values.into_iter();
    Recurrent::from_parameters(device, c, |_, dims| Tensor::from_slice(device, values.next().unwrap_or_default(), dims))
}

/// Returns the configuration of a file's layer, and the values of its parameters in order.
fn read(file: &TensorFile) -> Result<(RecurrentConfig, Vec<&[f32]>)> {
    file.check()?;
    let c = config(file)?;
    // Checks the shape of every tensor before anything of that size is allocated.
    let shapes = c.shapes();
    let mut values = Vec::with_capacity(shapes.len());
    for (name, dims) in &shapes {
        let bad = |why: String| Err(Error::format(format!("{}: tensor {name:?}", file.source()), why));
        match file.find(name) {
            Some((got, found)) if got == dims => values.push(found),
            Some((got, _)) => return bad(format!("has shape {got:?}; expected {dims:?}")),
            None => return bad("is missing".into()),
        }
    }
    let known = Names::new(shapes.iter().map(|(name, _)| name.as_str()));
    if let Some(extra) = file.names().find(|name| !known.contains(name) && !name.starts_with(PREFIX)) {
        let why = format!("does not belong to this {}", c.cell.layer());
        return Err(Error::format(format!("{}: tensor {extra:?}", file.source()), why));
    }
    Ok((c, values))
}

/// Writes a recurrent layer with its options to a safetensors file; see [`recurrent_to_file`].
///
/// # Errors
/// [`Error::Io`], and errors from reading back from the device.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_recurrent_blocking(layer: &Recurrent, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(recurrent_to_file(layer))?.save(path)
}

/// Like [`load_recurrent`], but blocks until a run is checked.
///
/// ```
/// use wgru::{Device, Rng, io, nn::{Module, RecurrentConfig}};
/// let (device, path) = (Device::cpu(), std::env::temp_dir().join("wgru-doc.safetensors"));
/// let config = RecurrentConfig { bidirectional: true, ..RecurrentConfig::gru(2, 3) };
/// let gru = config.build(&device, &mut Rng::new(0))?;
/// io::save_recurrent_blocking(&gru, &path)?;
/// let copy = io::load_recurrent_blocking(&device, &io::TensorFile::open(&path)?)?;
/// assert_eq!(copy.config(), gru.config());
/// assert_eq!(copy.parameters()[0].1.read_blocking()?, gru.parameters()[0].1.read_blocking()?);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// Same as [`load_recurrent`].
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
pub fn load_recurrent_blocking(device: &Device, file: &TensorFile) -> Result<Recurrent> {
    crate::wait::block_on(load_recurrent(device, file))
}
