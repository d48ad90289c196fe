//! Exports recurrent layers as one node per layer, time-first.

use super::super::info::Extent;
use super::super::wire::Message;
use super::graph::{self, Graph, Value, refuse, replaced, wrong};
use crate::cell::Cell;
use crate::error::Result;
use crate::io::RecurrentWeights;
use crate::math::Activation;
use crate::nn::RecurrentConfig;

/// Returns ONNX's operator for a cell.
fn operator(cell: Cell) -> &'static str {
    match cell {
        Cell::Gru | Cell::GruResetBefore => "GRU",
        Cell::Lstm => "LSTM",
        Cell::Rnn | Cell::RnnRelu => "RNN",
    }
}

/// Returns ONNX's activations f, g, h for a layer, or an error if a node cannot represent the layer.
fn functions(name: &str, c: &RecurrentConfig) -> Result<Vec<Activation>> {
    let o = &c.options;
    let missing = [
        (c.projection > 0, "a projection"),
        (o.zoneout != 0.0 || o.zoneout_cell != 0.0, "zoneout"),
        (o.learn_h0, "learned initial states"),
    ];
    if let Some((_, what)) = missing.into_iter().find(|(is_there, _)| *is_there) {
        return Err(refuse(name, operator(c.cell), what));
    }
    let places = c.cell.onnx_activations();
    let count = places.iter().max().map_or(0, |most| most + 1);
    let of = |function: usize| places.iter().position(|&place| place == function).map(|i| c.activations()[i]);
    let functions: Vec<Activation> = (0..count).filter_map(of).collect();
    match places.iter().zip(c.activations()).all(|(&place, activation)| functions[place] == *activation) {
        true => Ok(functions),
        false => Err(refuse(name, operator(c.cell), "gates that have different activations")),
    }
}

fn attributes(name: &str, c: &RecurrentConfig) -> Result<Vec<Message>> {
    let direction = match (c.bidirectional, c.reverse) {
        (true, _) => "bidirectional",
        (_, true) => "reverse",
        _ => "forward",
    };
    let mut out = vec![graph::int("hidden_size", c.hidden as i64), graph::text("direction", direction)];
    let functions = functions(name, c)?;
    if !c.activations.is_empty() || c.cell == Cell::RnnRelu {
        let all = functions.repeat(c.directions());
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
    out.extend(c.options.clip.map(|clip| graph::float("clip", clip)));
    if c.cell == Cell::Gru {
        out.push(graph::int("linear_before_reset", 1));
    }
    if c.input_forget {
        out.push(graph::int("input_forget", 1));
    }
    Ok(out)
}

/// Returns ONNX's name of an activation.
fn activation_name(activation: &Activation) -> String {
    let text = activation.to_string();
    text.split('(').next().unwrap_or_default().to_string()
}

/// Returns α and β of the activations that have them.
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

/// Adds the layers of the module `name`, whose parameters are under `path`.
pub fn write(graph: &mut Graph, name: &str, path: &str, x: &Value, c: &RecurrentConfig) -> Result<Value> {
    functions(name, c)?;
    let (input, hidden) = (c.input, c.hidden);
    if x.dims.len() != 3 {
        return Err(wrong(name, x, "three axes"));
    }
    replaced(name, x, input, input)?;
    let turn = |graph: &mut Graph, part: &str, x: &Value| graph.transpose(&format!("{name}/{part}"), x, &[1, 0, 2]);
    let mut y = if c.batch_first { turn(graph, "time_first", x)? } else { x.clone() };
    let own = if path.is_empty() { graph.parameters.clone() } else { graph.parameters.under(path) };
    let directions = c.directions();
    for layer in 0..c.layers {
        let at = |part: &str| format!("{name}/l{layer}/{part}");
        let weights = (0..directions)
            .map(|d| RecurrentWeights::from_pytorch(c.cell, &own, layer, d == 1))
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
        let run = graph.node(&at(operator(c.cell)), operator(c.cell), &all, attributes(name, c)?, dims);
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
    if c.batch_first { turn(graph, "batch_first", &y) } else { Ok(y) }
}
