//! GuitarML's JSON: one recurrent layer and one linear layer, under PyTorch's names.

use super::layers::{Layer, check_plain, layers, refuse, rows, without_skip};
use crate::cell::Cell;
use crate::error::Result;
use crate::nn::Module;

const OP: &str = "to_guitarml";
const EXPECTED: &str = "a GRU or an LSTM of one layer, and one linear layer after it";

/// Writes a network as JSON for GuitarML's programs, such as Proteus and NeuralPi: an LSTM or a GRU (reset after) of one
/// layer, and one linear layer after it. The file says whether the network adds its input to its output.
///
/// Weights are written such that they read back bit for bit; missing biases are zeros.
///
/// ```
/// use wgru::io::{TensorFile, load_network, to_guitarml_blocking};
/// use wgru::{Device, Rng, nn::{Linear, RecurrentConfig, Sequential}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let lstm = RecurrentConfig::lstm(1, 4).build(&device, &mut rng)?;
/// let model = Sequential::new().push("lstm", lstm).push("head", Linear::new(&device, 4, 1, true, &mut rng)?);
/// let text = to_guitarml_blocking(&model)?;
/// let network = load_network(&device, &TensorFile::import_bytes("amp.json", text.as_bytes())?)?;
/// assert!(!network.skip);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`](crate::Error::Value) naming the layer or option that the format cannot hold, and for weights that
/// are not finite; errors from reading tensors back.
pub async fn to_guitarml(model: &dyn Module) -> Result<String> {
    let (model, skip) = without_skip(model);
    let all = layers(OP, model).await?;
    let [(name, Layer::Recurrent(c, file)), (_, Layer::Linear { dims: [output, hidden], weight, bias })] = &all[..]
    else {
        return Err(refuse(OP, "", EXPECTED, format!("{} other layers", all.len())));
    };
    check_plain(OP, name, c)?;
    let unit = match c.cell {
        Cell::Gru => "GRU",
        Cell::Lstm => "LSTM",
        other => return Err(refuse(OP, name, EXPECTED, format!("a {other}"))),
    };
    if c.layers != 1 || c.options.learn_h0 {
        return Err(refuse(OP, name, EXPECTED, "several layers, or learned initial states"));
    }
    let gates = c.cell.gates() * c.hidden;
    let list = |values: Option<&[f32]>, len: usize| format!("{:?}", values.map_or(vec![0.0; len], <[f32]>::to_vec));
    let own = |part: &str| file.find(&format!("{part}_l0")).map(|(_, values)| values);
    let state = [
        ("rec.weight_ih_l0", rows(own("weight_ih").unwrap_or_default(), c.input)),
        ("rec.weight_hh_l0", rows(own("weight_hh").unwrap_or_default(), c.hidden)),
        ("rec.bias_ih_l0", list(own("bias_ih"), gates)),
        ("rec.bias_hh_l0", list(own("bias_hh"), gates)),
        ("lin.weight", rows(weight, *hidden)),
        ("lin.bias", list(Some(&bias[..]).filter(|bias| !bias.is_empty()), *output)),
    ];
    let state: Vec<String> = state.iter().map(|(name, values)| format!("\"{name}\": {values}")).collect();
    let head = format!(
        "\"model\": \"SimpleRNN\", \"input_size\": {}, \"skip\": {}, \"output_size\": {output}, \"unit_type\": \"{unit}\", \
         \"num_layers\": 1, \"hidden_size\": {}, \"bias_fl\": true",
        c.input, skip as u8, c.hidden
    );
    Ok(format!("{{\"model_data\": {{{head}}}, \"state_dict\": {{\n{}\n}}}}\n", state.join(",\n")))
}

/// Like [`to_guitarml`], and blocks until the parameters have been read back. Not in browsers.
///
/// # Errors
/// Same as [`to_guitarml`].
#[cfg(not(target_arch = "wasm32"))]
pub fn to_guitarml_blocking(model: &dyn Module) -> Result<String> {
    crate::wait::block_on(to_guitarml(model))
}
