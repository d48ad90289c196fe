//! Maxima and minima along an axis, and their positions.

use crate::error::{Error, Result};
use crate::kernels::{Extreme, ExtremeBackward};
use crate::tensor::{DType, Tensor};

/// Elements compared per invocation.
const CHUNK: usize = 64;

/// Returns the largest elements along an axis, or the smallest if `least` is set, and their positions (u32). The axis
/// is kept with extent 1.
pub fn extreme(op: &'static str, x: &Tensor, axis: usize, least: bool) -> Result<[Tensor; 2]> {
    x.check_dtype(op, "self", "f32")?;
    let Some(&extent) = x.dims().get(axis) else {
        return Err(Error::value(op, "axis", format!("below {}", x.dims().len()), axis));
    };
    let inner: usize = x.dims()[axis + 1..].iter().product();
    let outer = x.len() / extent / inner;
    let mut pass = Extreme {
        outer: outer as u32,
        axis: extent as u32,
        inner: inner as u32,
        chunk: extent as u32,
        least: u32::from(least),
        mapped: 0,
    };
    let (mut values, mut positions) = (x.clone(), x.clone());
    while pass.axis as usize > 2 * CHUNK {
        pass.chunk = CHUNK as u32;
        let dims = [outer, pass.chunks(), inner];
        let [value, index] = [Tensor::empty(op, x.device(), &dims)?, Tensor::empty(op, x.device(), &dims)?];
        x.device().run(&pass, [&values, &positions], [&value, &index])?;
        pass = Extreme { axis: dims[1] as u32, chunk: dims[1] as u32, mapped: 1, ..pass };
        (values, positions) = (value, index);
    }
    let mut dims = x.dims().to_vec();
    dims[axis] = 1;
    let [value, index] = [Tensor::empty(op, x.device(), &dims)?, Tensor::empty(op, x.device(), &dims)?];
    x.device().run(&pass, [&values, &positions], [&value, &index])?;
    Ok([value, index.with_dtype(DType::U32 { max: extent as u32 - 1 })])
}

/// Returns the gradient of `x` `dims` from that of [`extreme`] and the positions.
pub fn extreme_backward(dims: &[usize], axis: usize, index: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let dx = Tensor::empty("extreme_backward", dy.device(), dims)?;
    let outer: usize = dims[..axis].iter().product();
    let [outer, axis, inner] = [outer, dims[axis], index.len() / outer].map(|n| n as u32);
    dy.device().run(&ExtremeBackward { outer, axis, inner }, [dy, index], [&dx])?;
    Ok(dx)
}
