//! Functions of one and of two elements

use super::super::value::{ElementType, Ints, Value};
use super::{Builder, Op, Operator, function, host, moved};
use crate::error::{Error, Result};
use crate::kernels::BinaryOp;
use crate::ops::elementwise::binary;
use crate::tensor::Tensor;

const fn one(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator { name, since: 1, inputs: 1..=1, outputs: 1, build, fold: Some(moved) }
}

const fn two(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator { name, since: 7, inputs: 2..=2, outputs: 1, build, fold: Some(host::broadcast_len) }
}

pub const TABLE: &[Operator] = &[
    two("Add", |_| arithmetic(BinaryOp::Add, i64::checked_add)),
    two("Sub", |_| arithmetic(BinaryOp::Sub, i64::checked_sub)),
    two("Mul", |_| arithmetic(BinaryOp::Mul, i64::checked_mul)),
    two("Div", |_| arithmetic(BinaryOp::Div, i64::checked_div)),
    Operator { name: "Pow", since: 7, inputs: 2..=2, outputs: 1, build: pow, fold: None },
    Operator { name: "Min", since: 8, inputs: 1..=usize::MAX, outputs: 1, build: min, fold: None },
    Operator { name: "Max", since: 8, inputs: 1..=usize::MAX, outputs: 1, build: max, fold: None },
    Operator { name: "Clip", since: 6, inputs: 1..=3, outputs: 1, build: clip, fold: None },
    one("Neg", |_| signed(|x| x.scale(-1.0), i64::checked_neg)),
    one("Abs", |_| signed(Tensor::abs, i64::checked_abs)),
    one("Sqrt", |_| float(Tensor::sqrt)),
    one("Exp", |_| float(Tensor::exp)),
    one("Log", |_| float(Tensor::log)),
    one("Relu", |_| float(Tensor::relu)),
    one("Sigmoid", |_| float(Tensor::sigmoid)),
    one("Tanh", |_| float(Tensor::tanh)),
    one("Softplus", |_| float(Tensor::softplus)),
    one("Softsign", |_| float(Tensor::softsign)),
    one("Elu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(1.0);
        float(move |x| x.elu(alpha))
    }),
    one("LeakyRelu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(0.01);
        float(move |x| x.relu()?.add(&x.clamp_max(0.0)?.scale(alpha)?))
    }),
    one("HardSigmoid", |b| {
        let (alpha, beta) = (b.float("alpha")?.unwrap_or(0.2), b.float("beta")?.unwrap_or(0.5));
        float(move |x| x.scale(alpha)?.add_scalar(beta)?.relu()?.clamp_max(1.0))
    }),
    one("Identity", |_| function(|args| Ok(vec![args.value(0)?.clone()]))),
    Operator { name: "Cast", since: 6, inputs: 1..=1, outputs: 1, build: cast, fold: Some(moved) },
    Operator { name: "Dropout", since: 7, inputs: 1..=3, outputs: 1, build: dropout, fold: None },
];

fn float(f: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static) -> Result<Op> {
    function(move |args| Ok(vec![f(args.tensor(0)?)?.into()]))
}

/// A function of floats, or of integers.
fn signed(f: fn(&Tensor) -> Result<Tensor>, g: fn(i64) -> Option<i64>) -> Result<Op> {
    function(move |args| {
        Ok(vec![match args.value(0)? {
            Value::Tensor(x) => f(x)?.into(),
            Value::Ints(x) => {
                let values = x.values.iter().map(|&v| g(v)).collect::<Option<_>>().ok_or_else(host::overflow)?;
                Ints::new(x.dims.clone(), values)?.into()
            }
        }])
    })
}

fn arithmetic(op: BinaryOp, ints: fn(i64, i64) -> Option<i64>) -> Result<Op> {
    function(move |args| {
        Ok(vec![match (args.value(0)?, args.value(1)?) {
            (Value::Tensor(a), Value::Tensor(b)) => binary(op, a, b)?.into(),
            (Value::Ints(a), Value::Ints(b)) => host::binary(a, b, ints)?.into(),
            _ => return Err(Error::value("onnx", "inputs", "both floats or both integers", "one of each")),
        }])
    })
}

