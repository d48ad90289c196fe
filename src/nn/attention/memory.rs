//! Masks and prepared keys of an attention layer.

use crate::error::{Error, Result};
use crate::nn::check_lengths;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Selects the keys that queries attend to. The weight of a masked key is exactly 0. Masked keys and their values may
/// contain anything, including NaN; their gradients are 0.
#[derive(Clone, Copy, Debug, Default)]
pub enum KeyMask<'a> {
    /// All keys.
    #[default]
    None,
    /// The first keys of each sequence: one length per sequence, from 0 to all.
    Lengths(&'a [usize]),
    /// The keys that are `true` in `[B, S]`, which does not depend on `batch_first`.
    Keep(&'a [bool]),
}

/// Keys and values that [`Attention::prepare`](super::Attention::prepare) prepared for any number of queries.
#[derive(Clone, Debug)]
pub struct AttentionMemory {
    /// `[B, d, S]` for [`Score::Dot`](super::Score::Dot) and `General`, `[B, 1, S, A]` for `Additive`.
    pub(super) keys: Tensor,
    /// `[B, S, V]`
    pub(super) values: Tensor,
    /// Mask `[B, S]`, on the host and on the device.
    pub(super) keep: Option<(Vec<u32>, Tensor)>,
}

impl AttentionMemory {
    /// Selects sequences by row. Rows may be reordered and repeated, for example for the hypotheses of a beam search.
    ///
    /// # Errors
    /// [`Error::Value`] for a row beyond the batch, or for no rows.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let [batch, steps, _] = self.values.dims()[..] else { unreachable!("values have three axes") };
        let index = check_rows(rows, batch)?;
        let device = self.values.device();
        let index = Tensor::from_indices(device, &index, &[rows.len()])?;
        let pick = |x: &Tensor| -> Result<Tensor> {
            let dims = [&[rows.len()], &x.dims()[1..]].concat();
            x.reshape(&[batch, x.len() / batch])?.gather(&index)?.reshape(&dims)
        };
        let keep = match &self.keep {
            None => None,
            Some((host, _)) => {
                let host: Vec<u32> = rows.iter().flat_map(|&row| host[row * steps..][..steps].to_vec()).collect();
                let marks = Tensor::from_indices(device, &host, &[rows.len(), steps])?;
                Some((host, marks))
            }
        };
        Ok(Self { keys: pick(&self.keys)?, values: pick(&self.values)?, keep })
    }
}

fn check_rows(rows: &[usize], batch: usize) -> Result<Vec<u32>> {
    match rows.iter().find(|&&row| row >= batch) {
        Some(row) => Err(Error::value("attention", "rows", format!("below {batch}"), row)),
        None if rows.is_empty() => Err(Error::value("attention", "rows", "at least one", "none")),
        None => Ok(rows.iter().map(|&row| row as u32).collect()),
    }
}

/// Returns the mask `[B, S]`: 1 for every key that queries attend to; `None` for all keys.
pub(super) fn marks(mask: KeyMask, batch: usize, steps: usize) -> Result<Option<Vec<u32>>> {
    match mask {
        KeyMask::None => Ok(None),
        KeyMask::Lengths(lengths) => {
            check_lengths("attention", lengths, batch, steps)?;
            Ok(Some(lengths.iter().flat_map(|&length| (0..steps).map(move |s| (s < length) as u32)).collect()))
        }
        KeyMask::Keep(keep) => {
            if Shape::new("attention", &[batch, steps])?.len() != keep.len() {
                return Err(Error::shape("attention", "keep", format!("{batch} · {steps} marks"), &[keep.len()]));
            }
            Ok(Some(keep.iter().map(|&k| k as u32).collect()))
        }
    }
}
