//! Networks as lists of Keras layers: JSON of RTNeural and AIDA-X.
//!
//! Source: RTNeural, *python/model_utils.py*, *RTNeural/model_loader.h*; AIDA-X, *docs/MODELS.md*.

use super::tree::{array, field, flatten};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::io::budget::Budget;
use crate::io::{RecurrentWeights, TensorFile};
use crate::json;

/// Extents and values.
type Array = (Vec<usize>, Vec<f32>);

/// Reads the layers; the rest of the file becomes metadata and tensors by name. Layer k has PyTorch's names under
/// `layers.k`.
pub(super) fn read(source: &str, object: &str, budget: &mut Budget) -> Result<TensorFile> {
    let mut file = TensorFile::named(source);
    flatten(&mut file, object, &["layers"], budget)?;
    for (k, layer) in json::items(field(object, "layers").unwrap_or_default()).enumerate() {
        let bad = |why: String| Error::format(format!("{source}: layer {k}"), why);
        budget.take_name(source, 0)?;
        let kind = field(layer, "type").and_then(json::text).ok_or_else(|| bad("has no type".into()))?;
        let mut options = TensorFile::named(source);
        flatten(&mut options, layer, &["weights"], budget)?;
        let mut weights = Vec::new();
        for part in json::items(field(layer, "weights").unwrap_or_default()) {
            let found = array(part, source, budget)?;
            weights.push(found.ok_or_else(|| bad("has weights that are not arrays of finite numbers".into()))?);
        }
        for (name, dims, values) in convert(&kind, weights).map_err(bad)?.tensors() {
            file.add(&format!("layers.{k}.{name}"), dims, values.to_vec());
        }
        file.metadata.extend(options.metadata.into_iter().map(|(key, text)| (format!("layers.{k}.{key}"), text)));
    }
    // AIDA-X adds the input to the output if `in_skip` is 1.
    if let Some(skip) = file.metadata.get("in_skip") {
        let skip = (skip != "0").to_string();
        file.metadata.insert("skip".into(), skip);
    }
    file.sorted()
}

/// Returns the weights of a layer under PyTorch's names, in PyTorch's layout.
fn convert(kind: &str, weights: Vec<Array>) -> Result<TensorFile, String> {
    let mut out = TensorFile::default();
    match (kind, &weights[..]) {
        ("gru" | "lstm", [_, recurrent, ..]) => return recurrent_layer(kind, weights.get(2), recurrent, &weights[0]),
        ("dense" | "time-distributed-dense" | "conv1d" | "conv2d", [(dims, values), rest @ ..]) => {
            // The axes of a kernel are [size .., in, out] in Keras, and [out, in, size ..] in PyTorch.
            let (&[input, output], sizes) =
                dims.split_last_chunk().map(|(a, b)| (b, a)).ok_or("has a kernel of one axis")?;
            let (area, mut moved) = (sizes.iter().product::<usize>(), Vec::with_capacity(values.len()));
            for (o, i) in (0..output).flat_map(|o| (0..input).map(move |i| (o, i))) {
                moved.extend((0..area).filter_map(|s| values.get((s * input + i) * output + o)));
            }
            out.insert("weight", &[&[output, input], sizes].concat(), moved);
            if let Some((dims, values)) = rest.first() {
                out.insert("bias", dims, values.clone());
            }
        }
        ("prelu", [(_, values), ..]) => out.insert("weight", &[values.len()], values.clone()),
        ("batchnorm" | "batchnorm2d", arrays @ ([_, _] | [_, _, _, _])) => {
            let names = ["weight", "bias", "running_mean", "running_var"];
            for (name, (dims, values)) in names[4 - arrays.len()..].iter().zip(arrays) {
                out.insert(name, dims, values.clone());
            }
        }
        _ => {
            for (k, (dims, values)) in weights.iter().enumerate() {
                out.insert(&format!("weights.{k}"), dims, values.clone());
            }
        }
    }
    Ok(out)
}

fn recurrent_layer(kind: &str, bias: Option<&Array>, recurrent: &Array, kernel: &Array) -> Result<TensorFile, String> {
    let cell = match (kind, bias) {
        ("lstm", _) => Cell::Lstm,
        (_, Some((dims, _))) if dims.len() == 1 => Cell::GruResetBefore,
        _ => Cell::Gru,
    };
    let mut keras = TensorFile::default();
    for (name, array) in [("kernel", Some(kernel)), ("recurrent_kernel", Some(recurrent)), ("bias", bias)] {
        if let Some((dims, values)) = array {
            keras.insert(name, dims, values.clone());
        }
    }
    let mut out = TensorFile::default();
    RecurrentWeights::from_keras(cell, &keras).map_err(|e| e.to_string())?.to_parameters(&mut out, 0, false);
    Ok(out)
}
