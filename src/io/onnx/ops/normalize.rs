//! Softmax, reductions and normalizations.

use super::{Args, Builder, Op, Operator, axes_of, axis_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::meter::Cost;
use crate::kernels::MapOp;
use crate::ops::elementwise::map;
use crate::ops::{movement, reduce};
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("Softmax", 1..=1, |b| softmax(b, false)),
    Operator::new("LogSoftmax", 1..=1, |b| softmax(b, true)),
    Operator::new("LayerNormalization", 2..=3, layer_norm).since(17),
    Operator::new("BatchNormalization", 5..=5, batch_norm),
    Operator::new("InstanceNormalization", 3..=3, instance_norm),
    Operator::new("MeanVarianceNormalization", 1..=1, mean_variance_norm),
    Operator::new("LpNormalization", 1..=1, lp_norm),
];

/// Returns the cost of `N` tensors of the input's shape.
fn passes<const N: usize>(args: &Args) -> Result<Cost> {
    Ok(copied(args)?.times(N))
}

fn softmax(b: &mut Builder, log: bool) -> Result<Op> {
    let axis = b.int("axis")?;
    let flat = b.opset < 13;
    let of = move |x: &Tensor| if log { x.log_softmax() } else { x.softmax() };
    function(passes::<4>, move |args| {
        let x = args.tensor(0)?;
        let rank = x.dims().len();
        if flat {
            // Applies to all axes from `axis` on, flattened.
            let axis = axis_of(axis.unwrap_or(1), rank)?;
            let rows = extent(&x.dims()[..axis])?;
            return Ok(vec![of(&x.reshape(&[rows, x.len() / rows])?)?.reshape(x.dims())?.into()]);
        }
        let axis = axis_of(axis.unwrap_or(-1), rank)?;
        if axis + 1 == rank {
            return Ok(vec![of(x)?.into()]);
        }
        let mut axes: Vec<usize> = (0..rank).filter(|&a| a != axis).collect();
        axes.push(axis);
        Ok(vec![of(&x.permute(&axes)?)?.permute(&movement::inverse(&axes))?.into()])
    })
}

/// `(x − mean) / √(variance + ε) · scale + bias` over all axes from `axis` on.
fn layer_norm(b: &mut Builder) -> Result<Op> {
    let (axis, epsilon) = (b.int("axis")?.unwrap_or(-1), b.float("epsilon")?.unwrap_or(1e-5));
    if let Some(other @ (..=0 | 2..)) = b.int("stash_type")? {
        return Err(b.refuse(format!("stash_type {other}; 1, f32, is supported")));
    }
    function(passes::<8>, move |args| {
        let x = args.tensor(0)?;
        let axis = axis_of(axis, x.dims().len())?;
        let (scale, bias) = (args.tensor(1)?, args.optional(2)?);
        host::check_broadcasts_to("scale", scale, x.dims())?;
        if let Some(bias) = bias {
            host::check_broadcasts_to("B", bias, x.dims())?;
        }
        let width = &x.dims()[axis..];
        if let (1, Some(bias)) = (width.len(), bias)
            && scale.dims() == width
            && bias.dims() == width
        {
            return Ok(vec![x.layer_norm(scale, bias, epsilon)?.into()]);
        }
        let rows = extent(&x.dims()[..axis])?;
        let flat = x.reshape(&[rows, x.len() / rows])?;
        let mut y = standardized(&flat, epsilon)?.reshape(x.dims())?.mul(scale)?;
        if let Some(bias) = bias {
            y = y.add(bias)?;
        }
        Ok(vec![y.into()])
    })
}

