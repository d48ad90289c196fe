//! Parts of values: slices, splits, concatenations, gathers, padding

use super::super::value::Value;
use super::{Args, Builder, Op, Operator, axes_of, axis_of, function, host, moved};
use crate::error::{Error, Result};
use crate::kernels::Copy;
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator { name: "Slice", since: 1, inputs: 1..=5, outputs: 1, build: slice, fold: Some(moved) },
    Operator { name: "Split", since: 2, inputs: 1..=2, outputs: usize::MAX, build: split, fold: Some(moved) },
    Operator { name: "Concat", since: 4, inputs: 1..=usize::MAX, outputs: 1, build: concat, fold: Some(moved) },
    Operator { name: "Gather", since: 1, inputs: 2..=2, outputs: 1, build: gather, fold: Some(gathered) },
    Operator { name: "Pad", since: 2, inputs: 1..=4, outputs: 1, build: pad, fold: None },
];

/// Positions `at` of one axis, in that order.
fn select(x: &Value, axis: usize, at: &[usize]) -> Result<Value> {
    let extent = x.dims()[axis];
    if let Some(past) = at.iter().find(|&&i| i >= extent) {
        return Err(Error::value("onnx", "indices", format!("below {extent}"), past));
    }
    let run = at.windows(2).all(|w| w[1] == w[0] + 1);
    match x {
        Value::Ints(x) => Ok(host::select(x, axis, at)?.into()),
        Value::Tensor(_) if at.is_empty() => {
            Err(Error::value("onnx", "output", "at least one element of floats", "none"))
        }
        Value::Tensor(x) if run && at.len() == extent => Ok(x.clone().into()),
        Value::Tensor(x) if run => Ok(x.slice(axis, at[0]..at[0] + at.len())?.into()),
        Value::Tensor(x) => Ok(select_rows(x, axis, at)?.into()),
    }
}

/// [`select`] by a gather of rows: the axis goes first, and back.
fn select_rows(x: &Tensor, axis: usize, at: &[usize]) -> Result<Tensor> {
    let mut axes: Vec<usize> = (0..x.dims().len()).collect();
    axes.remove(axis);
    axes.insert(0, axis);
    let front = if axis == 0 { x.clone() } else { x.permute(&axes)? };
    let rows = front.dims()[0];
    let index: Vec<u32> = at.iter().map(|&i| i as u32).collect();
    let index = Tensor::from_indices(x.device(), &index, &[at.len()])?;
    let taken = front.reshape(&[rows, front.len() / rows])?.gather(&index)?;
    let taken = taken.reshape(&[&[at.len()], &front.dims()[1..]].concat())?;
    if axis == 0 { Ok(taken) } else { taken.permute(&movement::inverse(&axes)) }
}

/// Starts, ends, axes and steps: attributes before operator set 10, then inputs.
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
    function(move |args| {
        let x = args.value(0)?;
        let (starts, ends, axes) = match &attributes {
            Some((starts, ends, axes)) => (&starts[..], &ends[..], axes.as_deref()),
            None => (args.ints(1)?, args.ints(2)?, host::optional(args, 3)?),
        };
        let counted: Vec<i64> = (0..starts.len() as i64).collect();
        let axes = axes.unwrap_or(&counted);
        let ones = vec![1; starts.len()];
        let steps = host::optional(args, 4)?.unwrap_or(&ones);
        if [ends.len(), axes.len(), steps.len()] != [starts.len(); 3] || starts.len() > x.dims().len() {
            return Err(Error::value(
                "onnx",
                "starts",
                "as many starts, ends, axes and steps",
                "other numbers of them",
            ));
        }
        let mut y = x.clone();
        for (i, &axis) in axes.iter().enumerate() {
            let axis = axis_of(axis, x.dims().len())?;
            y = select(&y, axis, &positions(y.dims()[axis], starts[i], ends[i], steps[i])?)?;
        }
        Ok(vec![y])
    })
}

