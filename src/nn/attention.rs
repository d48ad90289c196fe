//! Attention layer.

mod memory;

use memory::marks;
pub use memory::{AttentionMemory, KeyMask};

use super::{Mode, Module, check_sizes, uniform};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// Function that scores a key `k` for a query `q`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Score {
    /// `q·k`; both have the same width.
    #[default]
    Dot,
    /// `q·W·k`: Luong et al. (2015).
    General,
    /// `v·tanh(W·q + U·k)`: Bahdanau et al. (2015).
    Additive {
        /// A, the width of `W·q` and `U·k`.
        units: usize,
    },
}

/// Configuration of an [`Attention`].
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionConfig {
    /// Features of a query.
    pub query: usize,
    /// Features of a key.
    pub key: usize,
    /// Function that scores a key for a query.
    pub score: Score,
    /// Whether scores are divided by the square root of the number of products summed: the query width, or A.
    pub scaled: bool,
    /// Whether queries, keys, values and contexts are `[B, steps, ..]` instead of `[steps, B, ..]`.
    pub batch_first: bool,
}

impl Default for AttentionConfig {
    fn default() -> Self {
        Self { query: 32, key: 32, score: Score::Dot, scaled: false, batch_first: false }
    }
}

impl AttentionConfig {
    /// Builds a layer with random weights.
    ///
    /// # Errors
    /// Same as [`Attention::new`].
    pub fn build(self, device: &Device, rng: &mut Rng) -> Result<Attention> {
        Attention::new(device, self, rng)
    }
}

/// Result of [`Attention::run`].
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// `[Q, B, V]` or `[B, Q, V]`: the average of the values, weighted by `weights`.
    pub context: Tensor,
    /// `[B, Q, S]`: the weight of each value in each context. Rows add up to 1, or are 0 if all keys are masked.
    pub weights: Tensor,
}

/// Attention: the context of a query is an average of the values, weighted by the scores of their keys.
///
/// ```text
/// e_s = score(q, k_s)        a = softmax(e) over the keys that the mask keeps        context = Σ_s a_s·v_s
///
/// dot: q·k        general: q·W·k        additive: v·tanh(W·q + U·k)        scaled: divided by √(number of products)
/// ```
///
/// Sequences are time-first unless `batch_first`: queries `[Q, B, query]`, keys `[S, B, key]`, values `[S, B, V]`.
///
/// Parameters: none for `Dot`; `key.weight` `[query, key]` for `General`; `query.weight` `[A, query]`, `key.weight`
/// `[A, key]` and `score.weight` `[1, A]` for `Additive`.
///
/// Bahdanau, Cho, Bengio: *Neural machine translation by jointly learning to align and translate* (2015).
/// Luong, Pham, Manning: *Effective approaches to attention-based neural machine translation* (2015).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{AttentionConfig, KeyMask, Mode, Score}};
/// let device = Device::cpu();
/// let config = AttentionConfig { query: 4, key: 6, score: Score::Additive { units: 8 }, ..Default::default() };
/// let attention = config.build(&device, &mut Rng::new(0))?;
/// let query = Tensor::zeros(&device, &[1, 2, 4])?;                        // one query for each of 2 sequences
/// let keys = Tensor::full(&device, 0.5, &[5, 2, 6])?;                     // 5 keys each, the second has only 2
/// let out = attention.run(&query, &keys, &keys, KeyMask::Lengths(&[5, 2]), &mut Mode::Eval)?;
/// assert_eq!(out.context.dims(), [1, 2, 6]);
/// assert_eq!(out.weights.read_blocking()?[5..], [0.5, 0.5, 0.0, 0.0, 0.0]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Attention {
    config: AttentionConfig,
    device: Device,
    /// `key.weight`, `query.weight` and `score.weight`, if the score function uses them.
    weights: Vec<(&'static str, Tensor)>,
}

impl Attention {
    /// Creates a layer with weights uniform in `±1/√in`, like those of [`Linear`](super::Linear).
    ///
    /// # Errors
    /// [`Error::Value`] for a size of 0, or for [`Score::Dot`] with different widths of queries and keys.
    pub fn new(device: &Device, config: AttentionConfig, rng: &mut Rng) -> Result<Self> {
        let units = if let Score::Additive { units } = config.score { units } else { 1 };
        check_sizes("Attention", [("query", config.query), ("key", config.key), ("units", units)])?;
        if config.score == Score::Dot && config.query != config.key {
            let expected = format!("the width of a query, {}, for a dot product", config.query);
            return Err(Error::value("Attention", "key", expected, config.key));
        }
        let mut weight = |name, out: usize, input: usize| -> Result<_> {
            Ok((name, uniform(device, &[out, input], 1.0 / (input as f32).sqrt(), rng)?))
        };
        let weights = match config.score {
            Score::Dot => vec![],
            Score::General => vec![weight("key.weight", config.query, config.key)?],
            Score::Additive { units } => vec![
                weight("key.weight", units, config.key)?,
                weight("query.weight", units, config.query)?,
                weight("score.weight", 1, units)?,
            ],
        };
        Ok(Self { config, device: device.clone(), weights })
    }

    /// Returns the configuration.
    pub fn config(&self) -> &AttentionConfig {
        &self.config
    }

