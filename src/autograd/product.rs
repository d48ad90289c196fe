//! Matrix products.

use super::record;
use crate::error::Result;
use crate::ops::linalg;
use crate::tensor::Tensor;

impl Tensor {
    /// Returns the matrix product over the last two axes: `[.., m, k]·[k, n]`, or `[batch.., m, k]·[batch.., k, n]`,
    /// where the axes `batch` broadcast, as in `numpy.matmul`.
    ///
    /// ```
    /// use wgru::{Device, Tensor};
    /// let device = Device::cpu();
    /// let (q, k) = (Tensor::ones(&device, &[2, 4, 5, 3])?, Tensor::ones(&device, &[2, 4, 7, 3])?);
    /// let scores = q.matmul(&k.t()?)?;
    /// assert_eq!((scores.dims(), scores.mean()?.item_blocking()?), (&[2, 4, 5, 7][..], 3.0));
    /// # Ok::<(), wgru::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for fewer than two axes, if the extents `k` differ, or if the axes `batch`
    /// do not broadcast.
    pub fn matmul(&self, rhs: &Tensor) -> Result<Tensor> {
        if let Some(dims) = linalg::Axes::broadcast(self, rhs) {
            let [a, b] = [(self, &dims[0]), (rhs, &dims[1])].map(|(x, dims)| match x.dims() == dims {
                true => Ok(x.clone()),
                false => x.expand(dims),
            });
            return a?.matmul(&b?);
        }
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
    /// [`Error::Shape`](crate::Error::Shape) if the last axis is not `in`, or `weight` or `bias` has other extents.
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
