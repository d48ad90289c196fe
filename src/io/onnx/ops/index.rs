//! Slices, splits, concatenations and gathers.

use super::{Args, Builder, Op, Operator, axis_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::element::ElementType;
use crate::io::onnx::ints::{Ints, extent, shown};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("Slice", 1..=5, slice).folds().whole(1),
    Operator::new("Split", 1..=2, split).since(2).outputs(usize::MAX).folds().whole(1),
    Operator::new("Concat", 1..=usize::MAX, concat).since(4).folds().whole(usize::MAX),
    Operator::new("Gather", 2..=2, gather).folds().whole(1),
];

/// Overhead of a value in bytes, in addition to its elements. A split makes many values.
const OVERHEAD: usize = 256;

/// Positions along an axis: `count` of them, from `start` on, `step` apart.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    count: usize,
    step: i64,
}

impl Run {
    fn positions(self) -> impl ExactSizeIterator<Item = usize> + Clone {
        (0..self.count).map(move |i| (self.start as i64 + i as i64 * self.step) as usize)
    }
}

fn nothing() -> Error {
    Error::value("onnx", "output", "at least one element of floats", "none")
}

/// Selects the positions of a run, which must lie within the axis.
fn part(x: &Value, axis: usize, run: Run) -> Result<Value> {
    Ok(match x {
        Value::Ints(x) => host::select(x, axis, run.positions())?.of_kind(x.kind()).into(),
        // Without elements, floats are on the host.
        _ if run.count == 0 => {
            let mut dims = x.dims().to_vec();
            dims[axis] = 0;
            Ints::new(dims, Vec::new())?.of_kind(ElementType::Float).into()
        }
        Value::Tensor(y) | Value::Whole(y) => x.like(match run.step == 1 || run.count == 1 {
            true if run.count == y.dims()[axis] => y.clone(),
            true => y.slice(axis, run.start..run.start + run.count)?,
            false => select_rows(y, axis, run.positions())?,
        }),
    })
}

/// Selects positions along an axis by a gather of rows, for which the axis moves to the front and back.
pub fn select_rows(x: &Tensor, axis: usize, at: impl IntoIterator<Item = usize>) -> Result<Tensor> {
    let mut axes: Vec<usize> = (0..x.dims().len()).collect();
    axes.remove(axis);
    axes.insert(0, axis);
    let front = if axis == 0 { x.clone() } else { x.permute(&axes)? };
    let rows = front.dims()[0];
    let index: Vec<u32> = at.into_iter().map(|i| i as u32).collect();
    let index = Tensor::from_indices(x.device(), &index, &[index.len()])?;
    let taken = front.reshape(&[rows, front.len() / rows])?.gather(&index)?;
    let taken = taken.reshape(&[index.dims(), &front.dims()[1..]].concat())?;
    if axis == 0 { Ok(taken) } else { taken.permute(&movement::inverse(&axes)) }
}

/// Slices along axes. Starts, ends and axes are attributes before operator set 10. Since then, they and steps are
/// inputs.
fn slice(b: &mut Builder) -> Result<Op> {
    let attributes = match b.opset {
        ..10 => {
            if (1..5).any(|i| b.has(i)) {
                return Err(b.refuse("starts and ends as inputs before operator set 10"));
            }
            let (starts, ends) = (b.ints("starts")?, b.ints("ends")?);
            let (Some(starts), Some(ends)) = (starts, ends) else { return Err(b.refuse("no starts or ends")) };
            Some((starts, ends, b.ints("axes")?))
        }
        _ if !(b.has(1) && b.has(2)) => return Err(b.refuse("no starts or ends")),
        _ => None,
    };
    // Each axis shrinks the previous value, by at most two permutes and a gather.
    let cost = |args: &Args| {
        let copies = copied(args)?.times(4);
        Ok(Cost { work: copies.times(args.value(0)?.dims().len()).work, ..copies })
    };
    function(cost, move |args| {
        let x = args.value(0)?;
        let (starts, ends, axes) = match &attributes {
            Some((starts, ends, axes)) => (&starts[..], &ends[..], axes.as_deref()),
            None => (args.ints(1)?, args.ints(2)?, host::optional(args, 3)?),
        };
        let counted: Vec<i64> = (0..x.dims().len() as i64).collect();
        let axes = axes.or(counted.get(..starts.len())).unwrap_or(&counted);
        let ones = vec![1; counted.len()];
        let steps = host::optional(args, 4)?.or(ones.get(..starts.len())).unwrap_or(&ones);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || starts.len() > x.dims().len() {
            return Err(Error::value(
                "onnx",
                "starts",
                "starts, ends, axes and steps of one length",
                "different lengths",
            ));
        }
        let mut y = x.clone();
        for (i, &axis) in axes.iter().enumerate() {
            let axis = axis_of(axis, x.dims().len())?;
            y = part(&y, axis, run(y.dims()[axis], starts[i], ends[i], steps[i])?)?;
        }
        Ok(vec![y])
    })
}

