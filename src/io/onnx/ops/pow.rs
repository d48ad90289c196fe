//! `x^p`. A constant `p` has faster and more accurate forms.

use super::elementwise::{broadcast, float};
use super::{Args, Builder, Op, Operator, function, host};
use crate::error::Result;
use crate::io::onnx::value::{EXACT, Value};
use crate::kernels::{BinaryOp, MapOp, ZipOp};
use crate::ops::elementwise::{binary, map, zip};
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[Operator::new("Pow", 2..=2, pow).folds()];

/// Uses repeated squaring for an integer, a square root for ½, and `e^(p·log x)` otherwise.
fn pow(b: &mut Builder) -> Result<Op> {
    if !matches!(b.constant(1), Some(Value::Tensor(p)) if p.len() == 1) {
        let cost = |args: &Args| Ok(broadcast(args)?.times(4 + 2 * 32));
        return function(cost, |args| {
            let (x, p) = (args.value(0)?, args.value(1)?);
            Ok(vec![match (x, p) {
                (Value::Ints(x), Value::Ints(p)) => {
                    let power = |x: i64, p: i64| x.checked_pow(u32::try_from(p).ok()?);
                    host::binary(x, p, power)?.into()
                }
                (Value::Tensor(x), Value::Ints(p)) if p.values().len() == 1 && p.values()[0].abs() <= EXACT => {
                    integer(&raised(x, p.dims().len())?, p.values()[0] as f32)?.into()
                }
                (Value::Ints(_) | Value::Whole(_), _) => {
                    Value::Whole(map(MapOp::Trunc, &zip(ZipOp::Pow, &x.to_floats(args.device)?, p.as_tensor()?)?)?)
                }
                _ => zip(ZipOp::Pow, x.as_tensor()?, &p.to_floats(args.device)?)?.into(),
            }])
        });
    }
    let Some(p) = b.number(1, "exponent")? else { return Err(b.refuse("no exponent")) };
    let (p, rank) = (p.value, p.rank);
    // Beyond 2^24, f32 has no odd numbers.
    if p.is_nan() || p.abs() > 16_777_216.0 {
        return Err(b.refuse(format!("an exponent of {p}")));
    }
    if p == 0.5 {
        return float(1, move |x| raised(x, rank)?.sqrt());
    }
    if p.fract() != 0.0 {
        return float(3, move |x| raised(x, rank)?.log()?.scale(p)?.exp());
    }
    // At most two products per bit, with four tensors alive.
    let bits = 32 - (p.abs() as u32).leading_zeros();
    float(4 + 2 * bits as usize, move |x| integer(&raised(x, rank)?, p))
}

fn integer(x: &Tensor, p: f32) -> Result<Tensor> {
    let mut y = Tensor::full(x.device(), 1.0, x.dims())?;
    let (mut power, mut left) = (x.clone(), p.abs() as u32);
    while left > 0 {
        y = if left % 2 == 1 { y.mul(&power)? } else { y };
        left /= 2;
        power = if left > 0 { power.mul(&power)? } else { power };
    }
    let one = || Tensor::full(x.device(), 1.0, &vec![1; x.dims().len()]);
    if p < 0.0 { binary(BinaryOp::Div, &one()?, &y) } else { Ok(y) }
}

/// Prepends extents of 1 to `x` until it has `rank` axes, as broadcasting with a number of that rank does.
pub fn raised(x: &Tensor, rank: usize) -> Result<Tensor> {
    match rank.checked_sub(x.dims().len()) {
        None | Some(0) => Ok(x.clone()),
        Some(more) => x.reshape(&[&vec![1; more][..], x.dims()].concat()),
    }
}
