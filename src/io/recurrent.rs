//! Whole recurrent layers: PyTorch's names, and in the metadata what the shapes do not tell

use std::collections::HashSet;

use super::file::Tensors;
use super::verify::{self, PREFIX, verify};
use super::{RecurrentKind, TensorFile, parameters_to_file};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::math::number;
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
use crate::nn::{Gru, Lstm, Rnn};
use crate::nn::{Padding, Recurrent, RecurrentOptions, StackConfig};
use crate::ops::recurrent::Cell;
use crate::rng::Rng;

/// Whose options the metadata of a file may hold.
const KINDS: [&str; 3] = ["gru", "lstm", "rnn"];

/// The name under which a cell's options are kept.
fn kind(cell: Cell) -> &'static str {
    match cell {
        Cell::GruResetAfter | Cell::GruResetBefore => "gru",
        Cell::Lstm => "lstm",
        Cell::Rnn => "rnn",
    }
}

/// What the shapes do not tell, as texts by key.
fn fields(c: &StackConfig) -> Vec<(String, String)> {
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
        Cell::GruResetAfter => out.push(("reset_after".into(), true.to_string())),
        Cell::GruResetBefore => out.push(("reset_after".into(), false.to_string())),
        Cell::Lstm => {
            out.push(("input_forget".into(), c.coupled.to_string()));
            out.push(("zoneout_cell".into(), o.zoneout_cell.to_string()));
        }
        Cell::Rnn => {}
    }
    let named = c.cell.activation_names().iter().zip(c.activations);
    out.extend(named.map(|(name, activation)| (format!("activation.{name}"), activation.to_string())));
    out
}

/// Takes one of [`fields`] over; `None` when the text cannot be read, `Some(false)` when there is no such key.
fn set(c: &mut StackConfig, key: &str, text: &str) -> Option<bool> {
    fn put<T>(place: &mut T, read: Option<T>) -> Option<bool> {
        *place = read?;
        Some(true)
    }
    let share = || number(text).map(|share| share as f32);
    let flag = || text.parse().ok();
    let gru = matches!(c.cell, Cell::GruResetAfter | Cell::GruResetBefore);
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
        "reset_after" if gru => {
            c.cell = if flag()? { Cell::GruResetAfter } else { Cell::GruResetBefore };
            Some(true)
        }
        "input_forget" if c.cell == Cell::Lstm => put(&mut c.coupled, flag()),
        "zoneout_cell" if c.cell == Cell::Lstm => put(&mut o.zoneout_cell, share()),
        _ => {
            let gate = key.strip_prefix("activation.").unwrap_or_default();
            match c.cell.activation_names().iter().position(|name| *name == gate) {
                Some(place) => put(&mut c.activations[place], text.parse().ok()),
                None => Some(false),
            }
        }
    }
}

/// The options in the metadata of a file.
fn read_fields(c: &mut StackConfig, file: &TensorFile) -> Result<()> {
    for (key, text) in &file.metadata {
        let Some((prefix, rest)) = key.split_once('.').filter(|(prefix, _)| KINDS.contains(prefix)) else { continue };
        let bad = |why: String| Error::format(format!("{}: metadata {key:?}", file.source()), why);
        if prefix != kind(c.cell) {
            return Err(bad(format!("belongs to another kind of layer than {}", kind(c.cell))));
        }
        match set(c, rest, text) {
            Some(true) => {}
            Some(false) => return Err(bad("is unknown: the file needs a newer version of this crate".into())),
            None => return Err(bad(format!("{text:?} cannot be read"))),
        }
    }
    Ok(())
}

