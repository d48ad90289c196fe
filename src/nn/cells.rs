//! Single steps of recurrent cells, for hand-written loops.

use super::{Mode, Module, Recurrent, RecurrentConfig, RunOptions};
use crate::cell::Cell;
use crate::device::Device;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// One step of any cell. [`GruCell`], [`LstmCell`] and [`RnnCell`] are aliases with PyTorch's names.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Mode, RecurrentCell, RecurrentConfig}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let gru = RecurrentCell::new(&device, RecurrentConfig::gru(3, 5), &mut rng)?;
/// let mut h = Tensor::zeros(&device, &[2, 5])?;
/// for _ in 0..4 {
///     (h, _) = gru.step(&Tensor::full(&device, 0.5, &[2, 3])?, &h, None, &mut Mode::Eval)?;
/// }
/// assert_eq!(h.dims(), [2, 5]);
///
/// let lstm = RecurrentCell::new(&device, RecurrentConfig::lstm(3, 5), &mut rng)?;
/// let (h, c) = lstm.step(&Tensor::zeros(&device, &[2, 3])?, &h, Some(&h), &mut Mode::Eval)?;
/// assert_eq!((h.dims(), c.is_some()), (&[2, 5][..], true));
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct RecurrentCell(Recurrent);

/// One step of a GRU, as `torch.nn.GRUCell`; the equations are those of [`Gru`](super::Gru).
pub type GruCell = RecurrentCell;
/// One step of an LSTM, as `torch.nn.LSTMCell`; the equations are those of [`Lstm`](super::Lstm).
pub type LstmCell = RecurrentCell;
/// One step of a simple recurrent layer, as `torch.nn.RNNCell`; the equation is that of [`Rnn`](super::Rnn).
pub type RnnCell = RecurrentCell;

/// Reshapes `[B, n]` to one step, or to the state of one layer: `[1, B, n]`.
fn one(arg: &'static str, t: &Tensor, width: usize) -> Result<Tensor> {
    match *t.dims() {
        [batch, n] if n == width => t.reshape(&[1, batch, n]),
        _ => Err(Error::shape("RecurrentCell", arg, format!("[batch, {width}]"), t.dims())),
    }
}

/// Removes the axis of the only step or layer from `[1, B, n]`.
fn only(t: &Tensor) -> Result<Tensor> {
    t.reshape(&t.dims()[1..])
}

impl RecurrentCell {
    /// Creates a cell with random weights.
    ///
    /// # Errors
    /// [`Error::Value`] for more than one layer or direction, `reverse`, `batch_first`, or dropout between layers;
    /// otherwise like [`Recurrent::new`].
    pub fn new(device: &Device, config: RecurrentConfig, rng: &mut Rng) -> Result<Self> {
        let op = "RecurrentCell";
        if config.layers != 1 {
            return Err(Error::value(op, "layers", "1 for a cell", config.layers));
        }
        let flags =
            [("bidirectional", config.bidirectional), ("reverse", config.reverse), ("batch_first", config.batch_first)];
        if let Some((arg, _)) = flags.into_iter().find(|(_, is_set)| *is_set) {
            return Err(Error::value(op, arg, "false for a cell", true));
        }
        if config.dropout != 0.0 {
            return Err(Error::value(op, "dropout", "0 for a cell", config.dropout));
        }
        Ok(Self(config.build(device, rng)?))
    }

    /// Returns the configuration.
    pub fn config(&self) -> &RecurrentConfig {
        self.0.config()
    }

    /// Computes the next state from `x` `[B, I]` and the state: `h` `[B, P]` and, for an LSTM, `c` `[B, H]`. `P` is the
    /// projection's width or H. Without `c`, an LSTM uses zeros, or the learned `c0`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`], [`Error::DeviceMix`].
    pub fn step(
        &self,
        x: &Tensor,
        h: &Tensor,
        c: Option<&Tensor>,
        mode: &mut Mode,
    ) -> Result<(Tensor, Option<Tensor>)> {
        let config = self.0.config();
        let (x, h) = (one("x", x, config.input)?, one("h", h, config.out())?);
        let c = match (c, config.cell) {
            (Some(c), Cell::Lstm) => Some(one("c", c, config.hidden)?),
            (Some(c), _) => return Err(Error::shape("RecurrentCell", "c", "none for this cell", c.dims())),
            (None, _) => None,
        };
        let run = self.0.run(&x, RunOptions { h0: Some(&h), c0: c.as_ref(), ..Default::default() }, mode)?;
        Ok((only(&run.h_n)?, run.c_n.as_ref().map(only).transpose()?))
    }
}

impl Module for RecurrentCell {
    /// Returns `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, and for an LSTM `weight_hr` and `weight_peephole`, if
    /// the cell has them.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        let name = |name: String| name.trim_end_matches("_l0").to_string();
        self.0.parameters().into_iter().map(|(n, t)| (name(n), t)).collect()
    }

    /// Returns the hidden state after one step from zeros, or from the learned initial state.
    fn forward_with(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        only(&self.0.forward_with(&one("x", x, self.0.config().input)?, mode)?)
    }
}
