//! Softmax, reductions and normalizations.

use super::{Args, Builder, Op, Operator, axes_of, axis_of, copied, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::meter::Cost;
use crate::ops::{movement, reduce};
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator { name: "Softmax", since: 1, inputs: 1..=1, outputs: 1, build: |b| softmax(b, false), folds: false },
    Operator { name: "LogSoftmax", since: 1, inputs: 1..=1, outputs: 1, build: |b| softmax(b, true), folds: false },
    Operator { name: "ReduceMean", since: 1, inputs: 1..=2, outputs: 1, build: |b| reduce(b, 18, true), folds: false },
    Operator { name: "ReduceSum", since: 1, inputs: 1..=2, outputs: 1, build: |b| reduce(b, 13, false), folds: false },
    Operator { name: "LayerNormalization", since: 17, inputs: 2..=3, outputs: 1, build: layer_norm, folds: false },
    Operator { name: "BatchNormalization", since: 7, inputs: 5..=5, outputs: 1, build: batch_norm, folds: false },
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

/// Sum or mean over axes, which are an attribute before operator set `inputs_from`, and an input since.
fn reduce(b: &mut Builder, inputs_from: i64, mean: bool) -> Result<Op> {
    let keep = b.flag("keepdims", true)?;
    let as_input = b.opset >= inputs_from;
    if !as_input && b.has(1) {
        return Err(b.refuse(format!("axes as an input before operator set {inputs_from}")));
    }
    let attribute = if as_input { None } else { b.ints("axes")? };
    let noop = as_input && b.flag("noop_with_empty_axes", false)?;
    // Each reduction reads the output of the previous one, which has fewer elements.
    function(passes::<4>, move |args: &Args| {
        let x = args.tensor(0)?;
        let rank = x.dims().len();
        let axes = match host::optional(args, 1)?.or(attribute.as_deref()) {
            Some(axes) if !axes.is_empty() => axes_of(axes, rank)?,
            _ if noop => return Ok(vec![x.clone().into()]),
            _ => (0..rank).collect(),
        };
        let mut y = x.clone();
        for &axis in &axes {
            let scale = if mean { 1.0 / y.dims()[axis] as f32 } else { 1.0 };
            y = reduce::sum_axis(&y, axis, scale)?;
        }
        if !keep {
            let dims: Vec<usize> = (0..rank).filter(|a| !axes.contains(a)).map(|a| x.dims()[a]).collect();
            y = y.reshape(&dims)?;
        }
        Ok(vec![y.into()])
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
        let share = 1.0 / flat.dims()[1] as f32;
        let centered = flat.sub(&reduce::sum_axis(&flat, 1, share)?)?;
        let variance = reduce::sum_axis(&centered.square()?, 1, share)?;
        let mut y = centered.div(&variance.add_scalar(epsilon)?.sqrt()?)?.reshape(x.dims())?.mul(scale)?;
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
