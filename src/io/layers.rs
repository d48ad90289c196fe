//! Finds the recurrent layers of a file, whatever framework wrote it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::recurrent::config;
use super::{RecurrentWeights, TensorFile, verify};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::math::Activation;

/// A recurrent layer in a file; see [`TensorFile::layers`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct LayerInfo {
    /// The name for [`TensorFile::recurrent`]: the one that the user gave in a whole model of Keras, or else the common
    /// prefix of its tensors' names. Empty if the file holds only this layer.
    pub name: String,
    /// Its cell.
    pub cell: Cell,
    /// I, the features of the input.
    pub input: usize,
    /// H, the units of the hidden state.
    pub hidden: usize,
    /// Number of layers in the stack.
    pub layers: usize,
    /// Whether it also reads the sequence backward.
    pub bidirectional: bool,
}

/// The metadata with the version of Keras.
const VERSION: &str = "keras_version";

/// How a framework names the parameters of a layer.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    /// `weight_ih_l0` of a PyTorch layer.
    Torch,
    /// `weight_ih` of a PyTorch cell.
    TorchCell,
    /// Keras: kernel, recurrent kernel and bias, after the layer's name.
    Keras([&'static str; 3]),
    /// The same, in layers without a cell: those of cuDNN in a `.keras` archive. Layers of other kinds have such names,
    /// too, so the configuration decides.
    KerasCuDnn([&'static str; 3]),
}

const STYLES: [Style; 6] = [
    Style::Torch,
    Style::TorchCell,
    Style::Keras(["kernel", "recurrent_kernel", "bias"]),
    Style::Keras(["kernel:0", "recurrent_kernel:0", "bias:0"]),
    Style::Keras(["cell.vars.0", "cell.vars.1", "cell.vars.2"]),
    Style::KerasCuDnn(["vars.0", "vars.1", "vars.2"]),
];

impl Style {
    /// Name of the recurrent matrix, by which a layer is found.
    fn key(self) -> &'static str {
        match self {
            Style::Torch => "weight_hh_l0",
            Style::TorchCell => "weight_hh",
            Style::Keras([_, recurrent, _]) | Style::KerasCuDnn([_, recurrent, _]) => recurrent,
        }
    }

    /// Returns the layer whose recurrent matrix in this style has this name.
    fn layer(self, name: &str) -> Option<&str> {
        let prefix = name.strip_suffix(self.key())?;
        if prefix.is_empty() { Some("") } else { prefix.strip_suffix('.') }
    }
}

/// Returns `<prefix>.<name>`.
fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") }
}

/// Returns the names of the bidirectional layer and of its backward direction, if `name` is a forward direction.
fn backward(name: &str) -> Option<(&str, String)> {
    let mut start = 0;
    for part in name.split('.') {
        if let Some(rest) = part.strip_prefix("forward_") {
            let after = &name[start + part.len()..];
            return Some((name[..start].trim_end_matches('.'), format!("{}backward_{rest}{after}", &name[..start])));
        }
        start += part.len() + 1;
    }
    None
}

impl TensorFile {
    /// Lists the recurrent layers in the file: of PyTorch (`weight_ih_l0`, and cells with `weight_ih`), of Keras
    /// (`kernel`, `kernel:0`, `cell.vars.0`), and of all formats that [`TensorFile::import`] reads. The two directions
    /// of Keras' `Bidirectional` are one layer. If it adds, averages or multiplies its directions, it is listed, but
    /// [`recurrent`](Self::recurrent) refuses it; [`load_network`](super::load_network) builds it.
    ///
    /// ```
    /// use wgru::io::{TensorFile, load_recurrent_blocking};
    /// let mut file = TensorFile::default();
    /// file.insert("encoder.kernel", &[2, 9], vec![0.1; 18]);                          // as Keras names them
    /// file.insert("encoder.recurrent_kernel", &[3, 9], vec![0.2; 27]);
    /// file.insert("encoder.bias", &[2, 9], vec![0.3; 18]);
    /// let layers = file.layers();
    /// assert_eq!((&*layers[0].name, layers[0].cell, layers[0].hidden), ("encoder", wgru::Cell::Gru, 3));
    /// let gru = load_recurrent_blocking(&wgru::Device::cpu(), &file.recurrent("encoder")?)?;
    /// # Ok::<(), wgru::Error>(())
    /// ```
    pub fn layers(&self) -> Vec<LayerInfo> {
        let known: HashSet<&str> = self.names().collect();
        let is_layer = |name: &str| {
            STYLES.iter().any(|style| known.contains(&*join(name, style.key())) && self.allows(*style, name))
        };
        let (mut found, mut halves) = (Vec::new(), HashSet::new());
        for name in self.names().flat_map(|name| self.layers_of(name)) {
            match backward(name).filter(|(_, other)| is_layer(other)) {
                Some((both, other)) => {
                    found.push(both);
                    halves.insert(other);
                }
                None => found.push(name),
            }
        }
        found.retain(|name| !halves.contains(*name));
        found.sort_unstable();
        found.dedup();
        // Each layer is described by its own tensors, because a file may have thousands of layers.
        let mut all: Vec<(&str, &[usize], &[f32])> = self.tensors().collect();
        all.sort_unstable_by_key(|(name, ..)| *name);
        let describe = |name: &str| {
            let start = if name.is_empty() { String::new() } else { format!("{name}.") };
            let mut part = TensorFile::named(self.source());
            let first = all.partition_point(|(own, ..)| *own < start.as_str());
            for (own, dims, values) in all[first..].iter().take_while(|(own, ..)| own.starts_with(&start)) {
                part.add(own, dims, values.to_vec());
            }
            let options = self.metadata.range(start.clone()..).take_while(|(key, _)| key.starts_with(&start));
            part.metadata.extend(options.map(|(key, text)| (key.clone(), text.clone())));
            part.metadata.extend(self.metadata.get_key_value(VERSION).map(|(key, text)| (key.clone(), text.clone())));
            let file = part.directions(name).ok()?;
            let c = config(&file).ok()?;
            let (name, bidirectional) = (name.to_string(), c.bidirectional);
            Some(LayerInfo { name, cell: c.cell, input: c.input, hidden: c.hidden, layers: c.layers, bidirectional })
        };
        let mut layers: Vec<LayerInfo> = found.into_iter().filter_map(describe).collect();
        // A name that is not unique would not find its layer.
        let mut uses: HashMap<String, usize> = HashMap::new();
        for layer in &layers {
            *uses.entry(layer.name.clone()).or_default() += 1;
            let called = self.called(&layer.name);
            if called != layer.name {
                *uses.entry(called).or_default() += 1;
            }
        }
        for layer in &mut layers {
            let called = self.called(&layer.name);
            if uses[&called] == 1 {
                layer.name = called;
            }
        }
        layers.sort_by(|a, b| a.name.cmp(&b.name));
        layers
    }

    /// Returns the recurrent layer with this name, in the form that [`load_recurrent`](super::load_recurrent) reads:
    /// PyTorch's names and layout, with metadata for everything else. [`TensorFile::layers`] lists the names. A layer
    /// of a `.keras` archive is also found by the common prefix of its tensors' names, such as `layers.gru_1`.
    ///
    /// The configuration in a whole Keras model that [`TensorFile::import`] read sets the activations, `reset_after` and
    /// `go_backwards`, which becomes [`reverse`](crate::nn::RecurrentConfig::reverse): the output keeps the order of
    /// the input, whereas Keras reverses it. Without a configuration, the layer gets Keras' defaults.
    ///
    /// # Errors
    /// [`Error::Format`] if there is no such layer, for tensors that are missing or do not fit each other, and for
    /// options of Keras that this crate does not have.
    pub fn recurrent(&self, name: &str) -> Result<TensorFile> {
        let is_own = self.style(name).is_some() || self.forward(name).next().is_some();
        let name = if is_own { name } else { self.name_of(name).unwrap_or(name) };
        let merge = self.metadata.get(&join(name, "merge_mode")).map_or("concat", String::as_str);
        if merge != "concat" {
            let why = format!("merges its directions by {merge:?}; expected \"concat\"");
            return Err(Error::format(format!("{}: layer {:?}", self.source(), self.called(name)), why));
        }
        self.directions(name)
    }

    /// Like [`recurrent`](Self::recurrent), whatever becomes of the two directions.
    pub(super) fn directions(&self, name: &str) -> Result<TensorFile> {
        let mut out = TensorFile::named(self.source());
        let directions: Vec<(String, bool)> = match self.style(name) {
            Some(_) => vec![(name.into(), false)],
            None => {
                let forward = self.forward(name).next().unwrap_or_default();
                let reverse = backward(forward).map(|(_, reverse)| reverse);
                let reverse = reverse.filter(|reverse| self.style(reverse).is_some());
                let reverse = reverse.ok_or_else(|| {
                    let found = self.names().flat_map(|name| self.layers_of(name));
                    let found: Vec<String> = found.take(8).map(|name| self.called(name)).collect();
                    let why = format!("is not in the file; TensorFile::layers lists its recurrent layers: {found:?} …");
                    Error::format(format!("{}: layer {:?}", self.source(), self.called(name)), why)
                })?;
                vec![(forward.into(), false), (reverse, true)]
            }
        };
        let mut options = Vec::new();
        for (name, is_reverse) in directions {
            match self.style(&name) {
                Some(Style::Keras(parts) | Style::KerasCuDnn(parts)) => {
                    let weights = self.keras_weights(&name, parts)?;
                    options.push(self.keras_options(&name, weights.cell())?);
                    weights.to_parameters(&mut out, 0, is_reverse);
                }
                Some(style) => self.copy_torch(&name, style, &mut out),
                None => {}
            }
        }
        let part = if name.is_empty() { self.clone() } else { self.under(name) };
        let own =
            |key: &str| ["gru.", "lstm.", "rnn."].iter().any(|kind| key.starts_with(kind)) || key.starts_with("verify");
        out.metadata.extend(part.metadata.iter().filter(|(key, _)| own(key)).map(|(k, v)| (k.clone(), v.clone())));
        // Attributes of a PyTorch module that was saved as a whole.
        let attribute = |key: &str| part.metadata.get(key).map(String::as_str);
        if attribute("mode") == Some("RNN_RELU") {
            out.metadata.insert("rnn.activation.state".into(), "Relu".into());
        }
        let kind = match attribute("mode") {
            Some("GRU") => Some("gru"),
            Some("LSTM") => Some("lstm"),
            Some("RNN_RELU" | "RNN_TANH") => Some("rnn"),
            _ => None,
        };
        if let (Some(kind), Some("true")) = (kind, attribute("batch_first")) {
            out.metadata.insert(format!("{kind}.batch_first"), "true".into());
        }
        let mut options = options.into_iter();
        if let Some(first) = options.next() {
            out.metadata.extend(first);
            if let Some(other) = options.next() {
                // The backward direction also has the option `reverse`, which is not compared.
                let same = other
                    .iter()
                    .filter(|(key, _)| !key.ends_with(".reverse"))
                    .all(|(k, v)| out.metadata.get(k) == Some(v));
                let is_reversed = out.metadata.keys().any(|key| key.ends_with(".reverse"));
                if !same || is_reversed {
                    let why = "has directions with different options; expected a forward and an equal backward layer";
                    return Err(Error::format(format!("{}: layer {:?}", self.source(), self.called(name)), why));
                }
            }
        }
        Ok(out)
    }

    /// Returns the options of one direction of a Keras layer as metadata of this crate.
    fn keras_options(&self, layer: &str, cell: Cell) -> Result<BTreeMap<String, String>> {
        let option = |key: &str| self.metadata.get(&join(layer, key)).map(String::as_str);
        let mut out = BTreeMap::new();
        let mut put = |key: &str, text: &str| drop(out.insert(format!("{}.{key}", cell.layer()), text.to_string()));
        if cell == Cell::GruResetBefore {
            put("reset_after", "false");
        }
        if option("go_backwards") == Some("true") {
            put("reverse", "true");
        }
        // The slope of hard_sigmoid has changed with Keras 3.
        let is_old = self.metadata.get(VERSION).is_some_and(|version| !version.starts_with('3'));
        for (place, usual) in cell.activation_names().iter().zip(cell.activations()) {
            let is_gate = *usual == Activation::Sigmoid;
            let activation = match option(if is_gate { "recurrent_activation" } else { "activation" }) {
                None => continue,
                Some("tanh") => Activation::Tanh,
                Some("sigmoid") => Activation::Sigmoid,
                Some("relu") => Activation::Relu,
                Some("softsign") => Activation::Softsign,
                Some("softplus") => Activation::Softplus,
                Some("elu") => Activation::Elu { alpha: 1.0 },
                Some("linear") => Activation::Affine { alpha: 1.0, beta: 0.0 },
                Some("hard_sigmoid") if is_old => Activation::HardSigmoid { alpha: 0.2, beta: 0.5 },
                Some("hard_sigmoid") => Activation::HardSigmoid { alpha: 1.0 / 6.0, beta: 0.5 },
                Some(other) => {
                    let other: String = other.chars().take(64).collect();
                    let why =
                        format!("has the activation {other:?}, which recurrent layers of this crate do not support");
                    return Err(Error::format(format!("{}: layer {:?}", self.source(), self.called(layer)), why));
                }
            };
            put(&format!("activation.{place}"), &activation.to_string());
        }
        Ok(out)
    }

    /// Returns the style of the layer with this name, if there is one.
    fn style(&self, name: &str) -> Option<Style> {
        STYLES.into_iter().find(|style| self.find(&join(name, style.key())).is_some() && self.allows(*style, name))
    }

    /// Whether a layer may have this style.
    fn allows(&self, style: Style, layer: &str) -> bool {
        let is = |layer: &str| self.metadata.get(&join(layer, "class_name")).is_some_and(|c| c.starts_with("CuDNN"));
        // The configuration of the backward direction is that of the forward one.
        !matches!(style, Style::KerasCuDnn(_)) || is(layer) || is(&layer.replacen("backward_layer", "forward_layer", 1))
    }

    /// Iterates over the layers of which a tensor with this name is the recurrent matrix. There is at most one per
    /// style.
    fn layers_of<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let allowed = move |style: &Style| style.layer(name).filter(|layer| self.allows(*style, layer));
        STYLES.iter().filter_map(allowed)
    }

    /// Iterates over the forward directions below a name.
    fn forward<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let below = self.starting(name).flat_map(|(own, ..)| self.layers_of(own));
        below.filter(move |found| backward(found).is_some_and(|(both, _)| both == name))
    }

    /// Copies the parameters of a PyTorch layer or cell, and a verification run.
    fn copy_torch(&self, layer: &str, style: Style, out: &mut TensorFile) {
        let start = join(layer, "");
        for (name, dims, values) in self.starting(&start) {
            let own = &name[start.len()..];
            let is_part = |part: &str| {
                let rest = own.strip_prefix(part)?;
                let number = rest.strip_prefix("_l")?.trim_end_matches("_reverse");
                (!number.is_empty() && number.bytes().all(|b| b.is_ascii_digit())).then_some(())
            };
            let parts = ["weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr", "weight_peephole"];
            if style == Style::TorchCell && parts[..4].contains(&own) {
                out.insert(&format!("{own}_l0"), dims, values.clone());
            } else if style == Style::Torch
                && (parts.iter().any(|part| is_part(part).is_some())
                    || own == "h0"
                    || own == "c0"
                    || own.starts_with(verify::PREFIX))
            {
                out.insert(own, dims, values.clone());
            }
        }
    }

    /// Reads the weights of a Keras layer. The extents tell the cell: a GRU with reset after has two biases.
    fn keras_weights(&self, layer: &str, parts: [&str; 3]) -> Result<RecurrentWeights> {
        let mut keras = TensorFile::named(self.source());
        let [kernel, recurrent, bias] = parts.map(|part| join(layer, part));
        for (name, part) in [(&kernel, "kernel"), (&recurrent, "recurrent_kernel")] {
            let (dims, values) = self.get(name)?;
            keras.insert(part, dims, values.to_vec());
        }
        let (gates, rows) = match *self.get(&recurrent)?.0 {
            [hidden, width] if hidden > 0 && width % hidden == 0 => (width / hidden, width),
            _ => (0, 0),
        };
        let bias = self.find(&bias);
        let cell = match (gates, bias.map(|(dims, _)| dims.len())) {
            (1, _) => Cell::Rnn,
            (3, Some(1)) if bias.is_some_and(|(_, values)| values.len() == rows) => Cell::GruResetBefore,
            (3, None) if self.metadata.get(&join(layer, "reset_after")).is_some_and(|text| text == "false") => {
                Cell::GruResetBefore
            }
            (3, _) => Cell::Gru,
            (4, _) => Cell::Lstm,
            _ => {
                let why = format!("has shape {:?}; expected [H, H], [H, 3·H] or [H, 4·H]", self.get(&recurrent)?.0);
                return Err(Error::format(format!("{}: tensor {recurrent:?}", self.source()), why));
            }
        };
        if let Some((dims, values)) = bias {
            keras.insert("bias", dims, values.to_vec());
        }
        RecurrentWeights::from_keras(cell, &keras)
    }
}
