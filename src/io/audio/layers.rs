//! The layers of a network in order, as the formats of audio programs hold them.

use crate::error::{Error, Result};
use crate::io::{Network, TensorFile, parameters_to_file};
use crate::math::Activation;
use crate::nn::{Kind, Module, RecurrentConfig};

/// A layer with its weights.
pub(super) enum Layer {
    /// With PyTorch's names.
    Recurrent(RecurrentConfig, TensorFile),
    Linear {
        /// `[O, I]`
        dims: [usize; 2],
        weight: Vec<f32>,
        /// `[O]`, or empty.
        bias: Vec<f32>,
    },
    /// A function by its name in Keras.
    Activation(&'static str),
}

/// Returns the layers of a model without the connection from its input to its output, and whether it has one.
pub(super) fn without_skip(model: &dyn Module) -> (&dyn Module, bool) {
    if let Kind::Typed(any) = model.kind()
        && let Some(network) = any.downcast_ref::<Network>()
        && network.wiring.is_none()
    {
        return (&network.layers, network.skip);
    }
    (model, false)
}

/// Returns the layers and their names.
///
/// # Errors
/// [`Error::Value`] for a layer that is not one of these, and for weights that are not finite, which JSON cannot hold.
pub(super) async fn layers(op: &'static str, model: &dyn Module) -> Result<Vec<(String, Layer)>> {
    let file = parameters_to_file(model).await?;
    if let Some((name, ..)) = file.tensors().find(|(_, _, values)| !values.iter().all(|v| v.is_finite())) {
        return Err(Error::value(op, "model", "finite weights", format!("{name:?} with others")));
    }
    let mut out = Vec::new();
    add(op, &file, "", model, &mut out)?;
    Ok(out)
}

/// Returns the error for a layer that a format cannot hold.
pub(super) fn refuse(op: &'static str, name: &str, expected: &str, got: impl std::fmt::Display) -> Error {
    let name = if name.is_empty() { String::new() } else { format!("layer {name:?}: ") };
    Error::value(op, "model", expected, format!("{name}{got}"))
}

fn add(
    op: &'static str,
    file: &TensorFile,
    path: &str,
    module: &dyn Module,
    out: &mut Vec<(String, Layer)>,
) -> Result<()> {
    let own = || if path.is_empty() { file.clone() } else { file.under(path) };
    let layer = match module.kind() {
        Kind::Sequence(parts) => {
            for (part, module) in parts {
                let path = match (path, part) {
                    ("", part) | (part, "") => part.to_string(),
                    (path, part) => format!("{path}.{part}"),
                };
                add(op, file, &path, module, out)?;
            }
            return Ok(());
        }
        Kind::Dropout => return Ok(()),
        Kind::Activation(Activation::Relu) => Layer::Activation("relu"),
        Kind::Activation(Activation::Tanh) => Layer::Activation("tanh"),
        Kind::Activation(Activation::Sigmoid) => Layer::Activation("sigmoid"),
        Kind::Activation(Activation::Elu { alpha: 1.0 }) => Layer::Activation("elu"),
        Kind::Softmax => Layer::Activation("softmax"),
        Kind::Recurrent(config) => Layer::Recurrent(config.clone(), own()),
        Kind::Linear => {
            let own = own();
            let (dims, weight) = own.get("weight")?;
            let dims = <[usize; 2]>::try_from(dims).map_err(|_| refuse(op, path, "a matrix", format!("{dims:?}")))?;
            let bias = own.find("bias").map(|(_, bias)| bias.to_vec()).unwrap_or_default();
            Layer::Linear { dims, weight: weight.to_vec(), bias }
        }
        kind => {
            let what = match kind {
                Kind::LastStep { .. } | Kind::LastState(_) => {
                    "only its last step; audio needs an output for every step"
                }
                Kind::MinGru(_) => "a minimal GRU",
                Kind::LayerNormGru(_) => "a GRU with layer norm",
                Kind::Embedding => "an embedding",
                Kind::LayerNorm(_) => "a layer norm",
                Kind::Conv1d(_) => "a convolution",
                Kind::Activation(_) | Kind::LogSoftmax => "another activation",
                Kind::Typed(_) => {
                    "a layer of Keras, layers that branch, or a network that adds its input to its output"
                }
                _ => "an unknown layer",
            };
            return Err(refuse(
                op,
                path,
                "GRU, LSTM, linear layers, tanh, ReLU, sigmoid, ELU and softmax, one after another",
                what,
            ));
        }
    };
    out.push((path.to_string(), layer));
    Ok(())
}

/// Checks that a recurrent layer has no option that these formats lack. Initial states are left to the caller.
pub(super) fn check_plain(op: &'static str, name: &str, c: &RecurrentConfig) -> Result<()> {
    let o = &c.options;
    let options = [
        (c.bidirectional, "both directions"),
        (c.reverse, "the reverse direction"),
        (c.projection > 0, "a projection"),
        (c.peephole, "peepholes"),
        (c.input_forget, "coupled gates"),
        (o.clip.is_some(), "clipping"),
        (o.zoneout != 0.0 || o.zoneout_cell != 0.0, "zoneout"),
        (c.activations() != c.cell.activations(), "other activations"),
    ];
    match options.into_iter().find(|(has, _)| *has) {
        Some((_, what)) => Err(refuse(op, name, "a forward layer with the usual equations", what)),
        None => Ok(()),
    }
}

/// Writes a matrix as nested lists of rows.
pub(super) fn rows(values: &[f32], columns: usize) -> String {
    let rows: Vec<String> = values.chunks_exact(columns).map(|row| format!("{row:?}")).collect();
    format!("[{}]", rows.join(", "))
}
