//! Computes the gradients of weights and inputs after the serial backward loop, as products over all steps at once.

use super::{Backward, Forward, Layer, Reads, Rows, Weights, copy_words};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernels::MatMul;
use crate::ops::linalg::product;
use crate::ops::reduce::{SumOptions, sum_into};
use crate::tensor::Tensor;

/// Computes all gradients from those of the pre-activations. `projections` holds the gradients of `w_hr`.
pub fn collect(
    layer: &Layer,
    reads: &Reads,
    weights: &[Weights],
    run: &Forward,
    d_gates: &Tensor,
    carry: &Tensor,
    projections: Vec<Tensor>,
) -> Result<Backward> {
    let (x, device) = (&reads.x, reads.x.device());
    let (rows, row) = (layer.rows(), layer.row_lens().1);
    let sums = Tensor::empty("recurrent_backward", device, &[layer.directions, row])?;
    sum_into(d_gates, [layer.directions, rows, row], SumOptions::default(), &sums, 0)?;

    let dx = Tensor::empty("recurrent_backward", device, x.dims())?;
    let mut grads = Vec::with_capacity(layer.directions);
    let mut projections = projections.into_iter();
    for (d, w) in weights.iter().enumerate() {
        let mut list = matrices(layer, d, reads, run, d_gates)?;
        if w.bias.is_some() {
            list.extend(biases(layer, d, &sums)?);
        }
        list.extend(projections.next());
        if w.peephole.is_some() {
            list.push(part(&sums, d * row + 4 * layer.hidden, 3 * layer.hidden)?);
        }
        grads.push(list);
        let p = MatMul {
            a_offset: (d * rows * row) as u32,
            a_row: row as u32,
            accumulate: (d > 0) as u32,
            ..MatMul::new(rows, layer.input, layer.cell.gates() * layer.hidden)
        };
        product(&p, d_gates, &w.w_ih, None, &dx)?;
    }

    let d_first = Tensor::empty("recurrent_backward", device, &carry.dims()[1..])?;
    sum_into(carry, [1, 2, d_first.len()], SumOptions::default(), &d_first, 0)?;
    Ok(Backward { dx, d_first, weights: grads })
}

/// Returns `dW = ∂aᵀ·X` and `dU = ∂cᵀ·H` of direction `d`.
fn matrices(layer: &Layer, d: usize, reads: &Reads, run: &Forward, d_gates: &Tensor) -> Result<Vec<Tensor>> {
    let device = d_gates.device();
    let (h, out, gates) = (layer.hidden, layer.out, layer.cell.gates() * layer.hidden);
    let (saved_row, row) = layer.row_lens();
    let first = d * layer.rows() * row;
    // Reads columns `from..from + m` of the gate gradients, transposed.
    let columns = |from: usize, m: usize, n: usize| MatMul {
        a_offset: (first + from) as u32,
        a_row: 1,
        a_col: row as u32,
        ..MatMul::new(m, n, layer.rows())
    };
    let w_ih = Tensor::empty("recurrent_backward", device, &[gates, layer.input])?;
    product(&columns(0, gates, layer.input), d_gates, &reads.x, None, &w_ih)?;

    // The states that the recurrent product reads.
    let (states, width) = match &run.dropped {
        Some(dropped) => (dropped, out),
        None => (&run.state, layer.width()),
    };
    let states = reads.rows(states, layer.slot_at(d, layer.order().before(d, 0), width), width, out)?;
    let times = |p: MatMul, rows: &Rows, onto: &Tensor| {
        let p = MatMul { b_offset: rows.offset as u32, b_row: rows.row as u32, ..p };
        product(&p, d_gates, &rows.tensor, None, onto)
    };
    let w_hh = Tensor::empty("recurrent_backward", device, &[gates, out])?;
    let c_offset = (2 * h * h) as u32;
    match layer.cell {
        Cell::Lstm | Cell::Rnn | Cell::RnnRelu => times(columns(0, gates, out), &states, &w_hh)?,
        Cell::Gru => {
            times(columns(0, 2 * h, h), &states, &w_hh)?;
            times(MatMul { c_offset, ..columns(3 * h, h, h) }, &states, &w_hh)?;
        }
        Cell::GruResetBefore => {
            times(columns(0, 2 * h, h), &states, &w_hh)?;
            let reset = reads.rows(&run.saved, d * layer.rows() * saved_row + 3 * h, saved_row, h)?;
            times(MatMul { c_offset, ..columns(2 * h, h, h) }, &reset, &w_hh)?;
        }
    }
    Ok(vec![w_ih, w_hh])
}

/// Returns the gradients of `b_ih` and `b_hh` of direction `d`. They differ if the reset gate acts after the product.
fn biases(layer: &Layer, d: usize, sums: &Tensor) -> Result<[Tensor; 2]> {
    let (h, gates, first) = (layer.hidden, layer.cell.gates() * layer.hidden, d * layer.row_lens().1);
    let (ih, hh) = (part(sums, first, gates)?, part(sums, first, gates)?);
    if layer.cell == Cell::Gru {
        copy_words(sums, first + 3 * h, &hh, 2 * h, h)?;
    }
    Ok([ih, hh])
}

fn part(sums: &Tensor, from: usize, len: usize) -> Result<Tensor> {
    let out = Tensor::empty("recurrent_backward", sums.device(), &[len])?;
    copy_words(sums, from, &out, 0, len)?;
    Ok(out)
}
