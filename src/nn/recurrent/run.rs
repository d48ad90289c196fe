//! Arguments and results of a run.

use crate::cell::Cell;
use crate::error::Result;
use crate::tensor::Tensor;

/// Optional arguments of a run.
///
/// A step is valid unless the sequence's length or the mask excludes it. Flags by step have the layout of `x`: `[T,
/// B]`, or `[B, T]` for a `batch_first` layer.
#[derive(Clone, Copy, Debug, Default)]
pub struct RunOptions<'a> {
    /// `[layers·D, B, H]` (or the projection's width), the initial states; `None` for zeros, or for the learned ones.
    pub h0: Option<&'a Tensor>,
    /// `[layers·D, B, H]`, the initial cell states of an LSTM.
    pub c0: Option<&'a Tensor>,
    /// Number of valid steps of each sequence. Beyond them the output is padding, and `h_n` is the state of the last
    /// valid step; the reverse direction starts there. Padding of `x` may hold anything, NaN included: it reaches
    /// neither outputs nor gradients, and its own gradient is 0.
    pub lengths: Option<&'a [usize]>,
    /// Which steps are valid, as in a Keras mask. At the other steps, the state is copied.
    pub mask: Option<&'a [bool]>,
    /// Steps at which a new sequence begins. The state restarts from 0 there, in both directions of time, as if the
    /// segments had been run separately.
    pub resets: Option<&'a [bool]>,
    /// New sequences begin with the run's initial state instead of 0.
    pub reset_to_h0: bool,
    /// Keeps the values of the gates; see [`RecurrentOutput::gates`].
    pub gates: bool,
}

/// Result of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RecurrentOutput {
    /// `[T, B, D·H]` or `[B, T, D·H]` (or the projection's width): the last layer's hidden states at every step.
    pub output: Tensor,
    /// `[layers·D, B, H]` (or the projection's width): the last hidden state of every layer and direction.
    pub h_n: Tensor,
    /// `[layers·D, B, H]`: the last cell state of every layer and direction of an LSTM.
    pub c_n: Option<Tensor>,
    /// The gates of each layer; empty unless [`RunOptions::gates`] is set.
    pub gates: Vec<Gates>,
}

impl RecurrentOutput {
    /// Returns the last layer's last hidden state, `[B, D·H]` with the directions side by side, as input for a sequence
    /// classifier. Respects lengths, unlike the last step of [`output`](Self::output).
    ///
    /// # Errors
    /// Errors from the device.
    pub fn last_state(&self) -> Result<Tensor> {
        let &[states, batch, width] = self.h_n.dims() else { unreachable!("h_n has three axes") };
        let directions = self.output.dims()[2] / width;
        let last = self.h_n.slice(0, states - directions..states)?;
        last.permute(&[1, 0, 2])?.reshape(&[batch, directions * width])
    }
}

/// The gates of one layer over a run, `[T, B, D·H]` each, off the tape, 0 at invalid steps.
///
/// ```
/// use wgru::{Device, Rng, Tensor, nn::{Mode, RecurrentConfig, RunOptions}};
/// let device = Device::cpu();
/// let gru = RecurrentConfig::gru(2, 3).build(&device, &mut Rng::new(0))?;
/// let x = Tensor::zeros(&device, &[5, 1, 2])?;
/// let run = gru.run(&x, RunOptions { gates: true, ..Default::default() }, &mut Mode::Eval)?;
/// assert_eq!(run.gates[0].get("update").unwrap().dims(), [5, 1, 3]);
/// let names: Vec<&str> = run.gates[0].iter().map(|(name, _)| name).collect();
/// assert_eq!(names, ["reset", "update", "candidate"]);
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Gates {
    pub(super) cell: Cell,
    pub(super) values: Vec<Tensor>,
}

impl Gates {
    /// Returns a gate by its name, one of the cell's [`gate_names`](Cell::gate_names).
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.iter().find(|(n, _)| *n == name).map(|(_, values)| values)
    }

    /// Returns all gates in PyTorch's order, which is that of [`gate_names`](Cell::gate_names).
    pub fn values(&self) -> &[Tensor] {
        &self.values
    }

    /// Iterates over all gates with their names, in PyTorch's order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Tensor)> {
        self.cell.gate_names().iter().copied().zip(&self.values)
    }
}