/// What a file's layer of kind `cell` is: sizes from the shapes, the rest from the metadata.
fn config(cell: Cell, file: &TensorFile, tensors: &Tensors) -> Result<StackConfig> {
    let has = |name: &str| tensors.contains_key(name);
    let (dims, _) = file.get("weight_ih_l0")?;
    let (rows, input) = match *dims {
        [rows, input] if rows > 0 && rows % cell.gates() == 0 && input > 0 => (rows, input),
        _ => {
            let why = format!("has shape {dims:?}; expected [{}·H, I]", cell.gates());
            return Err(Error::format(format!("{}: tensor \"weight_ih_l0\"", file.source()), why));
        }
    };
    let hidden = rows / cell.gates();
    let projection = tensors.get("weight_hr_l0").filter(|_| cell == Cell::Lstm).map(|(dims, _)| dims.first().copied());
    let mut c = StackConfig {
        op: kind(cell),
        cell,
        input,
        hidden,
        out: projection.flatten().unwrap_or(hidden),
        projected: projection.is_some(),
        layers: (0..).take_while(|l| has(&format!("weight_ih_l{l}"))).count(),
        bias: has("bias_ih_l0"),
        batch_first: false,
        dropout: 0.0,
        bidirectional: has("weight_ih_l0_reverse"),
        reverse: false,
        activations: cell.activations(),
        coupled: false,
        peephole: cell == Cell::Lstm && has("weight_peephole_l0"),
        options: RecurrentOptions { learn_h0: has("h0"), ..RecurrentOptions::default() },
        plan: None,
    };
    read_fields(&mut c, file)?;
    if cell == Cell::Rnn {
        c.activations = [c.activations[0]; 5];
    }
    Ok(c)
}

/// The kind of a file's recurrent layer: by its options, else by its shapes.
///
/// # Errors
/// [`Error::Format`] naming what is missing or of another shape.
pub fn recurrent_kind(file: &TensorFile) -> Result<RecurrentKind> {
    let of = |cell: Cell| file.metadata.keys().any(|key| key.split_once('.').is_some_and(|(k, _)| k == kind(cell)));
    let reset_after = file.metadata.get("gru.reset_after").is_none_or(|text| text != "false");
    if let Some(cell) = [Cell::GruResetAfter, Cell::Lstm, Cell::Rnn].into_iter().find(|cell| of(*cell)) {
        return Ok(match cell {
            Cell::Lstm => RecurrentKind::Lstm,
            Cell::Rnn => RecurrentKind::Rnn,
            _ => RecurrentKind::Gru { reset_after },
        });
    }
    let (dims, _) = file.get("weight_hh_l0")?;
    let projected = file.names().any(|name| name == "weight_hr_l0");
    match *dims {
        [_, _] if projected => Ok(RecurrentKind::Lstm),
        [rows, h] if h > 0 && rows == h => Ok(RecurrentKind::Rnn),
        [rows, h] if h > 0 && rows % h == 0 && rows / h == 3 => Ok(RecurrentKind::Gru { reset_after }),
        [rows, h] if h > 0 && rows % h == 0 && rows / h == 4 => Ok(RecurrentKind::Lstm),
        _ => {
            let why = format!("has shape {dims:?}; expected [H, H], [3·H, H] or [4·H, H]");
            Err(Error::format(format!("{}: tensor \"weight_hh_l0\"", file.source()), why))
        }
    }
}

/// A recurrent layer, with every option it has. What was saved is read back by [`recurrent_from_file`].
///
/// # Errors
/// Those of reading back.
pub async fn recurrent_to_file<L: Recurrent>(layer: &L) -> Result<TensorFile> {
    let mut file = parameters_to_file(layer).await?;
    let c = &layer.stack().config;
    file.metadata.extend(fields(c).into_iter().map(|(key, text)| (format!("{}.{key}", kind(c.cell)), text)));
    Ok(file)
}

