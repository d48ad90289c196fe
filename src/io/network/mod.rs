//! Builds the networks of files that describe their layers.

mod functions;
mod keras;
mod masks;
mod sequential;
mod wiring;

use super::TensorFile;
use super::convert::transpose;
use super::recurrent::build;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Kind, Linear, Mode, Module, Sequential};
use crate::stream::{NetworkStream, StreamOptions, widths};
use crate::tensor::Tensor;
pub(in crate::io) use functions::{Function, Merge};
pub(in crate::io) use keras::{Affine, PRelu};
pub(in crate::io) use masks::Rule;
pub use sequential::network_to_file;
pub(in crate::io) use wiring::{Action, Wiring};

/// A network that a file describes; see [`load_network`].
#[derive(Clone, Debug)]
pub struct Network {
    /// The layers, by the names that the user gave in Keras, or else by the names of their weights in the file. An
    /// activation has the name of its layer, with `.activation`. [`Sequential::layer`] also finds layers of a `.keras`
    /// archive by the names of their weights, such as `layers.gru_1`.
    pub layers: Sequential,
    /// Whether the first features of the input are added to the output.
    pub skip: bool,
    /// How values flow between the layers, if not from each to the next.
    pub(in crate::io) wiring: Option<Wiring>,
    /// Extents of one sequence that the file tells, such as steps and features; `None` for those that it leaves open.
    extents: Vec<Option<usize>>,
}

impl Network {
    /// Connects layers one after another. With `skip`, the first features of the input are added to the output.
    pub(in crate::io) fn of_layers(layers: Sequential, skip: bool) -> Self {
        Self { layers, skip, wiring: None, extents: Vec::new() }
    }

    /// Returns the extents of one sequence of the input, such as steps and features, as far as the file tells them;
    /// `None` for those that it leaves open. Empty if it tells nothing.
    pub fn input_extents(&self) -> &[Option<usize>] {
        &self.extents
    }

    /// Whether a layer depends on the extents of the input, such as one that flattens its steps.
    pub(in crate::io) fn needs_extents(&self) -> bool {
        let moves =
            |layer: &Function| matches!(layer, Function::Reshape(_) | Function::Permute(_) | Function::Repeat(_));
        (0..self.layers.count()).any(|k| self.layers.at(k).downcast_ref::<Function>().is_some_and(moves))
    }

    /// Returns the features of a step of the input and of the output, if the layers run one after another.
    pub fn widths(&self) -> Option<[usize; 2]> {
        self.wiring.is_none().then(|| widths(&self.layers)).flatten()
    }

    /// Creates a stream, which runs the network frame by frame on the CPU.
    ///
    /// ```
    /// use wgru::{Device, StreamOptions, io::{TensorFile, load_network}};
    /// let gru = r#"{ "type": "gru", "weights": [[[0.1, 0.2, 0.3]], [[0.0, 0.0, 0.0]], [[0, 0, 0], [0, 0, 0]]] }"#;
    /// let dense = r#"{ "type": "dense", "activation": "tanh", "weights": [[[0.5]], [0.0]] }"#;
    /// let text = format!(r#"{{ "layers": [{gru}, {dense}] }}"#);
    /// let network = load_network(&Device::cpu(), &TensorFile::import_bytes("amp.json", text.as_bytes())?)?;
    /// let mut stream = network.stream(StreamOptions::default())?;
    /// let mut samples = [0.5, 0.25, -0.5];
    /// stream.process_in_place(&mut samples)?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Value`] for layers that branch; errors of [`NetworkStream::new`].
    pub fn stream(&self, options: StreamOptions) -> Result<NetworkStream> {
        if self.wiring.is_some() {
            let expected = "layers one after another";
            return Err(Error::value("Network::stream", "network", expected, "layers that branch, or masks"));
        }
        let stream = NetworkStream::new(&self.layers, options)?;
        if self.skip { stream.with_skip() } else { Ok(stream) }
    }
}

