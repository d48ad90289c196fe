//! ONNX: all directions in one tensor, GRU gates z r h, LSTM gates i o f c.

use super::{Bias, RecurrentWeights, reorder};
use crate::cell::Cell;
use crate::error::{Error, Result};
use crate::io::TensorFile;

/// Reorders peepholes from i o f to i f o, and back.
pub(in crate::io) const PEEPHOLES: &[usize] = &[0, 2, 1];

/// Returns the index of each ONNX gate in PyTorch's order: the inverse of [`Cell::onnx_order`].
fn to_onnx_order(cell: Cell) -> Vec<usize> {
    let from = cell.onnx_order();
    (0..from.len()).map(|gate| from.iter().position(|&g| g == gate).unwrap_or(gate)).collect()
}

impl RecurrentWeights {
    /// Reads `W`, `R` and, if present, `B` and `P`. Returns one set of weights per direction, the forward one first.
    /// Use [`Cell::Gru`] for `linear_before_reset=1`, else [`Cell::GruResetBefore`].
    ///
    /// # Errors
    /// [`Error::Format`] naming the tensor that is missing or has the wrong shape.
    pub fn from_onnx(cell: Cell, file: &TensorFile) -> Result<Vec<Self>> {
        file.check()?;
        let (dims, _) = file.get("R")?;
        let &[directions, rows, hidden] = dims else { return Err(wrong("R", dims, "[D, G·H, H]")) };
        let (w_dims, _) = file.get("W")?;
        let &[_, _, input] = w_dims else { return Err(wrong("W", w_dims, "[D, G·H, I]")) };
        if !(1..=2).contains(&directions) || hidden == 0 || input == 0 {
            return Err(wrong("R", dims, "[D, G·H, H] with D of 1 or 2, and sizes of at least 1"));
        }
        if rows != cell.gates() * hidden {
            return Err(wrong("R", dims, &format!("[D, {}·H, H]", cell.gates())));
        }
        let w = file.expect("W", &[directions, rows, input])?;
        let r = file.expect("R", &[directions, rows, hidden])?;
        let optional = |name: &str, dims: &[usize]| match file.find(name).is_some() {
            true => file.expect(name, dims).map(Some),
            false => Ok(None),
        };
        let b = optional("B", &[directions, 2 * rows])?;
        let lstm = cell == Cell::Lstm;
        let p = if lstm { optional("P", &[directions, 3 * hidden])? } else { None };
        let from = cell.onnx_order();
        let one = |d: usize| {
            let part = |values: &[f32], len: usize| values[d * len..(d + 1) * len].to_vec();
            let bias = b.map_or(Bias::None, |b| {
                let both = part(b, 2 * rows);
                Bias::Two(reorder(&both[..rows], from), reorder(&both[rows..], from))
            });
            let w_ih = reorder(&part(w, rows * input), from);
            let w_hh = reorder(&part(r, rows * hidden), from);
            let peephole = p.map(|p| reorder(&part(p, 3 * hidden), PEEPHOLES));
            Self { cell, input, hidden, w_ih, w_hh, bias, projection: None, peephole }
        };
        Ok((0..directions).map(one).collect())
    }

    /// Writes the weights of one layer's directions, the forward one first, as `W`, `R` and, if present, `B` and `P`.
    /// For a GRU, the metadata holds `linear_before_reset`: `1` for reset after, `0` for reset before.
    ///
    /// # Errors
    /// [`Error::Value`] for no direction or more than two, for directions with different cells, sizes or parameters,
    /// and for a projection, which ONNX does not have.
    pub fn to_onnx(directions: &[Self]) -> Result<TensorFile> {
        let op = "to_onnx";
        let (count, Some(first), 1..=2) = (directions.len(), directions.first(), directions.len()) else {
            return Err(Error::value(op, "directions", "1 or 2", directions.len()));
        };
        let shape = |w: &Self| (w.cell, w.input, w.hidden, w.bias == Bias::None, w.peephole.is_some());
        if let Some(other) = directions.iter().find(|w| shape(w) != shape(first)) {
            let with = |has: bool| if has { "with" } else { "without" };
            let text = |w: &Self| {
                let (bias, peephole) = (with(w.bias != Bias::None), with(w.peephole.is_some()));
                format!("{} of {} to {}, {bias} bias, {peephole} peepholes", w.cell, w.input, w.hidden)
            };
            return Err(Error::value(op, "directions", text(first), text(other)));
        }
        if directions.iter().any(|w| w.projection.is_some()) {
            return Err(Error::value(op, "projection", "none: the format has no projected states", "weight_hr"));
        }
        let (rows, h) = (first.rows(), first.hidden);
        let to = &to_onnx_order(first.cell);
        let all = |part: &dyn Fn(&Self) -> Vec<f32>| directions.iter().flat_map(part).collect::<Vec<f32>>();
        let mut file = TensorFile::default();
        file.insert("W", &[count, rows, first.input], all(&|w| reorder(&w.w_ih, to)));
        file.insert("R", &[count, rows, h], all(&|w| reorder(&w.w_hh, to)));
        if first.bias != Bias::None {
            let both = |w: &Self| w.bias.split().map(|(ih, hh)| [reorder(&ih, to), reorder(&hh, to)].concat());
            file.insert("B", &[count, 2 * rows], all(&|w| both(w).unwrap_or_default()));
        }
        if first.peephole.is_some() {
            let peepholes = |w: &Self| w.peephole.iter().flat_map(|p| reorder(p, PEEPHOLES)).collect();
            file.insert("P", &[count, 3 * h], all(&peepholes));
        }
        if first.cell.is_gru() {
            file.metadata.insert("linear_before_reset".into(), ((first.cell == Cell::Gru) as u8).to_string());
        }
        Ok(file)
    }
}

fn wrong(name: &str, dims: &[usize], expected: &str) -> Error {
    Error::format(format!("tensor {name:?}"), format!("has shape {dims:?}; expected {expected}"))
}
