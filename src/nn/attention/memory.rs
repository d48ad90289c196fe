//! Which keys an attention sees, and what it keeps of them

use crate::error::{Error, Result};
use crate::nn::check_lengths;
use crate::shape::Shape;
use crate::tensor::Tensor;

/// Which keys may be attended to. The weight of any other is exactly 0. Its key and its value may hold anything, NaN
/// included, and their gradients are 0.
#[derive(Clone, Copy, Debug, Default)]
pub enum KeyMask<'a> {
    /// All.
    #[default]
    None,
    /// The first so many keys of each sequence, from 0 to all.
    Lengths(&'a [usize]),
    /// Those marked in `[B, S]`, whatever the order of the axes of the keys.
    Keep(&'a [bool]),
}

/// Keys and values, prepared for any number of queries by [`Attention::prepare`](super::Attention::prepare).
#[derive(Clone, Debug)]
pub struct AttentionMemory {
    /// `[B, d, S]` for products, `[B, 1, S, A]` for sums.
    pub(super) keys: Tensor,
    /// `[B, S, V]`
    pub(super) values: Tensor,
    /// `[B, S]` on the host and on the device.
    pub(super) keep: Option<(Vec<u32>, Tensor)>,
}

impl AttentionMemory {
    /// The memory of some of the sequences, each as often as its row is named: for the hypotheses of a beam.
    ///
    /// # Errors
    /// [`Error::Value`] for a row past the batch, or without rows.
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

/// 1 for every key that may be attended to.
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