/// `(x − mean) / √(variance + ε) · scale + bias` for each channel (axis 1), with the given moments.
fn batch_norm(b: &mut Builder) -> Result<Op> {
    let epsilon = b.float("epsilon")?.unwrap_or(1e-5);
    // `momentum` only updates the running moments during training.
    b.float("momentum")?;
    if b.opset < 7 {
        b.ints("consumed_inputs")?;
        if !b.flag("is_test", false)? {
            return Err(b.refuse("is_test 0"));
        }
    }
    if b.opset < 9 && !b.flag("spatial", true)? {
        return Err(b.refuse("spatial 0"));
    }
    if b.opset >= 14 && b.flag("training_mode", false)? {
        return Err(b.refuse("training_mode 1"));
    }
    function(passes::<4>, move |args| {
        let x = args.tensor(0)?;
        let &[_, channels, ref rest @ ..] = x.dims() else {
            return Err(Error::shape("onnx", "X", "at least two axes", x.dims()));
        };
        let dims = [&[channels], &vec![1; rest.len()][..]].concat();
        let channel = |i: usize| args.tensor(i)?.reshape(&dims);
        let slope = channel(1)?.div(&channel(4)?.add_scalar(epsilon)?.sqrt()?)?;
        Ok(vec![x.sub(&channel(3)?)?.mul(&slope)?.add(&channel(2)?)?.into()])
    })
}

/// Subtracts the mean of each row `[rows, width]`, and divides by the standard deviation.
fn standardized(flat: &Tensor, epsilon: f32) -> Result<Tensor> {
    let share = 1.0 / flat.dims()[1] as f32;
    let centered = flat.sub(&reduce::sum_axis(flat, 1, share)?)?;
    let variance = reduce::sum_axis(&centered.square()?, 1, share)?;
    centered.div(&variance.add_scalar(epsilon)?.sqrt()?)
}

/// `(x − mean) / √(variance + ε) · scale + bias` over the axes after batch and channels.
fn instance_norm(b: &mut Builder) -> Result<Op> {
    let epsilon = b.float("epsilon")?.unwrap_or(1e-5);
    b.ints("consumed_inputs")?;
    function(passes::<8>, move |args| {
        let x = args.tensor(0)?;
        let &[batch, channels, ref rest @ ..] = x.dims() else {
            return Err(Error::shape("onnx", "input", "at least two axes", x.dims()));
        };
        let rows = extent(&[batch, channels])?;
        let dims = [&[channels], &vec![1; rest.len()][..]].concat();
        let y = standardized(&x.reshape(&[rows, x.len() / rows])?, epsilon)?.reshape(x.dims())?;
        let y = y.mul(&args.tensor(1)?.reshape(&dims)?)?.add(&args.tensor(2)?.reshape(&dims)?)?;
        Ok(vec![y.into()])
    })
}

/// `(x − mean) / standard deviation` over some axes.
fn mean_variance_norm(b: &mut Builder) -> Result<Op> {
    let axes = b.ints("axes")?.unwrap_or_else(|| vec![0, 2, 3]);
    function(passes::<8>, move |args| {
        let x = args.tensor(0)?;
        let axes = axes_of(&axes, x.dims().len())?;
        let share = 1.0 / axes.iter().map(|&a| x.dims()[a]).product::<usize>() as f32;
        let centered = x.sub(&reduce::sum_axes("onnx", x, &axes, share)?)?;
        let variance = reduce::sum_axes("onnx", &centered.square()?, &axes, share)?;
        Ok(vec![centered.div(&variance.sqrt()?.add_scalar(1e-9)?)?.into()])
    })
}

/// `x` over its norm along an axis.
fn lp_norm(b: &mut Builder) -> Result<Op> {
    let (axis, p) = (b.int("axis")?.unwrap_or(-1), b.int("p")?.unwrap_or(2));
    if !(1..=2).contains(&p) {
        return Err(b.refuse(format!("p {p}")));
    }
    function(passes::<4>, move |args| {
        let x = args.tensor(0)?;
        let axis = axis_of(axis, x.dims().len())?;
        let norm = match p {
            1 => reduce::sum_axis(&x.abs()?, axis, 1.0)?,
            _ => reduce::sum_axis(&x.square()?, axis, 1.0)?.sqrt()?,
        };
        // A row of zeros stays 0.
        Ok(vec![x.div(&norm.add(&map(MapOp::IsZero, &norm)?)?)?.into()])
    })
}