impl Module for Network {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.layers.parameters()
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let y = match &self.wiring {
            Some(wiring) => wiring.run(&self.layers, x, mode)?,
            None => self.layers.forward_with(x, mode)?,
        };
        match (self.skip, x.dims().last(), y.dims().last()) {
            (true, Some(from), Some(&to)) if *from > to => &y + &x.slice(x.dims().len() - 1, 0..to)?,
            (true, Some(from), Some(to)) if from < to => Err(Error::shape(
                "Network",
                "x",
                format!("at least {to} features, which are added to the output"),
                x.dims(),
            )),
            (true, ..) => &y + x,
            _ => Ok(y),
        }
    }

    fn kind(&self) -> Kind<'_> {
        match self.skip || self.wiring.is_some() || self.needs_extents() {
            true => Kind::Typed(self),
            false => self.layers.kind(),
        }
    }
}

/// Builds the network in a file that [`TensorFile::import`] read: a model of RTNeural or AIDA-X, of GuitarML, of Neural
/// Amp Modeler with an LSTM, a network that [`network_to_file`] or the Python package saved, or a whole model of Keras 2 or
/// 3 (`.keras`, `.h5`).
///
/// Input and output are batch-first: `[B, T, I]`, and `[B, T]` of indices before an embedding.
///
/// For Keras, it builds sequential models and graphs with one input and one output, including nested ones. Supported
/// layers:
///
/// | kind | layers |
/// | --- | --- |
/// | recurrent | `GRU`, `LSTM`, `SimpleRNN`, their cells in `RNN`, `CuDNNGRU`, `CuDNNLSTM`, `Bidirectional` |
/// | others with weights | `Dense`, `Embedding`, `Conv1D`, `BatchNormalization`, `LayerNormalization`, `PReLU` |
/// | without weights | activations, `Masking`, `TimeDistributed` of a `Dense`, pooling over time, `Rescaling` |
/// | shapes | `Flatten`, `Reshape`, `Permute`, `RepeatVector`, `ZeroPadding1D`, `Cropping1D`, `UpSampling1D` |
/// | in graphs | `Add`, `Subtract`, `Multiply`, `Average`, `Concatenate` |
///
/// Layers that only act during training, such as dropout, are left out, and batch normalization always uses the stored
/// statistics. Masks of `Embedding` and `Masking` are honored. They are read from the input on the host, so a network
/// with masks does not run in browsers, where its ONNX form does ([`onnx::export`](super::onnx::export())). The state of `stateful` layers is not carried from call to call. A model whose
/// layers are `time_major` takes `[T, B, I]`. `CuDNNGRU` and `CuDNNLSTM` are built from the weights of cuDNN.
///
/// ```
/// use wgru::{Device, Tensor, io::{TensorFile, load_network}, nn::Module};
/// let layer = r#"{ "type": "dense", "activation": "tanh", "weights": [[[0.5]], [0.0]] }"#;
/// let text = format!(r#"{{ "layers": [{layer}], "in_skip": 1 }}"#);
/// let file = TensorFile::import_bytes("model.json", text.as_bytes())?;
/// let device = Device::cpu();
/// let network = load_network(&device, &file)?;
/// let y = network.forward(&Tensor::from_slice(&device, &[1.0], &[1, 1, 1])?)?;
/// assert!((y.read_blocking()?[0] - (1.0 + 0.5f32.tanh())).abs() < 1e-6);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Format`] if the file does not describe its layers, and for a layer that is not supported, by its name.
pub fn load_network(device: &Device, file: &TensorFile) -> Result<Network> {
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    let mut builder = Builder::new(device, file);
    let (mut wiring, mut extents) = (None, Vec::new());
    match (text("kind"), text("layers")) {
        (Some("rtneural" | "aida-x"), _) => {
            for name in (0..).map(|k| format!("layers.{k}")) {
                let Some(kind) = text(&format!("{name}.type")) else { break };
                builder.layer(&name, kind)?;
            }
        }
        (Some("guitarml"), _) => {
            builder.recurrent("rec")?;
            builder.dense("lin", "lin.weight", "lin.bias", false)?;
        }
        (Some("nam"), _) => {
            builder.recurrent("lstm")?;
            builder.dense("head", "head.weight", "head.bias", false)?;
        }
        (Some(sequential::KIND), _) => builder.sequential()?,
        (_, Some(_)) if text("class_name").is_some() => {
            let (layers, graph) = keras::build(device, file)?;
            (builder.layers, wiring) = (layers, graph);
            extents = keras::extents(file);
        }
        _ => {
            let why = "does not describe its layers: expected a file that TensorFile::import read, with a model of \
                       RTNeural, AIDA-X, GuitarML or Neural Amp Modeler, a network that the Python package saved, or a \
                       whole model of Keras (model.save)";
            return Err(Error::format(file.source(), why));
        }
    }
    Ok(Network { layers: builder.layers, skip: text("skip") == Some("true"), wiring, extents })
}

