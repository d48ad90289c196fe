//! A recurrent layer from a weights file (safetensors, `.pt`) as an ONNX file

use std::path::Path;

use wgru::io::onnx::{self, Extent, Input};
use wgru::io::{TensorFile, load_recurrent_blocking, write_atomically};
use wgru::{Device, Result};

/// Writes the layer of `from` to `to`, with free batch and time axes.
pub fn export(device: &Device, from: &Path, to: &Path) -> Result<bool> {
    let layer = load_recurrent_blocking(device, &TensorFile::open(from)?)?;
    let c = layer.config();
    let [batch, time] = [Extent::named("batch"), Extent::named("time")];
    let first = if c.batch_first { [batch, time] } else { [time, batch] };
    let dims = first.into_iter().chain([Extent::Fixed(c.input)]).collect();
    let bytes = onnx::export_blocking(&layer, &Input::new("x", dims))?;
    write_atomically(to, &bytes)?;
    let (cell, layers, input, hidden) = (c.cell, c.layers, c.input, c.hidden);
    println!("{}: {cell} of {layers} layers, {input} to {hidden}, {} bytes", to.display(), bytes.len());
    Ok(true)
}
