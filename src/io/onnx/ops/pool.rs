//! Pooling.

use super::windows::{self, Axis, Sizes, Spec};
use super::{Args, Builder, Op, Operator, copied, function};
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::value::Value;
use crate::ops::extreme::extreme;
use crate::ops::reduce;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[
    Operator::new("MaxPool", 1..=1, |b| pool(b, true)).whole(1),
    Operator::new("AveragePool", 1..=1, |b| pool(b, false)),
    Operator::new("GlobalMaxPool", 1..=1, |_| global(true)),
    Operator::new("GlobalAveragePool", 1..=1, |_| global(false)),
];

fn pool(b: &mut Builder, max: bool) -> Result<Op> {
    let spec = Spec::of(b)?;
    let Some(kernel) = spec.kernel.clone() else { return Err(b.refuse("no kernel_shape")) };
    let ceil = b.opset >= 10 && b.flag("ceil_mode", false)?;
    let counts_padding = !max && b.flag("count_include_pad", false)?;
    if max && b.int("storage_order")?.unwrap_or(0) != 0 {
        return Err(b.refuse("storage_order 1"));
    }
    let sizes = move |x: &[usize]| -> Result<(Vec<Axis>, Sizes)> {
        let Some(extents) = x.get(2..).filter(|extents| extents.len() == kernel.len()) else {
            return Err(Error::shape("onnx", "X", format!("[B, C] and {} axes", kernel.len()), x));
        };
        let axes = spec.resolve(extents, &kernel)?;
        let sizes = Sizes::of(x, &axes, ceil)?;
        Ok((axes, sizes))
    };
    let of_cost = sizes.clone();
    let cost = move |args: &Args| {
        let x = args.value(0)?.dims();
        let (axes, sizes) = of_cost(x)?;
        Ok(sizes.cost(x, &axes)?.times(3))
    };
    function(cost, move |args| {
        // Quantized values keep their scale.
        let whole = max && !args.value(0)?.is_float();
        let x = &if whole { args.value(0)?.to_floats(args.device)? } else { args.tensor(0)?.clone() };
        let (axes, sizes) = sizes(x.dims())?;
        let edge = if max { f32::NEG_INFINITY } else { 0.0 };
        let padded = windows::pad(x, &axes, &sizes, edge)?;
        let (rows, count) = (x.dims()[0] * x.dims()[1], sizes.count()?);
        let taps: usize = axes.iter().map(|a| a.kernel).product();
        let columns = windows::windows(&padded, &axes, &sizes)?.reshape(&[rows, taps, count])?;
        let y = if max {
            extreme("onnx", &columns, 1, false)?[0].clone()
        } else {
            let shares = shares(x.dims(), &axes, &sizes, counts_padding);
            let shares = Tensor::from_slice(x.device(), &shares, &[count])?;
            reduce::sum_axis(&columns, 1, 1.0)?.mul(&shares)?
        };
        let y = y.reshape(&[&x.dims()[..2], &sizes.windows].concat())?;
        Ok(vec![if whole { Value::Whole(y) } else { y.into() }])
    })
}

/// Returns the factor of each window's sum: one over the elements that it averages.
fn shares(x: &[usize], axes: &[Axis], sizes: &Sizes, counts_padding: bool) -> Vec<f32> {
    let mut counts = vec![1usize];
    for (a, axis) in axes.iter().enumerate() {
        let (len, start) = (x[2 + a], axis.pads[0].max(0) as usize);
        // Elements beyond the padding, which a rounded-up number of windows reaches, never count.
        let range = if counts_padding { 0..len + start + axis.pads[1].max(0) as usize } else { start..start + len };
        let inside = |window: usize| {
            let taps = (0..axis.kernel).map(|k| window * axis.stride + k * axis.dilation);
            taps.filter(|at| range.contains(at)).count()
        };
        let own: Vec<usize> = (0..sizes.windows[a]).map(inside).collect();
        counts = counts.iter().flat_map(|n| own.iter().map(move |m| n * m)).collect();
    }
    counts.into_iter().map(|n| 1.0 / n.max(1) as f32).collect()
}

fn global(max: bool) -> Result<Op> {
    function(
        |args| Ok(copied(args)?.times(2)),
        move |args| {
            let x = args.tensor(0)?;
            let &[batch, channels, ref rest @ ..] = x.dims() else {
                return Err(Error::shape("onnx", "X", "at least two axes", x.dims()));
            };
            let rows = extent(&[batch, channels])?;
            let flat = x.reshape(&[rows, x.len() / rows])?;
            let y = match max {
                true => extreme("onnx", &flat, 1, false)?[0].clone(),
                false => reduce::sum_axis(&flat, 1, 1.0 / flat.dims()[1] as f32)?,
            };
            Ok(vec![y.reshape(&[&[batch, channels], &vec![1; rest.len()][..]].concat())?.into()])
        },
    )
}
