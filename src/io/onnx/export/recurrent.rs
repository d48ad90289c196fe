//! Recurrent layers: one node a layer, time first

use super::super::model::Extent;
use super::super::wire::Message;
use super::graph::{self, Graph, Value, wrong};
use super::layers::{refuse, replaced};
use crate::error::Result;
use crate::io::{RecurrentKind, RecurrentWeights};
use crate::math::Activation;
use crate::nn::{GruConfig, LstmConfig, RecurrentOptions, RnnConfig};

/// What the three kinds of layer have in common, and what the nodes say beside it.
pub struct Layers {
    operator: &'static str,
    kind: RecurrentKind,
    sizes: [usize; 2],
    layers: usize,
    batch_first: bool,
    bidirectional: bool,
    reverse: bool,
    /// ONNX's f, g, h; `None` where gates that share one there have different ones.
    activations: Option<Vec<Activation>>,
    flag: Option<&'static str>,
    projection: usize,
    options: RecurrentOptions,
}

impl Layers {
    pub fn gru(c: &GruConfig) -> Self {
        let a = &c.activations;
        Self {
            operator: "GRU",
            kind: RecurrentKind::Gru { reset_after: c.reset_after },
            sizes: [c.input, c.hidden],
            layers: c.layers,
            batch_first: c.batch_first,
            bidirectional: c.bidirectional,
            reverse: c.reverse,
            activations: (a.reset == a.update).then(|| vec![a.reset, a.candidate]),
            flag: c.reset_after.then_some("linear_before_reset"),
            projection: 0,
            options: c.options,
        }
    }

    pub fn lstm(c: &LstmConfig) -> Self {
        let a = &c.activations;
        let shared = a.input == a.forget && a.input == a.output;
        Self {
            operator: "LSTM",
            kind: RecurrentKind::Lstm,
            sizes: [c.input, c.hidden],
            layers: c.layers,
            batch_first: c.batch_first,
            bidirectional: c.bidirectional,
            reverse: c.reverse,
            activations: shared.then(|| vec![a.input, a.cell, a.hidden]),
            flag: c.input_forget.then_some("input_forget"),
            projection: c.projection,
            options: c.options,
        }
    }

    pub fn rnn(c: &RnnConfig) -> Self {
        Self {
            operator: "RNN",
            kind: RecurrentKind::Rnn,
            sizes: [c.input, c.hidden],
            layers: c.layers,
            batch_first: c.batch_first,
            bidirectional: c.bidirectional,
            reverse: c.reverse,
            activations: Some(vec![c.activation]),
            flag: None,
            projection: 0,
            options: c.options,
        }
    }

    fn directions(&self) -> usize {
        1 + self.bidirectional as usize
    }

    /// Refuses what a node cannot say.
    fn check(&self, name: &str) -> Result<&[Activation]> {
        let o = &self.options;
        let missing = [
            (self.projection > 0, "a projection"),
            (o.zoneout != 0.0 || o.zoneout_cell != 0.0, "zoneout"),
            (o.learn_h0, "learned first states"),
        ];
        if let Some((_, what)) = missing.into_iter().find(|(there, _)| *there) {
            return Err(refuse(name, self.operator, what));
        }
        let one = || refuse(name, self.operator, "gates that have different activations");
        self.activations.as_deref().ok_or_else(one)
    }

    fn attributes(&self, name: &str) -> Result<Vec<Message>> {
        let direction = match (self.bidirectional, self.reverse) {
            (true, _) => "bidirectional",
            (_, true) => "reverse",
            _ => "forward",
        };
        let mut out = vec![graph::int("hidden_size", self.sizes[1] as i64), graph::text("direction", direction)];
        let usual: &[Activation] = match self.kind {
            RecurrentKind::Gru { .. } => &[Activation::Sigmoid, Activation::Tanh],
            RecurrentKind::Lstm => &[Activation::Sigmoid, Activation::Tanh, Activation::Tanh],
            RecurrentKind::Rnn => &[Activation::Tanh],
        };
        let activations = self.check(name)?;
        if activations != usual {
            let all = activations.repeat(self.directions());
            let names: Vec<String> = all.iter().map(activation_name).collect();
            let parameters: Vec<_> = all.iter().copied().map(parameters).collect();
            let alphas: Vec<f32> = parameters.iter().filter_map(|p| p.0).collect();
            let betas: Vec<f32> = parameters.iter().filter_map(|p| p.1).collect();
            out.push(graph::texts("activations", &names));
            for (key, values) in [("activation_alpha", alphas), ("activation_beta", betas)] {
                if !values.is_empty() {
                    out.push(graph::floats(key, &values));
                }
            }
        }
        out.extend(self.options.clip.map(|clip| graph::float("clip", clip)));
        out.extend(self.flag.map(|flag| graph::int(flag, 1)));
        Ok(out)
    }
}

