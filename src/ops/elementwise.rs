//! Elementwise functions of one or two operands, and dropout.

use super::reduce::sum_to;
use super::strided::{Axes, Fitted, repeated};
use crate::error::Result;
use crate::kernels::{Binary, BinaryOp, Dropout, Map, MapOp, Unary, UnaryBackward, UnaryOp, Zip, ZipOp};
use crate::shape::Shape;
use crate::tensor::Tensor;

/// `y = f(x)`
pub fn unary(op: UnaryOp, alpha: f32, x: &Tensor) -> Result<Tensor> {
    x.check_dtype("unary", "x", "f32")?;
    let y = Tensor::empty("unary", x.device(), x.dims())?;
    x.device().run(&Unary { len: x.len() as u32, op: op as u32, alpha }, [x], [&y])?;
    Ok(y)
}

/// `dx = f'(x)·dy`, with `y = f(x)`
pub fn unary_backward(op: UnaryOp, alpha: f32, x: &Tensor, y: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let dx = Tensor::empty("unary_backward", x.device(), x.dims())?;
    x.device().run(&UnaryBackward { len: x.len() as u32, op: op as u32, alpha }, [x, y, dy], [&dx])?;
    Ok(dx)
}

/// `y = a ∘ b`, with NumPy's broadcasting.
pub fn binary(op: BinaryOp, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    let name = match op {
        BinaryOp::Add => "add",
        BinaryOp::Sub => "sub",
        BinaryOp::Mul => "mul",
        BinaryOp::Div => "div",
        BinaryOp::Mask => "mask",
    };
    a.check_dtype(name, "self", "f32")?;
    b.check_dtype(name, "rhs", "f32")?;
    broadcast(name, a, b, |Fitted { dims, strides: [a_strides, b_strides] }, [a, b], y| {
        a.device().run(&Binary { dims, a_strides, b_strides, op: op as u32 }, [a, b], [y])
    })
}

/// Calls `run` with the axes of `a ∘ b`, its operands and its result.
fn broadcast(
    name: &'static str,
    a: &Tensor,
    b: &Tensor,
    run: impl FnOnce(Fitted, [&Tensor; 2], &Tensor) -> Result<()>,
) -> Result<Tensor> {
    a.device().check_same(name, "rhs", b)?;
    let shape = Shape::broadcast(name, a.shape(), b.shape())?;
    let axes = Axes::new(&shape.padded(), [&a.shape().strides(), &b.shape().strides()]);
    let Some(fitted) = axes.fitted() else {
        // The operands broadcast along too many separate axes for the kernel, so repeat one of them first.
        let (a, b) = match b.shape() == &shape {
            true => (&repeated(name, a, &shape)?, b),
            false => (a, &repeated(name, b, &shape)?),
        };
        return broadcast(name, a, b, run);
    };
    let y = Tensor::empty(name, a.device(), shape.dims())?;
    run(fitted, [a, b], &y)?;
    Ok(y)
}

/// `y = f(x)`, for functions without a gradient.
pub fn map(op: MapOp, x: &Tensor) -> Result<Tensor> {
    x.check_dtype("map", "x", "f32")?;
    let y = Tensor::empty("map", x.device(), x.dims())?;
    x.device().run(&Map { len: x.len() as u32, op: op as u32 }, [x], [&y])?;
    Ok(y)
}

/// `y = a ∘ b`, with NumPy's broadcasting, for operations without a gradient.
pub fn zip(op: ZipOp, a: &Tensor, b: &Tensor) -> Result<Tensor> {
    a.check_dtype("zip", "self", "f32")?;
    b.check_dtype("zip", "rhs", "f32")?;
    broadcast("zip", a, b, |Fitted { dims, strides: [a_strides, b_strides] }, [a, b], y| {
        a.device().run(&Zip { dims, a_strides, b_strides, op: op as u32 }, [a, b], [y])
    })
}

/// Gradients of `a ∘ b`, each summed over the axes along which its operand was broadcast.
pub fn binary_backward(op: BinaryOp, a: &Tensor, b: &Tensor, dy: &Tensor) -> Result<[Tensor; 2]> {
    let minus = |x: &Tensor| unary(UnaryOp::Scale, -1.0, x);
    let (da, db) = match op {
        BinaryOp::Add => (dy.detach(), dy.detach()),
        BinaryOp::Sub => (dy.detach(), minus(dy)?),
        BinaryOp::Mul => (binary(op, dy, b)?, binary(op, dy, a)?),
        BinaryOp::Mask => unreachable!("the factors of a mask are constants: use `mask_backward`"),
        BinaryOp::Div => {
            let da = binary(BinaryOp::Div, dy, b)?;
            let slope = binary(BinaryOp::Div, &binary(BinaryOp::Mul, &da, a)?, b)?;
            (da, minus(&slope)?)
        }
    };
    Ok([sum_to(&da, a.shape())?, sum_to(&db, b.shape())?])
}

/// Gradient of `x ∘ factors` by [`BinaryOp::Mask`] with respect to `x`, which has this shape.
pub fn mask_backward(shape: &Shape, factors: &Tensor, dy: &Tensor) -> Result<Tensor> {
    sum_to(&binary(BinaryOp::Mask, dy, factors)?, shape)
}

/// `y = x·m` with the dropout mask `m` of `key`, exactly 0 where `m` is 0. Applied to `dy`, computes the gradient.
pub fn dropout(x: &Tensor, p: f32, key: [u32; 2]) -> Result<Tensor> {
    x.check_dtype("dropout", "x", "f32")?;
    let y = Tensor::empty("dropout", x.device(), x.dims())?;
    let threshold = (p as f64 * 4_294_967_296.0).round().min(u32::MAX as f64) as u32;
    let [key_low, key_high] = key;
    let kernel = Dropout { len: x.len() as u32, key_low, key_high, threshold, scale: 1.0 / (1.0 - p) };
    x.device().run(&kernel, [x], [&y])?;
    Ok(y)
}
