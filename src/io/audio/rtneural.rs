//! RTNeural's JSON: a list of Keras layers. `import/layers.rs` reads it.

use super::layers::{Layer, check_plain, layers, refuse, rows, without_skip};
use crate::cell::Cell;
use crate::error::Result;
use crate::io::RecurrentWeights;
use crate::io::convert::transpose;
use crate::nn::{Module, RecurrentConfig};

const OP: &str = "to_rtneural";

/// Writes a network as JSON for RTNeural and the programs that use it: GRU (reset after), LSTM, linear layers, tanh,
/// ReLU, sigmoid, ELU and softmax, one after another. If it adds its input to its output, the file says so by AIDA-X's
/// `in_skip`, which RTNeural itself does not read.
///
/// Weights are written such that they read back bit for bit. An LSTM of the file has one bias, which is the sum of
/// both; missing biases are zeros. Stacked layers become separate ones.
///
/// ```
/// use wgru::io::{TensorFile, load_network, to_rtneural_blocking};
/// use wgru::{Device, Rng, nn::{Linear, Module, RecurrentConfig, Sequential}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = RecurrentConfig::gru(1, 4).build(&device, &mut rng)?;
/// let model = Sequential::new().push("gru", gru).push("out", Linear::new(&device, 4, 1, true, &mut rng)?);
/// let text = to_rtneural_blocking(&model)?;
/// let network = load_network(&device, &TensorFile::import_bytes("model.json", text.as_bytes())?)?;
/// assert_eq!(network.parameters().len(), 6);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) naming the layer or option that the format cannot hold, and for weights that
/// are not finite; errors from reading tensors back.
pub async fn to_rtneural(model: &dyn Module) -> Result<String> {
    let (model, skip) = without_skip(model);
    let (mut out, mut input, mut width) = (Vec::new(), None, 0);
    let mut all = layers(OP, model).await?.into_iter().peekable();
    while let Some((name, layer)) = all.next() {
        match layer {
            Layer::Recurrent(c, file) => {
                input.get_or_insert(c.input);
                width = c.hidden;
                let kind = recurrent(&name, &c)?;
                for layer in 0..c.layers {
                    let keras = RecurrentWeights::from_pytorch(c.cell, &file, layer, false)?.to_keras()?;
                    let (gates, rows_of) = (c.cell.gates() * c.hidden, |name: &str| keras.find(name).map(|(_, v)| v));
                    let [kernel, recurrent] =
                        ["kernel", "recurrent_kernel"].map(|part| rows(rows_of(part).unwrap_or_default(), gates));
                    let count = if c.cell == Cell::Gru { 2 * gates } else { gates };
                    let bias = rows_of("bias").map_or(vec![0.0; count], <[f32]>::to_vec);
                    let bias = if c.cell == Cell::Gru { rows(&bias, gates) } else { format!("{bias:?}") };
                    out.push(object(kind, "tanh", width, &[kernel, recurrent, bias]));
                }
            }
            Layer::Linear { dims: [output, columns], weight, bias } => {
                input.get_or_insert(columns);
                width = output;
                let kernel = rows(&transpose(&weight, columns), output);
                let bias = if bias.is_empty() { vec![0.0; output] } else { bias };
                let activation = match all.next_if(|(_, next)| matches!(next, Layer::Activation(_))) {
                    Some((_, Layer::Activation(name))) => name,
                    _ => "",
                };
                out.push(object("dense", activation, width, &[kernel, format!("{bias:?}")]));
            }
            Layer::Activation(activation) => out.push(object("activation", activation, width, &[])),
        }
    }
    let Some(input) = input else {
        return Err(refuse(OP, "", "a network that starts with a recurrent or a linear layer", "none of them"));
    };
    let skip = if skip { "\"in_skip\": 1, " } else { "" };
    Ok(format!("{{\"in_shape\": [null, null, {input}], {skip}\"layers\": [\n{}\n]}}\n", out.join(",\n")))
}

/// Returns RTNeural's name of a recurrent layer.
fn recurrent(name: &str, c: &RecurrentConfig) -> Result<&'static str> {
    check_plain(OP, name, c)?;
    if c.options.learn_h0 {
        return Err(refuse(OP, name, "initial states of zeros", "learned ones"));
    }
    match c.cell {
        Cell::Gru => Ok("gru"),
        Cell::Lstm => Ok("lstm"),
        Cell::GruResetBefore => Err(refuse(OP, name, "a GRU with reset after, or an LSTM", "a GRU with reset before")),
        Cell::Rnn | Cell::RnnRelu => Err(refuse(OP, name, "a GRU or an LSTM", "a simple recurrent layer")),
    }
}

fn object(kind: &str, activation: &str, width: usize, weights: &[String]) -> String {
    let head = format!("\"type\": \"{kind}\", \"activation\": \"{activation}\", \"shape\": [null, null, {width}]");
    format!("{{{head}, \"weights\": [{}]}}", weights.join(", "))
}

/// Like [`to_rtneural`], and blocks until the parameters have been read back. Not in browsers.
///
/// # Errors
/// Same as [`to_rtneural`].
#[cfg(not(target_arch = "wasm32"))]
pub fn to_rtneural_blocking(model: &dyn Module) -> Result<String> {
    crate::wait::block_on(to_rtneural(model))
}
