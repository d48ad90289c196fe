//! Matrix products.

use super::{Args, Builder, Op, Operator, function, host};
use crate::error::{Error, Result};
use crate::io::onnx::ints::extent;
use crate::io::onnx::meter::Cost;
use crate::ops::movement;
use crate::tensor::Tensor;

pub const TABLE: &[Operator] = &[Operator::new("MatMul", 2..=2, matmul), Operator::new("Gemm", 2..=3, gemm)];

fn matmul(_: &mut Builder) -> Result<Op> {
    let cost = |args: &Args| product_cost(args.tensor(0)?.dims(), args.tensor(1)?.dims());
    function(cost, |args| Ok(vec![product(args.tensor(0)?, args.tensor(1)?)?.into()]))
}

/// Returns the cost of the result, and of operands that are repeated over a batch.
pub fn product_cost(a: &[usize], b: &[usize]) -> Result<Cost> {
    let (a, b) = (if let &[k] = a { &[1, k] } else { a }, if let &[k] = b { &[k, 1] } else { b });
    let ([a_batch @ .., m, k], [b_batch @ .., _, n]) = (a, b) else { return Ok(Cost::default()) };
    let batch = extent(&host::broadcast(a_batch, b_batch)?)?;
    let repeated =
        if b_batch.is_empty() { 0 } else { extent(&[batch, *m, *k])?.saturating_add(extent(&[batch, *k, *n])?) };
    Ok(Cost::floats(extent(&[batch, *m, *n])?) + Cost::floats(repeated) + Cost::product([batch, *m, *k, *n]))
}

/// Computes the product by NumPy's rule: a vector counts as one row or one column, and axes before the last two
/// broadcast.
pub fn product(a: &Tensor, b: &Tensor) -> Result<Tensor> {
    match (a.dims(), b.dims()) {
        ([], _) | (_, []) => Err(Error::shape("onnx", "inputs", "at least one axis", &[])),
        (&[k], _) => {
            let y = product(&a.reshape(&[1, k])?, b)?;
            let mut dims = y.dims().to_vec();
            dims.remove(dims.len() - 1 - (b.dims().len() > 1) as usize);
            y.reshape(&dims)
        }
        (_, &[k]) => {
            let y = product(a, &b.reshape(&[k, 1])?)?;
            y.reshape(&y.dims()[..y.dims().len() - 1])
        }
        (_, [_, _]) => a.matmul(b),
        ([a_batch @ .., m, k], [b_batch @ .., kb, n]) => {
            let batch = host::broadcast(a_batch, b_batch)?;
            let whole = |x: &Tensor, rows: usize, cols: usize| {
                let dims = [&batch[..], &[rows, cols]].concat();
                let x = if x.dims() == dims { x.clone() } else { movement::expand(x, &dims)? };
                x.reshape(&[extent(&batch)?, rows, cols])
            };
            whole(a, *m, *k)?.matmul(&whole(b, *kb, *n)?)?.reshape(&[&batch[..], &[*m, *n]].concat())
        }
    }
}

/// `α·A'·B' + β·C`
fn gemm(b: &mut Builder) -> Result<Op> {
    let (alpha, beta) = (b.float("alpha")?.unwrap_or(1.0), b.float("beta")?.unwrap_or(1.0));
    if b.opset < 7 {
        b.flag("broadcast", false)?;
    }
    let (trans_a, trans_b) = (b.flag("transA", false)?, b.flag("transB", false)?);
    let sizes = move |args: &Args| -> Result<[usize; 3]> {
        let pair = |i: usize, transposed: bool| match *args.tensor(i)?.dims() {
            [rows, cols] if transposed => Ok([cols, rows]),
            [rows, cols] => Ok([rows, cols]),
            ref other => Err(Error::shape("onnx", "inputs", "two axes", other)),
        };
        let ([m, k], [_, n]) = (pair(0, trans_a)?, pair(1, trans_b)?);
        Ok([m, k, n])
    };
    let cost = move |args: &Args| {
        let [m, k, n] = sizes(args)?;
        // The product, its scaled copy, scaled C, and the sum; then A transposed.
        Ok(Cost::floats(extent(&[m, n])?).times(4) + Cost::floats(extent(&[m, k])?) + Cost::product([1, m, k, n]))
    };
    function(cost, move |args| {
        let [m, _, n] = sizes(args)?;
        let (a, w, c) = (args.tensor(0)?, args.tensor(1)?, args.optional(2)?);
        if let Some(c) = c {
            host::check_broadcasts_to("C", c, &[m, n])?;
        }
        let a = if trans_a { a.permute(&[1, 0])? } else { a.clone() };
        if let (true, Some(bias), 1.0, 1.0) = (trans_b, c, alpha, beta)
            && bias.dims() == [w.dims()[0]]
        {
            return Ok(vec![a.linear(w, Some(bias))?.into()]);
        }
        let mut y = if trans_b { a.linear(w, None)? } else { a.matmul(w)? };
        if alpha != 1.0 {
            y = y.scale(alpha)?;
        }
        // With β = 0, C is not read, as in BLAS, so its NaN does not propagate.
        if let Some(c) = c.filter(|_| beta != 0.0) {
            y = y.add(&if beta == 1.0 { c.clone() } else { c.scale(beta)? })?;
        }
        Ok(vec![y.into()])
    })
}
