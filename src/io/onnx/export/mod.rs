//! Exports models as ONNX files.

mod functions;
mod graph;
mod layers;
mod merge;
mod network;
mod recurrent;

use super::info::Extent;
use crate::error::{Error, Result};
use crate::io::{Network, parameters_to_file};
use crate::nn::{Kind, Module, check_last_steps, widths};
use graph::{Graph, Value};

/// Operator set of exported files: the first with `LayerNormalization`.
const OPSET: i64 = 17;

/// Input of an exported model.
///
/// ```
/// use wgru::io::onnx::{Extent, Input};
/// let sequences = Input::new("x", vec![Extent::named("batch"), Extent::named("time"), Extent::Fixed(40)]);
/// let words = Input { indices: true, ..Input::new("words", vec![Extent::named("batch"), Extent::named("time")]) };
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Name of the input.
    pub name: String,
    /// Extents of the input. Named and free ones may differ from run to run.
    pub dims: Vec<Extent>,
    /// Whether the input holds indices (for an embedding) instead of floats.
    pub indices: bool,
}

impl Input {
    /// Creates an input of floats.
    pub fn new(name: &str, dims: Vec<Extent>) -> Self {
        Self { name: name.into(), dims, indices: false }
    }

    /// Returns the input `x` that the first layer of a model takes, with free extents named `batch` and `time`. `None`
    /// if the model does not describe itself.
    ///
    /// ```
    /// use wgru::{Device, Rng, io::onnx::{Extent, Input}, nn::RecurrentConfig};
    /// let gru = RecurrentConfig::gru(3, 8).build(&Device::cpu(), &mut Rng::new(0))?;
    /// let input = Input::of(&gru).expect("a layer with a known input");
    /// assert_eq!(input.dims, [Extent::named("time"), Extent::named("batch"), Extent::Fixed(3)]);
    /// # Ok::<(), wgru::Error>(())
    /// ```
    pub fn of(model: &dyn Module) -> Option<Self> {
        let (is_batch_first, indices, width) = first(model)?;
        let [batch, time] = [Extent::named("batch"), Extent::named("time")];
        let mut dims = if is_batch_first { vec![batch, time] } else { vec![time, batch] };
        if let Some(network) = network_of(model) {
            // Steps stay free unless the network needs their number.
            let known = |extent: &Option<usize>| extent.filter(|_| network.needs_extents()).map(Extent::Fixed);
            match network.input_extents() {
                [] => {}
                [steps] if indices => dims[1] = known(steps).unwrap_or(Extent::named("time")),
                [_] => dims.truncate(1),
                [outer @ .., _] => {
                    dims.truncate(1);
                    let name = |k: usize| if k == 0 { "time".into() } else { format!("axis{k}") };
                    dims.extend(
                        outer
                            .iter()
                            .enumerate()
                            .map(|(k, extent)| known(extent).unwrap_or_else(|| Extent::Named(name(k)))),
                    );
                }
            }
        }
        if !indices {
            dims.push(Extent::Fixed(width?));
        }
        Some(Self { indices, ..Self::new("x", dims) })
    }
}

/// Returns the model if it is a network of a file that is not only its layers one after another.
fn network_of(model: &dyn Module) -> Option<&Network> {
    if let Kind::Typed(any) = model.kind() { any.downcast_ref() } else { None }
}

/// Returns whether the input of a model is batch-first, whether it holds indices, and its features.
fn first(model: &dyn Module) -> Option<(bool, bool, Option<usize>)> {
    Some(match model.kind() {
        Kind::Recurrent(c) => (c.batch_first, false, Some(c.input)),
        Kind::Embedding => (true, true, None),
        Kind::Conv1d(_) | Kind::Linear | Kind::LayerNorm(_) => (true, false, widths(model)[0]),
        Kind::Sequence(parts) => {
            return parts.iter().find(|(_, part)| !part.parameters().is_empty()).and_then(|(_, part)| first(*part));
        }
        Kind::Typed(any) => {
            let Some(network) = any.downcast_ref::<Network>() else {
                // A batch normalization has one weight for each feature.
                return Some((true, false, Some(*model.parameters().first()?.1.dims().last()?)));
            };
            let of_layers = first(&network.layers);
            let told = network.input_extents().last().copied().flatten();
            let indices = of_layers.is_some_and(|(_, indices, _)| indices);
            (true, indices, told.or(of_layers.and_then(|(.., width)| width)))
        }
        _ => return None,
    })
}

/// Exports a model as an ONNX file of operator set 17, with one input, and one output named `output`. Nodes and weights
/// are named after the layers, and free extents of the input stay free. The same model always gives the same bytes.
///
/// Supports all layers with a known [`kind`](Module::kind) that ONNX has operators for, models composed of them, and every
/// [`Network`], also with branches and masks. A GRU, LSTM or RNN becomes one node per layer, with its activations, clipping
/// and peepholes. A mask takes products of two matrices `[T, T]` for each sequence (ADR 0063).
///
/// ```
/// use wgru::{Device, Rng, Tensor, io::onnx::{self, Extent, Input, OnnxModel}, nn::*};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = RecurrentConfig { input: 3, hidden: 8, batch_first: true, ..Default::default() }.build(&device, &mut rng)?;
/// let model = Sequential::new().push("gru", gru).push("head", Linear::new(&device, 8, 1, true, &mut rng)?);
/// let input = Input::new("x", vec![Extent::named("batch"), Extent::named("time"), Extent::Fixed(3)]);
/// let bytes = onnx::export_blocking(&model, &input)?;
/// let copy = OnnxModel::load(&device, &bytes)?;
/// let y = copy.run(&[("x", Tensor::zeros(&device, &[2, 5, 3])?.into())])?;
/// assert_eq!(y[0].1.dims(), [2, 5, 1]);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Unsupported`] naming a layer that ONNX cannot represent, such as one of unknown kind, or one with a
/// projection or zoneout; [`Error::Shape`] for an input that a layer does not accept;
/// [`Error::Value`] for the last step of a reverse direction, or an invalid name of the input; [`Error::Format`] for a
/// duplicate name; errors from reading tensors back.
pub async fn export(model: &dyn Module, input: &Input) -> Result<Vec<u8>> {
    const OUTPUT: &str = "output";
    if input.name.is_empty() || input.name == OUTPUT {
        let expected = format!("a name other than {OUTPUT:?}");
        return Err(Error::value("onnx::export", "name", expected, format!("{:?}", input.name)));
    }
    check_last_steps(&model.kind())?;
    let mut graph = Graph::new(parameters_to_file(model).await?);
    let first = Value { name: input.name.clone(), dims: input.dims.clone(), indices: input.indices };
    let last = match network_of(model) {
        Some(network) => network::write(&mut graph, network, first.clone())?,
        None => layers::write(&mut graph, "", model, first.clone())?,
    };
    let last = graph.node(OUTPUT, "Identity", &[&last], vec![], last.dims.clone());
    graph.finish(OPSET, &first, &last)
}

/// Like [`export()`], and blocks until the parameters have been read back. Not in browsers.
///
/// # Errors
/// Same as [`export()`].
#[cfg(not(target_arch = "wasm32"))]
pub fn export_blocking(model: &dyn Module, input: &Input) -> Result<Vec<u8>> {
    crate::wait::block_on(export(model, input))
}
