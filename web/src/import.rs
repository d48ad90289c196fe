//! Reads models from files of any kind, and writes them as the files that the other modules read.

use wasm_bindgen::JsValue;
use wgru::io::onnx::{self, Input};
use wgru::io::{Network, TensorFile, load_network, load_recurrent};
use wgru::nn::{Kind, Linear, Module, Recurrent, RecurrentConfig};
use wgru::{Device, Error};

use crate::fault::{Fault, Result};
use crate::layout;
use crate::values;

/// Maximum number of names in an error message.
const MOST_NAMES: usize = 16;

/// What becomes of a file.
enum Converted {
    /// A safetensors file with recurrent layers and at most one linear layer.
    Network(Vec<u8>),
    /// An ONNX model.
    Onnx(Vec<u8>),
}

/// Converts a file. With `layer`, only this recurrent layer of it. With `as_graph`, to an ONNX model.
pub async fn convert(source: &str, bytes: Vec<u8>, layer: Option<&str>, as_graph: bool) -> Result<JsValue> {
    let (kind, bytes) = match read(source, &bytes, layer, as_graph).await? {
        Converted::Network(bytes) => ("network", bytes),
        Converted::Onnx(bytes) => ("onnx", bytes),
    };
    let bytes = js_sys::Uint8Array::from(&bytes[..]);
    Ok(values::object(&[("kind", kind.into()), ("bytes", bytes.into())]))
}

async fn read(source: &str, bytes: &[u8], layer: Option<&str>, as_graph: bool) -> Result<Converted> {
    let device = Device::cpu();
    // Not by `ModelFile`, which would bring the operators of ONNX along.
    let file = TensorFile::import_bytes(source, bytes)?;
    let layers = file.layers();
    let name = match (layer, &layers[..]) {
        (Some(name), _) => name,
        (None, layers) => match (load_network(&device, &file), layers) {
            (Ok(network), _) if as_graph => return graph(&network).await,
            (Ok(network), _) => return self::network(&network).await,
            // Weights with PyTorch's names: the linear layer after the recurrent ones is found by its name.
            _ if !as_graph && file.names().any(|name| name.rsplit('.').next() == Some("weight_ih_l0")) => {
                return Ok(Converted::Network(readable(&file)?.to_bytes()?));
            }
            (_, [only]) => &only.name,
            (Err(error), []) => return Err(error.into()),
            (Err(error), several) => {
                let names: Vec<&str> = several.iter().take(MOST_NAMES).map(|layer| layer.name.as_str()).collect();
                return Err(Fault::unsupported(format!(
                    "{error}; load one of its layers by the option layer: {names:?}"
                )));
            }
        },
    };
    let layer = load_recurrent(&device, &file.recurrent(name)?).await?;
    if as_graph {
        return graph(&layer).await;
    }
    Ok(Converted::Network(layout::write(&layer, None, "every", false).await?.to_bytes()?))
}

/// Returns the file without tensors that cannot be read, such as those of optimizers.
fn readable(file: &TensorFile) -> Result<TensorFile, Error> {
    let mut file = file.clone();
    file.discard_unreadable();
    Ok(file)
}

/// Converts a network to recurrent layers and at most one linear layer, or else to a graph.
async fn network(network: &Network) -> Result<Converted> {
    let Some(Plain { recurrent, head, steps }) = plain(network)? else { return graph(network).await };
    let file = layout::write(&recurrent, head.as_ref(), steps, network.skip).await?;
    Ok(Converted::Network(file.to_bytes()?))
}

/// A network that is recurrent layers with at most one linear layer.
struct Plain {
    recurrent: Recurrent,
    head: Option<Linear>,
    /// The steps that the linear layer reads.
    steps: &'static str,
}

/// Returns the parts of a network, or `None` if it has other layers.
fn plain(network: &Network) -> Result<Option<Plain>, Error> {
    // Of a graph, the widths are unknown.
    let (Some(_), Kind::Sequence(parts)) = (network.widths(), network.layers.kind()) else { return Ok(None) };
    let (mut recurrent, mut head, mut steps) = (Vec::<&Recurrent>::new(), None, "every");
    for (name, part) in parts {
        match (part.kind(), head.is_some(), steps) {
            (Kind::Dropout, ..) => {}
            (Kind::Recurrent(_), false, "every") => recurrent.push(network.layers.layer(name)?),
            (Kind::LastState(_), false, "every") if !recurrent.is_empty() => steps = "last",
            (Kind::Linear, false, _) if !recurrent.is_empty() => {
                head = Some(network.layers.layer::<Linear>(name)?.clone());
            }
            _ => return Ok(None),
        }
    }
    let Some(recurrent) = stacked(&recurrent)? else { return Ok(None) };
    // Without a linear layer, a network returns the output of every step.
    let is_known = steps == "every" || (head.is_some() && !network.skip);
    Ok(is_known.then_some(Plain { recurrent, head, steps }))
}

/// Joins layers to one with several layers, if they differ only in their input.
fn stacked(layers: &[&Recurrent]) -> Result<Option<Recurrent>, Error> {
    let &[first, ..] = layers else { return Ok(None) };
    if layers.len() == 1 {
        return Ok(Some(first.clone()));
    }
    let config = first.config();
    let width = config.directions() * config.out();
    let fits = |layer: &&Recurrent| {
        let same = RecurrentConfig { input: config.input, ..layer.config().clone() };
        layer.config().input == width && same == *config
    };
    if config.layers != 1 || config.options.learn_h0 || !layers[1..].iter().all(fits) {
        return Ok(None);
    }
    let config = RecurrentConfig { layers: layers.len(), ..config.clone() };
    let mut tensors = layers.iter().flat_map(|layer| layer.parameters());
    let next = |_: &str, dims: &[usize]| match tensors.next() {
        Some((_, tensor)) => Ok(tensor),
        None => wgru::Tensor::zeros(&Device::cpu(), dims),
    };
    Recurrent::from_parameters(&Device::cpu(), config, next).map(Some)
}

/// Exports a model as an ONNX file, with free batch and time axes.
async fn graph(model: &dyn Module) -> Result<Converted> {
    let Some(input) = Input::of(model) else {
        let text = "a network that does not tell the features of its input";
        return Err(Fault::unsupported(text.into()));
    };
    Ok(Converted::Onnx(onnx::export(model, &input).await?))
}