/// Adds layers one after another.
struct Builder<'a> {
    device: &'a Device,
    file: &'a TensorFile,
    layers: Sequential,
    /// Names that users gave to the layers so far.
    used: Vec<String>,
}

impl<'a> Builder<'a> {
    fn new(device: &'a Device, file: &'a TensorFile) -> Self {
        Self { device, file, layers: Sequential::new(), used: Vec::new() }
    }

    fn push(&mut self, name: &str, layer: impl Module + 'static) {
        let called = self.file.called(name);
        let layers = std::mem::take(&mut self.layers);
        // Two layers of a damaged file may have the same name.
        self.layers = if called != name && !self.used.contains(&called) {
            self.used.push(called.clone());
            layers.push(&called, layer).alias(name, &called)
        } else {
            layers.push(name, layer)
        };
    }

    fn option(&self, layer: &str, key: &str) -> &str {
        self.file.metadata.get(&format!("{layer}.{key}")).map(String::as_str).unwrap_or_default()
    }

    fn error(&self, layer: &str, why: String) -> Error {
        Error::format(format!("{}: layer {:?}", self.file.source(), self.file.called(layer)), why)
    }

    /// Adds a layer of RTNeural.
    fn layer(&mut self, name: &str, kind: &str) -> Result<()> {
        match kind {
            "gru" | "lstm" => {
                return match self.option(name, "activation") {
                    "" | "tanh" => self.recurrent(name),
                    other => Err(self.error(name, format!("has the activation {other:?}; expected \"tanh\""))),
                };
            }
            "dense" | "time-distributed-dense" => {
                self.dense(name, &format!("{name}.weight"), &format!("{name}.bias"), false)?;
            }
            "activation" => {}
            other => return Err(self.error(name, format!("has the type {other:?}, which load_network does not build"))),
        }
        if let Some(function) = self.activation(name)? {
            self.push(&format!("{name}.activation"), function);
        }
        Ok(())
    }

    /// Adds a recurrent layer in PyTorch's layout.
    fn recurrent(&mut self, name: &str) -> Result<()> {
        let layer = build(self.device, &self.file.recurrent(name)?, true)?;
        self.push(name, layer);
        Ok(())
    }

    /// Adds a dense layer with a weight `[out, in]`, or with a kernel `[in, out]`.
    fn dense(&mut self, name: &str, weight: &str, bias: &str, is_kernel: bool) -> Result<()> {
        let (dims, values) = self.file.get(weight)?;
        let &[rows, columns] = dims else {
            return Err(self.error(name, format!("has a weight of shape {dims:?}; expected a matrix")));
        };
        let (dims, values) = match is_kernel {
            false => ([rows, columns], values.to_vec()),
            true => ([columns, rows], transpose(values, columns)),
        };
        let weight = Tensor::from_slice(self.device, &values, &dims)?;
        let bias = match self.file.find(bias).is_some() {
            true => Some(Tensor::from_slice(self.device, self.file.expect(bias, &dims[..1])?, &dims[..1])?),
            false => None,
        };
        self.push(name, Linear::from_parameters(weight, bias)?);
        Ok(())
    }

    /// Returns the activation of a layer, if it has one.
    fn activation(&self, name: &str) -> Result<Option<Function>> {
        match self.option(name, "activation") {
            "" | "linear" => Ok(None),
            text => match Function::activation(text, self.is_keras_2()) {
                Some(function) => Ok(Some(function)),
                None => {
                    let text: String = text.chars().take(64).collect();
                    let why = format!("has the activation {text:?}, which load_network does not build");
                    Err(self.error(name, why))
                }
            },
        }
    }

    /// Whether the file is known to be from a version of Keras before 3.
    fn is_keras_2(&self) -> bool {
        self.file.metadata.get("keras_version").is_some_and(|version| !version.starts_with('3'))
    }
}
