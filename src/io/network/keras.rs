//! Builds the networks of Keras. Their configuration is metadata; see `import/keras.rs`.

use std::collections::{HashMap, HashSet};

use super::Builder;
use super::functions::{Function, Merge};
use super::masks::Rule;
use super::wiring::{Action, Step, Wiring};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::io::recurrent::{build as build_recurrent, config};
use crate::nn::{Axes, Conv1d, Conv1dConfig, Embedding, Kind, LastState, LayerNorm, Mode, Module, Sequential};
use crate::tensor::Tensor;

/// Maximum nesting depth of models in models.
const DEEPEST: usize = 8;
/// Maximum size of a window, a stride or an extent.
const LARGEST: usize = 1 << 20;

/// Layers that do nothing in inference.
const NONE: [&str; 8] = [
    "InputLayer",
    "Dropout",
    "SpatialDropout1D",
    "GaussianNoise",
    "GaussianDropout",
    "AlphaDropout",
    "ActivityRegularization",
    "Identity",
];

/// Operations that compute a mask from values or from other masks.
const MASKS: [&str; 11] = [
    "NotEqual",
    "Any",
    "All",
    "LogicalAnd",
    "LogicalOr",
    "ExpandDims",
    "Squeeze",
    "Cast",
    "ZerosLike",
    "OnesLike",
    "Concatenate",
];

/// Builds the layers of a model, and its graph if it is not a chain.
pub(super) fn build(device: &Device, file: &TensorFile) -> Result<(Sequential, Option<Wiring>)> {
    let builder = Builder::new(device, file);
    let mut graph = Graph { builder, steps: Vec::new(), masked: vec![false] };
    let output = graph.model("", 0, 0)?;
    let wiring = Wiring { steps: graph.steps, output };
    let is_chain = wiring.is_chain();
    Ok((graph.builder.layers, (!is_chain).then_some(wiring)))
}

/// Returns the extents of a sequence in the configuration of a model, without the batch; `None` for those left open.
pub(super) fn extents(file: &TensorFile) -> Vec<Option<usize>> {
    let text = |key: &str| file.metadata.get(key).map(String::as_str);
    let first = text("input").or(text("layers")).and_then(|names| names.split(' ').next()).unwrap_or_default();
    let keys = ["batch_shape", "batch_input_shape"];
    let dims = keys.iter().find_map(|key| text(&format!("{first}.{key}"))).unwrap_or_default();
    dims.split(' ').skip(1).map(|extent| extent.parse().ok()).collect()
}

/// Joins the parts of a name.
fn join(prefix: &str, name: &str) -> String {
    if prefix.is_empty() { name.into() } else { format!("{prefix}.{name}") }
}

/// `y = x · weight + bias` over one axis: batch normalization with the stored statistics.
#[derive(Clone, Debug)]
pub(in crate::io) struct Affine {
    weight: Tensor,
    bias: Tensor,
    /// From the end if negative.
    pub axis: isize,
}

impl Module for Affine {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        vec![("weight".into(), self.weight.clone()), ("bias".into(), self.bias.clone())]
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let rank = x.dims().len() as isize;
        if self.axis != -1 && self.axis != rank - 1 {
            let expected = format!("axis {} as its last", self.axis);
            return Err(Error::shape("BatchNormalization", "x", expected, x.dims()));
        }
        &(x * &mode.parameter(&self.weight))? + &mode.parameter(&self.bias)
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Typed(self)
    }
}

/// `max(x, 0) + alpha · min(x, 0)`, with an `alpha` for each feature.
#[derive(Clone, Debug)]
pub(in crate::io) struct PRelu(Tensor);

impl Module for PRelu {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        vec![("alpha".into(), self.0.clone())]
    }

    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        &x.relu()? + &(&x.clamp_max(0.0)? * &mode.parameter(&self.0))?
    }

    fn kind(&self) -> Kind<'_> {
        Kind::Typed(self)
    }
}

struct Graph<'a> {
    builder: Builder<'a>,
    steps: Vec<Step>,
    /// Whether each value has a mask.
    masked: Vec<bool>,
}

