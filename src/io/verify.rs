//! Stores a run in a model file, and checks loaded layers with it.

use super::TensorFile;
use super::compare::{difference, run};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::math::number;
use crate::nn::{HostInput, HostOutput, Recurrent, RecurrentConfig, run_f64};

/// Prefix of the tensors and metadata of a run.
pub(super) const PREFIX: &str = "verify.";
/// Tolerance stored with new runs. Devices differ from f64 by about 1e-6 over tens of steps; misplaced weights cause
/// errors of 1e-2 or more.
const TOLERANCE: f64 = 1e-4;
/// Largest tolerance that a file may specify. A larger one would not detect wrong weights.
const LOOSEST: f64 = 1e-2;
/// Maximum number of gate values of one layer over a run. Runs for verification are short.
const LARGEST: usize = 1 << 22;

/// Names of the input tensors.
const INPUTS: [&str; 6] = ["x", "h0", "c0", "lengths", "mask", "resets"];

/// Adds a run to the file of a layer: an input, and its results in f64, including the gates of every step. Loading the
/// file then repeats the run on the target device, and returns an error if the results differ.
///
/// The tensors are named as the arguments of a run: `verify.x`, `verify.h0`, `verify.c0`, `verify.lengths`,
/// `verify.mask`, `verify.resets` (flags are 0 and 1), `verify.output`, `verify.h_n`, `verify.c_n`, and the gates
/// `verify.l0.reset`, … `[T, B, D·H]`; the metadata holds `verify.tolerance` and `verify.reset_to_h0`. Other programs
/// that write such files need only `verify.x`, `verify.output` and the tolerance.
///
/// ```
/// use wgru::{Device, Rng, io, nn::{RecurrentConfig, HostInput}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = RecurrentConfig { input: 2, hidden: 3, ..Default::default() }.build(&device, &mut rng)?;
/// # let mut file = pollster::block_on(async {
/// let mut file = io::recurrent_to_file(&gru).await?;
/// io::add_verification(&gru, &HostInput::random(&gru, 5, 2, &mut rng), &mut file).await?;
/// # Ok::<_, wgru::Error>(file) })?;
/// io::load_recurrent_blocking(&device, &file)?;
/// file.metadata.insert("gru.reset_after".into(), "false".into());
/// let error = io::load_recurrent_blocking(&device, &file).err().unwrap().to_string();
/// assert!(error.contains("step 0, gate candidate"), "{error}");
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Shape`] for an input that does not fit the layer, [`Error::Value`] for a run that is too long or not
/// finite, and any error from reading the weights back.
pub async fn add_verification(layer: &Recurrent, input: &HostInput, file: &mut TensorFile) -> Result<()> {
    let c = layer.config();
    let [steps, batch] = check_size(c, input)?;
    let done = run_f64(layer, input).await?;
    let all = done.output.iter().chain(&done.h_n).chain(&done.c_n).chain(done.gates.iter().flatten().flatten());
    if let Some(v) = all.copied().find(|v| !(*v as f32).is_finite()) {
        return Err(Error::value("add_verification", "input", "an input whose results are finite", v));
    }
    let mut put = |name: &str, dims: &[usize], values: Vec<f32>| file.insert(&format!("{PREFIX}{name}"), dims, values);
    let (rows, d) = (c.layers * c.directions(), c.directions());
    let flags = |flags: &[bool]| flags.iter().map(|&flag| flag as u32 as f32).collect::<Vec<_>>();
    let narrow = |values: &[f64]| values.iter().map(|&v| v as f32).collect::<Vec<_>>();
    let [a, b, _] = input.dims;
    put("x", &input.dims, input.x.clone());
    if let Some(h0) = &input.h0 {
        put("h0", &[rows, batch, c.out()], h0.clone());
    }
    if let Some(c0) = &input.c0 {
        put("c0", &[rows, batch, c.hidden], c0.clone());
    }
    if let Some(lengths) = &input.lengths {
        put("lengths", &[batch], lengths.iter().map(|&l| l as f32).collect());
    }
    for (name, values) in [("mask", &input.mask), ("resets", &input.resets)] {
        if let Some(values) = values {
            put(name, &[a, b], flags(values));
        }
    }
    put("output", &[a, b, d * c.out()], narrow(&done.output));
    put("h_n", &[rows, batch, c.out()], narrow(&done.h_n));
    if c.cell == Cell::Lstm {
        put("c_n", &[rows, batch, c.hidden], narrow(&done.c_n));
    }
    for (layer, gates) in done.gates.iter().enumerate() {
        for (name, values) in c.cell.gate_names().iter().zip(gates) {
            put(&format!("l{layer}.{name}"), &[steps, batch, d * c.hidden], narrow(values));
        }
    }
    file.metadata.insert(format!("{PREFIX}tolerance"), TOLERANCE.to_string());
    file.metadata.insert(format!("{PREFIX}reset_to_h0"), input.reset_to_h0.to_string());
    Ok(())
}

/// Whether a file holds a run.
pub(super) fn is_in(file: &TensorFile) -> bool {
    file.names().chain(file.metadata.keys().map(String::as_str)).any(|name| name.starts_with(PREFIX))
}

/// Repeats the run of a layer's file on the layer's device. Returns the largest error: relative for numbers above 1,
/// else absolute.
///
/// Loading a file that holds a run calls this; other files are an error here.
///
/// # Errors
/// [`Error::Format`] naming the layer, the first step and the gate that differ, or the part of the run that is missing,
/// damaged or unknown.
pub async fn verify(layer: &Recurrent, file: &TensorFile) -> Result<f64> {
    file.check()?;
    let c = layer.config();
    let part = file.under("verify");
    let input = read_input(c, &part)?;
    let want = expected(c, &part, &input)?;
    let text: String = part.field("tolerance")?;
    let tolerance =
        number(&text).ok_or_else(|| wrong(&part, "tolerance", format!("is {text:?}, which cannot be read")))?;
    if !(tolerance > 0.0 && tolerance <= LOOSEST) {
        return Err(wrong(&part, "tolerance", format!("is {tolerance}; expected above 0, at most {LOOSEST}")));
    }
    let (largest, first) = difference(c, &input, &run(layer, &input).await?, &want, tolerance)?;
    match first {
        None => Ok(largest),
        Some(first) => {
            let device = &layer.device.info().name;
            let what = format!("{}: the layer on {device} does not match the saved run", file.source());
            Err(Error::format(what, format!("{first}, tolerance {tolerance}")))
        }
    }
}

fn wrong(part: &TensorFile, name: &str, why: impl ToString) -> Error {
    Error::format(format!("{}: \"{PREFIX}{name}\"", part.source()), why)
}

/// Checks the size of a run, and returns its steps and batch.
fn check_size(c: &RecurrentConfig, input: &HostInput) -> Result<[usize; 2]> {
    let [steps, batch] = input.extents(c)?;
    let sizes = [steps, batch, c.directions(), c.cell.gates(), c.hidden];
    match sizes.iter().try_fold(1usize, |n, &size| n.checked_mul(size)).filter(|&n| n <= LARGEST) {
        Some(_) => Ok([steps, batch]),
        None => Err(Error::value("verify", "x", format!("at most {LARGEST} numbers of gates"), format!("{sizes:?}"))),
    }
}

/// Returns a tensor, which must have these `dims`, if the file holds it.
fn take<'a>(part: &'a TensorFile, name: &str, dims: &[usize]) -> Result<Option<&'a [f32]>> {
    match part.find(name) {
        Some((got, values)) if got == dims => Ok(Some(values)),
        Some((got, _)) => {
            let why = format!("has shape {got:?}; this layer has {dims:?}: are batch and time, or layers, swapped?");
            Err(wrong(part, name, why))
        }
        None => Ok(None),
    }
}

fn read_input(c: &RecurrentConfig, part: &TensorFile) -> Result<HostInput> {
    let (dims, x) = part.find("x").ok_or_else(|| wrong(part, "x", "is missing: no run to check the layer with"))?;
    let Ok(dims) = <[usize; 3]>::try_from(dims) else {
        return Err(wrong(part, "x", format!("has shape {dims:?}; expected three axes")));
    };
    let [a, b, _] = dims;
    let batch = if c.batch_first { a } else { b };
    let rows = c.layers * c.directions();
    let get = |name: &str, dims: &[usize]| take(part, name, dims);
    let owned = |values: Option<&[f32]>| values.map(<[f32]>::to_vec);
    let flags = |name: &str| -> Result<Option<Vec<bool>>> {
        let Some(values) = get(name, &[a, b])? else { return Ok(None) };
        match values.iter().find(|&&v| v != 0.0 && v != 1.0) {
            Some(v) => Err(wrong(part, name, format!("holds {v}; expected 0 or 1"))),
            None => Ok(Some(values.iter().map(|&v| v == 1.0).collect())),
        }
    };
    let lengths = match get("lengths", &[batch])? {
        Some(values) => match values.iter().find(|v| v.fract() != 0.0 || !(0.0..=16_777_216.0).contains(*v)) {
            Some(v) => return Err(wrong(part, "lengths", format!("holds {v}; expected a whole number of steps"))),
            None => Some(values.iter().map(|&v| v as usize).collect()),
        },
        None => None,
    };
    let reset_to_h0 = part.metadata.contains_key("reset_to_h0") && part.field("reset_to_h0")?;
    if let Some(key) = part.metadata.keys().find(|key| !["tolerance", "reset_to_h0"].contains(&key.as_str())) {
        return Err(wrong(part, key, "is unknown: the file needs a newer version of this crate"));
    }
    let input = HostInput {
        x: x.to_vec(),
        dims,
        h0: owned(get("h0", &[rows, batch, c.out()])?),
        c0: owned(get("c0", &[rows, batch, c.hidden])?),
        lengths,
        mask: flags("mask")?,
        resets: flags("resets")?,
        reset_to_h0,
    };
    check_size(c, &input)?;
    Ok(input)
}

/// Reads the expected results. Parts that the file does not hold are empty.
fn expected(c: &RecurrentConfig, part: &TensorFile, input: &HostInput) -> Result<HostOutput> {
    let ([steps, batch], d) = (input.extents(c)?, c.directions());
    let ([a, b, _], rows) = (input.dims, c.layers * d);
    let gate_names = c.cell.gate_names();
    let mut known = INPUTS.map(String::from).to_vec();
    let mut get = |name: &str, dims: &[usize]| -> Result<Vec<f64>> {
        let values = take(part, name, dims)?;
        known.push(name.into());
        Ok(values.unwrap_or_default().iter().map(|&v| f64::from(v)).collect())
    };
    let output = get("output", &[a, b, d * c.out()])?;
    if output.is_empty() {
        return Err(wrong(part, "output", "is missing: no results to check the layer with"));
    }
    let h_n = get("h_n", &[rows, batch, c.out()])?;
    let c_n = if c.cell == Cell::Lstm { get("c_n", &[rows, batch, c.hidden])? } else { Vec::new() };
    let mut gates = Vec::with_capacity(c.layers);
    for layer in 0..c.layers {
        let one = |name: &&str| get(&format!("l{layer}.{name}"), &[steps, batch, d * c.hidden]);
        gates.push(gate_names.iter().map(one).collect::<Result<Vec<_>>>()?);
    }
    match part.names().find(|name| !known.iter().any(|known| known == name)) {
        Some(name) => Err(wrong(part, name, "is not part of a run of this layer")),
        None => Ok(HostOutput { output, h_n, c_n, gates }),
    }
}
