//! Operators that create values from numbers, and repeat or count them.

use super::compare::chosen;
use super::shape::view;
use super::{Args, Builder, Op, Operator, axis_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, elements, extent, limited, shown};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::kernels::{BinaryOp, ZipOp};
use crate::ops::elementwise::{binary, zip};
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("Range", 3..=3, |_| function(range_cost, range)).since(11).folds(),
    Operator::new("Tile", 2..=2, tile).since(6).folds().whole(1),
    Operator::new("OneHot", 3..=3, one_hot).since(9).folds().whole(1),
    Operator::new("CumSum", 2..=2, cum_sum).since(11).folds(),
    Operator::new("Trilu", 1..=2, trilu).since(14).folds(),
    Operator::new("EyeLike", 1..=1, eye_like).since(9).folds().of_extents(),
    Operator::new("NonZero", 1..=1, |_| function(non_zero_cost, non_zero)).since(9).folds(),
];

/// Reads a number.
fn float(args: &Args, i: usize) -> Result<f32> {
    match args.read(i)?[..] {
        [number] => Ok(number),
        ref other => Err(Error::value("onnx", "input", "one number", format!("{} of them", other.len()))),
    }
}

/// Returns the number of elements of a range.
fn counted(args: &Args) -> Result<usize> {
    let wrong = |step: String| Error::value("onnx", "delta", "a step towards the limit, not 0", step);
    let count = if let Value::Ints(_) = args.value(0)? {
        let one = |i: usize| match args.ints(i)? {
            &[v] => Ok(i128::from(v)),
            other => Err(Error::value("onnx", "input", "one number", format!("{} of them", other.len()))),
        };
        let (start, limit, step) = (one(0)?, one(1)?, one(2)?);
        if step == 0 {
            return Err(wrong("0".into()));
        }
        let sign = step.signum();
        let far = ((limit - start) * sign).max(0);
        (far + step.abs() - 1) / step.abs()
    } else {
        let (start, limit, step) = (float(args, 0)?, float(args, 1)?, float(args, 2)?);
        let count = ((f64::from(limit) - f64::from(start)) / f64::from(step)).ceil();
        if !count.is_finite() {
            return Err(wrong(step.to_string()));
        }
        count.max(0.0) as i128
    };
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    extent(&[count])?;
    Ok(count)
}

fn range_cost(args: &Args) -> Result<Cost> {
    let n = counted(args)?;
    Ok(if let Value::Ints(_) = args.value(0)? { Cost::ints(n) } else { Cost::floats(n).times(2) })
}

fn range(args: &Args) -> Result<Vec<Value>> {
    let count = counted(args)?;
    if let Value::Ints(_) = args.value(0)? {
        limited(&[count])?;
        let (start, step) = (args.ints(0)?[0], args.ints(2)?[0]);
        return Ok(vec![Ints::list((0..count as i64).map(|i| start + i * step).collect()).into()]);
    }
    let (start, step) = (float(args, 0)?, float(args, 2)?);
    let values: Vec<f32> = (0..count).map(|i| start + i as f32 * step).collect();
    Ok(vec![Tensor::from_slice(args.device, &values, &[count])?.into()])
}

/// Returns the repeats of each axis.
fn repeats(args: &Args) -> Result<Vec<usize>> {
    let repeats = host::extents(args.ints(1)?)?;
    match repeats.len() == args.value(0)?.dims().len() && !repeats.contains(&0) {
        true => Ok(repeats),
        false => Err(Error::value("onnx", "repeats", "one number above 0 for each axis", shown(&repeats))),
    }
}

fn tile(_: &mut Builder) -> Result<Op> {
    let cost = |args: &Args| {
        let mut n = args.value(0)?.count().max(1);
        for repeat in repeats(args)? {
            n = extent(&[n, repeat])?;
        }
        Ok(if let Value::Ints(_) = args.value(0)? { Cost::ints(n) } else { Cost::floats(n) }.times(3))
    };
    function(cost, |args| {
        let mut y = args.value(0)?.clone();
        for (axis, repeat) in repeats(args)?.into_iter().enumerate().filter(|(_, repeat)| *repeat > 1) {
            // The axis and those after it repeat as one.
            let dims = y.dims().to_vec();
            let (outer, inner) = (elements(&dims[..axis])?, elements(&dims[axis..])?);
            let (flat, to) = (view(&y, &[outer, 1, inner])?, [outer, repeat, inner]);
            let repeated = match &flat {
                Value::Ints(x) => host::expand(x, &to)?.of_kind(x.kind()).into(),
                Value::Tensor(x) | Value::Whole(x) => flat.like(movement::expand(x, &to)?),
            };
            let mut dims = dims;
            dims[axis] = dims[axis].saturating_mul(repeat);
            y = view(&repeated, &dims)?;
        }
        Ok(vec![y])
    })
}