impl Graph<'_> {
    fn option(&self, layer: &str, key: &str) -> &str {
        self.builder.file.metadata.get(&join(layer, key)).map(String::as_str).unwrap_or_default()
    }

    fn is(&self, layer: &str, key: &str) -> bool {
        self.option(layer, key) == "true"
    }

    fn error(&self, layer: &str, why: impl Into<String>) -> Error {
        self.builder.error(layer, why.into())
    }

    /// Returns an option that is a number, or its value if it is missing.
    fn number(&self, layer: &str, key: &str, usual: f32) -> Result<f32> {
        match self.option(layer, key) {
            "" => Ok(usual),
            text => match text.parse() {
                Ok(number) => Ok(number),
                Err(_) => Err(self.error(layer, format!("has an option {key:?} that is not a number"))),
            },
        }
    }

    /// Returns an option that is a list of whole numbers.
    fn whole(&self, layer: &str, key: &str) -> Result<Vec<isize>> {
        let parse = |text: &str| text.parse().ok().filter(|n: &isize| n.unsigned_abs() <= LARGEST);
        let list: Option<Vec<isize>> =
            self.option(layer, key).split(' ').filter(|t| !t.is_empty()).map(parse).collect();
        list.ok_or_else(|| self.error(layer, format!("has an option {key:?} that is not a list of whole numbers")))
    }

    /// Returns an option that is a whole number above 0, or a list of one, or its value if it is missing.
    fn size(&self, layer: &str, key: &str, usual: usize) -> Result<usize> {
        match self.whole(layer, key)?[..] {
            [] => Ok(usual),
            [n] if n > 0 => Ok(n as usize),
            _ => Err(self.error(layer, format!("has an option {key:?} that is not a whole number above 0"))),
        }
    }

    /// Returns an option that is one number of steps for both ends, or two.
    fn both_ends(&self, layer: &str, key: &str) -> Result<(usize, usize)> {
        match self.whole(layer, key)?[..] {
            [n] if n >= 0 => Ok((n as usize, n as usize)),
            [a, b] if a >= 0 && b >= 0 => Ok((a as usize, b as usize)),
            _ => Err(self.error(layer, format!("has an option {key:?} that is not one or two numbers of steps"))),
        }
    }

    /// Returns a weight, by its name in an `.h5` file, or by its number in a `.keras` archive.
    fn find(&self, layer: &str, part: &str, number: usize) -> Option<(&[usize], &[f32])> {
        let names = [join(layer, part), format!("{layer}.vars.{number}")];
        names.iter().find_map(|name| self.builder.file.find(name))
    }

    fn weight(&self, layer: &str, part: &str, number: usize) -> Result<(&[usize], &[f32])> {
        self.find(layer, part, number).ok_or_else(|| self.error(layer, format!("has no weight {part:?}")))
    }

    /// Adds a step, and returns its value.
    fn step(&mut self, inputs: Vec<usize>, action: Action, rule: Rule) -> usize {
        self.masked.push(rule.is_masked(&inputs.iter().map(|&at| self.masked[at]).collect::<Vec<_>>()));
        self.steps.push(Step { inputs, action, rule });
        self.steps.len()
    }

    /// Adds a layer as a step.
    fn push(&mut self, name: &str, layer: impl Module + 'static, x: usize, rule: Rule) -> usize {
        self.builder.push(name, layer);
        self.step(vec![x], Action::Layer(self.builder.layers.count() - 1), rule)
    }

    /// Adds the layers of a model that reads `x`.
    fn model(&mut self, model: &str, x: usize, depth: usize) -> Result<usize> {
        if depth == DEEPEST {
            return Err(self.error(model, format!("is nested deeper than {DEEPEST}")));
        }
        let names: Vec<String> = self.option(model, "layers").split(' ').map(String::from).collect();
        if self.option(model, "class_name") == "Sequential" {
            return names.iter().try_fold(x, |x, name| self.layer(name, vec![x], depth));
        }
        let ends = [("input", "input"), ("output", "output")].map(|(key, what)| match self.option(model, key) {
            "" => Err(self.error(model, format!("is a model without an {what} in its configuration"))),
            name if name.contains(' ') => Err(self.error(model, format!("has more than one {what}; expected one"))),
            name => Ok(name.to_string()),
        });
        let [input, output] = ends;
        let (input, output) = (input?, output?);
        let mut values = HashMap::from([(input.clone(), x)]);
        let needed = self.needed(&names, &output);
        for name in names.iter().filter(|name| **name != input && needed.contains(name.as_str())) {
            if !self.option(name, "calls").is_empty() {
                return Err(self.error(name, "is used more than once, which load_network does not build"));
            }
            let mut beside = self.option(name, "beside").split(' ').filter(|other| !other.is_empty());
            // Masks, which are derived again.
            if let Some(other) = beside.find(|other| !MASKS.contains(&self.option(other, "class_name"))) {
                let other = self.builder.file.called(other);
                let why = format!("has a keyword argument from layer {other:?}; expected only its input");
                return Err(self.error(name, why));
            }
            let mut inputs = Vec::new();
            for other in self.option(name, "inputs").split(' ').filter(|other| !other.is_empty()) {
                match values.get(other) {
                    Some(&value) => inputs.push(value),
                    None => {
                        let other = self.builder.file.called(other);
                        let why = format!("reads {other:?}, which is no layer before it with one output");
                        return Err(self.error(name, why));
                    }
                }
            }
            if inputs.is_empty() {
                return Err(self.error(name, "is a second input; expected one"));
            }
            let value = self.layer(name, inputs, depth)?;
            values.insert(name.clone(), value);
        }
        values.get(&output).copied().ok_or_else(|| self.error(model, format!("has no output {output:?}")))
    }

    /// Returns the layers that the output of a graph depends on, except for masks, which are derived again.
    fn needed(&self, names: &[String], output: &str) -> HashSet<String> {
        let mut needed = HashSet::from([output.to_string()]);
        // Layers come before those that read them.
        for name in names.iter().rev() {
            if needed.contains(name) {
                needed.extend(self.option(name, "inputs").split(' ').map(String::from));
            }
        }
        needed
    }

    /// Adds a layer.
    fn layer(&mut self, name: &str, inputs: Vec<usize>, depth: usize) -> Result<usize> {
        let class = self.option(name, "class_name").to_string();
        let merge = match class.as_str() {
            "Add" => Some(Merge::Add),
            "Subtract" => Some(Merge::Subtract),
            "Multiply" => Some(Merge::Multiply),
            "Average" => Some(Merge::Average),
            "Concatenate" => match self.whole(name, "axis")?[..] {
                [] => Some(Merge::Concat(-1)),
                [axis] => Some(Merge::Concat(axis)),
                _ => None,
            },
            _ => None,
        };
        if let Some(merge) = merge {
            // Keras 2 requires both masks; Keras 3 one of them, but joins the masks of a concatenation as before.
            let is_and = matches!(merge, Merge::Concat(_)) || self.builder.is_keras_2();
            return Ok(self.step(inputs, Action::Merge(merge), if is_and { Rule::Keep } else { Rule::Either }));
        }
        let &[x] = &inputs[..] else {
            return Err(self.error(name, format!("is a {class:?} with {} inputs; expected one", inputs.len())));
        };
        match class.as_str() {
            class if NONE.contains(&class) => Ok(x),
            "Sequential" | "Functional" | "Model" => self.model(name, x, depth + 1),
            "GRU" | "LSTM" | "SimpleRNN" | "CuDNNGRU" | "CuDNNLSTM" | "GRUCell" | "LSTMCell" | "SimpleRNNCell" => {
                self.recurrent(name, name, x)
            }
            "Bidirectional" => self.recurrent(name, &format!("{name}.forward_layer"), x),
            "Dense" => self.dense(name, x),
            "TimeDistributed" => {
                let inner = format!("{name}.layer");
                match self.option(&inner, "class_name") {
                    "Dense" => self.dense(&inner, x),
                    "Activation" => self.activation(&inner, x),
                    "Dropout" => Ok(x),
                    other => {
                        Err(self.error(name, format!("distributes a {other:?}, which load_network does not build")))
                    }
                }
            }
            "Embedding" => {
                let (dims, values) = self.weight(name, "embeddings", 0)?;
                let table = Embedding::from_weight(Tensor::from_slice(self.builder.device, values, dims)?)?;
                let rule = if self.is(name, "mask_zero") { Rule::Indices } else { Rule::Drop };
                Ok(self.push(name, table, x, rule))
            }
            "Masking" => {
                let value = self.number(name, "mask_value", 0.0)?;
                Ok(self.step(vec![x], Action::Mask, Rule::Features(value)))
            }
            "Conv1D" | "Convolution1D" => self.convolution(name, x),
            "BatchNormalization" => self.batch_norm(name, x),
            "LayerNormalization" => self.layer_norm(name, x),
            "PReLU" => {
                let (dims, values) = self.weight(name, "alpha", 0)?;
                let alpha = Tensor::from_slice(self.builder.device, values, dims)?;
                Ok(self.push(name, PRelu(alpha), x, Rule::Keep))
            }
            "Activation" => self.activation(name, x),
            "GlobalAveragePooling1D" | "GlobalAvgPool1D" if self.masked[x] => {
                let keep = self.is(name, "keepdims");
                Ok(self.step(vec![x], Action::Mean(keep), Rule::Drop))
            }
            _ => {
                let (function, rule) = self.function(name, &class)?;
                Ok(self.push(name, function, x, rule))
            }
        }
    }

    /// Returns a layer without weights, and the mask of its output.
    fn function(&self, name: &str, class: &str) -> Result<(Function, Rule)> {
        if !matches!(self.option(name, "data_format"), "" | "channels_last") {
            return Err(self.error(name, "has a data_format other than channels_last"));
        }
        let last_axis = |axes: &[isize]| matches!(axes, [] | [-1] | [2]);
        let function = match class {
            "ReLU" => {
                if self.number(name, "threshold", 0.0)? != 0.0 {
                    return Err(self.error(name, "has a threshold other than 0"));
                }
                let slope = self.number(name, "negative_slope", 0.0)?;
                let max = match self.option(name, "max_value") {
                    "" => None,
                    _ => Some(self.number(name, "max_value", 0.0)?),
                };
                Function::LeakyRelu { slope, max }
            }
            "LeakyReLU" => {
                // Called alpha in Keras 2.
                let key = if self.option(name, "negative_slope").is_empty() { "alpha" } else { "negative_slope" };
                Function::LeakyRelu { slope: self.number(name, key, 0.3)?, max: None }
            }
            "ELU" => Function::Elu(self.number(name, "alpha", 1.0)?),
            "Softmax" if last_axis(&self.whole(name, "axis")?) => Function::Softmax,
            "Rescaling" => {
                let (scale, offset) = (self.number(name, "scale", 1.0)?, self.number(name, "offset", 0.0)?);
                Function::Rescale { scale, offset }
            }
            _ => return Ok((self.movement(name, class)?, Rule::Drop)),
        };
        Ok((function, Rule::Keep))
    }

    /// Returns a layer that moves or pools values.
    fn movement(&self, name: &str, class: &str) -> Result<Function> {
        Ok(match class {
            "Flatten" => Function::Reshape(vec![-1]),
            "Reshape" => Function::Reshape(self.whole(name, "target_shape")?),
            "Permute" => {
                let order = self.whole(name, "dims")?;
                let mut sorted = order.clone();
                sorted.sort_unstable();
                if sorted.iter().zip(1..).any(|(&axis, want)| axis != want) {
                    return Err(self.error(name, "has dims that are not an order of the axes"));
                }
                Function::Permute(order.into_iter().map(|axis| axis as usize).collect())
            }
            "RepeatVector" => Function::Repeat(self.size(name, "n", 1)?),
            "ZeroPadding1D" => {
                let (before, after) = self.both_ends(name, "padding")?;
                Function::Pad(before, after)
            }
            "Cropping1D" => {
                let (before, after) = self.both_ends(name, "cropping")?;
                Function::Crop(before, after)
            }
            "UpSampling1D" => Function::UpSample(self.size(name, "size", 2)?),
            "MaxPooling1D" | "AveragePooling1D" | "MaxPool1D" | "AvgPool1D" => {
                if self.option(name, "padding") == "same" {
                    return Err(self.error(name, "pools with padding \"same\", which load_network does not build"));
                }
                let size = self.size(name, "pool_size", 2)?;
                let stride = self.size(name, "strides", size)?;
                Function::Pool { size, stride, is_max: class.starts_with("Max") }
            }
            "GlobalMaxPooling1D" | "GlobalMaxPool1D" | "GlobalAveragePooling1D" | "GlobalAvgPool1D" => {
                Function::PoolAll { is_max: class.starts_with("GlobalMax"), keep: self.is(name, "keepdims") }
            }
            other => {
                let other: String = other.chars().take(64).collect();
                let why = format!("is a {other:?} of Keras, or has options that load_network does not build");
                return Err(self.error(name, why));
            }
        })
    }

    fn activation(&mut self, name: &str, x: usize) -> Result<usize> {
        match self.builder.activation(name)? {
            Some(function) => Ok(self.push(&format!("{name}.activation"), function, x, Rule::Keep)),
            None => Ok(x),
        }
    }

    fn dense(&mut self, name: &str, x: usize) -> Result<usize> {
        let names = |part: &str, number: usize| match self.builder.file.find(&join(name, part)) {
            Some(_) => join(name, part),
            None => format!("{name}.vars.{number}"),
        };
        let (kernel, bias) = (names("kernel", 0), names("bias", 1));
        self.builder.dense(name, &kernel, &bias, true)?;
        let y = self.step(vec![x], Action::Layer(self.builder.layers.count() - 1), Rule::Keep);
        self.activation(name, y)
    }

    /// Adds a recurrent layer, whose options have the name `options`. Without `return_sequences`, only the last state
    /// of each direction goes on.
    fn recurrent(&mut self, name: &str, options: &str, x: usize) -> Result<usize> {
        let (sequences, is_masked) = (self.is(options, "return_sequences"), self.masked[x]);
        let is_time_major = self.is(options, "time_major");
        if self.is(options, "return_state") || (is_time_major && is_masked) {
            let why = "has return_state, or a mask with time_major, which load_network does not build";
            return Err(self.error(name, why));
        }
        let mut file = self.builder.file.directions(name)?;
        if is_masked && !self.is(options, "zero_output_for_mask") {
            let cell = config(&file)?.cell;
            file.metadata.insert(format!("{}.repeat_last", cell.layer()), "true".into());
        }
        let layer = build_recurrent(self.builder.device, &file, true)?;
        let c = layer.config().clone();
        let x = if is_time_major {
            self.push(&format!("{name}.batch_first"), Function::SwapBatch, x, Rule::Drop)
        } else {
            x
        };
        self.builder.push(name, layer);
        let rule = if sequences { Rule::Keep } else { Rule::Drop };
        let mut y = self.step(vec![x], Action::Recurrent(self.builder.layers.count() - 1), rule);
        if !sequences {
            let last = LastState { batch_first: true, bidirectional: c.bidirectional, reverse: c.reverse };
            y = self.push(&format!("{name}.last"), last, y, Rule::Drop);
        } else if c.reverse {
            y = self.push(&format!("{name}.reversed"), Function::Reversed, y, Rule::Keep);
        }
        if sequences && is_time_major {
            y = self.push(&format!("{name}.time_first"), Function::SwapBatch, y, Rule::Drop);
        }
        let merge = match (c.bidirectional, self.option(name, "merge_mode")) {
            (false, _) | (true, "" | "concat") => return Ok(y),
            (true, "sum") => Merge::Add,
            (true, "mul") => Merge::Multiply,
            (true, "ave") => Merge::Average,
            (true, other) => return Err(self.error(name, format!("has the merge_mode {other:?}"))),
        };
        Ok(self.push(&format!("{name}.merge"), Function::Directions(merge), y, rule))
    }

    fn convolution(&mut self, name: &str, x: usize) -> Result<usize> {
        if !matches!(self.option(name, "data_format"), "" | "channels_last") {
            return Err(self.error(name, "has a data_format other than channels_last"));
        }
        let (dims, values) = self.weight(name, "kernel", 0)?;
        let &[kernel, inputs, output] = dims else {
            return Err(self.error(name, format!("has a kernel of shape {dims:?}; expected 3 axes")));
        };
        let (stride, dilation) = (self.size(name, "strides", 1)?, self.size(name, "dilation_rate", 1)?);
        let groups = self.size(name, "groups", 1)?;
        // [kernel, in, out] to [out, in, kernel].
        let place = |o: usize, i: usize, k: usize| (k * inputs + i) * output + o;
        let moved = (0..output).flat_map(|o| (0..inputs).flat_map(move |i| (0..kernel).map(move |k| place(o, i, k))));
        let moved: Vec<f32> = moved.map(|at| values[at]).collect();
        let weight = Tensor::from_slice(self.builder.device, &moved, &[output, inputs, kernel])?;
        let bias = self.find(name, "bias", 1);
        let bias = bias.map(|(dims, values)| Tensor::from_slice(self.builder.device, values, dims)).transpose()?;
        let axes = Axes::BatchFirst;
        let input = inputs.saturating_mul(groups);
        let config =
            Conv1dConfig { input, output, kernel, stride, padding: 0, dilation, groups, bias: bias.is_some(), axes };
        let conv = Conv1d::from_parameters(config, weight, bias)?;
        let reach = dilation.saturating_mul(kernel.saturating_sub(1)).min(LARGEST * 64) + 1;
        let pad = match self.option(name, "padding") {
            "" | "valid" => None,
            "causal" => Some(Function::Pad(reach - 1, 0)),
            "same" => Some(Function::PadSame { reach, stride }),
            other => return Err(self.error(name, format!("has the padding {other:?}"))),
        };
        let x = match pad {
            Some(pad) => self.push(&format!("{name}.pad"), pad, x, Rule::Drop),
            None => x,
        };
        let y = self.push(name, conv, x, Rule::Drop);
        self.activation(name, y)
    }

    /// Returns the first axis of a normalization.
    fn axis(&self, name: &str) -> Result<isize> {
        match self.whole(name, "axis")?[..] {
            [] => Ok(-1),
            [axis] => Ok(axis),
            _ => Err(self.error(name, "normalizes more than one axis; expected the last one")),
        }
    }

    /// Returns the weights of a normalization in order. `scale` and `center` say which it has.
    fn normalization(&self, name: &str, parts: &[(&str, bool)]) -> Result<Vec<Option<Vec<f32>>>> {
        let mut number = 0;
        let mut out = Vec::new();
        for &(part, is_there) in parts {
            out.push(match is_there {
                true => Some(self.weight(name, part, number)?.1.to_vec()),
                false => None,
            });
            number += usize::from(is_there);
        }
        let lens: Vec<usize> = out.iter().flatten().map(Vec::len).collect();
        match lens.windows(2).all(|pair| pair[0] == pair[1]) {
            true => Ok(out),
            false => Err(self.error(name, "has weights of different lengths")),
        }
    }

    fn batch_norm(&mut self, name: &str, x: usize) -> Result<usize> {
        let (has_scale, has_center) = (self.option(name, "scale") != "false", self.option(name, "center") != "false");
        let parts = [("gamma", has_scale), ("beta", has_center), ("moving_mean", true), ("moving_variance", true)];
        let parts = self.normalization(name, &parts)?;
        let [gamma, beta, Some(mean), Some(variance)] = &parts[..] else {
            return Err(self.error(name, "has no statistics"));
        };
        let eps = f64::from(self.number(name, "epsilon", 1e-3)?);
        let gamma = gamma.clone().unwrap_or_else(|| vec![1.0; mean.len()]);
        let scales = gamma.iter().zip(variance).map(|(&g, &v)| f64::from(g) / (f64::from(v) + eps).sqrt());
        let scales: Vec<f64> = scales.collect();
        let beta = beta.clone().unwrap_or_else(|| vec![0.0; mean.len()]);
        let shifts = beta.iter().zip(mean).zip(&scales).map(|((&b, &m), s)| (f64::from(b) - f64::from(m) * s) as f32);
        let tensor = |values: Vec<f32>| Tensor::from_slice(self.builder.device, &values, &[values.len()]);
        let weight = tensor(scales.iter().map(|&s| s as f32).collect())?.requires_grad();
        let bias = tensor(shifts.collect())?.requires_grad();
        let axis = self.axis(name)?;
        Ok(self.push(name, Affine { weight, bias, axis }, x, Rule::Keep))
    }

    fn layer_norm(&mut self, name: &str, x: usize) -> Result<usize> {
        if !matches!(self.axis(name)?, -1 | 2) || self.is(name, "rms_scaling") {
            return Err(self.error(name, "normalizes an axis other than the last, or without the mean"));
        }
        let (has_scale, has_center) = (self.option(name, "scale") != "false", self.option(name, "center") != "false");
        let parts = self.normalization(name, &[("gamma", has_scale), ("beta", has_center)])?;
        let Some(len) = parts.iter().flatten().map(Vec::len).next() else {
            return Err(self.error(name, "has neither a scale nor a center; expected one of them"));
        };
        let tensor = |values: &Option<Vec<f32>>, usual: f32| {
            Tensor::from_slice(self.builder.device, values.as_ref().unwrap_or(&vec![usual; len]), &[len])
        };
        let (weight, bias) = (tensor(&parts[0], 1.0)?, tensor(&parts[1], 0.0)?);
        let norm = LayerNorm::from_parameters(weight, bias, self.number(name, "epsilon", 1e-3)?)?;
        Ok(self.push(name, norm, x, Rule::Keep))
    }
}