/// ONNX's name.
fn activation_name(activation: &Activation) -> String {
    let text = activation.to_string();
    text.split('(').next().unwrap_or_default().to_string()
}

/// α and β, of those that have them.
fn parameters(activation: Activation) -> (Option<f32>, Option<f32>) {
    match activation {
        Activation::Affine { alpha, beta }
        | Activation::ScaledTanh { alpha, beta }
        | Activation::HardSigmoid { alpha, beta } => (Some(alpha), Some(beta)),
        Activation::LeakyRelu { alpha } | Activation::ThresholdedRelu { alpha } | Activation::Elu { alpha } => {
            (Some(alpha), None)
        }
        _ => (None, None),
    }
}

/// Adds the layers of a module named `name`, whose parameters stand under `path`.
pub fn write(graph: &mut Graph, name: &str, path: &str, x: &Value, layers: &Layers) -> Result<Value> {
    layers.check(name)?;
    let [input, hidden] = layers.sizes;
    if x.dims.len() != 3 {
        return Err(wrong(name, x, "three axes"));
    }
    replaced(name, x, input, input)?;
    let turn = |graph: &mut Graph, part: &str, x: &Value| graph.transpose(&format!("{name}/{part}"), x, &[1, 0, 2]);
    let mut y = if layers.batch_first { turn(graph, "time_first", x)? } else { x.clone() };
    let own = if path.is_empty() { graph.parameters.clone() } else { graph.parameters.under(path) };
    let directions = layers.directions();
    for layer in 0..layers.layers {
        let at = |part: &str| format!("{name}/l{layer}/{part}");
        let weights = (0..directions)
            .map(|d| RecurrentWeights::from_pytorch(layers.kind, &own, layer, d == 1))
            .collect::<Result<Vec<_>>>()?;
        let file = RecurrentWeights::to_onnx(&weights)?;
        let none = Value { name: String::new(), dims: Vec::new(), indices: false };
        let mut inputs = vec![y.clone()];
        for part in ["W", "R", "B", "", "", "", "P"] {
            inputs.push(match file.get(part) {
                Ok((dims, values)) => graph.floats(&at(part), dims, values),
                Err(_) => none.clone(),
            });
        }
        while inputs.last().is_some_and(|v| v.name.is_empty()) {
            inputs.pop();
        }
        let [steps, batch] = [y.dims[0].clone(), y.dims[1].clone()];
        let dims = vec![steps.clone(), Extent::Fixed(directions), batch.clone(), Extent::Fixed(hidden)];
        let all: Vec<&Value> = inputs.iter().collect();
        let run = graph.node(&at(layers.operator), layers.operator, &all, layers.attributes(name)?, dims);
        let out = vec![steps, batch, Extent::Fixed(directions * hidden)];
        y = if directions == 1 {
            let axes = graph.ints(&at("axes"), &[1], &[1]);
            graph.node(&at("Squeeze"), "Squeeze", &[&run, &axes], vec![], out)
        } else {
            let beside = graph.transpose(&at("Transpose"), &run, &[0, 2, 1, 3])?;
            let shape = graph.ints(&at("shape"), &[3], &[0, 0, -1]);
            graph.node(&at("Reshape"), "Reshape", &[&beside, &shape], vec![], out)
        };
    }
    if layers.batch_first { turn(graph, "batch_first", &y) } else { Ok(y) }
}