    /// Computes the context of every query from the keys and values of its sequence.
    ///
    /// # Errors
    /// Errors from [`prepare`](Self::prepare) and [`attend`](Self::attend).
    pub fn run(
        &self,
        query: &Tensor,
        keys: &Tensor,
        values: &Tensor,
        mask: KeyMask,
        mode: &Mode,
    ) -> Result<AttentionOutput> {
        self.attend(query, &self.prepare(keys, values, mask, mode)?, mode)
    }

    /// Prepares keys, values and mask for any number of queries. A decoder prepares once and attends at every step.
    ///
    /// # Errors
    /// [`Error::Shape`] for keys, values or a mask of the wrong shape, [`Error::Value`] for a length beyond the keys,
    /// [`Error::DeviceMix`], [`Error::DType`].
    pub fn prepare(&self, keys: &Tensor, values: &Tensor, mask: KeyMask, mode: &Mode) -> Result<AttentionMemory> {
        let keys = self.sequences("keys", keys, Some(self.config.key))?;
        let [batch, steps] = [keys.dims()[0], keys.dims()[1]];
        let given = values.dims();
        let values = self.sequences("values", values, None)?;
        if values.dims()[..2] != [batch, steps] {
            return Err(Error::shape("attention", "values", self.axes(steps, batch, "V"), given));
        }
        let keep = marks(mask, batch, steps)?;
        // Masked keys and values become 0 first, since 0·NaN is NaN.
        let (keys, values) = match &keep {
            Some(host) if host.contains(&0) => {
                let factors: Vec<f32> = host.iter().map(|&keep| keep as f32).collect();
                let factors = Tensor::from_slice(&self.device, &factors, &[batch, steps, 1])?;
                (keys.mask(&factors)?, values.mask(&factors)?)
            }
            _ => (keys, values),
        };
        let weight = |index: usize| mode.parameter(&self.weights[index].1);
        let keys = match self.config.score {
            Score::Dot => keys.permute(&[0, 2, 1])?,
            Score::General => keys.linear(&weight(0), None)?.permute(&[0, 2, 1])?,
            Score::Additive { units } => keys.linear(&weight(0), None)?.reshape(&[batch, 1, steps, units])?,
        };
        let keep = match keep {
            None => None,
            Some(host) => {
                let on_device = Tensor::from_indices(&self.device, &host, &[batch, steps])?;
                Some((host, on_device))
            }
        };
        Ok(AttentionMemory { keys, values, keep })
    }

    /// Computes the context of every query from prepared keys and values.
    ///
    /// # Errors
    /// [`Error::Shape`] for queries of the wrong shape, [`Error::DeviceMix`], [`Error::DType`].
    pub fn attend(&self, query: &Tensor, memory: &AttentionMemory, mode: &Mode) -> Result<AttentionOutput> {
        let q = self.sequences("query", query, Some(self.config.query))?;
        let [batch, steps, _] = memory.values.dims()[..] else { unreachable!("values have three axes") };
        let queries = q.dims()[1];
        if q.dims()[0] != batch {
            return Err(Error::shape("attention", "query", self.axes(queries, batch, self.config.query), query.dims()));
        }
        let (scores, products) = match self.config.score {
            Score::Dot | Score::General => (q.matmul(&memory.keys)?, self.config.query),
            Score::Additive { units } => {
                let weight = |index: usize| mode.parameter(&self.weights[index].1);
                let q = q.linear(&weight(1), None)?.reshape(&[batch, queries, 1, units])?;
                let sums = q.add(&memory.keys)?.tanh()?.linear(&weight(2), None)?;
                (sums.reshape(&[batch, queries, steps])?, units)
            }
        };
        let scores = if self.config.scaled { scores.scale(1.0 / (products as f32).sqrt())? } else { scores };
        let weights = match &memory.keep {
            None => scores.softmax()?,
            Some((_, keep)) => scores.masked_softmax(keep)?,
        };
        let context = weights.matmul(&memory.values)?;
        let context = if self.config.batch_first { context } else { context.permute(&[1, 0, 2])? };
        Ok(AttentionOutput { context, weights })
    }

    /// Checks `x` and returns it batch-first.
    fn sequences(&self, arg: &'static str, x: &Tensor, width: Option<usize>) -> Result<Tensor> {
        x.check_dtype("attention", arg, "f32")?;
        self.device.check_same("attention", arg, x)?;
        match *x.dims() {
            [_, _, w] if width.is_none_or(|width| width == w) => {
                if self.config.batch_first {
                    Ok(x.clone())
                } else {
                    x.permute(&[1, 0, 2])
                }
            }
            _ => {
                let width = width.map_or("V".into(), |w| w.to_string());
                Err(Error::shape("attention", arg, self.axes("steps", "batch", width), x.dims()))
            }
        }
    }

    fn axes(&self, steps: impl ToString, batch: impl ToString, width: impl ToString) -> String {
        let (steps, batch) = (steps.to_string(), batch.to_string());
        let [outer, inner] = if self.config.batch_first { [batch, steps] } else { [steps, batch] };
        format!("[{outer}, {inner}, {}]", width.to_string())
    }
}

impl Module for Attention {
    fn parameters(&self) -> Vec<(String, Tensor)> {
        self.weights.iter().map(|(name, tensor)| (name.to_string(), tensor.clone())).collect()
    }

    /// Applies self-attention: the context of [`Attention::run`] with `x` as queries, keys and values.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        Ok(self.run(x, x, x, KeyMask::None, mode)?.context)
    }
}
