//! Exports recurrent layers as one node per layer, time-first.

use super::super::info::Extent;
use super::super::wire::Message;
use super::graph::{self, Graph, Value, refuse, replaced, wrong};
use crate::cell::Cell;
use crate::error::Result;
use crate::io::{RecurrentWeights, TensorFile};
use crate::math::Activation;
use crate::nn::{Padding, RecurrentConfig};

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
    let missing = [(c.projection > 0, "a projection"), (o.zoneout != 0.0 || o.zoneout_cell != 0.0, "zoneout")];
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
    if x.dims.len() != 3 {
        return Err(wrong(name, x, "three axes"));
    }
    replaced(name, x, c.input, c.input)?;
    let turn = |graph: &mut Graph, part: &str, x: &Value| graph.transpose(&format!("{name}/{part}"), x, &[1, 0, 2]);
    let mut y = if c.batch_first { turn(graph, "time_first", x)? } else { x.clone() };
    let own = if path.is_empty() { graph.parameters.clone() } else { graph.parameters.under(path) };
    for layer in 0..c.layers {
        let weights = (0..c.directions())
            .map(|d| RecurrentWeights::from_pytorch(c.cell, &own, layer, d == 1))
            .collect::<Result<Vec<_>>>()?;
        let at = format!("{name}/l{layer}");
        let states = states(graph, &at, &y, c, &own, layer)?;
        y = node(graph, &at, &y, c, &weights, states)?;
    }
    if c.batch_first { turn(graph, "batch_first", &y) } else { Ok(y) }
}

/// Adds the learned initial states of a layer: `[D, B, H]`, repeated for the sequences of `x` `[T, B, I]`.
fn states(
    graph: &mut Graph,
    at: &str,
    x: &Value,
    c: &RecurrentConfig,
    own: &TensorFile,
    layer: usize,
) -> Result<[Option<Value>; 2]> {
    if !c.options.learn_h0 {
        return Ok([None, None]);
    }
    let (directions, hidden) = (c.directions(), c.hidden);
    let at = |part: &str| format!("{at}/{part}");
    let shape = graph.node(&at("Shape"), "Shape", &[x], vec![], vec![Extent::Fixed(3)]);
    let [one, place] = [("one", 1), ("place", 1)].map(|(part, value)| graph.ints(&at(part), &[1], &[value]));
    let batch = graph.node(&at("batch"), "Gather", &[&shape, &place], vec![], vec![Extent::Fixed(1)]);
    let parts = [&one, &batch, &one];
    let extents = graph.node(&at("extents"), "Concat", &parts, vec![graph::int("axis", 0)], vec![Extent::Fixed(3)]);
    let mut out = [None, None];
    for (state, part) in out.iter_mut().zip(["h0", "c0"]).take(c.cell.states()) {
        let (_, values) = own.get(part)?;
        let len = directions * hidden;
        let values = &values[layer * len..(layer + 1) * len];
        let first = graph.floats(&at(part), &[directions, 1, hidden], values);
        let dims = vec![Extent::Fixed(directions), x.dims[1].clone(), Extent::Fixed(hidden)];
        *state = Some(graph.node(&at(&format!("{part}/Expand")), "Expand", &[&first, &extents], vec![], dims));
    }
    Ok(out)
}

/// Adds one layer, applied to `x` `[T, B, I]`, and returns its output `[T, B, D·H]`.
fn node(
    graph: &mut Graph,
    at: &str,
    x: &Value,
    c: &RecurrentConfig,
    weights: &[RecurrentWeights],
    [h0, c0]: [Option<Value>; 2],
) -> Result<Value> {
    let at = |part: &str| format!("{at}/{part}");
    let (directions, hidden) = (c.directions(), c.hidden);
    let file = RecurrentWeights::to_onnx(weights)?;
    let none = Value { name: String::new(), dims: Vec::new(), indices: false };
    let mut weight = |part: &str| match file.get(part) {
        Ok((dims, values)) => graph.floats(&at(part), dims, values),
        Err(_) => none.clone(),
    };
    let [w, r, b, p] = ["W", "R", "B", "P"].map(&mut weight);
    let [h0, c0] = [h0, c0].map(|state| state.unwrap_or(none.clone()));
    // Between the biases and the states are the lengths.
    let mut inputs = vec![x.clone(), w, r, b, none.clone(), h0, c0, p];
    while inputs.last().is_some_and(|v| v.name.is_empty()) {
        inputs.pop();
    }
    let [steps, batch] = [x.dims[0].clone(), x.dims[1].clone()];
    let dims = vec![steps.clone(), Extent::Fixed(directions), batch.clone(), Extent::Fixed(hidden)];
    let all: Vec<&Value> = inputs.iter().collect();
    let run = graph.node(&at(operator(c.cell)), operator(c.cell), &all, attributes(&at(""), c)?, dims);
    let out = vec![steps, batch, Extent::Fixed(directions * hidden)];
    if directions == 1 {
        let axes = graph.ints(&at("axes"), &[1], &[1]);
        Ok(graph.node(&at("Squeeze"), "Squeeze", &[&run, &axes], vec![], out))
    } else {
        let beside = graph.transpose(&at("Transpose"), &run, &[0, 2, 1, 3])?;
        let shape = graph.ints(&at("shape"), &[3], &[0, 0, -1]);
        Ok(graph.node(&at("Reshape"), "Reshape", &[&beside, &shape], vec![], out))
    }
}