/// `x^p` for a constant `p`: by squaring for an integer, by a root for ½, else `e^(p·log x)`.
fn pow(b: &mut Builder) -> Result<Op> {
    let Some(p) = b.number(1, "exponent")? else { return Err(b.refuse("no exponent")) };
    if p == 0.5 {
        return float(Tensor::sqrt);
    }
    // Beyond, an f32 is no odd number any more.
    if p.is_nan() || p.abs() > 16_777_216.0 {
        return Err(b.refuse(format!("an exponent of {p}")));
    }
    if p.fract() != 0.0 {
        return float(move |x| x.log()?.scale(p)?.exp());
    }
    float(move |x| {
        let mut y = Tensor::full(x.device(), 1.0, x.dims())?;
        let (mut power, mut left) = (x.clone(), p.abs() as u32);
        while left > 0 {
            y = if left % 2 == 1 { y.mul(&power)? } else { y };
            left /= 2;
            power = if left > 0 { power.mul(&power)? } else { power };
        }
        let one = || Tensor::full(x.device(), 1.0, &vec![1; x.dims().len()]);
        if p < 0.0 { binary(BinaryOp::Div, &one()?, &y) } else { Ok(y) }
    })
}

/// `max(x, limit)`; NaN stays NaN
fn at_least(x: &Tensor, limit: f32) -> Result<Tensor> {
    x.scale(-1.0)?.clamp_max(-limit)?.scale(-1.0)
}

fn min(b: &mut Builder) -> Result<Op> {
    extreme(b, Tensor::clamp_max, i64::min)
}

fn max(b: &mut Builder) -> Result<Op> {
    extreme(b, at_least, i64::max)
}

/// Integers, or one tensor and constant numbers.
fn extreme(b: &mut Builder, f: fn(&Tensor, f32) -> Result<Tensor>, g: fn(i64, i64) -> i64) -> Result<Op> {
    let mut limits = Vec::new();
    let is_number = |v: &Value| matches!(v, Value::Tensor(t) if t.len() == 1);
    for i in 0..b.node.inputs.len() {
        if b.constant(i).is_some_and(is_number) && limits.len() + 1 < b.node.inputs.len() {
            limits.extend(b.number(i, "limit")?);
        }
    }
    let mixed = || Error::value("onnx", "inputs", "integers, or one tensor and constant numbers", "several tensors");
    function(move |args| {
        let present: Vec<&Value> = args.inputs.iter().copied().flatten().collect();
        match present[..] {
            [Value::Tensor(x)] => {
                let y = limits.iter().try_fold(x.clone(), |y, &limit| f(&y, limit))?;
                Ok(vec![y.into()])
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
        (b.number(1, "min")?, b.number(2, "max")?)
    };
    function(move |args| {
        let mut y = args.tensor(0)?.clone();
        if let Some(low) = low {
            y = at_least(&y, low)?;
        }
        if let Some(high) = high {
            y = y.clamp_max(high)?;
        }
        Ok(vec![y.into()])
    })
}

/// Between integers and from them to floats. Floats stay on the device, so they are not cast to integers.
fn cast(b: &mut Builder) -> Result<Op> {
    let to = b.int("to")?.ok_or_else(|| b.refuse("no attribute \"to\""))?;
    let to = ElementType::of(to).map_err(|name| b.refuse(format!("a cast to {name}")))?;
    if to.is_float() && to != ElementType::Float {
        return Err(b.refuse(format!("a cast to {to:?}: floats are f32")));
    }
    // How a cast to an 8-bit float saturates; there is none here.
    if b.opset >= 19 {
        b.flag("saturate", true)?;
    }
    function(move |args| {
        let out = match (args.value(0)?, to) {
            (value @ Value::Tensor(_), ElementType::Float) => value.clone(),
            (Value::Tensor(_), _) => {
                return Err(Error::value("onnx", "input", "integers: floats are not read back", "floats"));
            }
            (Value::Ints(x), ElementType::Float) => {
                let values: Vec<f32> = x.values.iter().map(|&v| v as f32).collect();
                Tensor::from_slice(args.device, &values, &x.dims)?.into()
            }
            (Value::Ints(x), _) => {
                let values = x.values.iter().map(|&v| match to {
                    ElementType::Bool => (v != 0).into(),
                    ElementType::Int32 => (v as i32).into(),
                    _ => v,
                });
                Ints::new(x.dims.clone(), values.collect())?.into()
            }
        };
        Ok(vec![out])
    })
}

/// Dropout of inference: its input.
fn dropout(b: &mut Builder) -> Result<Op> {
    if b.opset < 12 {
        b.float("ratio")?;
    } else {
        b.int("seed")?;
    }
    if b.has(2) {
        match b.constant(2) {
            Some(Value::Ints(mode)) if mode.values == [0] => b.absorbed.push(2),
            _ => return Err(b.refuse("training mode")),
        }
    }
    if b.has(1) {
        b.absorbed.push(1);
    }
    function(|args| Ok(vec![args.value(0)?.clone()]))
}
