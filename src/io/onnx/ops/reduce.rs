//! Reductions over axes.

use super::{Args, Builder, Op, Operator, axes_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, extent};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::ops::extreme::extreme;
use crate::ops::reduce;
use crate::tensor::Tensor;

/// How elements are combined.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Sum,
    Mean,
    Max,
    Min,
    Product,
    /// Sum of absolute values.
    L1,
    /// Root of the sum of squares.
    L2,
    SumSquare,
    LogSum,
    LogSumExp,
}

/// The second input are the axes, which are an attribute in older operator sets.
const fn one(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator::new(name, 1..=2, build).folds()
}

pub const TABLE: &[Operator] = &[
    one("ReduceSum", |b| build(b, Kind::Sum, 13)),
    one("ReduceMean", |b| build(b, Kind::Mean, 18)),
    one("ReduceMax", |b| build(b, Kind::Max, 18)),
    one("ReduceMin", |b| build(b, Kind::Min, 18)),
    one("ReduceProd", |b| build(b, Kind::Product, 18)),
    one("ReduceL1", |b| build(b, Kind::L1, 18)),
    one("ReduceL2", |b| build(b, Kind::L2, 18)),
    one("ReduceSumSquare", |b| build(b, Kind::SumSquare, 18)),
    one("ReduceLogSum", |b| build(b, Kind::LogSum, 18)),
    one("ReduceLogSumExp", |b| build(b, Kind::LogSumExp, 18)),
];

/// The axes are an attribute before operator set `inputs_from`, and an input since.
fn build(b: &mut Builder, kind: Kind, inputs_from: i64) -> Result<Op> {
    let keep = b.flag("keepdims", true)?;
    let as_input = b.opset >= inputs_from;
    if !as_input && b.has(1) {
        return Err(b.refuse(format!("axes as an input before operator set {inputs_from}")));
    }
    let attribute = if as_input { None } else { b.ints("axes")? };
    let noop = as_input && b.flag("noop_with_empty_axes", false)?;
    // Each reduction reads the output of the previous one, which has fewer elements.
    // Nothing reduces to a value for each index of the axes that remain.
    let cost = |args: &Args| {
        let rest =
            if args.value(0)?.count() == 0 { Cost::ints(extent(args.value(0)?.dims())?) } else { Cost::default() };
        Ok(copied(args)?.times(6) + rest)
    };
    function(cost, move |args| {
        let x = args.value(0)?;
        let rank = x.dims().len();
        let axes = match host::optional(args, 1)?.or(attribute.as_deref()) {
            Some(axes) if !axes.is_empty() => axes_of(axes, rank)?,
            _ if noop => return Ok(vec![x.clone()]),
            _ => (0..rank).collect(),
        };
        let kept: Vec<usize> = (0..rank).filter(|a| !axes.contains(a)).map(|a| x.dims()[a]).collect();
        let whole: Vec<usize> = (0..rank).map(|a| if axes.contains(&a) { 1 } else { x.dims()[a] }).collect();
        let dims = if keep { whole } else { kept };
        Ok(vec![match x {
            // Floats without elements.
            Value::Ints(x) if x.kind().is_float() && !dims.contains(&0) => {
                let none = match kind {
                    Kind::Sum | Kind::L1 | Kind::L2 | Kind::SumSquare => 0.0,
                    Kind::Product => 1.0,
                    Kind::Max | Kind::LogSum | Kind::LogSumExp => f32::NEG_INFINITY,
                    Kind::Min => f32::INFINITY,
                    Kind::Mean => f32::NAN,
                };
                Tensor::full(args.device, none, &dims)?.into()
            }
            Value::Ints(x) => reduced_ints(x, &axes, dims, kind)?.into(),
            x => reduced(x.as_tensor()?, &axes, kind)?.reshape(&dims)?.into(),
        }])
    })
}

fn sum(x: &Tensor, axes: &[usize], mean: bool) -> Result<Tensor> {
    let mut y = x.clone();
    for &axis in axes {
        let scale = if mean { 1.0 / y.dims()[axis] as f32 } else { 1.0 };
        y = reduce::sum_axis(&y, axis, scale)?;
    }
    Ok(y)
}

