//! Keras: transposed matrices, GRU gates z r h.

use super::{Bias, RecurrentWeights, matrix, reorder, transpose};
use crate::cell::Cell;
use crate::error::Result;
use crate::io::TensorFile;

impl RecurrentWeights {
    /// Reads `kernel`, `recurrent_kernel` and, if present, `bias`. Also accepts the names of TensorFlow (`kernel:0`),
    /// and `0`, `1` and `2`, which a `.weights.h5` file has under a cell's `vars`: `file.under("layers.gru.cell.vars")`.
    ///
    /// A bias of twice the usual length is that of a `CuDNNGRU` or `CuDNNLSTM` of Keras 2, whose matrices are
    /// transposed.
    ///
    /// # Errors
    /// [`Error::Format`](crate::Error::Format) naming the tensor that is missing or has the wrong shape.
    pub fn from_keras(cell: Cell, file: &TensorFile) -> Result<Self> {
        file.check()?;
        let names = [["0", "1", "2"], ["kernel:0", "recurrent_kernel:0", "bias:0"]];
        let names = names.into_iter().find(|names| file.find(names[0]).is_some());
        let [kernel, recurrent, bias] = names.unwrap_or(["kernel", "recurrent_kernel", "bias"]);
        let ([input, _], [hidden, _]) = (matrix(file, kernel)?, matrix(file, recurrent)?);
        let rows = cell.gates() * hidden;
        let read = |name: &str, width: usize| -> Result<Vec<f32>> {
            Ok(reorder(&transpose(file.expect(name, &[width, rows])?, rows), cell.keras_order()))
        };
        let (w_ih, w_hh) = (read(kernel, input)?, read(recurrent, hidden)?);
        if let (Cell::Gru | Cell::Lstm, Some((&[len], both))) = (cell, file.find(bias))
            && len == 2 * rows
        {
            let order = cell.keras_order();
            let matrix = |name: &str, width: usize| -> Result<Vec<f32>> {
                Ok(reorder(&from_cudnn(file.expect(name, &[width, rows])?, width, hidden), order))
            };
            let (w_ih, w_hh) = (matrix(kernel, input)?, matrix(recurrent, hidden)?);
            let bias = Bias::Two(reorder(&both[..rows], order), reorder(&both[rows..], order));
            return Ok(Self { cell, input, hidden, w_ih, w_hh, bias, projection: None, peephole: None });
        }
        let bias = match (file.find(bias).is_some(), cell) {
            (false, _) => Bias::None,
            (true, Cell::Gru) => {
                let (ih, hh) = file.expect(bias, &[2, rows])?.split_at(rows);
                Bias::Two(reorder(ih, cell.keras_order()), reorder(hh, cell.keras_order()))
            }
            (true, _) => Bias::One(reorder(file.expect(bias, &[rows])?, cell.keras_order())),
        };
        Ok(Self { cell, input, hidden, w_ih, w_hh, bias, projection: None, peephole: None })
    }

    /// Writes the weights as `kernel`, `recurrent_kernel` and `bias`. A GRU with reset after keeps both biases.
    /// Those of other cells are added, which changes results only by rounding.
    ///
    /// # Errors
    /// [`Error::Value`](crate::Error::Value) for a projection or peepholes, which Keras does not have.
    pub fn to_keras(&self) -> Result<TensorFile> {
        self.check_plain("to_keras")?;
        let (rows, cell) = (self.rows(), self.cell);
        let mut file = TensorFile::default();
        let matrix = |values: &[f32], width: usize| transpose(&reorder(values, cell.keras_order()), width);
        file.insert("kernel", &[self.input, rows], matrix(&self.w_ih, self.input));
        file.insert("recurrent_kernel", &[self.hidden, rows], matrix(&self.w_hh, self.hidden));
        if cell == Cell::Gru {
            if let Some((ih, hh)) = self.bias.split() {
                file.insert(
                    "bias",
                    &[2, rows],
                    [reorder(&ih, cell.keras_order()), reorder(&hh, cell.keras_order())].concat(),
                );
            }
        } else if let Some(bias) = self.bias.merged() {
            file.insert("bias", &[rows], reorder(&bias, cell.keras_order()));
        }
        Ok(file)
    }
}

/// Returns the rows `[G·H, I]` of a matrix `[I, G·H]` of a CuDNN layer. There, the block of each gate, read row by row,
/// is already transposed: `[H, I]`. Source: Keras 2, *saving/legacy/hdf5_format.py*, `_convert_rnn_weights`.
fn from_cudnn(values: &[f32], input: usize, hidden: usize) -> Vec<f32> {
    let columns = values.len() / input;
    let block =
        |gate: usize| values.chunks_exact(columns).flat_map(move |row| &row[gate * hidden..(gate + 1) * hidden]);
    (0..columns / hidden).flat_map(block).copied().collect()
}
