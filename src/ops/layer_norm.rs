//! Normalization of rows to mean 0 and variance 1.

use super::reduce::{SumOptions, sum_into};
use crate::error::{Error, Result};
use crate::kernels::{LayerNorm, LayerNormBackward};
use crate::tensor::Tensor;

/// Returns the number of rows, their width, and the number of weight sets that the rows use in rotation.
fn extents(x: &Tensor, weight: &Tensor) -> Result<[u32; 3]> {
    let fits = match (x.dims(), weight.dims()) {
        ([.., width], [w]) if w == width => Some(1),
        ([.., groups, width], [g, w]) if g == groups && w == width => Some(*groups),
        _ => None,
    };
    match (fits, x.dims()) {
        (Some(groups), [.., width]) => Ok([x.len() / width, *width, groups].map(|n| n as u32)),
        (_, [.., groups, width]) => {
            Err(Error::shape("layer_norm", "weight", format!("[{width}] or [{groups}, {width}]"), weight.dims()))
        }
        (_, [width]) => Err(Error::shape("layer_norm", "weight", format!("[{width}]"), weight.dims())),
        (_, []) => Err(Error::shape("layer_norm", "self", "at least one axis", x.dims())),
    }
}

/// Returns `y` and the statistics that [`layer_norm_backward`] reads.
pub fn layer_norm(x: &Tensor, weight: &Tensor, bias: &Tensor, eps: f32) -> Result<(Tensor, Tensor)> {
    for (arg, tensor) in [("self", x), ("weight", weight), ("bias", bias)] {
        tensor.check_dtype("layer_norm", arg, "f32")?;
    }
    let [rows, width, groups] = extents(x, weight)?;
    if bias.dims() != weight.dims() {
        return Err(Error::shape("layer_norm", "bias", format!("{:?}", weight.dims()), bias.dims()));
    }
    if !(eps >= 0.0 && eps.is_finite()) {
        return Err(Error::value("layer_norm", "eps", "a finite number of at least 0", eps));
    }
    let y = Tensor::empty("layer_norm", x.device(), x.dims())?;
    let stats = Tensor::empty("layer_norm", x.device(), &[rows as usize, 2])?;
    x.device().run(&LayerNorm { rows, width, groups, eps }, [x, weight, bias], [&y, &stats])?;
    Ok((y, stats))
}

/// Returns `dx`, `dweight` and `dbias`. The sums over rows run in a fixed order, so the result is deterministic.
pub fn layer_norm_backward(x: &Tensor, weight: &Tensor, stats: &Tensor, dy: &Tensor) -> Result<[Tensor; 3]> {
    let [rows, width, groups] = extents(x, weight)?;
    let empty = |dims: &[usize]| Tensor::empty("layer_norm_backward", x.device(), dims);
    let (dx, shares) = (empty(x.dims())?, empty(x.dims())?);
    x.device().run(&LayerNormBackward { rows, width, groups }, [x, weight, stats, dy], [&dx, &shares])?;
    let (dweight, dbias) = (empty(weight.dims())?, empty(weight.dims())?);
    let over_rows = [1, (rows / groups) as usize, (groups * width) as usize];
    sum_into(&shares, over_rows, SumOptions::default(), &dweight, 0)?;
    sum_into(dy, over_rows, SumOptions::default(), &dbias, 0)?;
    Ok([dx, dweight, dbias])
}
