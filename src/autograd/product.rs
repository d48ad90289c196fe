//! Matrix products.

use super::record;
use crate::error::Result;
use crate::ops::linalg;
use crate::tensor::Tensor;

impl Tensor {
    /// The matrix product over the last two axes: `[.., m, k]·[k, n]` or `[batch, m, k]·[batch, k, n]`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when the inner extents differ.
    pub fn matmul(&self, rhs: &Tensor) -> Result<Tensor> {
        let y = linalg::matmul(self, rhs)?;
        let (a, b) = (self.detach(), rhs.detach());
        let [y] = record("matmul", &[self, rhs], &[self, rhs], [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(linalg::matmul_backward(&a, &b, dy)?.map(Some).to_vec()),
                None => Ok(vec![None, None]),
            })
        });
        Ok(y)
    }

    /// `self·Wᵀ + b` with `W` `[out, in]`, as `torch.nn.functional.linear`.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) when the last axis is not `in`.
    pub fn linear(&self, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
        let y = linalg::linear(self, weight, bias)?;
        let (x, w) = (self.detach(), weight.detach());
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        let count = inputs.len();
        let wanted = [self.is_tracked(), weight.is_tracked(), bias.is_some_and(Tensor::is_tracked)];
        let [y] = record("linear", &inputs, &[self, weight], [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(linalg::linear_backward(&x, &w, dy, wanted)?.into_iter().take(count).collect()),
                None => Ok(vec![None; count]),
            })
        });
        Ok(y)
    }
}
