//! `Min` and `Max`, which propagate NaN from either operand, and `Clip`, which ignores a limit of NaN.

use super::elementwise::{broadcast, float};
use super::pow::raised;
use super::{Builder, Op, Operator, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::value::Value;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator { name: "Min", since: 8, inputs: 1..=usize::MAX, outputs: 1, build: min, folds: false },
    Operator { name: "Max", since: 8, inputs: 1..=usize::MAX, outputs: 1, build: max, folds: false },
    Operator { name: "Clip", since: 6, inputs: 1..=3, outputs: 1, build: clip, folds: false },
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
    extreme(b, at_most, i64::min)
}

fn max(b: &mut Builder) -> Result<Op> {
    extreme(b, at_least, i64::max)
}

/// `Min` or `Max` of integers, or of one tensor and constant numbers.
fn extreme(b: &mut Builder, f: fn(&Tensor, f32) -> Result<Tensor>, g: fn(i64, i64) -> i64) -> Result<Op> {
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
    let mixed = || Error::value("onnx", "inputs", "integers, or one tensor and constant numbers", "several tensors");
    let passes = 1 + PASSES * limits.len();
    let cost = move |args: &super::Args| Ok(broadcast(args)?.times(passes.max(args.inputs.len())));
    function(cost, move |args| {
        let present: Vec<&Value> = args.inputs.iter().copied().flatten().collect();
        match present[..] {
            [Value::Tensor(x)] => {
                let each = |y: Tensor, &limit: &f32| if limit.is_nan() { y.scale(limit) } else { f(&y, limit) };
                Ok(vec![limits.iter().try_fold(raised(x, rank)?, each)?.into()])
            }
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

fn clip(b: &mut Builder) -> Result<Op> {
    let (low, high) = if b.opset < 11 {
        if b.has(1) || b.has(2) {
            return Err(b.refuse("limits as inputs before operator set 11"));
        }
        (b.float("min")?, b.float("max")?)
    } else {
        let mut limit = |i, name| Ok(b.number(i, name)?.map(|number| number.value));
        (limit(1, "min")?, limit(2, "max")?)
    };
    float(1 + 2 * PASSES, move |x| {
        let mut y = x.clone();
        if let Some(low) = low {
            y = at_least(&y, low)?;
        }
        if let Some(high) = high {
            y = at_most(&y, high)?;
        }
        Ok(y)
    })
}
