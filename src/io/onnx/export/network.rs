//! Converts the networks of files: layers that branch, masks, and a connection from the input to the output.

use super::super::info::Extent;
use super::graph::{Graph, Value, int, wrong};
use super::merge::merged;
use super::{layers, recurrent};
use crate::error::Result;
use crate::io::network::{Action, Network, Rule, Wiring};
use crate::nn::Kind;

/// Adds a network, applied to `x`, and returns its output.
pub fn write(graph: &mut Graph, network: &Network, x: Value) -> Result<Value> {
    let y = match &network.wiring {
        Some(wiring) => wired(graph, network, wiring, x.clone())?,
        None => layers::write(graph, "", &network.layers, x.clone())?,
    };
    if !network.skip {
        return Ok(y);
    }
    let (Some(Extent::Fixed(from)), Some(Extent::Fixed(to))) = (x.dims.last(), y.dims.last()) else {
        return Err(wrong("skip", &x, "a fixed number of features"));
    };
    if from < to || x.dims.len() != y.dims.len() {
        return Err(wrong("skip", &x, &format!("at least {to} features, which are added to the output")));
    }
    let part =
        if from == to { x } else { graph.slice("skip", &x, x.dims.len() - 1, [0, *to as i64, 1], y.dims.last())? };
    Ok(graph.node("skip/Add", "Add", &[&y, &part], vec![], y.dims.clone()))
}

/// A value of a graph of layers, and its mask `[B, T]` of zeros and ones.
type Masked = (Value, Option<Value>);

fn wired(graph: &mut Graph, network: &Network, wiring: &Wiring, x: Value) -> Result<Value> {
    let parts = network.layers.parts();
    let mut values: Vec<Masked> = vec![(x, None)];
    for (k, step) in wiring.steps.iter().enumerate() {
        let name = format!("step{k}");
        let inputs: Vec<Masked> = step.inputs.iter().map(|&at| values[at].clone()).collect();
        let (x, mask) = &inputs[0];
        let masks: Vec<Option<&Value>> = inputs.iter().map(|(_, mask)| mask.as_ref()).collect();
        let out = mask_of(graph, &name, step.rule, x, &masks)?;
        let y = match step.action {
            Action::Layer(k) => layers::write(graph, parts[k].0, parts[k].1, x.clone())?,
            Action::Recurrent(k) => match (mask, parts[k].1.kind()) {
                (Some(mask), Kind::Recurrent(c)) => recurrent::masked(graph, parts[k].0, x, mask, c)?,
                _ => layers::write(graph, parts[k].0, parts[k].1, x.clone())?,
            },
            Action::Merge(merge) => {
                let all: Vec<&Value> = inputs.iter().map(|(value, _)| value).collect();
                merged(graph, &name, merge, &all)?
            }
            Action::Mask => match &out {
                Some(mask) => factors(graph, &name, x, mask)?,
                None => x.clone(),
            },
            Action::Mean(keep) => mean(graph, &name, x, mask.as_ref(), keep)?,
        };
        values.push((y, out));
    }
    Ok(values.swap_remove(wiring.output).0)
}

/// Adds the mask of a step's output.
fn mask_of(graph: &mut Graph, name: &str, rule: Rule, x: &Value, masks: &[Option<&Value>]) -> Result<Option<Value>> {
    let join = |graph: &mut Graph, operator: &str| {
        let mut present = masks.iter().flatten().enumerate();
        let first = present.next().map(|(_, mask)| (*mask).clone())?;
        Some(present.fold(first, |all, (k, mask)| {
            graph.node(&format!("{name}/mask{k}"), operator, &[&all, mask], vec![], all.dims.clone())
        }))
    };
    // Whether elements are equal to a constant, as zeros and ones.
    let differs = |graph: &mut Graph, constant: &Value| {
        let equal = graph.node(&format!("{name}/Equal"), "Equal", &[x, constant], vec![], x.dims.clone());
        let not = graph.node(&format!("{name}/Not"), "Not", &[&equal], vec![], x.dims.clone());
        graph.node(&format!("{name}/Cast"), "Cast", &[&not], vec![int("to", 1)], x.dims.clone())
    };
    Ok(match rule {
        Rule::Drop => None,
        Rule::Keep => join(graph, "Mul"),
        Rule::Either if masks.iter().any(Option::is_none) => None,
        Rule::Either => join(graph, "Max"),
        Rule::Indices if !x.indices => return Err(wrong(name, x, "indices")),
        Rule::Indices => {
            let zero = graph.ints(&format!("{name}/zero"), &[], &[0]);
            Some(differs(graph, &zero))
        }
        Rule::Features(value) => {
            let value = graph.floats(&format!("{name}/value"), &[], &[value]);
            let each = differs(graph, &value);
            Some(graph.reduced(&format!("{name}/any"), "ReduceMax", &each, x.dims.len() - 1))
        }
    })
}

/// Adds the product of `[B, T, C]` with a mask `[B, T]`.
fn factors(graph: &mut Graph, name: &str, x: &Value, mask: &Value) -> Result<Value> {
    if x.dims.len() != 3 {
        return Err(wrong(name, x, "[batch, steps, features]"));
    }
    let column = graph.unsqueezed(&format!("{name}/column"), mask, 2);
    Ok(graph.node(&format!("{name}/masked"), "Mul", &[x, &column], vec![], x.dims.clone()))
}

/// Adds the mean of the steps of `[B, T, C]` that count.
fn mean(graph: &mut Graph, name: &str, x: &Value, mask: Option<&Value>, keep: bool) -> Result<Value> {
    if x.dims.len() != 3 {
        return Err(wrong(name, x, "[batch, steps, features]"));
    }
    let y = match mask {
        None => graph.reduced(&format!("{name}/mean"), "ReduceMean", x, 1),
        Some(mask) => {
            let product = factors(graph, name, x, mask)?;
            let sum = graph.reduced(&format!("{name}/sum"), "ReduceSum", &product, 1);
            let count = graph.reduced(&format!("{name}/count"), "ReduceSum", mask, 1);
            let count = graph.unsqueezed(&format!("{name}/counts"), &count, 1);
            graph.node(&format!("{name}/Div"), "Div", &[&sum, &count], vec![], sum.dims.clone())
        }
    };
    Ok(if keep { graph.unsqueezed(&format!("{name}/keep"), &y, 1) } else { y })
}
