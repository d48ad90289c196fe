//! Elementwise functions of one or two inputs.

use super::{Args, Builder, Op, Operator, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::{Ints, extent};
use crate::io::onnx::meter::Cost;
use crate::io::onnx::value::{ElementType, Value};
use crate::kernels::BinaryOp;
use crate::ops::elementwise::binary;
use crate::tensor::Tensor;

const fn one(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator { name, since: 1, inputs: 1..=1, outputs: 1, build, folds: true }
}

const fn two(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator { name, since: 7, inputs: 2..=2, outputs: 1, build, folds: true }
}

pub const TABLE: &[Operator] = &[
    two("Add", |_| arithmetic(BinaryOp::Add, i64::checked_add)),
    two("Sub", |_| arithmetic(BinaryOp::Sub, i64::checked_sub)),
    two("Mul", |_| arithmetic(BinaryOp::Mul, i64::checked_mul)),
    two("Div", |_| arithmetic(BinaryOp::Div, i64::checked_div)),
    one("Neg", |_| signed(|x| x.scale(-1.0), i64::checked_neg)),
    one("Abs", |_| signed(Tensor::abs, i64::checked_abs)),
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
    one("Identity", |_| function(copied, |args| Ok(vec![args.value(0)?.clone()]))),
    Operator { name: "Cast", since: 6, inputs: 1..=1, outputs: 1, build: cast, folds: true },
    Operator { name: "Dropout", since: 7, inputs: 1..=3, outputs: 1, build: dropout, folds: false },
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
        floats |= matches!(value, Value::Tensor(_));
    }
    let n = extent(&dims)?;
    Ok(if floats { Cost::floats(n) } else { Cost::ints(n) })
}

/// Creates a function that accepts floats or integers.
fn signed(f: fn(&Tensor) -> Result<Tensor>, g: fn(i64) -> Option<i64>) -> Result<Op> {
    function(copied, move |args| {
        Ok(vec![match args.value(0)? {
            Value::Tensor(x) => f(x)?.into(),
            Value::Ints(x) => {
                let values = x.values().iter().map(|&v| g(v)).collect::<Option<_>>().ok_or_else(host::overflow)?;
                Ints::new(x.dims().to_vec(), values)?.into()
            }
        }])
    })
}

fn arithmetic(op: BinaryOp, ints: fn(i64, i64) -> Option<i64>) -> Result<Op> {
    function(broadcast, move |args| {
        Ok(vec![match (args.value(0)?, args.value(1)?) {
            (Value::Tensor(a), Value::Tensor(b)) => binary(op, a, b)?.into(),
            (Value::Ints(a), Value::Ints(b)) => host::binary(a, b, ints)?.into(),
            _ => return Err(Error::value("onnx", "inputs", "both floats or both integers", "one of each")),
        }])
    })
}

/// Casts between integers, and from integers to floats. Floats stay on the device, so they are not cast to integers.
fn cast(b: &mut Builder) -> Result<Op> {
    let to = b.int("to")?.ok_or_else(|| b.refuse("no attribute \"to\""))?;
    let to = ElementType::of(to).map_err(|name| b.refuse(format!("a cast to {name}")))?;
    if to.is_float() && to != ElementType::Float {
        return Err(b.refuse(format!("a cast to {to:?}: floats are f32")));
    }
    // `saturate` only affects casts to 8-bit floats, which are not supported.
    if b.opset >= 19 {
        b.flag("saturate", true)?;
    }
    function(copied, move |args| {
        let out = match (args.value(0)?, to) {
            (value @ Value::Tensor(_), ElementType::Float) => value.clone(),
            (Value::Tensor(_), _) => {
                return Err(Error::value("onnx", "input", "integers: floats are not read back", "floats"));
            }
            (Value::Ints(x), ElementType::Float) => {
                let values: Vec<f32> = x.values().iter().map(|&v| v as f32).collect();
                Tensor::from_slice(args.device, &values, x.dims())?.into()
            }
            (Value::Ints(x), _) => {
                let values = x.values().iter().map(|&v| match to {
                    ElementType::Bool => (v != 0).into(),
                    ElementType::Int32 => (v as i32).into(),
                    _ => v,
                });
                Ints::new(x.dims().to_vec(), values.collect())?.into()
            }
        };
        Ok(vec![out])
    })
}

/// Dropout in inference, which returns its input.
fn dropout(b: &mut Builder) -> Result<Op> {
    if b.opset < 12 {
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