/// The positions of a slice as NumPy and ONNX count them: negative ends count from the back, all are clamped.
fn positions(extent: usize, start: i64, end: i64, step: i64) -> Result<Vec<usize>> {
    if step == 0 {
        return Err(Error::value("onnx", "steps", "not 0", 0));
    }
    if extent == 0 {
        return Ok(Vec::new());
    }
    let n = extent as i64;
    let from_back = |v: i64| if v < 0 { v.saturating_add(n) } else { v };
    let (low, high) = if step > 0 { (0, n) } else { (-1, n - 1) };
    let start = from_back(start).clamp(low.max(0), high);
    let end = from_back(end).clamp(low, high);
    let mut out = Vec::new();
    let mut at = start;
    while (step > 0 && at < end) || (step < 0 && at > end) {
        out.push(at as usize);
        at = at.saturating_add(step);
    }
    Ok(out)
}

fn split(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.unwrap_or(0);
    let attribute = if b.opset < 13 { b.ints("split")? } else { None };
    if b.opset < 13 && b.has(1) {
        return Err(b.refuse("sizes as an input before operator set 13"));
    }
    let outputs = b.node.outputs.len();
    if b.opset >= 18
        && let Some(stated) = b.int("num_outputs")?
        && stated != outputs as i64
    {
        return Err(b.refuse(format!("num_outputs {stated} with {outputs} outputs")));
    }
    function(move |args| {
        let x = args.value(0)?;
        let axis = axis_of(axis, x.dims().len())?;
        let extent = x.dims()[axis];
        let sizes = match host::optional(args, 1)?.or(attribute.as_deref()) {
            Some(sizes) => host::extents(sizes)?,
            // Equal parts; the last one may be smaller.
            None => {
                let part = extent.div_ceil(outputs);
                (0..outputs).map(|i| extent.saturating_sub(i * part).min(part)).collect()
            }
        };
        let total = sizes.iter().try_fold(0usize, |n, &s| n.checked_add(s));
        if sizes.len() != outputs || total != Some(extent) {
            let expected = format!("{outputs} sizes that add up to {extent}");
            return Err(Error::value("onnx", "split", expected, format!("{sizes:?}")));
        }
        let mut start = 0;
        let part = |&size: &usize| {
            start += size;
            select(x, axis, &(start - size..start).collect::<Vec<_>>())
        };
        sizes.iter().map(part).collect()
    })
}

fn concat(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.ok_or_else(|| b.refuse("no attribute \"axis\""))?;
    function(move |args| {
        let axis = axis_of(axis, args.value(0)?.dims().len())?;
        let mixed = || Error::value("onnx", "inputs", "all floats or all integers", "both");
        let parts: Vec<&Value> = (0..args.inputs.len()).map(|i| args.value(i)).collect::<Result<_>>()?;
        Ok(vec![match parts[0] {
            Value::Tensor(_) => {
                let parts = parts.iter().map(|v| v.as_tensor().map_err(|_| mixed())).collect::<Result<Vec<_>>>()?;
                Tensor::concat(&parts, axis)?.into()
            }
            Value::Ints(_) => {
                let ints = |v: &&'_ Value| if let Value::Ints(x) = v { Ok(x.clone()) } else { Err(mixed()) };
                let parts = parts.iter().map(ints).collect::<Result<Vec<_>>>()?;
                host::concat(&parts.iter().collect::<Vec<_>>(), axis)?.into()
            }
        }])
    })
}

/// The cost of a gather: an index brings what is beside one position. An upper bound, whatever the axis.
fn gathered(args: &Args) -> Result<usize> {
    let (x, index) = (args.value(0)?, args.value(1)?);
    let least = x.dims().iter().copied().min().unwrap_or(1).max(1);
    host::count(&[x.count() / least, index.count()])
}

