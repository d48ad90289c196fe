//! Builds the networks of files that describe their layers.

use super::TensorFile;
use super::recurrent::build;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::nn::{Embedding, Kind, LastState, Linear, Mode, Module, Sequential};
use crate::tensor::Tensor;

/// A network that a file describes; see [`load_network`].
#[derive(Clone, Debug)]
pub struct Network {
    /// The layers, by the names of their weights in the file. An activation has the name of its layer, with
    /// `.activation`.
    pub layers: Sequential,
    /// Whether the first features of the input are added to the output.
    pub skip: bool,
}

impl Module for Network {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.layers.parameters()
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let y = self.layers.forward_with(x, mode)?;
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
        if self.skip { Kind::Other } else { self.layers.kind() }
    }
}

/// Element-wise functions with Keras' names.
#[derive(Clone, Copy)]
enum Function {
    Tanh,
    Sigmoid,
    Relu,
    Elu,
    Softplus,
    Softsign,
    /// Over the last axis.
    Softmax,
}

impl Module for Function {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        Vec::new()
    }

    fn forward_with(&self, x: &Tensor, _: &mut Mode) -> Result<Tensor> {
        match self {
            Function::Tanh => x.tanh(),
            Function::Sigmoid => x.sigmoid(),
            Function::Relu => x.relu(),
            Function::Elu => x.elu(1.0),
            Function::Softplus => x.softplus(),
            Function::Softsign => x.softsign(),
            Function::Softmax => x.softmax(),
        }
    }

    fn kind(&self) -> Kind<'_> {
        match self {
            Function::Tanh => Kind::Tanh,
            Function::Relu => Kind::Relu,
            _ => Kind::Other,
        }
    }
}

/// Builds the network in a file that [`TensorFile::import`] read: a model of RTNeural or AIDA-X, of GuitarML, of Neural
/// Amp Modeler with an LSTM, or a sequential one of Keras (`.keras`).
///
/// Input and output are batch-first: `[B, T, I]`, and `[B, T]` of indices before an embedding. Supports recurrent
/// layers, Keras' `Bidirectional`, `Dense`, `TimeDistributed` of a `Dense`, `Embedding`, `Activation`, and layers that
/// only act during training. Dropout is left out.
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
    let mut builder = Builder { device, file, layers: Sequential::new() };
    match (text("kind"), text("layers")) {
        (Some("rtneural" | "aida-x"), _) => {
            for name in (0..).map(|k| format!("layers.{k}")) {
                let Some(kind) = text(&format!("{name}.type")) else { break };
                builder.layer(&name, kind)?;
            }
        }
        (Some("guitarml"), _) => {
            builder.recurrent("rec", true)?;
            builder.dense("lin", "lin.weight", "lin.bias", false)?;
        }
        (Some("nam"), _) => {
            builder.recurrent("lstm", true)?;
            builder.dense("head", "head.weight", "head.bias", false)?;
        }
        (_, Some(names)) if text("class_name") == Some("Sequential") => {
            for name in names.split(' ') {
                builder.keras(name)?;
            }
        }
        _ => {
            let why = "does not describe a sequence of layers: expected a file that TensorFile::import read, with a \
                       model of RTNeural, AIDA-X, GuitarML or Neural Amp Modeler, or a sequential .keras model";
            return Err(Error::format(file.source(), why));
        }
    }
    Ok(Network { layers: builder.layers, skip: text("skip") == Some("true") })
}

struct Builder<'a> {
    device: &'a Device,
    file: &'a TensorFile,
    layers: Sequential,
}