/// Returns the shape of a one-hot encoding, and its axis.
fn hot_dims(args: &Args, axis: i64) -> Result<(Vec<usize>, usize)> {
    let depth = match args.value(1)? {
        Value::Ints(depth) if depth.values().len() == 1 => host::extents(depth.values())?[0],
        Value::Tensor(_) => float(args, 1)? as usize,
        other => return Err(Error::shape("onnx", "depth", "one number", other.dims())),
    };
    let mut dims = args.value(0)?.dims().to_vec();
    let axis = axis_of(axis, dims.len() + 1)?;
    dims.insert(axis, depth);
    Ok((dims, axis))
}

/// The values `[off, on]`: `on` where the position along a new axis is the index, which may count from the end.
fn one_hot(b: &mut Builder) -> Result<Op> {
    let axis = b.int("axis")?.unwrap_or(-1);
    let cost = move |args: &Args| Ok(Cost::ints(extent(&hot_dims(args, axis)?.0)?).times(4));
    function(cost, move |args| {
        let (dims, axis) = hot_dims(args, axis)?;
        let (depth, values) = (dims[axis], args.value(2)?);
        if values.count() != 2 || depth == 0 {
            return Err(Error::value("onnx", "values", "two values, and a depth above 0", values.count()));
        }
        let mut index_dims = args.value(0)?.dims().to_vec();
        index_dims.insert(axis, 1);
        let mut ramp_dims = vec![1; dims.len()];
        ramp_dims[axis] = depth;
        let index = view(args.value(0)?, &index_dims)?;
        if let (Value::Ints(index), Value::Ints(values)) = (&index, values) {
            let ramp = Ints::new(ramp_dims, (0..depth as i64).collect())?;
            let of = |i: i64, at: i64| i == at || i + depth as i64 == at;
            let values = values.values();
            return Ok(vec![host::binary(index, &ramp, |i, at| Some(values[of(i, at) as usize]))?.into()]);
        }
        let ramp: Vec<f32> = (0..depth).map(|i| i as f32).collect();
        let ramp = Tensor::from_slice(args.device, &ramp, &ramp_dims)?;
        let index = index.to_floats(args.device)?;
        let from_end = zip(ZipOp::Equal, &index.add_scalar(depth as f32)?, &ramp)?;
        let mask = zip(ZipOp::Or, &zip(ZipOp::Equal, &index, &ramp)?, &from_end)?;
        let floats = values.to_floats(args.device)?;
        let [off, on] = [0, 1].map(|i| floats.slice(0, i..i + 1)?.reshape(&vec![1; dims.len()]));
        Ok(vec![values.like(chosen(&mask, &on?, &off?)?)])
    })
}

fn cum_sum(b: &mut Builder) -> Result<Op> {
    let (exclusive, reverse) = (b.flag("exclusive", false)?, b.flag("reverse", false)?);
    let axis = |args: &Args| match args.ints(1)? {
        &[axis] => axis_of(axis, args.value(0)?.dims().len()),
        other => Err(Error::value("onnx", "axis", "one number", shown(other))),
    };
    let cost = move |args: &Args| {
        let n = args.value(0)?.dims()[axis(args)?];
        let rows = args.value(0)?.count() / n.max(1);
        Ok(copied(args)?.times(4) + Cost::floats(extent(&[n, n])?) + Cost::product([1, rows, n, n]))
    };
    function(cost, move |args| {
        let (axis, x) = (axis(args)?, args.value(0)?);
        let n = x.dims()[axis];
        let takes = |from: usize, to: usize| match (reverse, exclusive) {
            (false, false) => from <= to,
            (false, true) => from < to,
            (true, false) => from >= to,
            (true, true) => from > to,
        };
        if let Value::Ints(x) = x {
            let inner: usize = x.dims()[axis + 1..].iter().product();
            let mut out = vec![0i64; x.values().len()];
            let order: Vec<usize> = if reverse { (0..n).rev().collect() } else { (0..n).collect() };
            for row in 0..out.len() / n.max(1) {
                let (outer, inside) = (row / inner, row % inner);
                let mut sum = 0i64;
                for &i in &order {
                    let at = (outer * n + i) * inner + inside;
                    let next = sum.checked_add(x.values()[at]).ok_or_else(host::overflow)?;
                    out[at] = if exclusive { sum } else { next };
                    sum = next;
                }
            }
            return Ok(vec![Ints::new(x.dims().to_vec(), out)?.of_kind(x.kind()).into()]);
        }
        // A product with a triangle of ones.
        let x = x.as_tensor()?;
        let triangle: Vec<f32> = (0..n * n).map(|at| if takes(at / n, at % n) { 1.0 } else { 0.0 }).collect();
        let triangle = Tensor::from_slice(args.device, &triangle, &[n, n])?;
        let mut axes: Vec<usize> = (0..x.dims().len()).filter(|&a| a != axis).collect();
        axes.push(axis);
        let rows = x.permute(&axes)?;
        let sums = rows.reshape(&[x.len() / n, n])?.matmul(&triangle)?.reshape(rows.dims())?;
        Ok(vec![sums.permute(&movement::inverse(&axes))?.into()])
    })
}

