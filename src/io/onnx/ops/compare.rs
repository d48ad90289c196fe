//! Comparisons, logic and selection. Comparisons of floats stay on the device, as 0 and 1; see
//! `docs/adr/0041-comparisons-stay-on-the-device.md`.

use super::elementwise::{aligned, broadcast, operands, operands_cost};
use super::{Args, Builder, Op, Operator, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::element::ElementType;
use crate::io::onnx::ints::{Ints, extent};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::kernels::{BinaryOp, MapOp, ZipOp};
use crate::ops::elementwise::{binary, map, zip};
use crate::tensor::Tensor;

const fn two(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator::new(name, 2..=2, build).folds().whole(2)
}

const fn one(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator::new(name, 1..=1, build).folds().whole(1)
}

pub const TABLE: &[Operator] = &[
    two("Equal", |b| compare(b, ZipOp::Equal, false, |x, y| x == y)),
    two("Less", |b| compare(b, ZipOp::Less, false, |x, y| x < y)),
    two("LessOrEqual", |b| compare(b, ZipOp::LessOrEqual, false, |x, y| x <= y)),
    two("Greater", |b| compare(b, ZipOp::Less, true, |x, y| x > y)),
    two("GreaterOrEqual", |b| compare(b, ZipOp::LessOrEqual, true, |x, y| x >= y)),
    two("And", |b| compare(b, ZipOp::And, false, |x, y| x != 0 && y != 0)),
    two("Or", |b| compare(b, ZipOp::Or, false, |x, y| x != 0 || y != 0)),
    two("Xor", |b| compare(b, ZipOp::Xor, false, |x, y| (x != 0) != (y != 0))),
    two("Mod", remainder),
    one("Not", |_| question(MapOp::IsZero, |v| v == 0)),
    one("IsNaN", |_| question(MapOp::IsNan, |_| false)),
    one("IsInf", infinite),
    Operator::new("Where", 3..=3, |_| function(where_cost, select)).since(9).folds().whole(3),
];

/// Returns the cost of a few results with the broadcast shape of all inputs.
fn broadcasts<const N: usize>(args: &Args) -> Result<Cost> {
    Ok(broadcast(args)?.times(N))
}

/// A comparison, of the operands in reverse order if `swapped`.
fn compare(b: &mut Builder, op: ZipOp, swapped: bool, ints: fn(i64, i64) -> bool) -> Result<Op> {
    let axis = aligned(b)?;
    function(operands_cost(axis), move |args| {
        let operands = operands(args, axis)?;
        Ok(vec![match &operands {
            [Value::Ints(x), Value::Ints(y)] => {
                host::binary(x, y, |x, y| Some(ints(x, y).into()))?.of_kind(ElementType::Bool).into()
            }
            [x, y] => {
                let [x, y] = [x.to_floats(args.device)?, y.to_floats(args.device)?];
                Value::Whole(if swapped { zip(op, &y, &x)? } else { zip(op, &x, &y)? })
            }
        }])
    })
}

/// The remainder of a division: by default with the sign of the divisor, with `fmod` with that of the dividend.
fn remainder(b: &mut Builder) -> Result<Op> {
    let fmod = b.flag("fmod", false)?;
    let op = if fmod { ZipOp::Rem } else { ZipOp::Mod };
    let ints = move |x: i64, y: i64| {
        let rest = x.checked_rem(y)?;
        if !fmod && rest != 0 && (rest < 0) != (y < 0) { rest.checked_add(y) } else { Some(rest) }
    };
    function(broadcasts::<3>, move |args| {
        let (x, y) = (args.value(0)?, args.value(1)?);
        Ok(vec![match (x, y) {
            (Value::Ints(x), Value::Ints(y)) => host::binary(x, y, ints)?.of_kind(x.kind()).into(),
            _ => {
                let rest = zip(op, &x.to_floats(args.device)?, &y.to_floats(args.device)?)?;
                if x.is_float() { rest.into() } else { Value::Whole(rest) }
            }
        }])
    })
}

/// A predicate of each element.
fn question(op: MapOp, ints: fn(i64) -> bool) -> Result<Op> {
    function(copied, move |args| {
        Ok(vec![match args.value(0)? {
            Value::Ints(x) => {
                let values = x.values().iter().map(|&v| ints(v).into()).collect();
                Ints::new(x.dims().to_vec(), values)?.of_kind(ElementType::Bool).into()
            }
            Value::Tensor(x) | Value::Whole(x) => Value::Whole(map(op, x)?),
        }])
    })
}

fn infinite(b: &mut Builder) -> Result<Op> {
    if !b.flag("detect_negative", true)? || !b.flag("detect_positive", true)? {
        return Err(b.refuse("one sign of infinity"));
    }
    question(MapOp::IsInf, |_| false)
}

fn where_cost(args: &Args) -> Result<Cost> {
    let dims = host::broadcast(args.value(0)?.dims(), args.value(1)?.dims())?;
    let n = extent(&host::broadcast(&dims, args.value(2)?.dims())?)?;
    let ints = args.inputs.iter().flatten().all(|value| matches!(value, Value::Ints(_)));
    Ok(if ints { Cost::ints(n) } else { Cost::floats(n).times(8) })
}

/// `x` where the condition is not 0, `y` elsewhere.
fn select(args: &Args) -> Result<Vec<Value>> {
    let (condition, x, y) = (args.value(0)?, args.value(1)?, args.value(2)?);
    if let (Value::Ints(c), Value::Ints(x), Value::Ints(y)) = (condition, x, y) {
        return Ok(vec![host::select_where(c, x, y)?.of_kind(x.kind()).into()]);
    }
    if x.is_float() != y.is_float() {
        return Err(Error::value("onnx", "inputs", "both floats or both integers", "one of each"));
    }
    let device = args.device;
    let out = chosen(&condition.to_floats(device)?, &x.to_floats(device)?, &y.to_floats(device)?)?;
    Ok(vec![if x.is_float() { out.into() } else { Value::Whole(out) }])
}

/// `x` where the mask is 1, `y` where it is 0. The other value is selected away, so that its NaN does not matter.
pub fn chosen(mask: &Tensor, x: &Tensor, y: &Tensor) -> Result<Tensor> {
    let x = binary(BinaryOp::Mask, x, mask)?;
    x.add(&binary(BinaryOp::Mask, y, &map(MapOp::IsZero, mask)?)?)
}