impl Builder<'_> {
    fn push(&mut self, name: &str, layer: impl Module + 'static) {
        self.layers = std::mem::take(&mut self.layers).push(name, layer);
    }

    fn option(&self, layer: &str, key: &str) -> &str {
        self.file.metadata.get(&format!("{layer}.{key}")).map(String::as_str).unwrap_or_default()
    }

    fn error(&self, layer: &str, why: String) -> Error {
        Error::format(format!("{}: layer {layer:?}", self.file.source()), why)
    }

    /// Adds a layer of RTNeural.
    fn layer(&mut self, name: &str, kind: &str) -> Result<()> {
        match kind {
            "gru" | "lstm" => {
                return match self.option(name, "activation") {
                    "" | "tanh" => self.recurrent(name, true),
                    other => Err(self.error(name, format!("has the activation {other:?}; expected \"tanh\""))),
                };
            }
            "dense" | "time-distributed-dense" => {
                self.dense(name, &format!("{name}.weight"), &format!("{name}.bias"), false)?;
            }
            "activation" => {}
            other => return Err(self.error(name, format!("has the type {other:?}, which load_network does not build"))),
        }
        self.activation(name)
    }

    /// Adds a layer of Keras.
    fn keras(&mut self, name: &str) -> Result<()> {
        let is = |builder: &Self, layer: &str, key: &str| builder.option(layer, key) == "true";
        match self.option(name, "class_name") {
            "InputLayer" | "Dropout" | "SpatialDropout1D" | "GaussianNoise" | "GaussianDropout" => Ok(()),
            "GRU" | "LSTM" | "SimpleRNN" => {
                let sequences = is(self, name, "return_sequences");
                if sequences && is(self, name, "go_backwards") {
                    let why = "returns its sequence backward (go_backwards with return_sequences), which load_network \
                               does not build";
                    return Err(self.error(name, why.into()));
                }
                self.recurrent(name, sequences)
            }
            "Bidirectional" => self.recurrent(name, is(self, &format!("{name}.forward_layer"), "return_sequences")),
            "Dense" => self.keras_dense(name),
            "TimeDistributed" if self.option(&format!("{name}.layer"), "class_name") == "Dense" => {
                self.keras_dense(&format!("{name}.layer"))
            }
            "Embedding" if !is(self, name, "mask_zero") => {
                let (dims, values) = self.file.get(&format!("{name}.vars.0"))?;
                let table = Embedding::from_weight(Tensor::from_slice(self.device, values, dims)?)?;
                self.push(name, table);
                Ok(())
            }
            "Activation" => self.activation(name),
            other => {
                let why = format!("is a {other:?} of Keras, or has options that load_network does not build");
                Err(self.error(name, why))
            }
        }
    }

    fn keras_dense(&mut self, name: &str) -> Result<()> {
        self.dense(name, &format!("{name}.vars.0"), &format!("{name}.vars.1"), true)?;
        self.activation(name)
    }

    /// Adds a recurrent layer; without `sequences`, only the last state of each direction goes on.
    fn recurrent(&mut self, name: &str, sequences: bool) -> Result<()> {
        let layer = build(self.device, &self.file.recurrent(name)?, true)?;
        let c = layer.config();
        let last = LastState { batch_first: true, bidirectional: c.bidirectional, reverse: c.reverse };
        self.push(name, layer);
        if !sequences {
            self.push(&format!("{name}.last"), last);
        }
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
            true => {
                let moved = (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns.max(1)));
                ([columns, rows], moved.copied().collect())
            }
        };
        let weight = Tensor::from_slice(self.device, &values, &dims)?;
        let bias = match self.file.names().any(|own| own == bias) {
            true => Some(Tensor::from_slice(self.device, self.file.expect(bias, &dims[..1])?, &dims[..1])?),
            false => None,
        };
        self.push(name, Linear::from_parameters(weight, bias)?);
        Ok(())
    }

    /// Adds the activation of a layer, if it has one.
    fn activation(&mut self, name: &str) -> Result<()> {
        let function = match self.option(name, "activation") {
            "" | "linear" => return Ok(()),
            "tanh" => Function::Tanh,
            "sigmoid" => Function::Sigmoid,
            "relu" => Function::Relu,
            "elu" => Function::Elu,
            "softplus" => Function::Softplus,
            "softsign" => Function::Softsign,
            "softmax" => Function::Softmax,
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(
                    self.error(name, format!("has the activation {other:?}, which load_network does not build"))
                );
            }
        };
        self.push(&format!("{name}.activation"), function);
        Ok(())
    }
}