fn gather(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.unwrap_or(0);
    function(move |args| {
        let (x, index) = (args.value(0)?, args.value(1)?);
        let axis = axis_of(axis, x.dims().len())?;
        let at: Vec<usize> = index
            .as_ints()?
            .iter()
            .map(|&i| axis_of(i, x.dims()[axis]))
            .collect::<Result<_>>()
            .map_err(|_| Error::value("onnx", "indices", format!("within ±{}", x.dims()[axis]), "one past that"))?;
        let dims = [&x.dims()[..axis], index.dims(), &x.dims()[axis + 1..]].concat();
        Ok(vec![match select(x, axis, &at)? {
            Value::Tensor(y) => y.reshape(&dims)?.into(),
            Value::Ints(y) => super::super::value::Ints::new(dims, y.values)?.into(),
        }])
    })
}

/// Constant padding of floats; pads are an attribute before operator set 11, then an input.
fn pad(b: &mut Builder) -> Result<Op> {
    match b.text("mode")?.as_deref() {
        None | Some("constant") => {}
        Some(mode) => return Err(b.refuse(format!("mode {mode:?}"))),
    }
    let (attribute, value) = if b.opset < 11 {
        let pads = b.ints("pads")?.ok_or_else(|| b.refuse("no pads"))?;
        (Some(pads), b.float("value")?)
    } else {
        (None, b.number(2, "constant_value")?)
    };
    function(move |args| {
        let x = args.tensor(0)?;
        let pads = match &attribute {
            Some(pads) => pads,
            None => args.ints(1)?,
        };
        let rank = x.dims().len();
        let axes = match host::optional(args, 3)? {
            Some(axes) => {
                axes_of(axes, rank)?;
                axes.iter().map(|&a| axis_of(a, rank)).collect::<Result<Vec<_>>>()?
            }
            None => (0..rank).collect(),
        };
        let wrong = || Error::value("onnx", "pads", "a start and an end for each axis", format!("{pads:?}"));
        if pads.len() != 2 * axes.len() {
            return Err(wrong());
        }
        let mut y = x.clone();
        for (i, &axis) in axes.iter().enumerate() {
            y = pad_axis(&y, axis, [pads[i], pads[axes.len() + i]], value.unwrap_or(0.0))?;
        }
        Ok(vec![y.into()])
    })
}

/// One axis longer by `[start, end]`, or shorter where they are negative.
pub fn pad_axis(x: &Tensor, axis: usize, [start, end]: [i64; 2], value: f32) -> Result<Tensor> {
    let extent = x.dims()[axis];
    let wrong = || Error::value("onnx", "pads", format!("pads that leave some of {extent}"), format!("{start}, {end}"));
    let cut = |pad: i64| usize::try_from(pad.min(0).unsigned_abs()).map_err(|_| wrong());
    let grow = |pad: i64| usize::try_from(pad.max(0)).map_err(|_| wrong());
    let (first, last) = (cut(start)?, extent.checked_sub(cut(end)?).ok_or_else(wrong)?);
    if first >= last {
        return Err(wrong());
    }
    let kept = if last - first == extent { x.clone() } else { x.slice(axis, first..last)? };
    let (before, after) = (grow(start)?, grow(end)?);
    if before == 0 && after == 0 {
        return Ok(kept);
    }
    let mut dims = kept.dims().to_vec();
    dims[axis] = dims[axis].checked_add(before).and_then(|n| n.checked_add(after)).ok_or_else(wrong)?;
    let out = Tensor::full(x.device(), value, &dims)?;
    let inner: usize = dims[axis + 1..].iter().product();
    let kernel = Copy {
        dims: kept.shape().dims4(),
        src_strides: kept.shape().strides4(),
        dst_strides: out.shape().strides4(),
        src_offset: 0,
        dst_offset: (before * inner) as u32,
    };
    x.device().run(&kernel, [&kept], [&out])?;
    Ok(out)
}
