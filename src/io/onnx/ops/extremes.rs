//! `Min` and `Max`, which propagate NaN from either operand, and `Clip`, which ignores a limit of NaN.

use super::elementwise::broadcast;
use super::pow::raised;
use super::{Builder, Op, Operator, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::Ints;
use crate::io::onnx::value::Value;
use crate::kernels::ZipOp;
use crate::ops::elementwise::zip;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("Min", 1..=usize::MAX, min),
    Operator::new("Max", 1..=usize::MAX, max),
    Operator::new("Clip", 1..=3, clip).folds(),
];

/// Number of tensors written per limit.
const PASSES: usize = 3;

/// `min(x, limit)`; NaN stays NaN, and a limit of NaN is ignored.
fn at_most(x: &Tensor, limit: f32) -> Result<Tensor> {
    x.clamp_max(limit)
}

/// `max(x, limit)`; NaN stays NaN, and a limit of NaN is ignored.
fn at_least(x: &Tensor, limit: f32) -> Result<Tensor> {
    x.scale(-1.0)?.clamp_max(-limit)?.scale(-1.0)
}

fn min(b: &mut Builder) -> Result<Op> {
    extreme(b, at_most, ZipOp::Min, i64::min)
}

fn max(b: &mut Builder) -> Result<Op> {
    extreme(b, at_least, ZipOp::Max, i64::max)
}

/// `Min` or `Max` of integers, or of tensors and constant numbers.
fn extreme(b: &mut Builder, f: fn(&Tensor, f32) -> Result<Tensor>, op: ZipOp, g: fn(i64, i64) -> i64) -> Result<Op> {
    b.ints("consumed_inputs")?;
    let (mut limits, mut rank) = (Vec::new(), 0);
    let is_number = |v: &Value| matches!(v, Value::Tensor(t) if t.len() == 1);
    for i in 0..b.node.inputs {
        if b.constant(i).is_some_and(is_number)
            && limits.len() + 1 < b.node.inputs
            && let Some(number) = b.number(i, "limit")?
        {
            limits.push(number.value);
            rank = rank.max(number.rank);
        }
    }
    let mixed = || Error::value("onnx", "inputs", "all floats or all integers", "both");
    let passes = 1 + PASSES * limits.len();
    let cost = move |args: &super::Args| Ok(broadcast(args)?.times(passes.max(args.inputs.len())));
    function(cost, move |args| {
        let each = |y: Tensor, &limit: &f32| if limit.is_nan() { y.scale(limit) } else { f(&y, limit) };
        let present: Vec<&Value> = args.inputs.iter().copied().flatten().collect();
        match present[..] {
            // Several tensors, which are compared on the device.
            [Value::Tensor(x), ref rest @ ..] if !rest.is_empty() => {
                let mut y = limits.iter().try_fold(raised(x, rank)?, each)?;
                for value in rest {
                    y = zip(op, &y, value.as_tensor().map_err(|_| mixed())?)?;
                }
                Ok(vec![y.into()])
            }
            [Value::Tensor(x)] => Ok(vec![limits.iter().try_fold(raised(x, rank)?, each)?.into()]),
            [Value::Ints(first), ref rest @ ..] if limits.is_empty() => {
                let mut out = first.clone();
                for value in rest {
                    let Value::Ints(next) = value else { return Err(mixed()) };
                    out = host::binary(&out, next, |a, b| Some(g(a, b)))?;
                }
                Ok(vec![out.into()])
            }
            _ => Err(mixed()),
        }
    })
}

/// Limits to a range. Limits of integers, and limits that are computed, are inputs of the running node.
fn clip(b: &mut Builder) -> Result<Op> {
    let (mut limits, mut ints) = ([None; 2], [None; 2]);
    if b.opset < 11 {
        if b.has(1) || b.has(2) {
            return Err(b.refuse("limits as inputs before operator set 11"));
        }
        b.ints("consumed_inputs")?;
        limits = [b.float("min")?, b.float("max")?];
    } else {
        for (i, name) in [(1, "min"), (2, "max")] {
            match b.constant(i) {
                Some(Value::Ints(limit)) if limit.values().len() == 1 => {
                    ints[i - 1] = Some(limit.values()[0]);
                    b.absorbed.push(i);
                }
                Some(Value::Tensor(_)) => limits[i - 1] = b.number(i, name)?.map(|number| number.value),
                _ => {}
            }
        }
    }
    let cost = |args: &super::Args| Ok(copied(args)?.times(1 + 2 * PASSES));
    function(cost, move |args| {
        let mut y = match args.value(0)? {
            Value::Ints(x) => {
                let low = match args.get(1) {
                    Some(_) => args.ints(1)?.first().copied(),
                    None => ints[0],
                };
                let high = match args.get(2) {
                    Some(_) => args.ints(2)?.first().copied(),
                    None => ints[1],
                };
                let (low, high) = (low.unwrap_or(i64::MIN), high.unwrap_or(i64::MAX));
                let values = x.values().iter().map(|&v| v.max(low).min(high)).collect();
                return Ok(vec![Ints::new(x.dims().to_vec(), values)?.of_kind(x.kind()).into()]);
            }
            value => value.as_tensor()?.clone(),
        };
        for (i, op) in [(0, ZipOp::Max), (1, ZipOp::Min)] {
            y = match (limits[i], args.get(i + 1)) {
                (Some(limit), _) if i == 0 => at_least(&y, limit)?,
                (Some(limit), _) => at_most(&y, limit)?,
                (None, Some(limit)) => zip(op, &y, limit.as_tensor()?)?,
                (None, None) => y,
            };
        }
        Ok(vec![y.into()])
    })
}
