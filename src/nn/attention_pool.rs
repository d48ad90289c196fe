//! Attention pooling layer.

use super::{Mode, Module, check_lengths, check_sequences, check_sizes, uniform};
use crate::device::Device;
use crate::error::Result;
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Result of [`AttentionPool::run`].
#[derive(Clone, Debug)]
pub struct PoolOutput {
    /// `[B, F]`: the average of each sequence's steps, weighted by `weights`.
    pub output: Tensor,
    /// `[B, T]`: the weight of each step. Each row adds up to 1, or is 0 for a sequence without steps.
    pub weights: Tensor,
}

/// Attention pooling: averages the steps of each sequence into one vector, with learned weights. The weights show which
/// steps matter to the model.
///
/// ```text
/// e_t = v·tanh(W·x_t + b)        a = softmax(e) over the valid steps        y = Σ_t a_t·x_t
/// ```
///
/// Reads the outputs of a (bidirectional) recurrent layer, `[B, T, F]`. Other ways to pool them over their lengths are
/// [`masked_mean`](Tensor::masked_mean), [`masked_max`](Tensor::masked_max) (both time-first) and
/// [`last_state`](super::RecurrentOutput::last_state).
///
/// Parameters: `key.weight` `[A, F]`, `key.bias` `[A]`, `score.weight` `[1, A]`, with `A` units.
///
/// Yang and others: *Hierarchical attention networks for document classification* (2016).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{AttentionPool, Mode, RecurrentConfig, RunOptions}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let config = RecurrentConfig { batch_first: true, bidirectional: true, ..RecurrentConfig::gru(3, 8) };
/// let gru = config.build(&device, &mut rng)?;
/// let pool = AttentionPool::new(&device, 16, 10, &mut rng)?;
/// let (x, lengths) = (Tensor::ones(&device, &[2, 5, 3])?, [5, 2]);
/// let run = gru.run(&x, RunOptions { lengths: Some(&lengths), ..Default::default() }, &mut Mode::Eval)?;
/// let pooled = pool.run(&run.output, Some(&lengths), &mut Mode::Eval)?;
/// assert_eq!(pooled.output.dims(), [2, 16]);
/// assert_eq!(pooled.weights.read_blocking()?[7..], [0.0, 0.0, 0.0]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct AttentionPool {
    weight: Tensor,
    bias: Tensor,
    score: Tensor,
}

impl AttentionPool {
    /// Creates a layer for `input` features, with `units` hidden units. Its parameters are uniform in `±1/√in`, like
    /// those of [`Linear`](super::Linear).
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a size of 0.
    pub fn new(device: &Device, input: usize, units: usize, rng: &mut Rng) -> Result<Self> {
        check_sizes("AttentionPool", [("input", input), ("units", units)])?;
        let [of_input, of_units] = [input, units].map(|size| 1.0 / (size as f32).sqrt());
        Ok(Self {
            weight: uniform(device, &[units, input], of_input, rng)?,
            bias: uniform(device, &[units], of_input, rng)?,
            score: uniform(device, &[1, units], of_units, rng)?,
        })
    }

    /// Pools sequences `[B, T, F]` over their first `lengths` steps, or over all steps without `lengths`. The padding
    /// may hold any values, even NaN, and its gradient is 0.
    ///
    /// # Errors
    /// [`Error::Shape`](crate::Error::Shape) for another shape or number of lengths,
    /// [`Error::Value`](crate::Error::Value) for a length above T, [`Error::DType`](crate::Error::DType),
    /// [`Error::DeviceMix`](crate::Error::DeviceMix).
    pub fn run(&self, x: &Tensor, lengths: Option<&[usize]>, mode: &mut Mode) -> Result<PoolOutput> {
        const OP: &str = "attention_pool";
        let (device, width) = (self.weight.device(), self.weight.dims()[1]);
        let (steps, batch) = check_sequences(OP, device, x, true, width)?;
        let keep: Option<Vec<u32>> = match lengths {
            None => None,
            Some(lengths) => {
                check_lengths(OP, lengths, batch, steps)?;
                Some(lengths.iter().flat_map(|&length| (0..steps).map(move |t| u32::from(t < length))).collect())
            }
        };
        // Sets the padding to 0, since 0·NaN is NaN.
        let x = match &keep {
            None => x.clone(),
            Some(keep) => {
                let factors: Vec<f32> = keep.iter().map(|&keep| keep as f32).collect();
                x.mask(&Tensor::from_slice(device, &factors, &[batch, steps, 1])?)?
            }
        };
        let [weight, bias, score] = [&self.weight, &self.bias, &self.score].map(|p| mode.parameter(p));
        let scores = x.linear(&weight, Some(&bias))?.tanh()?.linear(&score, None)?.reshape(&[batch, steps])?;
        let weights = match &keep {
            None => scores.softmax()?,
            Some(keep) => scores.masked_softmax(&Tensor::from_indices(device, keep, &[batch, steps])?)?,
        };
        let output = weights.reshape(&[batch, 1, steps])?.matmul(&x)?.reshape(&[batch, width])?;
        Ok(PoolOutput { output, weights })
    }
}

impl Module for AttentionPool {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let named = [("key.weight", &self.weight), ("key.bias", &self.bias), ("score.weight", &self.score)];
        named.map(|(name, tensor)| (name.to_string(), tensor.clone())).to_vec()
    }

    /// Pools over all steps: [`AttentionPool::run`] without lengths.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, None, mode)?.output)
    }

    #[cfg(feature = "autograd")]
    fn forward_padded(&self, x: &Tensor, lengths: &[usize], mode: &mut Mode) -> Result<super::Padded> {
        Ok(super::Padded::Rows(self.run(x, Some(lengths), mode)?.output))
    }
}
