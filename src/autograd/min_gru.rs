//! The minimal GRU as one entry of the tape.

use super::record;
use crate::error::Result;
use crate::ops::min_gru::Direction;
use crate::tensor::Tensor;

impl Tensor {
    /// The states `[T, B, H]` of a minimal GRU with update pre-activations `self` and candidates `v`, from `h0`
    /// `[B, H]` on.
    pub(crate) fn min_gru(&self, v: &Tensor, h0: &Tensor, direction: Direction) -> Result<Tensor> {
        let h = direction.forward(self, v, h0)?;
        let [k, candidates, first, kept] = [self, v, h0, &h].map(Tensor::detach);
        let (inputs, of_h0) = ([self, v, h0], h0.is_tracked());
        let [h] = record("min_gru", &inputs, &[self, v, h0, &kept.clone()], [h], || {
            Box::new(move |dys| match &dys[0] {
                Some(dh) => Ok(direction.backward([&k, &candidates, &first, &kept], dh, of_h0)?.to_vec()),
                None => Ok(vec![None; 3]),
            })
        });
        Ok(h)
    }
}
