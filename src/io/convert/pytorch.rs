//! PyTorch's names, which are also those of this crate's layers.

use super::{Bias, RecurrentWeights, matrix};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::io::TensorFile;
use crate::nn::parameter_name;

impl RecurrentWeights {
    /// Reads `weight_ih_l{layer}` and so on; with `reverse`, those that end in `_reverse`. Also reads this crate's
    /// `weight_peephole_l{layer}` `[3·H]`, gates i f o, which PyTorch does not have.
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor that is missing or has the wrong shape.
    pub fn from_pytorch(cell: Cell, file: &TensorFile, layer: usize, reverse: bool) -> Result<Self> {
        file.check()?;
        let name = |part: &str| parameter_name(part, layer, reverse);
        let has = |part: &str| file.find(&name(part)).is_some();
        let [rows, input] = matrix(file, &name("weight_ih"))?;
        let [_, recurrent] = matrix(file, &name("weight_hh"))?;
        let gates = cell.gates();
        let hidden = rows / gates;
        let read = |part: &str, dims: &[usize]| file.expect(&name(part), dims).map(<[f32]>::to_vec);
        let lstm = cell == Cell::Lstm;
        let projected = lstm && has("weight_hr");
        let width = if projected { recurrent } else { hidden };
        let w_ih = read("weight_ih", &[gates * hidden, input])?;
        let w_hh = read("weight_hh", &[gates * hidden, width])?;
        let bias = match has("bias_ih") || has("bias_hh") {
            false => Bias::None,
            true => Bias::Two(read("bias_ih", &[rows])?, read("bias_hh", &[rows])?),
        };
        let projection = if projected { Some(read("weight_hr", &[recurrent, hidden])?) } else { None };
        let peephole =
            if lstm && has("weight_peephole") { Some(read("weight_peephole", &[3 * hidden])?) } else { None };
        Ok(Self { cell, input, hidden, w_ih, w_hh, bias, projection, peephole })
    }

    /// Adds the weights with PyTorch's names and layout. A single bias becomes `bias_ih`, with zeros as `bias_hh`.
    ///
    /// # Errors
    /// [`Error::Value`] for a GRU with reset before, or for peepholes, which PyTorch does not have.
    pub fn to_pytorch(&self, file: &mut TensorFile, layer: usize, reverse: bool) -> Result<()> {
        if self.cell == Cell::GruResetBefore {
            let expected = "true: PyTorch's GRU resets after the recurrent product";
            return Err(Error::value("to_pytorch", "reset_after", expected, false));
        }
        if self.peephole.is_some() {
            return Err(Error::value("to_pytorch", "peephole", "none: the format has no peepholes", "weight_peephole"));
        }
        self.to_parameters(file, layer, reverse);
        Ok(())
    }

    /// Adds the weights for this crate's layers: with PyTorch's names and layout, for all cells.
    pub fn to_parameters(&self, file: &mut TensorFile, layer: usize, reverse: bool) {
        let (rows, h) = (self.rows(), self.hidden);
        let recurrent = self.w_hh.len() / rows;
        let mut put = |part: &str, dims: &[usize], values: Vec<f32>| {
            file.insert(&parameter_name(part, layer, reverse), dims, values)
        };
        put("weight_ih", &[rows, self.input], self.w_ih.clone());
        put("weight_hh", &[rows, recurrent], self.w_hh.clone());
        if let Some((ih, hh)) = self.bias.split() {
            put("bias_ih", &[rows], ih);
            put("bias_hh", &[rows], hh);
        }
        if let Some(projection) = &self.projection {
            put("weight_hr", &[recurrent, h], projection.clone());
        }
        if let Some(peephole) = &self.peephole {
            put("weight_peephole", &[3 * h], peephole.clone());
        }
    }
}