/// Resolves a slice by the rules of NumPy and ONNX: negative positions count from the end, and all are clamped.
fn run(extent: usize, start: i64, end: i64, step: i64) -> Result<Run> {
    if step == 0 {
        return Err(Error::value("onnx", "steps", "not 0", 0));
    }
    let n = extent as i64;
    let from_back = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let start = from_back(start).clamp(0.min(high), high);
    let end = from_back(end).clamp(low, high);
    let length = if step > 0 { end - start } else { start - end }.max(0) as u64;
    let count = length.div_ceil(step.unsigned_abs()) as usize;
    // A step beyond the axis is never taken, so it can be clamped.
    Ok(Run { start: start.max(0) as usize, count, step: step.clamp(-n.max(1), n.max(1)) })
}

fn split(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.unwrap_or(0);
    let attribute = if b.opset < 13 { b.ints("split")? } else { None };
    if b.opset < 13 && b.has(1) {
        return Err(b.refuse("sizes as an input before operator set 13"));
    }
    let outputs = b.node.outputs;
    // Since operator set 18, the last part may be smaller.
    let may_be_uneven = b.opset >= 18;
    if may_be_uneven {
        match b.int("num_outputs")? {
            Some(_) if b.has(1) => return Err(b.refuse("both sizes and num_outputs")),
            None if !b.has(1) => return Err(b.refuse("neither sizes nor num_outputs")),
            Some(stated) if stated != outputs as i64 => {
                return Err(b.refuse(format!("num_outputs {stated} with {outputs} outputs")));
            }
            _ => {}
        }
    }
    let cost = move |args: &Args| Ok(copied(args)? + Cost::ints(outputs).times(OVERHEAD / 8));
    function(cost, move |args| {
        let x = args.value(0)?;
        let axis = axis_of(axis, x.dims().len())?;
        let extent = x.dims()[axis];
        let sizes = match host::optional(args, 1)?.or(attribute.as_deref()) {
            Some(sizes) => host::extents(sizes)?,
            None => {
                let part = extent.div_ceil(outputs);
                match extent.checked_sub(part * (outputs - 1)) {
                    Some(last) if last == part || may_be_uneven => [vec![part; outputs - 1], vec![last]].concat(),
                    _ => {
                        let expected = format!("an extent that {outputs} outputs share, or sizes");
                        return Err(Error::value("onnx", "input", expected, extent));
                    }
                }
            }
        };
        let total = sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s));
        if sizes.len() != outputs || total != Some(extent) {
            let expected = format!("{outputs} sizes that add up to {extent}");
            return Err(Error::value("onnx", "split", expected, shown(&sizes)));
        }
        let mut start = 0;
        let one = |&count: &usize| {
            start += count;
            part(x, axis, Run { start: start - count, count, step: 1 })
        };
        sizes.iter().map(one).collect()
    })
}