/// The upper or lower triangle of matrices; 0 elsewhere.
fn trilu(b: &mut Builder) -> Result<Op> {
    let upper = b.flag("upper", true)?;
    function(
        |args| Ok(copied(args)?.times(3)),
        move |args| {
            let x = args.value(0)?;
            let &[.., rows, cols] = x.dims() else { return Err(Error::shape("onnx", "input", "two axes", x.dims())) };
            let k = host::optional(args, 1)?.and_then(|k| k.first().copied()).unwrap_or(0);
            let keeps = |at: usize| {
                let (row, col) = ((at / cols) as i64, (at % cols) as i64);
                if upper { col - row >= k } else { col - row <= k }
            };
            if let Value::Ints(x) = x {
                let keep = |(at, &v): (usize, &i64)| if keeps(at % (rows * cols)) { v } else { 0 };
                let values = x.values().iter().enumerate().map(keep).collect();
                return Ok(vec![Ints::new(x.dims().to_vec(), values)?.of_kind(x.kind()).into()]);
            }
            let mask: Vec<f32> = (0..rows * cols).map(|at| if keeps(at) { 1.0 } else { 0.0 }).collect();
            let mask = Tensor::from_slice(args.device, &mask, &[rows, cols])?;
            Ok(vec![binary(BinaryOp::Mask, x.as_tensor()?, &mask)?.into()])
        },
    )
}

fn eye_like(b: &mut Builder) -> Result<Op> {
    let (kind, k) = (b.int("dtype")?, b.int("k")?.unwrap_or(0));
    let is_int = move |args: &Args| Ok(matches!((kind, args.value(0)?), (Some(6 | 7 | 9), _) | (None, Value::Ints(_))));
    function(copied, move |args| {
        let &[rows, cols] = args.value(0)?.dims() else {
            return Err(Error::shape("onnx", "input", "two axes", args.value(0)?.dims()));
        };
        let values = (0..rows * cols).map(|at| ((at % cols) as i64 - (at / cols) as i64 == k) as i64);
        Ok(vec![match is_int(args)? {
            true => Ints::new(vec![rows, cols], values.collect())?.into(),
            false => {
                let values: Vec<f32> = values.map(|v| v as f32).collect();
                Tensor::from_slice(args.device, &values, &[rows, cols])?.into()
            }
        }])
    })
}

fn non_zero_cost(args: &Args) -> Result<Cost> {
    Ok(Cost::ints(args.value(0)?.count()).times(args.value(0)?.dims().len() + 1))
}

/// The positions of elements that are not 0, one column each. On the host, because their number is unknown.
fn non_zero(args: &Args) -> Result<Vec<Value>> {
    let x = args.value(0)?;
    let is_set: Vec<bool> = match x {
        Value::Ints(x) => x.values().iter().map(|&v| v != 0).collect(),
        _ => args.read(0)?.iter().map(|&v| v != 0.0).collect(),
    };
    let found: Vec<usize> = (0..is_set.len()).filter(|&at| is_set[at]).collect();
    let mut out = Vec::with_capacity(limited(&[x.dims().len(), found.len()])?);
    for axis in 0..x.dims().len() {
        let inner: usize = x.dims()[axis + 1..].iter().product();
        out.extend(found.iter().map(|at| (at / inner % x.dims()[axis]) as i64));
    }
    Ok(vec![Ints::new(vec![x.dims().len(), found.len()], out)?.into()])
}
