//! One step at a time, for loops written by hand

use super::{Gru, GruConfig, Lstm, LstmConfig, Mode, Module, Rnn, RnnConfig, SequenceInput};
use crate::device::Device;
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::tensor::Tensor;

/// One step of a GRU, as `torch.nn.GRUCell`; the equations are those of [`Gru`].
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{GruCell, GruConfig, Mode}};
/// let device = Device::cpu();
/// let cell = GruCell::new(&device, GruConfig { input: 3, hidden: 5, ..Default::default() }, &mut Rng::new(0))?;
/// let mut h = Tensor::zeros(&device, &[2, 5])?;
/// for _ in 0..4 {
///     h = cell.step(&Tensor::full(&device, 0.5, &[2, 3])?, &h, &mut Mode::Eval)?;
/// }
/// assert_eq!(h.dims(), [2, 5]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub struct GruCell(Gru);

/// One step of an LSTM, as `torch.nn.LSTMCell`; the equations are those of [`Lstm`].
pub struct LstmCell(Lstm);

/// One step of a simple recurrent layer, as `torch.nn.RNNCell`; the equation is that of [`Rnn`].
pub struct RnnCell(Rnn);

/// Refuses what a cell has no place for.
fn check_single(op: &'static str, layers: usize, directions: [bool; 2], dropout: f32, batch_first: bool) -> Result<()> {
    let [bidirectional, reverse] = directions;
    if layers != 1 {
        return Err(Error::value(op, "layers", "1 for a cell", layers));
    }
    for (arg, set) in [("bidirectional", bidirectional), ("reverse", reverse), ("batch_first", batch_first)] {
        if set {
            return Err(Error::value(op, arg, "false for a cell", true));
        }
    }
    if dropout != 0.0 {
        return Err(Error::value(op, "dropout", "0 for a cell", dropout));
    }
    Ok(())
}

/// `[B, n]` as one step or one layer of it.
fn one(op: &'static str, arg: &'static str, t: &Tensor, width: usize) -> Result<Tensor> {
    match *t.dims() {
        [batch, n] if n == width => t.reshape(&[1, batch, n]),
        _ => Err(Error::shape(op, arg, format!("[batch, {width}]"), t.dims())),
    }
}

/// The only step, or the only layer, of `[1, B, n]`.
fn only(t: &Tensor) -> Result<Tensor> {
    t.reshape(&t.dims()[1..])
}

fn without_layer(parameters: Vec<(String, Tensor)>) -> Vec<(String, Tensor)> {
    parameters.into_iter().map(|(name, t)| (name.trim_end_matches("_l0").to_string(), t)).collect()
}

impl GruCell {
    /// A cell with fresh weights.
    ///
    /// # Errors
    /// [`Error::Value`] for more than one layer or direction, dropout between layers, or what [`Gru::new`] refuses.
    pub fn new(device: &Device, config: GruConfig, rng: &mut Rng) -> Result<Self> {
        let directions = [config.bidirectional, config.reverse];
        check_single("gru_cell", config.layers, directions, config.dropout, config.batch_first)?;
        Ok(Self(Gru::new(device, config, rng)?))
    }

    /// The next state `[B, H]` from `x` `[B, I]` and `h` `[B, H]`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`], [`Error::DeviceMix`].
    pub fn step(&self, x: &Tensor, h: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let x = one("gru_cell", "x", x, self.0.config().input)?;
        let h = one("gru_cell", "h", h, self.0.config().hidden)?;
        only(&self.0.run(&x, SequenceInput { h0: Some(&h), ..Default::default() }, mode)?.h_n)
    }
}

impl LstmCell {
    /// A cell with fresh weights.
    ///
    /// # Errors
    /// As [`GruCell::new`].
    pub fn new(device: &Device, config: LstmConfig, rng: &mut Rng) -> Result<Self> {
        let directions = [config.bidirectional, config.reverse];
        check_single("lstm_cell", config.layers, directions, config.dropout, config.batch_first)?;
        Ok(Self(Lstm::new(device, config, rng)?))
    }

    /// The next states `h` `[B, P]` and `c` `[B, H]` from `x` `[B, I]` and the states before; `P` is the projection's
    /// width or H.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`], [`Error::DeviceMix`].
    pub fn step(&self, x: &Tensor, h: &Tensor, c: &Tensor, mode: &mut Mode) -> Result<(Tensor, Tensor)> {
        let config = self.0.config();
        let out = if config.projection == 0 { config.hidden } else { config.projection };
        let x = one("lstm_cell", "x", x, config.input)?;
        let (h, c) = (one("lstm_cell", "h", h, out)?, one("lstm_cell", "c", c, config.hidden)?);
        let run = self.0.run(&x, SequenceInput { h0: Some(&h), c0: Some(&c), ..Default::default() }, mode)?;
        Ok((only(&run.h_n)?, only(&run.c_n)?))
    }
}

impl RnnCell {
    /// A cell with fresh weights.
    ///
    /// # Errors
    /// As [`GruCell::new`].
    pub fn new(device: &Device, config: RnnConfig, rng: &mut Rng) -> Result<Self> {
        let directions = [config.bidirectional, config.reverse];
        check_single("rnn_cell", config.layers, directions, config.dropout, config.batch_first)?;
        Ok(Self(Rnn::new(device, config, rng)?))
    }

    /// The next state `[B, H]` from `x` `[B, I]` and `h` `[B, H]`.
    ///
    /// # Errors
    /// [`Error::Shape`], [`Error::DType`], [`Error::DeviceMix`].
    pub fn step(&self, x: &Tensor, h: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        let x = one("rnn_cell", "x", x, self.0.config().input)?;
        let h = one("rnn_cell", "h", h, self.0.config().hidden)?;
        only(&self.0.run(&x, SequenceInput { h0: Some(&h), ..Default::default() }, mode)?.h_n)
    }
}

impl Module for GruCell {
    /// `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        without_layer(self.0.parameters())
    }

    /// The state after one step from a state of zeros.
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        only(&self.0.forward(&one("gru_cell", "x", x, self.0.config().input)?, mode)?)
    }
}

impl Module for LstmCell {
    /// `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`, `weight_hr`, `weight_peephole`.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        without_layer(self.0.parameters())
    }

    /// The hidden state after one step from states of zeros.
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        only(&self.0.forward(&one("lstm_cell", "x", x, self.0.config().input)?, mode)?)
    }
}

impl Module for RnnCell {
    /// `weight_ih`, `weight_hh`, `bias_ih`, `bias_hh`.
    fn parameters(&self) -> Vec<(String, Tensor)> {
        without_layer(self.0.parameters())
    }

    /// The state after one step from a state of zeros.
    fn forward(&self, x: &Tensor, mode: &mut Mode) -> Result<Tensor> {
        only(&self.0.forward(&one("rnn_cell", "x", x, self.0.config().input)?, mode)?)
    }
}
