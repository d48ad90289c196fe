//! Networks of layers one after another, in safetensors files. Their metadata has the names of the layers in order, and
//! the type of each: `kind = wgru-sequential`, `layers = gru last head`, `gru.type = recurrent`. The Python package writes
//! such files, too (`python/src/file.rs`).

use super::{Builder, Function, Network, build};
use crate::error::{Error, Result};
use crate::io::{TensorFile, recurrent_to_file};
use crate::math::Activation;
use crate::nn::{Embedding, Kind, LastState, LayerNorm, Recurrent, Relu, Tanh};
use crate::tensor::Tensor;

/// Value of `kind` in the metadata.
pub(super) const KIND: &str = "wgru-sequential";

impl Builder<'_> {
    /// Adds all layers. Recurrent layers become batch-first.
    pub(super) fn sequential(&mut self) -> Result<()> {
        let names: String = self.file.field("layers")?;
        let mut directions = None;
        for name in names.split_ascii_whitespace() {
            let kind: String = self.file.field(&format!("{name}.type"))?;
            self.saved_layer(name, &kind, &mut directions)?;
        }
        match self.layers.count() {
            0 => Err(self.error("", "has no layers".into())),
            _ => Ok(()),
        }
    }

    /// Adds a layer. `directions` are those of the last recurrent layer.
    fn saved_layer(&mut self, name: &str, kind: &str, directions: &mut Option<LastState>) -> Result<()> {
        let file = self.file.under(name);
        match kind {
            "recurrent" => {
                let layer = build(self.device, &file, true)?;
                let c = layer.config();
                let (bidirectional, reverse) = (c.bidirectional, c.reverse);
                *directions = Some(LastState { batch_first: true, bidirectional, reverse });
                self.push(name, layer);
            }
            "linear" => self.dense(name, &format!("{name}.weight"), &format!("{name}.bias"), false)?,
            "embedding" => self.push(name, Embedding::from_weight(self.saved(&file, "weight")?)?),
            "layer_norm" => {
                let [weight, bias] = [self.saved(&file, "weight")?, self.saved(&file, "bias")?];
                self.push(name, LayerNorm::from_parameters(weight, bias, file.field("eps")?)?);
            }
            "relu" => self.push(name, Relu),
            "tanh" => self.push(name, Tanh),
            "activation" => {
                let text: String = file.field("activation")?;
                match text.parse().ok().and_then(Function::of) {
                    Some(function) => self.push(name, function),
                    None => return Err(self.error(name, format!("has the activation {text:.64?}, which is unknown"))),
                }
            }
            "softmax" => self.push(name, Function::Softmax),
            "log_softmax" => self.push(name, Function::LogSoftmax),
            // Acts only during training.
            "dropout" => {}
            "last_state" => match *directions {
                Some(last) => self.push(name, last),
                None => return Err(self.error(name, "has no recurrent layer before it".into())),
            },
            other => {
                let other: String = other.chars().take(64).collect();
                return Err(self.error(name, format!("has the type {other:?}, which load_network does not build")));
            }
        }
        Ok(())
    }

    /// Reads a tensor.
    fn saved(&self, file: &TensorFile, name: &str) -> Result<Tensor> {
        let (dims, values) = file.get(name)?;
        Tensor::from_slice(self.device, values, dims)
    }
}

/// Writes a network of layers that run one after another as tensors with PyTorch's names. Its metadata describes the
/// layers, such that [`load_network`](super::load_network) reads it back.
///
/// ```
/// use wgru::io::{TensorFile, load_network, network_to_file};
/// let layer = r#"{ "type": "dense", "activation": "sigmoid", "weights": [[[0.5]], [0.0]] }"#;
/// let text = format!(r#"{{ "layers": [{layer}], "in_skip": 1 }}"#);
/// let device = wgru::Device::cpu();
/// let network = load_network(&device, &TensorFile::import_bytes("model.json", text.as_bytes())?)?;
/// let file = pollster::block_on(network_to_file(&network))?;
/// assert_eq!(file.get("layers.0.weight")?, (&[1, 1][..], &[0.5][..]));
/// assert!(load_network(&device, &file)?.skip);
/// # Ok::<(), wgru::Error>(())
/// ```
///
/// # Errors
/// [`Error::Value`] for layers that branch, and naming a layer that such a file cannot hold, such as a convolution, a
/// layer that is not batch-first, or one whose name has a space or is also that of another layer; errors from reading
/// back from the device.
pub async fn network_to_file(network: &Network) -> Result<TensorFile> {
    const OP: &str = "network_to_file";
    const BATCH_FIRST: &str = "batch-first layers, as load_network builds them";
    if network.wiring.is_some() {
        return Err(Error::value(OP, "network", "layers one after another", "layers that branch, or masks"));
    }
    let (mut out, mut names, mut has_recurrent) = (TensorFile::default(), Vec::new(), false);
    for (name, part) in network.layers.parts() {
        let refuse = |expected: &str| Err(Error::value(OP, "network", expected, format!("layer {name:?}")));
        // The metadata separates names by spaces.
        if name.is_empty() || name.contains(|c: char| c.is_ascii_whitespace()) || names.contains(&name) {
            return refuse("names without spaces, each of one layer");
        }
        let mut options = Vec::new();
        let kind = match part.kind() {
            Kind::Recurrent(c) if !c.batch_first => return refuse(BATCH_FIRST),
            Kind::Recurrent(_) => {
                has_recurrent = true;
                let file = recurrent_to_file(network.layers.layer::<Recurrent>(name)?).await?;
                options.extend(file.metadata);
                "recurrent"
            }
            Kind::Linear => "linear",
            Kind::Embedding => "embedding",
            Kind::LayerNorm(eps) => {
                options.push(("eps".to_string(), eps.to_string()));
                "layer_norm"
            }
            Kind::LastState(LastState { batch_first: false, .. }) | Kind::LastStep { batch_first: false } => {
                return refuse(BATCH_FIRST);
            }
            Kind::LastState(_) | Kind::LastStep { .. } if !has_recurrent => {
                return refuse("a recurrent layer before the last state");
            }
            Kind::LastState(_) | Kind::LastStep { .. } => "last_state",
            Kind::Activation(Activation::Relu) => "relu",
            Kind::Activation(Activation::Tanh) => "tanh",
            Kind::Activation(other) if Function::of(other).is_some() => {
                options.push(("activation".to_string(), other.to_string()));
                "activation"
            }
            Kind::Softmax => "softmax",
            Kind::LogSoftmax => "log_softmax",
            Kind::Dropout => continue,
            _ => {
                return refuse("recurrent and linear layers, embeddings, layer norms, activations, and the last state");
            }
        };
        out.insert_all(&format!("{name}."), &part.parameters()).await?;
        options.push(("type".into(), kind.into()));
        out.metadata.extend(options.into_iter().map(|(key, text)| (format!("{name}.{key}"), text)));
        names.push(name);
    }
    if names.is_empty() {
        return Err(Error::value(OP, "network", "at least one layer", "none"));
    }
    out.metadata.insert("kind".into(), KIND.into());
    out.metadata.insert("layers".into(), names.join(" "));
    if network.skip {
        out.metadata.insert("skip".into(), "true".into());
    }
    Ok(out)
}
