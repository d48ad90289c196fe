//! Converts the layers that only networks of files have: functions, changes of shape, pooling.

use std::any::Any;

use super::super::info::Extent;
use super::graph::{Graph, Value, float, int, ints, refuse, wrong};
use super::merge::merged;
use crate::error::Result;
use crate::io::network::{Affine, Function, Merge, PRelu};

/// Adds the layer `name`, applied to `x`. `parameter` returns the full name of a parameter.
pub fn write(
    graph: &mut Graph,
    name: &str,
    layer: &dyn Any,
    x: &Value,
    parameter: &dyn Fn(&str) -> String,
) -> Result<Value> {
    if x.indices {
        return Err(wrong(name, x, "floats"));
    }
    if let Some(function) = layer.downcast_ref::<Function>() {
        return Writer { graph, name }.function(function, x);
    }
    if let Some(affine) = layer.downcast_ref::<Affine>() {
        if affine.axis != -1 && affine.axis + 1 != x.dims.len() as isize {
            return Err(wrong(name, x, &format!("axis {} as its last", affine.axis)));
        }
        let [weight, bias] = [graph.parameter(&parameter("weight"))?, graph.parameter(&parameter("bias"))?];
        let product = graph.node(&format!("{name}/Mul"), "Mul", &[x, &weight], vec![], x.dims.clone());
        return Ok(graph.node(&format!("{name}/Add"), "Add", &[&product, &bias], vec![], x.dims.clone()));
    }
    if layer.is::<PRelu>() {
        let alpha = graph.parameter(&parameter("alpha"))?;
        return Ok(graph.node(&format!("{name}/PRelu"), "PRelu", &[x, &alpha], vec![], x.dims.clone()));
    }
    Err(refuse(name, "a layer", "a network with branches in another module"))
}

struct Writer<'a> {
    graph: &'a mut Graph,
    name: &'a str,
}

