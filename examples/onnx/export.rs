//! A GRU from a weights file (safetensors, `.pt`) as an ONNX file

use std::path::Path;

use wgru::io::onnx::{self, Extent, Input};
use wgru::io::{TensorFile, load_recurrent_blocking, write_atomically};
use wgru::{Device, Result};

/// Writes the GRU of `from` to `to`, with free batch and time axes.
pub fn export(device: &Device, from: &Path, to: &Path) -> Result<bool> {
    let gru = load_recurrent_blocking(device, &TensorFile::open(from)?)?;
    let c = gru.config();
    let [batch, time] = [Extent::named("batch"), Extent::named("time")];
    let first = if c.batch_first { [batch, time] } else { [time, batch] };
    let dims = first.into_iter().chain([Extent::Fixed(c.input)]).collect();
    let bytes = onnx::export(&gru, &Input::new("x", dims))?;
    write_atomically(to, &bytes)?;
    println!("{}: a GRU of {} layers, {} to {}, {} bytes", to.display(), c.layers, c.input, c.hidden, bytes.len());
    Ok(true)
}
