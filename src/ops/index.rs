//! Looks up rows of a table by index.

use crate::error::{Error, Result};
use crate::kernels::{Gather, ScatterAdd};
use crate::tensor::{DType, Tensor};

/// Checks that every index is below `rows`, using the maximum stored with the tensor, so that nothing is read back.
pub fn check_indices(op: &'static str, arg: &'static str, index: &Tensor, rows: usize) -> Result<()> {
    match index.dtype() {
        DType::U32 { max } if (max as usize) < rows => Ok(()),
        DType::U32 { max } => Err(Error::value(op, arg, format!("indices below {rows}"), max)),
        DType::F32 => index.check_dtype(op, arg, "u32"),
    }
}

/// `out[.., :] = table[index[..], :]`
pub fn gather(table: &Tensor, index: &Tensor) -> Result<Tensor> {
    let [rows, _] = table.dims()[..] else {
        return Err(Error::shape("gather", "table", "[rows, width]", table.dims()));
    };
    check_indices("gather", "index", index, rows)?;
    gather_unchecked(table, index)
}

/// [`gather`] without a check of the indices: one beyond the table gives NaN.
pub fn gather_unchecked(table: &Tensor, index: &Tensor) -> Result<Tensor> {
    let [rows, width] = table.dims()[..] else {
        return Err(Error::shape("gather", "table", "[rows, width]", table.dims()));
    };
    let out = Tensor::empty("gather", table.device(), &[index.dims(), &[width]].concat())?;
    let kernel = Gather { rows: index.len() as u32, width: width as u32, table_rows: rows as u32 };
    table.device().run(&kernel, [table, index], [&out])?;
    Ok(out.with_dtype(table.dtype()))
}

/// `dtable[index[..], :] += dy[.., :]`, starting from zero
pub fn gather_backward(table_dims: &[usize], index: &Tensor, dy: &Tensor) -> Result<Tensor> {
    let table = Tensor::zeros(dy.device(), table_dims)?;
    let [table_rows, width] = [table_dims[0] as u32, table_dims[1] as u32];
    dy.device().run(&ScatterAdd { rows: index.len() as u32, width, table_rows }, [dy, index], [&table])?;
    Ok(table)
}
