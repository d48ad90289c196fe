//! Converts layers to nodes.

use super::super::info::Extent;
use super::graph::{Graph, Value, float, int, ints, refuse, replaced, wrong};
use super::{functions, recurrent};
use crate::error::{Error, Result};
use crate::math::Activation;
use crate::nn::{Axes, Conv1dConfig, Kind, LastState, Module};

/// Adds the module at `path`, applied to `x`, and returns its output.
pub fn write(graph: &mut Graph, path: &str, module: &dyn Module, x: Value) -> Result<Value> {
    // Node names need a part before the slash, but the parameters of a lone layer have no prefix.
    let name = if path.is_empty() { "model" } else { path };
    let parameter = |part: &str| if path.is_empty() { part.to_string() } else { format!("{path}.{part}") };
    match module.kind() {
        Kind::Sequence(parts) => parts.into_iter().try_fold(x, |x, (part, module)| {
            let path = match (path, part) {
                ("", part) | (part, "") => part.to_string(),
                (path, part) => format!("{path}.{part}"),
            };
            write(graph, &path, module, x)
        }),
        Kind::Dropout => Ok(x),
        Kind::Activation(activation) => pointwise(graph, name, &x, activation),
        Kind::Softmax => softmax(graph, name, &x, "Softmax"),
        Kind::LogSoftmax => softmax(graph, name, &x, "LogSoftmax"),
        Kind::LastStep { batch_first } => last_step(graph, name, &x, batch_first),
        Kind::LastState(state) => last_state(graph, name, &x, state),
        Kind::Linear => linear(graph, name, &x, &parameter),
        Kind::Embedding => embedding(graph, name, &x, &parameter("weight")),
        Kind::LayerNorm(epsilon) => layer_norm(graph, name, &x, epsilon, &parameter),
        Kind::Conv1d(config) => conv(graph, name, &x, config, &parameter),
        Kind::Recurrent(config) => recurrent::write(graph, name, path, &x, config),
        Kind::MinGru(_) => Err(refuse(name, "MinGru", "a minimal GRU, for which ONNX has no operator")),
        Kind::LayerNormGru(_) => {
            Err(refuse(name, "LayerNormGru", "a GRU with layer norm, for which ONNX has no operator"))
        }
        Kind::Typed(layer) => functions::write(graph, name, layer, &x, &parameter),
        Kind::Other => Err(refuse(name, "a layer", "a module of an unknown kind")),
    }
}

/// Returns the extents and the values of a matrix.
fn matrix(graph: &Graph, name: &str) -> Result<([usize; 2], Vec<f32>)> {
    let (dims, values) = graph.parameters.get(name)?;
    let dims = dims.try_into().map_err(|_| Error::shape("onnx::export", "parameter", "a matrix", dims))?;
    Ok((dims, values.to_vec()))
}

fn linear(graph: &mut Graph, name: &str, x: &Value, parameter: &dyn Fn(&str) -> String) -> Result<Value> {
    let (dims, weight) = matrix(graph, &parameter("weight"))?;
    let [output, input] = dims;
    let transposed: Vec<f32> = (0..input * output).map(|i| weight[i % output * input + i / output]).collect();
    let out = replaced(name, x, input, output)?;
    let weight = graph.floats(&format!("{}.T", parameter("weight")), &[input, output], &transposed);
    let y = graph.node(&format!("{name}/MatMul"), "MatMul", &[x, &weight], vec![], out.clone());
    if !graph.parameters.names().any(|n| n == parameter("bias")) {
        return Ok(y);
    }
    let bias = graph.parameter(&parameter("bias"))?;
    Ok(graph.node(&format!("{name}/Add"), "Add", &[&y, &bias], vec![], out))
}

fn embedding(graph: &mut Graph, name: &str, x: &Value, weight: &str) -> Result<Value> {
    if !x.indices {
        return Err(wrong(name, x, "indices"));
    }
    let ([_, width], _) = matrix(graph, weight)?;
    let table = graph.parameter(weight)?;
    let dims = x.dims.iter().cloned().chain([Extent::Fixed(width)]).collect();
    Ok(graph.node(&format!("{name}/Gather"), "Gather", &[&table, x], vec![int("axis", 0)], dims))
}

