//! Convolutions.

use super::record;
use crate::error::Result;
use crate::ops::conv::{Conv, Window};
use crate::tensor::Tensor;

impl Tensor {
    /// Convolves `[T, B, in]` over time with `weight` `[out, in / groups, kernel]`. Returns `[T', B, out]`.
    pub(crate) fn conv1d(&self, weight: &Tensor, bias: Option<&Tensor>, window: Window) -> Result<Tensor> {
        let conv = Conv::of(self, weight, bias, window)?;
        let y = conv.forward(self, weight, bias)?;
        let (x, w) = (self.detach(), weight.detach());
        let inputs: Vec<&Tensor> = [self, weight].into_iter().chain(bias).collect();
        let (count, wanted) = (inputs.len(), self.is_tracked());
        let [y] = record("conv1d", &inputs, &[self, weight], [y], || {
            Box::new(move |dys| match &dys[0] {
                Some(dy) => Ok(conv.backward(&x, &w, dy, wanted)?.into_iter().take(count).collect()),
                None => Ok(vec![None; count]),
            })
        });
        Ok(y)
    }
}
