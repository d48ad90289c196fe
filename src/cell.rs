//! The recurrent cells: gates, states, activations and names. All other code derives them from here.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::math::Activation;

/// A recurrent cell. [`Gru`](crate::nn::Gru), [`Lstm`](crate::nn::Lstm) and [`Rnn`](crate::nn::Rnn) give the equations.
///
/// ```
/// use wgru::{Cell, Device, Rng, Tensor, nn::{Module, RecurrentConfig}};
/// let (device, mut rng) = (Device::cpu(), Rng::new(0));
/// let x = Tensor::zeros(&device, &[10, 3, 4])?;
/// for cell in Cell::ALL {
///     let layer = RecurrentConfig::new(cell, 4, 8).build(&device, &mut rng)?;
///     assert_eq!(layer.forward(&x)?.dims(), [10, 3, 8]);
/// }
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Cell {
    /// A GRU whose reset gate acts after the recurrent product: PyTorch, Keras `reset_after=True`, ONNX
    /// `linear_before_reset=1`.
    #[default]
    Gru = 0,
    /// A GRU whose reset gate acts before the recurrent product: Cho et al. (2014), Keras `reset_after=False`, ONNX
    /// `linear_before_reset=0`.
    GruResetBefore = 1,
    /// An LSTM: Gers et al. (2000), with a projection Sak et al. (2014).
    Lstm = 2,
    /// A simple recurrent layer with tanh: Elman (1990).
    Rnn = 3,
    /// A simple recurrent layer with max(v, 0).
    RnnRelu = 4,
}

// The discriminants are the numbers that shaders see.
impl Cell {
    /// All cells.
    pub const ALL: [Cell; 5] = [Cell::Gru, Cell::GruResetBefore, Cell::Lstm, Cell::Rnn, Cell::RnnRelu];

    /// Whether this is a GRU, with either reset form.
    pub fn is_gru(self) -> bool {
        matches!(self, Cell::Gru | Cell::GruResetBefore)
    }

    /// Number of gates, `G`.
    pub fn gates(self) -> usize {
        match self {
            Cell::Gru | Cell::GruResetBefore => 3,
            Cell::Lstm => 4,
            Cell::Rnn | Cell::RnnRelu => 1,
        }
    }

    /// Vectors of `H` that pass from step to step: `h`, for an LSTM `h` and `c`.
    pub fn states(self) -> usize {
        1 + (self == Cell::Lstm) as usize
    }

    /// Vectors of `H` that a fused kernel saves per step for the backward pass.
    pub(crate) fn saved(self) -> usize {
        match self {
            Cell::Gru | Cell::GruResetBefore => 4,
            Cell::Lstm => 5,
            Cell::Rnn | Cell::RnnRelu => 1,
        }
    }

    /// Vectors of `H` that a fused kernel writes as the gradients of a step's gates.
    pub(crate) fn gradients(self) -> usize {
        if self.gates() == 1 { 1 } else { 4 }
    }

    /// Name of the layer type: `gru`, `lstm` or `rnn`, as in file metadata and errors.
    pub(crate) fn layer(self) -> &'static str {
        match self {
            Cell::Gru | Cell::GruResetBefore => "gru",
            Cell::Lstm => "lstm",
            Cell::Rnn | Cell::RnnRelu => "rnn",
        }
    }

    /// Names of the gates in PyTorch's order.
    pub fn gate_names(self) -> &'static [&'static str] {
        &self.activation_names()[..self.gates()]
    }

    /// Names of everything with an activation: the gates, and the LSTM's cell state before its output gate.
    pub fn activation_names(self) -> &'static [&'static str] {
        match self {
            Cell::Gru | Cell::GruResetBefore => &["reset", "update", "candidate"],
            Cell::Lstm => &["input", "forget", "cell", "output", "hidden"],
            Cell::Rnn | Cell::RnnRelu => &["state"],
        }
    }

    /// The usual activations, in the order of [`activation_names`](Self::activation_names).
    pub fn activations(self) -> &'static [Activation] {
        use Activation::{Relu, Sigmoid, Tanh};
        match self {
            Cell::Gru | Cell::GruResetBefore => &[Sigmoid, Sigmoid, Tanh],
            Cell::Lstm => &[Sigmoid, Sigmoid, Tanh, Sigmoid, Tanh],
            Cell::Rnn => &[Tanh],
            Cell::RnnRelu => &[Relu],
        }
    }

    /// Index of each gate, in PyTorch's order, among the gates of ONNX.
    pub(crate) fn onnx_order(self) -> &'static [usize] {
        match self {
            // r z n in z r h.
            Cell::Gru | Cell::GruResetBefore => &[1, 0, 2],
            // i f g o in i o f c.
            Cell::Lstm => &[0, 2, 3, 1],
            Cell::Rnn | Cell::RnnRelu => &[0],
        }
    }

    /// Which of ONNX's functions f, g, h each of the [`activation_names`](Self::activation_names) has.
    pub(crate) fn onnx_activations(self) -> &'static [usize] {
        match self {
            Cell::Gru | Cell::GruResetBefore => &[0, 0, 1],
            Cell::Lstm => &[0, 0, 1, 0, 2],
            Cell::Rnn | Cell::RnnRelu => &[0],
        }
    }

    /// Index of each gate, in PyTorch's order, among the gates of Keras.
    pub(crate) fn keras_order(self) -> &'static [usize] {
        match self {
            // r z n in z r h.
            Cell::Gru | Cell::GruResetBefore => &[1, 0, 2],
            // i f g o in i f c o.
            Cell::Lstm => &[0, 1, 2, 3],
            Cell::Rnn | Cell::RnnRelu => &[0],
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Cell::Gru => "gru",
            Cell::GruResetBefore => "gru_reset_before",
            Cell::Lstm => "lstm",
            Cell::Rnn => "rnn",
            Cell::RnnRelu => "rnn_relu",
        })
    }
}

impl FromStr for Cell {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let found = Self::ALL.into_iter().find(|cell| cell.to_string() == name);
        found.ok_or_else(|| Error::value("Cell", "name", "gru, gru_reset_before, lstm, rnn or rnn_relu", name))
    }
}
