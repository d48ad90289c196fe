//! Deterministic sums: first within chunks, then over the chunks.

use std::ops::Range;

use crate::error::{Error, Result};
use crate::kernels::Sum;
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::Tensor;

/// Elements summed per invocation; small chunks also keep the rounding error of long sums low.
const CHUNK: usize = 64;

/// Options of a sum.
#[derive(Clone, Copy)]
pub struct SumOptions {
    pub scale: f32,
    pub square: bool,
    pub accumulate: bool,
}

impl Default for SumOptions {
    fn default() -> Self {
        Self { scale: 1.0, square: false, accumulate: false }
    }
}

/// Sums `x`, seen as `extents = [outer, axis, inner]`, over the middle axis into `out` `[outer, inner]` from `offset`.
pub fn sum_into(x: &Tensor, extents: [usize; 3], options: SumOptions, out: &Tensor, offset: usize) -> Result<()> {
    let [outer, axis, inner] = extents.map(|n| n as u32);
    let last = |axis: u32, square: bool| Sum {
        outer,
        axis,
        inner,
        chunk: axis,
        scale: options.scale,
        square: square as u32,
        accumulate: options.accumulate as u32,
        offset: offset as u32,
    };
    if extents[1] <= 2 * CHUNK {
        return x.device().run(&last(axis, options.square), [x], [out]);
    }
    let mut partial = x.clone();
    let mut pass = last(axis, options.square);
    while pass.axis as usize > 2 * CHUNK {
        let first = Sum { chunk: CHUNK as u32, scale: 1.0, accumulate: 0, offset: 0, ..pass };
        let sums = Tensor::empty("sum", x.device(), &[extents[0] * first.chunks(), extents[2]])?;
        x.device().run(&first, [&partial], [&sums])?;
        pass = last(first.chunks() as u32, false);
        partial = sums;
    }
    x.device().run(&pass, [&partial], [out])
}

/// `scale · Σ x` or `scale · Σ x²` over all elements.
pub fn sum_all(x: &Tensor, options: SumOptions) -> Result<Tensor> {
    x.check_dtype("sum", "self", "f32")?;
    let out = Tensor::empty("sum", x.device(), &[])?;
    sum_into(x, [1, x.len(), 1], options, &out, 0)?;
    Ok(out)
}

/// `scale · Σ x` over one axis, which is kept with extent 1.
pub fn sum_axis(x: &Tensor, axis: usize, scale: f32) -> Result<Tensor> {
    x.check_dtype("sum_axis", "self", "f32")?;
    if axis >= x.dims().len() {
        return Err(Error::value("sum_axis", "axis", format!("below {}", x.dims().len()), axis));
    }
    sum_range("sum_axis", x, axis..axis + 1, scale)
}

/// `scale · Σ x` over several axes, which are kept with extent 1. Adjacent axes are summed as one.
pub fn sum_axes(op: &'static str, x: &Tensor, axes: &[usize], scale: f32) -> Result<Tensor> {
    x.check_dtype(op, "self", "f32")?;
    let rank = x.dims().len();
    if axes.is_empty() || axes.iter().enumerate().any(|(i, axis)| *axis >= rank || axes[..i].contains(axis)) {
        return Err(Error::value(op, "axes", format!("different axes below {rank}"), format!("{axes:?}")));
    }
    let (mut sum, mut end, mut scale) = (x.clone(), rank, scale);
    while end > 0 {
        let start = (0..end).rev().find(|axis| !axes.contains(axis)).map_or(0, |axis| axis + 1);
        if start < end {
            sum = sum_range(op, &sum, start..end, scale)?;
            scale = 1.0;
        }
        end = start.saturating_sub(1);
    }
    Ok(sum)
}

/// `scale · Σ x` over adjacent axes, which are kept with extent 1.
fn sum_range(op: &'static str, x: &Tensor, axes: Range<usize>, scale: f32) -> Result<Tensor> {
    let mut dims = x.dims().to_vec();
    let extent: usize = dims[axes.clone()].iter().product();
    let inner: usize = dims[axes.end..].iter().product();
    dims[axes].fill(1);
    let out = Tensor::empty(op, x.device(), &dims)?;
    let extents = [x.len() / extent / inner, extent, inner];
    sum_into(x, extents, SumOptions { scale, ..SumOptions::default() }, &out, 0)?;
    Ok(out)
}

/// Sums `x` over the axes along which `shape` was broadcast to it.
pub fn sum_to(x: &Tensor, shape: &Shape) -> Result<Tensor> {
    if x.shape() == shape {
        return Ok(x.detach());
    }
    let (from, to) = (x.shape().padded(), shape.padded());
    let mut sum = x.view("sum_to", &from.map(|d| d as usize))?;
    for axis in (0..MAX_RANK).filter(|&a| from[a] != to[a]) {
        sum = sum_axis(&sum, axis, 1.0)?;
    }
    sum.view("sum_to", shape.dims())
}
