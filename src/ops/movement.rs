//! Transposes, slices, concatenations and repeats, as strided copies; flips, as gathers of rows.

use std::ops::Range;

use super::index;
use super::strided::{copy, repeated};
use crate::error::{Error, Result};
use crate::shape::{MAX_RANK, Shape};
use crate::tensor::Tensor;

/// Permutes the axes: axis `i` of the result is axis `axes[i]` of `x`.
pub fn permute(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let rank = x.dims().len();
    if axes.len() != rank || !(0..rank).all(|axis| axes.contains(&axis)) {
        return Err(Error::value("permute", "axes", format!("a permutation of 0..{rank}"), format!("{axes:?}")));
    }
    let dims: Vec<_> = axes.iter().map(|&a| x.dims()[a]).collect();
    let y = Tensor::empty("permute", x.device(), &dims)?;
    let lead = MAX_RANK - rank;
    let strides = x.shape().strides();
    let mut src_strides = [0; MAX_RANK];
    for (to, &from) in axes.iter().enumerate() {
        src_strides[lead + to] = strides[lead + from];
    }
    copy((x, src_strides, 0), (&y, y.shape().strides(), 0), y.shape().padded())?;
    Ok(y.with_dtype(x.dtype()))
}

/// Returns the inverse of a permutation of axes.
pub fn inverse(axes: &[usize]) -> Vec<usize> {
    let mut out = vec![0; axes.len()];
    axes.iter().enumerate().for_each(|(i, &a)| out[a] = i);
    out
}

fn part(op: &'static str, x: &Tensor, axis: usize, range: &Range<usize>) -> Result<Vec<usize>> {
    let mut dims = x.dims().to_vec();
    match dims.get(axis) {
        None => Err(Error::value(op, "axis", format!("below {}", dims.len()), axis)),
        Some(&extent) if range.start >= range.end || range.end > extent => {
            Err(Error::value(op, "range", format!("a part of 0..{extent}"), format!("{range:?}")))
        }
        Some(_) => {
            dims[axis] = range.len();
            Ok(dims)
        }
    }
}

fn stride(dims: &[usize], axis: usize) -> usize {
    dims[axis + 1..].iter().product()
}

/// Returns the part `range` of one axis.
pub fn slice(x: &Tensor, axis: usize, range: Range<usize>) -> Result<Tensor> {
    let dims = part("slice", x, axis, &range)?;
    let y = Tensor::empty("slice", x.device(), &dims)?;
    let offset = range.start * stride(x.dims(), axis);
    copy((x, x.shape().strides(), offset), (&y, y.shape().strides(), 0), y.shape().padded())?;
    Ok(y.with_dtype(x.dtype()))
}

/// Writes `x` into the part of `out` that starts at `start` of one axis.
pub fn write_slice(x: &Tensor, out: &Tensor, axis: usize, start: usize) -> Result<()> {
    part("write_slice", out, axis, &(start..start + x.dims()[axis]))?;
    let offset = start * stride(out.dims(), axis);
    copy((x, x.shape().strides(), 0), (out, out.shape().strides(), offset), x.shape().padded())
}

/// Concatenates tensors along an axis.
pub fn concat(parts: &[&Tensor], axis: usize) -> Result<Tensor> {
    let Some(first) = parts.first() else {
        return Err(Error::value("concat", "parts", "at least one tensor", "none"));
    };
    let mut dims = first.dims().to_vec();
    if axis >= dims.len() {
        return Err(Error::value("concat", "axis", format!("below {}", dims.len()), axis));
    }
    for x in &parts[1..] {
        let same = x.dims().len() == dims.len() && (0..dims.len()).all(|a| a == axis || x.dims()[a] == first.dims()[a]);
        if !same {
            let expected = format!("{:?} but for axis {axis}", first.dims());
            return Err(Error::shape("concat", "parts", expected, x.dims()));
        }
        dims[axis] = dims[axis].saturating_add(x.dims()[axis]);
    }
    let mut dtype = first.dtype();
    for x in &parts[1..] {
        dtype = dtype.joined("concat", "parts", x.dtype())?;
    }
    let out = Tensor::empty("concat", first.device(), &dims)?.with_dtype(dtype);
    let mut start = 0;
    for x in parts {
        write_slice(x, &out, axis, start)?;
        start += x.dims()[axis];
    }
    Ok(out)
}

/// Repeats `x` along its axes of extent 1 to the shape `dims`.
pub fn expand(x: &Tensor, dims: &[usize]) -> Result<Tensor> {
    let shape = Shape::new("expand", dims)?;
    let (from, to) = (x.shape().padded(), shape.padded());
    if dims.len() < x.dims().len() || (0..MAX_RANK).any(|a| from[a] != 1 && from[a] != to[a]) {
        return Err(Error::shape("expand", "dims", format!("a shape to which {:?} broadcasts", x.dims()), dims));
    }
    repeated("expand", x, &shape)
}

/// Reverses the order along `axes`.
pub fn flip(x: &Tensor, axes: &[usize]) -> Result<Tensor> {
    let rank = x.dims().len();
    if axes.iter().enumerate().any(|(i, axis)| *axis >= rank || axes[..i].contains(axis)) {
        return Err(Error::value("flip", "axes", format!("different axes below {rank}"), format!("{axes:?}")));
    }
    let Some(last) = axes.iter().max() else { return Ok(x.detach()) };
    // Gathers rows, each of which spans the axes after the last reversed one.
    let outer = &x.dims()[..=*last];
    let mut rows = vec![0u32];
    for (axis, &extent) in outer.iter().enumerate() {
        let (extent, is_reversed) = (extent as u32, axes.contains(&axis));
        let place = move |i: u32| if is_reversed { extent - 1 - i } else { i };
        rows = rows.iter().flat_map(|row| (0..extent).map(move |i| row * extent + place(i))).collect();
    }
    let table = x.view("flip", &[rows.len(), x.len() / rows.len()])?;
    let index = Tensor::from_indices(x.device(), &rows, &[rows.len()])?;
    index::gather(&table, &index)?.view("flip", x.dims())
}
