//! Neural Amp Modeler's `.nam` files with an LSTM. `import/nam.rs` describes their list of weights.

use super::layers::{Layer, check_plain, layers, refuse};
use crate::cell::Cell;
use crate::error::Result;
use crate::io::RecurrentWeights;
use crate::nn::Module;

const OP: &str = "to_nam";
const EXPECTED: &str = "an LSTM and one linear layer after it";

/// Writes a network as a `.nam` file of Neural Amp Modeler: an LSTM of any number of layers, and one linear layer after
/// it. `sample_rate` is the rate of the signal that it was trained on, in hertz.
///
/// Weights are written such that they read back bit for bit. The file has one bias per layer, which is the sum of
/// both; missing biases and initial states are zeros.
///
/// ```
/// use wgru::io::{TensorFile, load_network, to_nam_blocking};
/// use wgru::{Device, Rng, nn::{Linear, Module, RecurrentConfig, Sequential}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let lstm = RecurrentConfig::lstm(1, 4).build(&device, &mut rng)?;
/// let model = Sequential::new().push("lstm", lstm).push("head", Linear::new(&device, 4, 1, true, &mut rng)?);
/// let text = to_nam_blocking(&model, Some(48_000.0))?;
/// let network = load_network(&device, &TensorFile::import_bytes("amp.nam", text.as_bytes())?)?;
/// assert_eq!(network.parameters().len(), 8);                                         // with its initial states
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) naming the layer or option that the format cannot hold, and for weights that
/// are not finite; errors from reading tensors back.
pub async fn to_nam(model: &dyn Module, sample_rate: Option<f64>) -> Result<String> {
    let all = layers(OP, model).await?;
    let [(name, Layer::Recurrent(c, file)), (_, Layer::Linear { dims, weight, bias })] = &all[..] else {
        let found: Vec<String> = all.iter().map(|(name, layer)| format!("{} {name:?}", kind(layer))).collect();
        return Err(refuse(OP, "", EXPECTED, found.join(", ")));
    };
    if c.cell != Cell::Lstm {
        return Err(refuse(OP, name, EXPECTED, format!("a {}", c.cell)));
    }
    check_plain(OP, name, c)?;
    let mut weights = Vec::new();
    for layer in 0..c.layers {
        RecurrentWeights::from_pytorch(c.cell, file, layer, false)?.add_joined(&mut weights);
        for state in ["h0", "c0"] {
            match file.find(state) {
                Some((_, values)) => weights.extend(&values[layer * c.hidden..(layer + 1) * c.hidden]),
                None => weights.resize(weights.len() + c.hidden, 0.0),
            }
        }
    }
    weights.extend(weight);
    weights.extend(bias);
    weights.resize(weights.len() + dims[0] - bias.len(), 0.0);
    let config =
        format!("{{\"input_size\": {}, \"hidden_size\": {}, \"num_layers\": {}}}", c.input, c.hidden, c.layers);
    let rate = match sample_rate.filter(|rate| rate.is_finite()) {
        Some(rate) => format!(", \"sample_rate\": {rate}"),
        None => String::new(),
    };
    let head = format!("\"version\": \"0.5.4\", \"architecture\": \"LSTM\", \"config\": {config}");
    Ok(format!("{{{head}, \"weights\": {weights:?}{rate}}}\n"))
}

fn kind(layer: &Layer) -> &'static str {
    match layer {
        Layer::Recurrent(c, _) => c.cell.layer(),
        Layer::Linear { .. } => "linear",
        Layer::Activation(name) => name,
    }
}

/// Like [`to_nam`], and blocks until the parameters have been read back. Not in browsers.
///
/// # Errors
/// Same as [`to_nam`].
#[cfg(not(target_arch = "wasm32"))]
pub fn to_nam_blocking(model: &dyn Module, sample_rate: Option<f64>) -> Result<String> {
    crate::wait::block_on(to_nam(model, sample_rate))
}