fn layer_norm(
    graph: &mut Graph,
    name: &str,
    x: &Value,
    epsilon: f32,
    parameter: &dyn Fn(&str) -> String,
) -> Result<Value> {
    let scale = graph.parameter(&parameter("weight"))?;
    let bias = graph.parameter(&parameter("bias"))?;
    let width = graph.parameters.get(&parameter("weight"))?.1.len();
    let dims = replaced(name, x, width, width)?;
    let attributes = vec![int("axis", -1), float("epsilon", epsilon)];
    Ok(graph.node(&format!("{name}/LayerNormalization"), "LayerNormalization", &[x, &scale, &bias], attributes, dims))
}

/// Adds an activation. Most are one operator with the parameters as attributes.
fn pointwise(graph: &mut Graph, name: &str, x: &Value, activation: Activation) -> Result<Value> {
    if x.indices {
        return Err(wrong(name, x, "floats"));
    }
    let (operator, attributes) = match activation {
        Activation::Sigmoid => ("Sigmoid", vec![]),
        Activation::Tanh => ("Tanh", vec![]),
        Activation::Relu => ("Relu", vec![]),
        Activation::Softsign => ("Softsign", vec![]),
        Activation::Softplus => ("Softplus", vec![]),
        Activation::LeakyRelu { alpha } => ("LeakyRelu", vec![float("alpha", alpha)]),
        Activation::ThresholdedRelu { alpha } => ("ThresholdedRelu", vec![float("alpha", alpha)]),
        Activation::Elu { alpha } => ("Elu", vec![float("alpha", alpha)]),
        Activation::HardSigmoid { alpha, beta } => ("HardSigmoid", vec![float("alpha", alpha), float("beta", beta)]),
        // These are operators only inside of recurrent layers.
        Activation::Affine { alpha, beta } => {
            let product = scaled(graph, name, x, alpha);
            let offset = graph.floats(&format!("{name}/beta"), &[], &[beta]);
            return Ok(graph.node(&format!("{name}/Add"), "Add", &[&product, &offset], vec![], x.dims.clone()));
        }
        Activation::ScaledTanh { alpha, beta } => {
            let inner = scaled(graph, &format!("{name}/in"), x, beta);
            let tanh = graph.node(&format!("{name}/Tanh"), "Tanh", &[&inner], vec![], x.dims.clone());
            return Ok(scaled(graph, &format!("{name}/out"), &tanh, alpha));
        }
    };
    Ok(graph.node(&format!("{name}/{operator}"), operator, &[x], attributes, x.dims.clone()))
}

/// Adds a product with a number.
fn scaled(graph: &mut Graph, name: &str, x: &Value, factor: f32) -> Value {
    let factor = graph.floats(&format!("{name}/factor"), &[], &[factor]);
    graph.node(&format!("{name}/Mul"), "Mul", &[x, &factor], vec![], x.dims.clone())
}

fn softmax(graph: &mut Graph, name: &str, x: &Value, operator: &str) -> Result<Value> {
    if x.indices {
        return Err(wrong(name, x, "floats"));
    }
    Ok(graph.node(&format!("{name}/{operator}"), operator, &[x], vec![int("axis", -1)], x.dims.clone()))
}

fn last_step(graph: &mut Graph, name: &str, x: &Value, batch_first: bool) -> Result<Value> {
    step(graph, &format!("{name}/last"), x, batch_first, -1).map_err(|_| wrong(name, x, "three axes of floats"))
}

/// Adds the selection of the step at `index` of a sequence: `[batch, width]`.
fn step(graph: &mut Graph, name: &str, x: &Value, batch_first: bool, index: i64) -> Result<Value> {
    let axis = batch_first as usize;
    if x.dims.len() != 3 || x.indices {
        return Err(wrong(name, x, "three axes of floats"));
    }
    let mut dims = x.dims.clone();
    dims.remove(axis);
    let at = graph.ints(name, &[], &[index]);
    Ok(graph.node(&format!("{name}/Gather"), "Gather", &[x, &at], vec![int("axis", axis as i64)], dims))
}