fn concat(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.ok_or_else(|| b.refuse("no attribute \"axis\""))?;
    let cost = |args: &Args| Ok(args.inputs.iter().flatten().map(|value| Cost::copy(value).times(2)).sum());
    function(cost, move |args| {
        let axis = axis_of(axis, args.value(0)?.dims().len())?;
        let parts: Vec<&Value> = (0..args.inputs.len()).map(|i| args.value(i)).collect::<Result<_>>()?;
        Ok(vec![joined(&parts, axis)?])
    })
}

/// Returns a part of one step along an axis, which is dropped.
pub fn step_of(x: &Value, axis: usize, at: usize) -> Result<Value> {
    let one = part(x, axis, Run { start: at, count: 1, step: 1 })?;
    let mut dims = one.dims().to_vec();
    dims.remove(axis);
    super::shape::view(&one, &dims)
}

/// Concatenates values along an axis.
pub fn joined(parts: &[&Value], axis: usize) -> Result<Value> {
    let mixed = || Error::value("onnx", "inputs", "all floats or all integers", "both");
    if parts.iter().all(|value| matches!(value, Value::Ints(_))) {
        let ints: Vec<&Ints> =
            parts.iter().filter_map(|v| if let Value::Ints(x) = v { Some(x) } else { None }).collect();
        return Ok(host::concat(&ints, axis)?.into());
    }
    // A list without elements is on the host, even one of floats.
    let parts: Vec<&Value> = parts.iter().copied().filter(|value| value.count() > 0).collect();
    let floats = parts.first().is_some_and(|value| value.is_float());
    let device = parts.iter().find_map(|value| value.on_device()).map(Tensor::device).ok_or_else(mixed)?;
    let part = |value: &&Value| if value.is_float() == floats { value.to_floats(device) } else { Err(mixed()) };
    let tensors = parts.iter().map(part).collect::<Result<Vec<_>>>()?;
    let whole = Tensor::concat(&tensors.iter().collect::<Vec<_>>(), axis)?;
    Ok(if floats { whole.into() } else { Value::Whole(whole) })
}

/// Returns the axis and the output shape of a gather.
fn gathered(args: &Args, axis: i64) -> Result<(usize, Vec<usize>)> {
    let (x, index) = (args.value(0)?.dims(), args.value(1)?.dims());
    let axis = axis_of(axis, x.len())?;
    Ok((axis, [&x[..axis], index, &x[axis + 1..]].concat()))
}

fn gather(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.unwrap_or(0);
    let cost = move |args: &Args| {
        let (axis, dims) = gathered(args, axis)?;
        let n = extent(&dims)?;
        // The indices as positions and as words, and the values, with two permutes unless the axis is the first.
        let index = Cost::ints(args.value(1)?.count()).times(2);
        Ok(index
            + match args.value(0)? {
                Value::Ints(_) => Cost::ints(n),
                _ if axis == 0 => Cost::floats(n),
                x => Cost::floats(n).times(2) + Cost::floats(x.count()),
            })
    };
    function(cost, move |args| {
        let (x, (axis, dims)) = (args.value(0)?, gathered(args, axis)?);
        let along = x.dims()[axis];
        let at: Vec<usize> = args
            .ints(1)?
            .iter()
            .map(|&i| axis_of(i, along))
            .collect::<Result<_>>()
            .map_err(|_| Error::value("onnx", "indices", format!("within ±{along}"), "an index outside"))?;
        Ok(vec![match x {
            Value::Tensor(_) | Value::Whole(_) if at.is_empty() => return Err(nothing()),
            Value::Tensor(y) | Value::Whole(y) => {
                let follows = at.windows(2).all(|w| w[1] == w[0] + 1);
                let y = if follows {
                    part(x, axis, Run { start: at[0], count: at.len(), step: 1 })?
                } else {
                    x.like(select_rows(y, axis, at.into_iter())?)
                };
                super::shape::view(&y, &dims)?
            }
            Value::Ints(x) => Ints::new(dims, host::select(x, axis, at.into_iter())?.into_values())?.into(),
        }])
    })
}