/// Adds a layer that skips the steps of `x` `[B, T, I]` that a mask `[B, T]` of zeros and ones excludes.
///
/// A matrix `E` `[T, T]` for each sequence has a 1 where step t is the k-th one that counts, or comes after it and before
/// the next one. `(mask · E)ᵀ · x` moves the steps that count to the front, where the layer runs without a mask, and `E`
/// moves its outputs back, repeated for the steps between. The backward direction does the same from the end.
pub fn masked(graph: &mut Graph, path: &str, x: &Value, mask: &Value, c: &RecurrentConfig) -> Result<Value> {
    functions(path, c)?;
    let [batch, steps, _] = &x.dims[..] else { return Err(wrong(path, x, "three axes")) };
    replaced(path, x, c.input, c.input)?;
    if c.layers > 1 || c.options.learn_h0 {
        return Err(refuse(path, operator(c.cell), "several layers, or initial states, with a mask"));
    }
    let own = graph.parameters.under(path);
    let one = RecurrentConfig { bidirectional: false, reverse: false, batch_first: false, ..c.clone() };
    let backward = [-1, i64::MIN + 1, -1];
    let square = vec![batch.clone(), steps.clone(), steps.clone()];
    let mut parts = Vec::new();
    for d in 0..c.directions() {
        let is_backward = c.reverse || d == 1;
        let at = format!("{path}/d{d}");
        let name = |part: &str| format!("{at}/{part}");
        let [mut x, mut mask] = [x.clone(), mask.clone()];
        if is_backward {
            x = graph.slice(&name("x"), &x, 1, backward, Some(steps))?;
            mask = graph.slice(&name("mask"), &mask, 1, backward, Some(steps))?;
        }
        // The number of steps that count so far, and the numbers from 1 on.
        let axis = graph.ints(&name("axis"), &[], &[1]);
        let counts = graph.node(&name("counts"), "CumSum", &[&mask, &axis], vec![], mask.dims.clone());
        let zero = graph.floats(&name("zero"), &[], &[0.0]);
        let unit = graph.floats(&name("one"), &[], &[1.0]);
        let zeros = graph.node(&name("zeros"), "Mul", &[&mask, &zero], vec![], mask.dims.clone());
        let ones = graph.node(&name("ones"), "Add", &[&zeros, &unit], vec![], mask.dims.clone());
        let numbers = graph.node(&name("numbers"), "CumSum", &[&ones, &axis], vec![], mask.dims.clone());
        let counts = graph.unsqueezed(&name("counts"), &counts, 2);
        let numbers = graph.unsqueezed(&name("numbers"), &numbers, 1);
        let equal = graph.node(&name("Equal"), "Equal", &[&counts, &numbers], vec![], square.clone());
        let repeated = graph.node(&name("Cast"), "Cast", &[&equal], vec![graph::int("to", 1)], square.clone());
        let column = graph.unsqueezed(&name("column"), &mask, 2);
        let exact = graph.node(&name("exact"), "Mul", &[&repeated, &column], vec![], square.clone());
        let gather = graph.transpose(&name("gather"), &exact, &[0, 2, 1])?;
        let x = graph.node(&name("front"), "MatMul", &[&gather, &x], vec![], x.dims.clone());
        let x = graph.transpose(&name("time_first"), &x, &[1, 0, 2])?;
        let weights = [RecurrentWeights::from_pytorch(c.cell, &own, 0, d == 1)?];
        let y = node(graph, &at, &x, &one, &weights, [None, None])?;
        let y = graph.transpose(&name("batch_first"), &y, &[1, 0, 2])?;
        let scatter = if c.options.padding == Padding::RepeatLast { &repeated } else { &exact };
        let mut y = graph.node(&name("back"), "MatMul", &[scatter, &y], vec![], y.dims.clone());
        if is_backward {
            y = graph.slice(&name("y"), &y, 1, backward, Some(steps))?;
        }
        parts.push(y);
    }
    match &parts[..] {
        [only] => Ok(only.clone()),
        both => {
            let dims = vec![batch.clone(), steps.clone(), Extent::Fixed(2 * c.hidden)];
            let all: Vec<&Value> = both.iter().collect();
            Ok(graph.node(&format!("{path}/Concat"), "Concat", &all, vec![graph::int("axis", 2)], dims))
        }
    }
}
