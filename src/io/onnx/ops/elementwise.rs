//! Elementwise functions of one or two inputs.

use super::shape::view;
use super::{Args, Builder, Op, Operator, axis_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, extent};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::Value;
use crate::kernels::{BinaryOp, ZipOp};
use crate::ops::elementwise::{binary, zip};
use crate::tensor::Tensor;

const fn one(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator::new(name, 1..=1, build).folds()
}

const fn two(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator::new(name, 2..=2, build).folds().whole(2)
}

pub const TABLE: &[Operator] = &[
    two("Add", |b| arithmetic(b, BinaryOp::Add, i64::checked_add)),
    two("Sub", |b| arithmetic(b, BinaryOp::Sub, i64::checked_sub)),
    two("Mul", |b| arithmetic(b, BinaryOp::Mul, i64::checked_mul)),
    two("Div", |b| arithmetic(b, BinaryOp::Div, i64::checked_div)),
    one("Neg", |_| signed(|x| x.scale(-1.0), i64::checked_neg)).whole(1),
    one("Abs", |_| signed(Tensor::abs, i64::checked_abs)).whole(1),
    one("Sqrt", |_| float(1, Tensor::sqrt)),
    one("Exp", |_| float(1, Tensor::exp)),
    one("Log", |_| float(1, Tensor::log)),
    one("Relu", |_| float(1, Tensor::relu)),
    one("Sigmoid", |_| float(1, Tensor::sigmoid)),
    one("Tanh", |_| float(1, Tensor::tanh)),
    one("Softplus", |_| float(1, Tensor::softplus)),
    one("Softsign", |_| float(1, Tensor::softsign)),
    one("Elu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(1.0);
        float(1, move |x| x.elu(alpha))
    }),
    one("LeakyRelu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(0.01);
        float(4, move |x| x.relu()?.add(&x.clamp_max(0.0)?.scale(alpha)?))
    }),
    one("HardSigmoid", |b| {
        let (alpha, beta) = (b.float("alpha")?.unwrap_or(0.2), b.float("beta")?.unwrap_or(0.5));
        float(4, move |x| x.scale(alpha)?.add_scalar(beta)?.relu()?.clamp_max(1.0))
    }),
    one("Identity", |_| function(copied, |args| Ok(vec![args.value(0)?.clone()]))).whole(1),
    Operator::new("Dropout", 1..=3, dropout).outputs(1).whole(1),
];

/// Creates a function of floats that writes `passes` tensors with the input's shape.
pub fn float(passes: usize, f: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Result<Op> {
    function(move |args| Ok(copied(args)?.times(passes)), move |args| Ok(vec![f(args.tensor(0)?)?.into()]))
}

/// Returns the cost of a result with the broadcast shape of all inputs.
pub fn broadcast(args: &Args) -> Result<Cost> {
    let (mut dims, mut floats) = (Vec::new(), false);
    for value in args.inputs.iter().flatten() {
        dims = host::broadcast(&dims, value.dims())?;
        floats |= !matches!(value, Value::Ints(_));
    }
    let n = extent(&dims)?;
    Ok(if floats { Cost::floats(n) } else { Cost::ints(n) })
}

/// Creates a function that accepts floats or integers.
fn signed(f: fn(&Tensor) -> Result<Tensor>, g: fn(i64) -> Option<i64>) -> Result<Op> {
    function(copied, move |args| {
        Ok(vec![match args.value(0)? {
            Value::Ints(x) => {
                let values = x.values().iter().map(|&v| g(v)).collect::<Option<_>>().ok_or_else(host::overflow)?;
                Ints::new(x.dims().to_vec(), values)?.into()
            }
            value @ (Value::Tensor(x) | Value::Whole(x)) => value.like(f(x)?),
        }])
    })
}

/// Returns the axis of the first operand at which the second one starts. Only used before operator set 7; since then,
/// the last axes align.
pub fn aligned(b: &mut Builder) -> Result<Option<i64>> {
    if b.opset >= 7 {
        return Ok(None);
    }
    b.ints("consumed_inputs")?;
    let (broadcasts, axis) = (b.flag("broadcast", false)?, b.int("axis")?);
    Ok(axis.filter(|_| broadcasts))
}

/// Returns both operands, the second one aligned.
pub fn operands(args: &Args, axis: Option<i64>) -> Result<[Value; 2]> {
    let (x, y) = (args.value(0)?.clone(), args.value(1)?.clone());
    let Some(axis) = axis else { return Ok([x, y]) };
    let rank = x.dims().len();
    let end = axis_of(axis, rank)? + y.dims().len();
    let ones = rank.checked_sub(end).ok_or_else(|| Error::shape("onnx", "B", "a part of the axes of A", y.dims()))?;
    let y = view(&y, &[y.dims(), &vec![1; ones][..]].concat())?;
    Ok([x, y])
}

/// Returns the cost of a few results with the broadcast shape of [`operands`].
pub fn operands_cost(axis: Option<i64>) -> impl Fn(&Args) -> Result<Cost> {
    move |args| Ok(if axis.is_some() { copied(args)? } else { broadcast(args)? }.times(3))
}

fn arithmetic(b: &mut Builder, op: BinaryOp, ints: fn(i64, i64) -> Option<i64>) -> Result<Op> {
    let axis = aligned(b)?;
    function(operands_cost(axis), move |args| {
        let operands = operands(args, axis)?;
        Ok(vec![match &operands {
            [Value::Tensor(a), Value::Tensor(b)] => binary(op, a, b)?.into(),
            [Value::Ints(a), Value::Ints(b)] => host::binary(a, b, ints)?.of_kind(a.kind()).into(),
            [Value::Tensor(_), _] | [_, Value::Tensor(_)] => {
                return Err(Error::value("onnx", "inputs", "both floats or both integers", "one of each"));
            }
            [a, b] => {
                let [a, b] = [a.to_floats(args.device)?, b.to_floats(args.device)?];
                let y = if op == BinaryOp::Div { zip(ZipOp::Quotient, &a, &b)? } else { binary(op, &a, &b)? };
                Value::Whole(y)
            }
        }])
    })
}

/// Dropout in inference, which returns its input.
fn dropout(b: &mut Builder) -> Result<Op> {
    if b.opset < 12 {
        b.int("is_test")?;
        b.float("ratio")?;
    } else {
        b.int("seed")?;
    }
    if b.has(2) {
        match b.constant(2) {
            Some(Value::Ints(mode)) if mode.values() == [0] => b.absorbed.push(2),
            _ => return Err(b.refuse("training mode")),
        }
    }
    if b.has(1) {
        b.absorbed.push(1);
    }
    function(copied, |args| Ok(vec![args.value(0)?.clone()]))
}