impl Writer<'_> {
    fn at(&self, part: &str) -> String {
        format!("{}/{part}", self.name)
    }

    /// Adds a node with the extents of its first input.
    fn same(&mut self, part: &str, operator: &str, inputs: &[&Value]) -> Value {
        self.graph.node(&self.at(part), operator, inputs, vec![], inputs[0].dims.clone())
    }

    fn number(&mut self, part: &str, value: f32) -> Value {
        self.graph.floats(&self.at(part), &[], &[value])
    }

    /// Returns the extents of a sequence.
    fn sequence<'v>(&self, x: &'v Value) -> Result<&'v [Extent; 3]> {
        x.dims[..].try_into().map_err(|_| wrong(self.name, x, "[batch, steps, features]"))
    }

    /// Returns the extent of an axis whose length changes.
    fn steps(&self, from: &Extent, to: impl Fn(usize) -> usize) -> Extent {
        match from {
            Extent::Fixed(n) => Extent::Fixed(to(*n)),
            _ => Extent::named(&self.at("steps")),
        }
    }

    fn function(&mut self, function: &Function, x: &Value) -> Result<Value> {
        Ok(match function {
            Function::LeakyRelu { slope, max } => {
                let mut y = self.same("Relu", "Relu", &[x]);
                if let Some(max) = max {
                    let max = self.number("max", *max);
                    y = self.same("Min", "Min", &[&y, &max]);
                }
                if *slope == 0.0 {
                    return Ok(y);
                }
                let [zero, slope] = [self.number("zero", 0.0), self.number("slope", *slope)];
                let below = self.same("below", "Min", &[x, &zero]);
                let below = self.same("Mul", "Mul", &[&below, &slope]);
                self.same("Add", "Add", &[&y, &below])
            }
            Function::Selu => {
                let attributes = vec![float("alpha", 1.673_263_2)];
                let elu = self.graph.node(&self.at("Elu"), "Elu", &[x], attributes, x.dims.clone());
                let scale = self.number("scale", 1.050_701);
                self.same("Mul", "Mul", &[&elu, &scale])
            }
            Function::Exp => self.same("Exp", "Exp", &[x]),
            Function::Swish => {
                let sigmoid = self.same("Sigmoid", "Sigmoid", &[x]);
                self.same("Mul", "Mul", &[x, &sigmoid])
            }
            Function::Mish => {
                let softplus = self.same("Softplus", "Softplus", &[x]);
                let tanh = self.same("Tanh", "Tanh", &[&softplus]);
                self.same("Mul", "Mul", &[x, &tanh])
            }
            Function::Reversed => {
                let [_, steps, _] = self.sequence(x)?;
                self.graph.slice(self.name, x, 1, [-1, i64::MIN + 1, -1], Some(steps))?
            }
            Function::SwapBatch => self.graph.transpose(&self.at("Transpose"), x, &[1, 0, 2])?,
            Function::Permute(order) if order.len() + 1 == x.dims.len() => {
                self.graph.transpose(&self.at("Transpose"), x, &[&[0], &order[..]].concat())?
            }
            Function::Permute(order) => {
                return Err(wrong(self.name, x, &format!("{} axes after the batch", order.len())));
            }
            Function::Reshape(extents) => self.reshaped(x, extents),
            Function::Repeat(n) => {
                let [batch, width] = &x.dims[..] else { return Err(wrong(self.name, x, "[batch, features]")) };
                let dims = vec![batch.clone(), Extent::Fixed(*n), width.clone()];
                let row = self.graph.unsqueezed(&self.at("row"), x, 1);
                self.expanded(&row, &[1, *n as i64, 1], dims)
            }
            Function::Pad(before, after) => self.padded(x, *before, *after)?,
            Function::PadSame { reach, stride } => self.padded_same(x, *reach, *stride)?,
            Function::Crop(before, after) => {
                let [_, steps, _] = self.sequence(x)?;
                let kept = self.steps(steps, |n| n.saturating_sub(before + after));
                let end = if *after == 0 { i64::MAX } else { -(*after as i64) };
                self.graph.slice(self.name, x, 1, [*before as i64, end, 1], Some(&kept))?
            }
            Function::UpSample(n) => {
                let [batch, steps, width] = self.sequence(x)?.clone();
                let column = self.graph.unsqueezed(&self.at("column"), x, 2);
                let dims = vec![batch.clone(), steps.clone(), Extent::Fixed(*n), width.clone()];
                let each = self.expanded(&column, &[1, 1, *n as i64, 1], dims);
                let Extent::Fixed(features) = width else { return Err(wrong(self.name, x, "a fixed width")) };
                let shape = self.graph.ints(&self.at("shape"), &[3], &[0, -1, features as i64]);
                let dims = vec![batch, self.steps(&steps, |steps| steps * n), Extent::Fixed(features)];
                self.graph.node(&self.at("Reshape"), "Reshape", &[&each, &shape], vec![], dims)
            }
            Function::Pool { size, stride, is_max } => {
                let [batch, steps, width] = self.sequence(x)?.clone();
                let steps = self.steps(&steps, |steps| steps.checked_sub(*size).map_or(0, |rest| rest / stride + 1));
                if steps == Extent::Fixed(0) {
                    return Err(wrong(self.name, x, &format!("at least {size} steps")));
                }
                let x = self.graph.transpose(&self.at("channels"), x, &[0, 2, 1])?;
                let operator = if *is_max { "MaxPool" } else { "AveragePool" };
                let options = vec![ints("kernel_shape", &[*size as i64]), ints("strides", &[*stride as i64])];
                let y = self.graph.node(&self.at(operator), operator, &[&x], options, vec![batch, width, steps]);
                self.graph.transpose(&self.at("back"), &y, &[0, 2, 1])?
            }
            Function::PoolAll { is_max, keep } => {
                self.sequence(x)?;
                let operator = if *is_max { "ReduceMax" } else { "ReduceMean" };
                let y = self.graph.reduced(&self.at(operator), operator, x, 1);
                if *keep { self.graph.unsqueezed(&self.at("keep"), &y, 1) } else { y }
            }
            Function::Directions(merge) => self.directions(x, *merge)?,
            _ => return Err(refuse(self.name, "a layer", "an activation of an unknown kind")),
        })
    }

    /// Adds a reshape of the axes after the batch.
    fn reshaped(&mut self, x: &Value, extents: &[isize]) -> Value {
        let shape: Vec<i64> = std::iter::once(0).chain(extents.iter().map(|&n| n as i64)).collect();
        let shape = self.graph.ints(&self.at("shape"), &[shape.len()], &shape);
        let len = x.dims.iter().skip(1).try_fold(1usize, |len, extent| match extent {
            Extent::Fixed(n) => len.checked_mul(*n),
            _ => None,
        });
        let known: usize = extents.iter().filter_map(|&n| usize::try_from(n).ok()).product();
        let free = len.and_then(|len| len.checked_div(known)).map_or(Extent::Free, Extent::Fixed);
        let extents = extents.iter().map(|&n| usize::try_from(n).map_or(free.clone(), Extent::Fixed));
        let dims = x.dims.iter().take(1).cloned().chain(extents).collect();
        self.graph.node(&self.at("Reshape"), "Reshape", &[x, &shape], vec![], dims)
    }

    fn expanded(&mut self, x: &Value, shape: &[i64], dims: Vec<Extent>) -> Value {
        let shape = self.graph.ints(&self.at("extents"), &[shape.len()], shape);
        self.graph.node(&self.at("Expand"), "Expand", &[x, &shape], vec![], dims)
    }

    /// Adds zero steps before and after.
    fn padded(&mut self, x: &Value, before: usize, after: usize) -> Result<Value> {
        let [batch, steps, width] = self.sequence(x)?.clone();
        let pads = self.graph.ints(&self.at("pads"), &[6], &[0, before as i64, 0, 0, after as i64, 0]);
        let dims = vec![batch, self.steps(&steps, |steps| steps + before + after), width];
        Ok(self.graph.node(&self.at("Pad"), "Pad", &[x, &pads], vec![], dims))
    }

    /// Adds zero steps such that ⌈T / stride⌉ windows of this reach fit, with the larger half after.
    fn padded_same(&mut self, x: &Value, reach: usize, stride: usize) -> Result<Value> {
        let total = |steps: usize| (steps.div_ceil(stride).saturating_sub(1) * stride + reach).saturating_sub(steps);
        let [batch, steps, width] = self.sequence(x)?.clone();
        let fixed = match steps {
            Extent::Fixed(steps) => Some(total(steps)),
            _ => (stride == 1).then(|| reach - 1),
        };
        if let Some(total) = fixed {
            return self.padded(x, total / 2, total - total / 2);
        }
        // The padding depends on the number of steps, so that the graph computes it.
        let shape = self.whole("Shape", "Shape", &[x], 3);
        let one = |writer: &mut Self, part: &str, value: i64| writer.graph.ints(&writer.at(part), &[1], &[value]);
        let [index, up, by, reach] =
            [("index", 1), ("up", stride as i64 - 1), ("by", stride as i64), ("reach", reach as i64)]
                .map(|(part, value)| one(self, part, value));
        let [first, zero, two] = [("one", 1), ("none", 0), ("two", 2)].map(|(part, value)| one(self, part, value));
        let steps = self.whole("count", "Gather", &[&shape, &index], 1);
        let sum = self.whole("rounded", "Add", &[&steps, &up], 1);
        let windows = self.whole("windows", "Div", &[&sum, &by], 1);
        let before_last = self.whole("others", "Sub", &[&windows, &first], 1);
        let start = self.whole("start", "Mul", &[&before_last, &by], 1);
        let end = self.whole("end", "Add", &[&start, &reach], 1);
        let missing = self.whole("missing", "Sub", &[&end, &steps], 1);
        let total = self.whole("total", "Max", &[&missing, &zero], 1);
        let before = self.whole("before", "Div", &[&total, &two], 1);
        let after = self.whole("after", "Sub", &[&total, &before], 1);
        let attributes = vec![int("axis", 0)];
        let parts = [&zero, &before, &zero, &zero, &after, &zero];
        let pads = self.graph.node(&self.at("pads"), "Concat", &parts, attributes, vec![Extent::Fixed(6)]);
        let dims = vec![batch, Extent::named(&self.at("steps")), width];
        Ok(self.graph.node(&self.at("Pad"), "Pad", &[x, &pads], vec![], dims))
    }

    /// Adds a node of integers.
    fn whole(&mut self, part: &str, operator: &str, inputs: &[&Value], len: usize) -> Value {
        self.graph.node(&self.at(part), operator, inputs, vec![], vec![Extent::Fixed(len)])
    }

    /// Combines the halves of the last axis, which are the directions of a layer.
    fn directions(&mut self, x: &Value, merge: Merge) -> Result<Value> {
        let Some(Extent::Fixed(width)) = x.dims.last() else { return Err(wrong(self.name, x, "a fixed width")) };
        let (axis, half) = (x.dims.len() - 1, (*width / 2) as i64);
        let extent = Extent::Fixed(*width / 2);
        let (first, second) = (self.at("forward"), self.at("backward"));
        let first = self.graph.slice(&first, x, axis, [0, half, 1], Some(&extent))?;
        let second = self.graph.slice(&second, x, axis, [half, 2 * half, 1], Some(&extent))?;
        merged(self.graph, self.name, merge, &[&first, &second])
    }
}
