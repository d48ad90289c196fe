//! Aliases with PyTorch's layer names, documented with the equations of the cells.

use super::Recurrent;
#[cfg(doc)]
use crate::cell::Cell;

/// A gated recurrent unit over sequences, as `torch.nn.GRU`:
///
/// ```text
/// r = σ(W_r·x + b_r + U_r·h + d_r)    z = σ(W_z·x + b_z + U_z·h + d_z)    h' = (1 − z)⊙n + z⊙h
/// reset after:   n = tanh(W_n·x + b_n + r⊙(U_n·h + d_n))
/// reset before:  n = tanh(W_n·x + b_n + U_n·(r⊙h) + d_n)
/// ```
///
/// The update is computed as `n + z⊙(h − n)`, as in PyTorch. With an infinite state, the other form gives a different
/// result.
///
/// Cho et al.: *Learning phrase representations using RNN encoder-decoder* (2014).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Gru, Mode, Module, RecurrentConfig, RunOptions}};
/// let device = Device::cpu();
/// let config = RecurrentConfig { layers: 2, ..RecurrentConfig::gru(4, 8) };
/// let gru: Gru = config.build(&device, &mut Rng::new(0))?;
/// let x = Tensor::zeros(&device, &[10, 3, 4])?;                           // 10 steps, 3 sequences
/// assert_eq!(gru.forward(&x)?.dims(), [10, 3, 8]);
/// let run = gru.run(&x, RunOptions { lengths: Some(&[10, 7, 1]), ..Default::default() }, &mut Mode::Eval)?;
/// assert_eq!((run.output.dims(), run.h_n.dims()), (&[10, 3, 8][..], &[2, 3, 8][..]));
/// # Ok::<(), wgru::Error>(())
/// ```
pub type Gru = Recurrent;

/// A long short-term memory over sequences, as `torch.nn.LSTM`, with gates in its order i, f, g, o:
///
/// ```text
/// i = σ(W_i·x + b_i + U_i·h + d_i)    f = σ(W_f·x + b_f + U_f·h + d_f)    g = tanh(W_g·x + b_g + U_g·h + d_g)
/// o = σ(W_o·x + b_o + U_o·h + d_o)    c' = f⊙c + i⊙g    h' = o⊙tanh(c')
/// projection:    h' = W_hr·(o⊙tanh(c'))
/// peepholes:     i and f also add p_i⊙c and p_f⊙c, o adds p_o⊙c'
/// input_forget:  f = 1 − i
/// ```
///
/// Hochreiter and Schmidhuber (1997); Gers et al. (2000); Sak et al. (2014).
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Lstm, Mode, RecurrentConfig, RunOptions}};
/// let device = Device::cpu();
/// let config = RecurrentConfig { projection: 5, ..RecurrentConfig::lstm(4, 8) };
/// let lstm: Lstm = config.build(&device, &mut Rng::new(0))?;
/// let run = lstm.run(&Tensor::zeros(&device, &[10, 3, 4])?, RunOptions::default(), &mut Mode::Eval)?;
/// assert_eq!(run.output.dims(), [10, 3, 5]);
/// assert_eq!(run.h_n.dims(), [1, 3, 5]);
/// assert_eq!(run.c_n.map(|c| c.dims().to_vec()), Some(vec![1, 3, 8]));
/// # Ok::<(), wgru::Error>(())
/// ```
pub type Lstm = Recurrent;

/// A simple recurrent layer over sequences, as `torch.nn.RNN`: `h' = f(W·x + b + U·h + d)` with tanh, or with max(v, 0)
/// for [`Cell::RnnRelu`]. Elman (1990).
///
/// ```
/// use wgru::{Cell, Device, Rng, Tensor, nn::{Module, RecurrentConfig, Rnn}};
/// let device = Device::cpu();
/// let rnn: Rnn = RecurrentConfig::new(Cell::RnnRelu, 4, 8).build(&device, &mut Rng::new(0))?;
/// assert_eq!(rnn.forward(&Tensor::zeros(&device, &[10, 3, 4])?)?.dims(), [10, 3, 8]);
/// # Ok::<(), wgru::Error>(())
/// ```
pub type Rnn = Recurrent;