fn best(x: &Tensor, axes: &[usize], least: bool) -> Result<Tensor> {
    axes.iter().try_fold(x.clone(), |y, &axis| Ok(extreme("onnx", &y, axis, least)?[0].clone()))
}

/// Multiplies along an axis, by halves.
fn product(x: &Tensor, axis: usize) -> Result<Tensor> {
    let mut y = x.clone();
    while y.dims()[axis] > 1 {
        let (n, half) = (y.dims()[axis], y.dims()[axis] / 2);
        let pairs = y.slice(axis, 0..half)?.mul(&y.slice(axis, half..2 * half)?)?;
        y = if n % 2 == 1 { Tensor::concat(&[&pairs, &y.slice(axis, n - 1..n)?], axis)? } else { pairs };
    }
    Ok(y)
}

/// Reduces floats. The axes are kept with extent 1.
fn reduced(x: &Tensor, axes: &[usize], kind: Kind) -> Result<Tensor> {
    match kind {
        Kind::Sum => sum(x, axes, false),
        Kind::Mean => sum(x, axes, true),
        Kind::Max => best(x, axes, false),
        Kind::Min => best(x, axes, true),
        Kind::Product => axes.iter().try_fold(x.clone(), |y, &axis| product(&y, axis)),
        Kind::L1 => sum(&x.abs()?, axes, false),
        Kind::L2 => sum(&x.square()?, axes, false)?.sqrt(),
        Kind::SumSquare => sum(&x.square()?, axes, false),
        Kind::LogSum => sum(x, axes, false)?.log(),
        Kind::LogSumExp => {
            let largest = best(x, axes, false)?;
            sum(&x.sub(&largest)?.exp()?, axes, false)?.log()?.add(&largest)
        }
    }
}

fn reduced_ints(x: &Ints, axes: &[usize], dims: Vec<usize>, kind: Kind) -> Result<Ints> {
    let f: fn(i64, i64) -> Option<i64> = match kind {
        Kind::Sum | Kind::Mean => i64::checked_add,
        Kind::Max => |a, b| Some(a.max(b)),
        Kind::Min => |a, b| Some(a.min(b)),
        Kind::Product => i64::checked_mul,
        Kind::L1 => |a, b| a.checked_add(b.checked_abs()?),
        Kind::SumSquare => |a, b| a.checked_add(b.checked_mul(b)?),
        Kind::L2 | Kind::LogSum | Kind::LogSumExp => {
            return Err(Error::value("onnx", "data", "floats", "integers"));
        }
    };
    let has_start = matches!(kind, Kind::L1 | Kind::SumSquare);
    let count: usize = dims.iter().product();
    let mut out: Vec<Option<i64>> = vec![has_start.then_some(0); count];
    for (at, &v) in x.values().iter().enumerate() {
        // The place of the element among those that remain.
        let (mut rest, mut place, mut stride) = (at, 0, 1);
        for axis in (0..x.dims().len()).rev() {
            let extent = x.dims()[axis];
            if !axes.contains(&axis) {
                place += rest % extent * stride;
                stride *= extent;
            }
            rest /= extent;
        }
        out[place] = Some(match out[place] {
            None => v,
            Some(sum) => f(sum, v).ok_or_else(host::overflow)?,
        });
    }
    let share: i64 = if kind == Kind::Mean { (x.values().len() / count.max(1)) as i64 } else { 1 };
    let empty = || Error::shape("onnx", "data", "at least one element to reduce", x.dims());
    let value = |v: Option<i64>| match v {
        Some(v) => Ok(v / share.max(1)),
        None if kind == Kind::Sum => Ok(0),
        None if kind == Kind::Product => Ok(1),
        None => Err(empty()),
    };
    Ok(Ints::new(dims, out.into_iter().map(value).collect::<Result<_>>()?)?.of_kind(x.kind()))
}
