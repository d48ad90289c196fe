//! Further elementwise functions of floats.

use super::elementwise::{broadcast, float};
use super::{Args, Builder, Op, Operator, function};
use crate::error::{Error, Result};
use crate::kernels::{BinaryOp, MapOp, ZipOp};
use crate::ops::elementwise::{binary, map, zip};
use crate::tensor::Tensor;

const fn one(name: &'static str, build: fn(&mut Builder) -> Result<Op>) -> Operator {
    Operator::new(name, 1..=1, build).folds()
}

pub const TABLE: &[Operator] = &[
    one("Floor", |_| float(1, |x| map(MapOp::Floor, x))),
    one("Ceil", |_| float(1, |x| map(MapOp::Ceil, x))),
    one("Round", |_| float(1, |x| map(MapOp::Round, x))),
    one("Sign", |_| float(1, |x| map(MapOp::Sign, x))),
    one("Erf", |_| float(1, |x| map(MapOp::Erf, x))),
    one("Sin", |_| float(1, |x| map(MapOp::Sin, x))),
    one("Cos", |_| float(1, |x| map(MapOp::Cos, x))),
    one("Tan", |_| float(3, |x| binary(BinaryOp::Div, &map(MapOp::Sin, x)?, &map(MapOp::Cos, x)?))),
    one("Atan", |_| float(1, |x| map(MapOp::Atan, x))),
    one("Sinh", |_| float(5, |x| x.exp()?.sub(&x.scale(-1.0)?.exp()?)?.scale(0.5))),
    one("Cosh", |_| float(5, |x| x.exp()?.add(&x.scale(-1.0)?.exp()?)?.scale(0.5))),
    one("Reciprocal", |_| float(2, |x| binary(BinaryOp::Div, &Tensor::full(x.device(), 1.0, &[])?, x))),
    one("Gelu", |b| match b.text("approximate")?.as_deref() {
        None | Some("none") => float(5, gelu),
        Some("tanh") => float(9, tanh_gelu),
        Some(other) => Err(b.refuse(format!("approximate {other:?}"))),
    })
    .since(20),
    one("HardSwish", |_| float(6, |x| x.mul(&hard_sigmoid(x, 1.0 / 6.0, 0.5)?))),
    one("Mish", |_| float(3, |x| x.mul(&x.softplus()?.tanh()?))),
    one("Selu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(1.673_263_2);
        let gamma = b.float("gamma")?.unwrap_or(1.050_701);
        float(2, move |x| x.elu(alpha)?.scale(gamma))
    }),
    one("Celu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(1.0);
        float(4, move |x| x.scale(1.0 / alpha)?.elu(1.0)?.scale(alpha))
    }),
    one("ThresholdedRelu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(1.0);
        float(3, move |x| x.mask(&zip(ZipOp::Less, &Tensor::full(x.device(), alpha, &[])?, x)?))
    }),
    Operator::new("PRelu", 2..=2, prelu),
    Operator::new("Sum", 1..=usize::MAX, |_| several(false)),
    Operator::new("Mean", 1..=usize::MAX, |_| several(true)),
];

/// Operators of com.microsoft.
pub const MICROSOFT: &[Operator] = &[
    one("Gelu", |_| float(5, gelu)),
    one("QuickGelu", |b| {
        let alpha = b.float("alpha")?.unwrap_or(1.702);
        float(3, move |x| x.mul(&x.scale(alpha)?.sigmoid()?))
    }),
    Operator::new("BiasGelu", 2..=2, |_| biased(gelu)),
    Operator::new("FastGelu", 1..=2, |_| biased(tanh_gelu)),
];

pub fn hard_sigmoid(x: &Tensor, alpha: f32, beta: f32) -> Result<Tensor> {
    x.scale(alpha)?.add_scalar(beta)?.relu()?.clamp_max(1.0)
}

/// `x/2·(1 + erf(x/√2))`
fn gelu(x: &Tensor) -> Result<Tensor> {
    x.mul(&map(MapOp::Erf, &x.scale(std::f32::consts::FRAC_1_SQRT_2)?)?.add_scalar(1.0)?.scale(0.5)?)
}

/// `x/2·(1 + tanh(√(2/π)·(x + 0.044715·x³)))`
fn tanh_gelu(x: &Tensor) -> Result<Tensor> {
    let inner = x.add(&x.square()?.mul(x)?.scale(0.044_715)?)?.scale(0.797_884_6)?;
    x.mul(&inner.tanh()?.add_scalar(1.0)?.scale(0.5)?)
}

fn biased(f: fn(&Tensor) -> Result<Tensor>) -> Result<Op> {
    let cost = |args: &Args| Ok(broadcast(args)?.times(10));
    function(cost, move |args| {
        let x = args.tensor(0)?;
        Ok(vec![match args.optional(1)? {
            Some(bias) => f(&x.add(bias)?)?.into(),
            None => f(x)?.into(),
        }])
    })
}

/// `x` where it is positive, `slope·x` elsewhere. Before operator set 7, slopes belong to axis 1.
fn prelu(b: &mut Builder) -> Result<Op> {
    b.ints("consumed_inputs")?;
    let is_old = b.opset < 7;
    let cost = |args: &Args| Ok(broadcast(args)?.times(4));
    function(cost, move |args| {
        let (x, slope) = (args.tensor(0)?, args.tensor(1)?);
        let ones = x.dims().len().saturating_sub(2);
        let slope = match slope.dims() {
            &[channels] if is_old && channels > 1 => slope.reshape(&[&[channels][..], &vec![1; ones]].concat())?,
            _ => slope.clone(),
        };
        let y = x.relu()?.add(&x.clamp_max(0.0)?.mul(&slope)?)?;
        match y.dims() == x.dims() {
            true => Ok(vec![y.into()]),
            false => Err(Error::shape("onnx", "slope", format!("broadcastable to {:?}", x.dims()), slope.dims())),
        }
    })
}

/// Sum or mean of any number of tensors.
fn several(mean: bool) -> Result<Op> {
    let cost = |args: &Args| Ok(broadcast(args)?.times(args.inputs.len() + 1));
    function(cost, move |args| {
        let mut y = args.tensor(0)?.clone();
        for i in 1..args.inputs.len() {
            y = y.add(args.tensor(i)?)?;
        }
        Ok(vec![if mean { y.scale(1.0 / args.inputs.len() as f32)? } else { y }.into()])
    })
}