/// Builds a recurrent layer from a file: sizes from the shapes, the rest from the metadata. A state dict of
/// `torch.nn.GRU`, `LSTM` or `RNN` has none: it is read as PyTorch means it, time-first, a GRU with reset after, an RNN
/// with tanh. A run that the file holds is checked on `device`, see [`verify`].
///
/// # Errors
/// [`Error::Format`] naming the tensor that is missing, superfluous or of another shape, the option that is unknown or
/// of another kind of layer, or where the file's run parts from that of the device; [`Error::Value`] for options that the layer does not take.
pub async fn recurrent_from_file<L: Recurrent>(device: &Device, file: &TensorFile) -> Result<L> {
    let (c, values) = read(L::CELL, file)?;
    let layer = L::from_stack(device, c, &mut Rng::new(0))?;
    layer.parameters().iter().zip(values).try_for_each(|((_, tensor), values)| tensor.assign(values))?;
    if verify::is_in(file) {
        verify(&layer, file).await?;
    }
    Ok(layer)
}

/// What a file's layer of kind `cell` is, and its parameters in order.
fn read(cell: Cell, file: &TensorFile) -> Result<(StackConfig, Vec<&[f32]>)> {
    file.check()?;
    let tensors = file.index();
    let c = config(cell, file, &tensors)?;
    // Every tensor is compared with the size that the others imply before anything of that size is made.
    let shapes = c.shapes();
    let mut values = Vec::with_capacity(shapes.len());
    for (name, dims) in &shapes {
        let bad = |why: String| Err(Error::format(format!("{}: tensor {name:?}", file.source()), why));
        match tensors.get(name.as_str()) {
            Some((got, found)) if got == dims => values.push(*found),
            Some((got, _)) => return bad(format!("has shape {got:?}; expected {dims:?}")),
            None => return bad("is not there".into()),
        }
    }
    let known: HashSet<&str> = shapes.iter().map(|(name, _)| name.as_str()).collect();
    if let Some(extra) = file.names().find(|name| !known.contains(name) && !name.starts_with(PREFIX)) {
        let why = format!("is not of this {}", kind(c.cell));
        return Err(Error::format(format!("{}: tensor {extra:?}", file.source()), why));
    }
    Ok((c, values))
}

/// Writes a GRU with every option it has; see [`recurrent_to_file`].
///
/// # Errors
/// [`Error::Io`], and those of reading back.
#[cfg(not(target_arch = "wasm32"))]
pub fn save_gru(gru: &Gru, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(recurrent_to_file(gru))?.save(path)
}

/// Builds a GRU from a file; see [`recurrent_from_file`].
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
/// As [`recurrent_from_file`].
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
pub fn load_gru(device: &Device, file: &TensorFile) -> Result<Gru> {
    crate::wait::block_on(recurrent_from_file(device, file))
}

/// Writes an LSTM with every option it has; see [`recurrent_to_file`].
///
/// # Errors
/// As [`save_gru`].
#[cfg(not(target_arch = "wasm32"))]
pub fn save_lstm(lstm: &Lstm, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(recurrent_to_file(lstm))?.save(path)
}

/// Builds an LSTM from a file; see [`recurrent_from_file`].
///
/// # Errors
/// As [`recurrent_from_file`].
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
pub fn load_lstm(device: &Device, file: &TensorFile) -> Result<Lstm> {
    crate::wait::block_on(recurrent_from_file(device, file))
}

/// Writes a simple recurrent layer with every option it has; see [`recurrent_to_file`].
///
/// # Errors
/// As [`save_gru`].
#[cfg(not(target_arch = "wasm32"))]
pub fn save_rnn(rnn: &Rnn, path: impl AsRef<std::path::Path>) -> Result<()> {
    crate::wait::block_on(recurrent_to_file(rnn))?.save(path)
}

/// Builds a simple recurrent layer from a file; see [`recurrent_from_file`].
///
/// # Errors
/// As [`recurrent_from_file`].
#[cfg(any(not(target_arch = "wasm32"), wgru_jspi))]
pub fn load_rnn(device: &Device, file: &TensorFile) -> Result<Rnn> {
    crate::wait::block_on(recurrent_from_file(device, file))
}
