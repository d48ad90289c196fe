//! The layout of a network in a file: recurrent layers under the name of their cell, and at most one linear layer.

use wgru::io::{TensorFile, recurrent_to_file};
use wgru::nn::{Linear, Module, Recurrent};
use wgru::{Cell, Result};

/// Name of the linear layer.
pub const HEAD: &str = "head";
/// Metadata key of the steps that the linear layer reads.
pub const STEPS: &str = "wgru.steps";
/// Metadata key of whether the first features of the input are added to the output.
pub const SKIP: &str = "wgru.skip";

/// The cell's name in the JavaScript API.
pub fn cell_name(cell: Cell) -> &'static str {
    match cell {
        Cell::Lstm => "lstm",
        Cell::Rnn | Cell::RnnRelu => "rnn",
        _ => "gru",
    }
}

/// Writes a network. `steps` is `last` or `every`.
pub async fn write(recurrent: &Recurrent, head: Option<&Linear>, steps: &str, skip: bool) -> Result<TensorFile> {
    let mut file = TensorFile::default();
    let (part, prefix) = (recurrent_to_file(recurrent).await?, cell_name(recurrent.config().cell));
    for name in part.names() {
        let (dims, values) = part.get(name)?;
        file.insert(&format!("{prefix}.{name}"), dims, values.to_vec());
    }
    file.metadata.extend(part.metadata.iter().map(|(key, text)| (format!("{prefix}.{key}"), text.clone())));
    for (name, parameter) in head.iter().flat_map(|head| head.parameters()) {
        file.insert(&format!("{HEAD}.{name}"), parameter.dims(), parameter.read().await?);
    }
    file.metadata.insert(STEPS.into(), steps.into());
    if skip {
        file.metadata.insert(SKIP.into(), "true".into());
    }
    Ok(file)
}
