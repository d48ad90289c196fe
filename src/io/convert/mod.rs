//! Converts weights of recurrent layers between the layouts of PyTorch, Keras and ONNX.

mod keras;
mod nam;
pub(super) mod onnx;
mod pytorch;

use super::TensorFile;
use crate::cell::Cell;
use crate::error::{Error, Result};

/// Weights of one direction of one recurrent layer, for conversion between frameworks.
///
/// ```text
/// format   W                     U                        bias                        gates
/// PyTorch  weight_ih [G·H, I]    weight_hh [G·H, H]       bias_ih, bias_hh [G·H]      GRU r z n   LSTM i f g o
/// Keras    kernel [I, G·H]       recurrent_kernel [H, G·H]  bias [G·H], or [2, 3·H]   GRU z r h   LSTM i f c o
/// ONNX     W [D, G·H, I]         R [D, G·H, H]            B [D, 2·G·H] = Wb ‖ Rb      GRU z r h   LSTM i o f c
/// ```
///
/// Keras' bias is `[2, 3·H]` for a GRU with reset after: that of the input, then that of the recurrence. ONNX's
/// peepholes `P [D, 3·H]` are in the order i o f.
///
/// Conversion only moves values, so a round trip preserves all bits. The exception is a target with only one bias,
/// where the two biases are added. This never happens for a GRU with reset after, which needs both.
///
/// ```
/// use wgru::Cell;
/// use wgru::io::{RecurrentWeights, TensorFile, load_recurrent_blocking};
/// let mut keras = TensorFile::default();                                          // an .npz of layer.get_weights()
/// keras.insert("kernel", &[2, 9], vec![0.1; 18]);
/// keras.insert("recurrent_kernel", &[3, 9], vec![0.2; 27]);
/// keras.insert("bias", &[2, 9], vec![0.3; 18]);
/// let weights = RecurrentWeights::from_keras(Cell::Gru, &keras)?;
/// let mut file = TensorFile::default();
/// weights.to_pytorch(&mut file, 0, false)?;
/// let gru = load_recurrent_blocking(&wgru::Device::cpu(), &file)?;
/// assert_eq!((gru.config().input, gru.config().hidden), (2, 3));
/// # Ok::<(), wgru::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct RecurrentWeights {
    cell: Cell,
    input: usize,
    hidden: usize,
    /// `[G·H, I]`. Gates are in PyTorch's order, here and in the other fields.
    w_ih: Vec<f32>,
    /// `[G·H, R]`, where R is the width of the hidden state: H, or the width of the projection.
    w_hh: Vec<f32>,
    bias: Bias,
    /// An LSTM's projection, `[P, H]`.
    projection: Option<Vec<f32>>,
    /// An LSTM's peepholes, `[3·H]`, in the order i f o.
    peephole: Option<Vec<f32>>,
}

/// Biases `[G·H]`.
#[derive(Clone, Debug, PartialEq)]
enum Bias {
    None,
    One(Vec<f32>),
    Two(Vec<f32>, Vec<f32>),
}

impl Bias {
    /// Returns the sum of the biases.
    fn merged(&self) -> Option<Vec<f32>> {
        match self {
            Bias::None => None,
            Bias::One(bias) => Some(bias.clone()),
            // Skips zeros, so that not even the sign of another zero changes.
            Bias::Two(a, b) => Some(a.iter().zip(b).map(|(&a, &b)| if b == 0.0 { a } else { a + b }).collect()),
        }
    }

    /// Returns both biases; if there is only one, the second one is 0.
    fn split(&self) -> Option<(Vec<f32>, Vec<f32>)> {
        match self {
            Bias::None => None,
            Bias::One(bias) => Some((bias.clone(), vec![0.0; bias.len()])),
            Bias::Two(a, b) => Some((a.clone(), b.clone())),
        }
    }
}

impl RecurrentWeights {
    /// Returns the layer's cell.
    pub fn cell(&self) -> Cell {
        self.cell
    }

    /// Returns I, the features of the input.
    pub fn input(&self) -> usize {
        self.input
    }

    /// Returns H, the units of the hidden state.
    pub fn hidden(&self) -> usize {
        self.hidden
    }

    /// Returns the number of rows of the matrices: gates times units.
    fn rows(&self) -> usize {
        self.cell.gates() * self.hidden
    }

    /// Checks that there are neither a projection nor peepholes, which the format of `op` cannot represent.
    fn check_plain(&self, op: &'static str) -> Result<()> {
        if self.projection.is_some() {
            return Err(Error::value(op, "projection", "none: the format has no projected states", "weight_hr"));
        }
        if self.peephole.is_some() {
            return Err(Error::value(op, "peephole", "none: the format has no peepholes", "weight_peephole"));
        }
        Ok(())
    }
}

/// Reorders blocks of a tensor's rows: block k of the result is block `order[k]`.
fn reorder(values: &[f32], order: &[usize]) -> Vec<f32> {
    let block = values.len() / order.len();
    order.iter().flat_map(|&k| &values[k * block..(k + 1) * block]).copied().collect()
}

/// Transposes a matrix with this number of columns.
pub(super) fn transpose(values: &[f32], columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|c| values.iter().skip(c).step_by(columns)).copied().collect()
}

/// Returns the extents of a tensor that must be a matrix.
fn matrix(file: &TensorFile, name: &str) -> Result<[usize; 2]> {
    let (dims, _) = file.get(name)?;
    let ok = <[usize; 2]>::try_from(dims).ok().filter(|d| d.iter().all(|&n| n > 0));
    ok.ok_or_else(|| Error::format(format!("tensor {name:?}"), format!("has shape {dims:?}; expected a matrix")))
}