fn last_state(graph: &mut Graph, name: &str, x: &Value, state: LastState) -> Result<Value> {
    let width = match x.dims.last() {
        Some(Extent::Fixed(width)) => *width,
        // An unknown width is rejected below if two directions must be separated.
        _ => 1,
    };
    let ends = |graph: &mut Graph, part: &str, index| {
        let made = step(graph, &format!("{name}/{part}"), x, state.batch_first, index);
        made.map_err(|_| wrong(name, x, "three axes of floats"))
    };
    match (state.bidirectional, state.reverse) {
        (false, false) => return ends(graph, "last", -1),
        (false, true) => return ends(graph, "first", 0),
        (true, false) if width % 2 == 0 => {}
        _ => return Err(wrong(name, x, "an even width, and one of bidirectional and reverse at most")),
    }
    let mut half = |part: &str, index, range: [usize; 2]| -> Result<Value> {
        let whole = ends(graph, part, index)?;
        let dims = vec![whole.dims[0].clone(), Extent::Fixed(width / 2)];
        let bound =
            |graph: &mut Graph, what: &str, n: usize| graph.ints(&format!("{name}/{part}/{what}"), &[1], &[n as i64]);
        let [from, to, axis] =
            [("from", range[0]), ("to", range[1]), ("axis", 1)].map(|(what, n)| bound(graph, what, n));
        Ok(graph.node(&format!("{name}/{part}/Slice"), "Slice", &[&whole, &from, &to, &axis], vec![], dims))
    };
    let forward = half("last", -1, [0, width / 2])?;
    let reverse = half("first", 0, [width / 2, width])?;
    let dims = vec![forward.dims[0].clone(), Extent::Fixed(width)];
    Ok(graph.node(&format!("{name}/Concat"), "Concat", &[&forward, &reverse], vec![int("axis", 1)], dims))
}

/// Adds a convolution. ONNX expects the channels before the steps.
fn conv(
    graph: &mut Graph,
    name: &str,
    x: &Value,
    c: &Conv1dConfig,
    parameter: &dyn Fn(&str) -> String,
) -> Result<Value> {
    let (to, back): (&[usize], &[usize]) = match c.axes {
        Axes::TimeFirst => (&[1, 2, 0], &[2, 0, 1]),
        Axes::BatchFirst => (&[0, 2, 1], &[0, 2, 1]),
        Axes::ChannelsFirst => (&[0, 1, 2], &[0, 1, 2]),
    };
    let turned = c.axes != Axes::ChannelsFirst;
    let x = if turned { graph.transpose(&format!("{name}/channels"), x, to)? } else { x.clone() };
    let [batch, Extent::Fixed(channels), steps] = &x.dims[..] else {
        return Err(wrong(name, &x, &format!("three axes with {} channels", c.input)));
    };
    if *channels != c.input || x.indices {
        return Err(wrong(name, &x, &format!("{} channels", c.input)));
    }
    let steps = match steps {
        Extent::Fixed(n) if c.output_steps(*n) == 0 => {
            return Err(wrong(name, &x, "as many steps as the kernel spans, or more"));
        }
        Extent::Fixed(n) => Extent::Fixed(c.output_steps(*n)),
        // This padding keeps the number of steps, for every length.
        Extent::Named(steps) if c.stride == 1 && 2 * c.padding == c.dilation * (c.kernel - 1) => {
            Extent::Named(steps.clone())
        }
        _ => Extent::named(&format!("{name}/steps")),
    };
    let dims = vec![batch.clone(), Extent::Fixed(c.output), steps];
    let weight = graph.parameter(&parameter("weight"))?;
    let bias = if c.bias { Some(graph.parameter(&parameter("bias"))?) } else { None };
    let inputs: Vec<&Value> = [&x, &weight].into_iter().chain(&bias).collect();
    let [kernel, stride, padding, dilation, groups] =
        [c.kernel, c.stride, c.padding, c.dilation, c.groups].map(|n| n as i64);
    let attributes = vec![
        ints("kernel_shape", &[kernel]),
        ints("strides", &[stride]),
        ints("pads", &[padding, padding]),
        ints("dilations", &[dilation]),
        int("group", groups),
    ];
    let y = graph.node(&format!("{name}/Conv"), "Conv", &inputs, attributes, dims);
    if turned { graph.transpose(&format!("{name}/back"), &y, back) } else { Ok(y) }
}
