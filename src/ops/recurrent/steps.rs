//! The plan *steps*, for every cell and option: each step runs the recurrent product, the cell and the state update.
//!
//! A step takes a product and two kernels, where the fused plans take at most two kernels.

use super::{Forward, Layer, Reads, Rows, Weights, copy_words, peepholes};
use crate::cell::Cell;
use crate::error::Result;
use crate::kernels::{
    CellStep as Params, GruCell, GruCellBackward, LstmCell, LstmCellBackward, MatMul, RnnCell, RnnCellBackward,
    StateUpdate, StateUpdateBackward,
};
use crate::ops::elementwise;
use crate::ops::linalg::{Rhs, product};
use crate::tensor::Tensor;

fn params(layer: &Layer, save: bool) -> Params {
    let words = layer.activations.map(|a| a.words());
    let (saved_row, gates_row) = layer.row_lens();
    let flag = |on: bool| on as u32;
    Params {
        kinds: std::array::from_fn(|g| words[g].0),
        alphas: std::array::from_fn(|g| words[g].1),
        betas: std::array::from_fn(|g| words[g].2),
        out_kind: words[4].0,
        out_alpha: words[4].1,
        out_beta: words[4].2,
        clip: layer.clip.unwrap_or(0.0),
        steps: layer.steps as u32,
        batch: layer.batch as u32,
        hidden: layer.hidden as u32,
        directions: layer.directions as u32,
        reverse: flag(layer.reverse),
        step: 0,
        out: layer.out as u32,
        width: layer.width() as u32,
        saved_row: saved_row as u32,
        gates_row: gates_row as u32,
        save: flag(save),
        half: flag(layer.cell == Cell::GruResetBefore),
        coupled: flag(layer.input_forget),
        peephole: flag(layer.peephole),
        d_out_row: layer.width() as u32,
    }
}

fn update(layer: &Layer) -> StateUpdate {
    let below = |share: f32| (share as f64 * 4_294_967_296.0).round().min(u32::MAX as f64) as u32;
    let noise = &layer.noise;
    let [zone_h, zone_c] = noise.zoneout;
    let [zone_low, zone_high] = noise.zone_key.unwrap_or_default();
    let (dropout, [drop_low, drop_high]) = noise.dropout.unwrap_or_default();
    StateUpdate {
        steps: layer.steps as u32,
        batch: layer.batch as u32,
        out: layer.out as u32,
        width: layer.width() as u32,
        directions: layer.directions as u32,
        reverse: layer.reverse as u32,
        step: 0,
        draws: noise.zone_key.is_some() as u32,
        zone_h,
        zone_c,
        zone_h_below: below(zone_h),
        zone_c_below: below(zone_c),
        zone_low,
        zone_high,
        drops: noise.dropout.is_some() as u32,
        drop_below: below(dropout),
        drop_scale: 1.0 / (1.0 - dropout),
        drop_low,
        drop_high,
    }
}

/// Writes the recurrent product `a·Uᵀ + b_hh` of `gates` gates, starting at gate `from`, to `rec` `[D, B, G·H]`.
fn recurrent(
    layer: &Layer,
    d: usize,
    (a, a_offset, a_row): (&Tensor, usize, usize),
    weights: (&Tensor, Option<&Tensor>),
    (from, gates): (usize, usize),
    rec: &Tensor,
) -> Result<()> {
    let (h, all) = (layer.hidden, layer.cell.gates() * layer.hidden);
    let p = MatMul {
        a_offset: a_offset as u32,
        a_row: a_row as u32,
        b_offset: (from * h * layer.out) as u32,
        c_offset: (d * layer.batch * all + from * h) as u32,
        c_row: all as u32,
        ..MatMul::new(layer.batch, gates * h, layer.out).b_transposed()
    };
    product(&p, a, weights.0, weights.1, rec)
}

/// Computes `state` and `y` from the projected input `x`. Returns `saved` and, under recurrent dropout, `dropped`.
pub fn forward(
    layer: &Layer,
    x: &Tensor,
    marks: &Tensor,
    weights: &[Weights],
    first: &Tensor,
    [state, y]: [&Tensor; 2],
    save: bool,
) -> Result<(Tensor, Option<Tensor>)> {
    let device = x.device();
    let (h, out, width, batch) = (layer.hidden, layer.out, layer.width(), layer.batch);
    let (p, u, order) = (params(layer, save), update(layer), layer.order());
    let empty = |dims: &[usize]| Tensor::empty("recurrent", device, dims);
    let rec = &empty(&[layer.directions, batch, layer.cell.gates() * h])?;
    let fresh = &empty(&[layer.directions, batch, width])?;
    let saved = &empty(&[p.saved_len()])?;
    let peephole = &peepholes(weights)?;
    let dropped = &first_dropped(layer, first)?;
    let seen = dropped.as_ref().map_or((state, width), |dropped| (dropped, out));
    let candidate_bias: Vec<Option<Tensor>> =
        weights.iter().map(|w| candidate_bias(layer, w)).collect::<Result<_>>()?;
    let mut left = device.bind::<2, 3, StateUpdate>(0, [marks, fresh], [state, y, dropped.as_ref().unwrap_or(rec)])?;

    for step in 0..p.steps {
        let p = Params { step, ..p };
        let times: Vec<usize> = (0..layer.directions).map(|d| order.time_of(d, step as usize)).collect();
        for (d, w) in weights.iter().enumerate() {
            let gates = if layer.cell == Cell::GruResetBefore { 2 } else { layer.cell.gates() };
            let a = (seen.0, layer.slot_at(d, order.before(d, times[d]), seen.1), seen.1);
            recurrent(layer, d, a, (&w.w_hh, w.bias.as_ref().map(|(_, hh)| hh)), (0, gates), rec)?;
        }
        match layer.cell {
            Cell::Rnn | Cell::RnnRelu => device.run(&RnnCell(p), [x, rec], [fresh, saved])?,
            Cell::Lstm => device.run(&LstmCell(p), [x, rec, state, peephole], [fresh, saved])?,
            Cell::Gru => device.run(&GruCell(p), [x, rec, state], [fresh, saved])?,
            Cell::GruResetBefore => {
                device.run(&GruCell(p), [x, rec, seen.0], [fresh, saved])?;
                for (d, w) in weights.iter().enumerate() {
                    let a = (saved, p.saved_at(d, times[d], 0) + 3 * h, p.saved_row as usize);
                    recurrent(layer, d, a, (&w.w_hh, candidate_bias[d].as_ref()), (2, 1), rec)?;
                }
                device.run(&GruCell(Params { half: 2, ..p }), [x, rec, state], [fresh, saved])?;
            }
        }
        for (d, w) in weights.iter().enumerate() {
            let Some(w_hr) = &w.w_hr else { continue };
            let p = MatMul {
                a_offset: (p.saved_at(d, times[d], 0) + 10 * h) as u32,
                a_row: p.saved_row,
                c_offset: (d * batch * width) as u32,
                c_row: width as u32,
                ..MatMul::new(batch, out, h).b_transposed()
            };
            product(&p, saved, w_hr, None, fresh)?;
        }
        left.run(&StateUpdate { step, ..u })?;
    }
    Ok((saved.clone(), dropped.clone()))
}

/// Under recurrent dropout, allocates the states that the recurrent product reads, and writes the first one.
fn first_dropped(layer: &Layer, first: &Tensor) -> Result<Option<Tensor>> {
    let Some((share, key)) = layer.noise.dropout else { return Ok(None) };
    let (out, one) = (layer.out, layer.batch * layer.out);
    let h0 = crate::ops::movement::slice(first, 2, 0..out)?;
    let h0 = elementwise::dropout(&h0, share, key)?;
    let dropped = Tensor::empty("recurrent", first.device(), &[layer.directions, layer.steps + 1, one])?;
    for d in 0..layer.directions {
        copy_words(&h0, d * one, &dropped, layer.slot_at(d, layer.ends(d).0, out), one)?;
    }
    Ok(Some(dropped))
}

/// Returns `d_n` if the reset gate acts before the product, because the candidate then has a separate product.
fn candidate_bias(layer: &Layer, w: &Weights) -> Result<Option<Tensor>> {
    let (Cell::GruResetBefore, Some((_, hh))) = (layer.cell, &w.bias) else { return Ok(None) };
    crate::ops::movement::slice(hh, 0, 2 * layer.hidden..3 * layer.hidden).map(Some)
}

/// Computes `d_gates` from the results of [`forward`] and `dy`, and turns `carry` from the gradient of the last state
/// into that of the first. Returns the gradients of the projections.
pub fn backward(
    layer: &Layer,
    reads: &Reads,
    weights: &[Weights],
    run: &Forward,
    dy: &Tensor,
    [d_gates, carry]: [&Tensor; 2],
) -> Result<Vec<Tensor>> {
    let (marks, device) = (&reads.marks, dy.device());
    let (h, out, width, batch) = (layer.hidden, layer.out, layer.width(), layer.batch);
    let (p, u, order) = (params(layer, true), update(layer), layer.order());
    let matrices: Vec<Rhs> = weights.iter().map(|w| Rhs::new(&w.w_hh)).collect::<Result<_>>()?;
    let projects = weights[0].w_hr.is_some();
    let p = Params { d_out_row: if projects { h } else { width } as u32, ..p };
    let empty = |dims: &[usize]| Tensor::empty("recurrent_backward", device, dims);
    let q = &empty(&[layer.directions, batch, out])?;
    let d_fresh = &empty(&[layer.directions, batch, width])?;
    let projected = empty(&[layer.directions, batch, h])?;
    let d_out = if projects { &projected } else { d_fresh };
    let peephole = &peepholes(weights)?;
    let w_hr: Vec<&Tensor> = weights.iter().filter_map(|w| w.w_hr.as_ref()).collect();
    let d_w_hr: Vec<Tensor> = w_hr.iter().map(|w| empty(w.dims())).collect::<Result<_>>()?;
    // The outputs before their projection.
    let row = p.saved_row as usize;
    let of_direction = |d: usize| reads.rows(&run.saved, p.saved_at(d, 0, 0) + 10 * h, row, h);
    let unprojected: Vec<Rows> = (0..w_hr.len()).map(of_direction).collect::<Result<_>>()?;
    let mut left = device.bind::<3, 2, StateUpdateBackward>(0, [marks, dy, q], [d_fresh, carry])?;

    for step in 0..=p.steps {
        left.run(&StateUpdateBackward(StateUpdate { step, ..u }))?;
        if step == p.steps {
            break;
        }
        let p = Params { step, ..p };
        let times: Vec<usize> =
            (0..layer.directions).map(|d| order.time_of(d, layer.steps - 1 - step as usize)).collect();
        for (d, (w_hr, m)) in w_hr.iter().zip(&unprojected).enumerate() {
            let a_offset = (d * batch * width) as u32;
            let c_offset = (d * batch * h) as u32;
            let through = MatMul { a_offset, a_row: width as u32, c_offset, ..MatMul::new(batch, h, out) };
            product(&through, d_fresh, w_hr, None, &projected)?;
            let into = MatMul {
                a_offset,
                a_row: 1,
                a_col: width as u32,
                b_offset: (m.offset + times[d] * batch * m.row) as u32,
                b_row: m.row as u32,
                accumulate: (step > 0) as u32,
                ..MatMul::new(out, h, batch)
            };
            product(&into, d_fresh, &m.tensor, None, &d_w_hr[d])?;
        }
        let (state, saved) = (&run.state, &run.saved);
        match layer.cell {
            Cell::Rnn | Cell::RnnRelu => device.run(&RnnCellBackward(p), [marks, saved, d_fresh], [d_gates])?,
            Cell::Lstm => {
                let reads = [marks, state, saved, peephole, d_fresh, d_out];
                device.run(&LstmCellBackward(p), reads, [d_gates, carry])?;
            }
            Cell::Gru | Cell::GruResetBefore => {
                let writes = [d_gates, carry, q];
                device.run(&GruCellBackward(p), [marks, state, saved, d_fresh], writes)?;
                if p.half == 1 {
                    for (d, u) in matrices.iter().enumerate() {
                        let n = p.d_gates_at(d, times[d], 0) + 2 * h;
                        back(&p, (n, d, false), d_gates, (u, 2 * h, h), q)?;
                    }
                    let seen = run.dropped.as_ref().unwrap_or(state);
                    device.run(&GruCellBackward(Params { half: 2, ..p }), [marks, seen, saved, d_fresh], writes)?;
                }
            }
        }
        for (d, u) in matrices.iter().enumerate() {
            let at = p.d_gates_at(d, times[d], 0);
            let gates = if layer.cell.gates() == 3 { 2 } else { layer.cell.gates() };
            // If the reset gate acts before the product, `q` already holds the candidate's part.
            back(&p, (at, d, layer.cell == Cell::GruResetBefore), d_gates, (u, 0, gates * h), q)?;
            if layer.cell == Cell::Gru {
                back(&p, (at + 3 * h, d, true), d_gates, (u, 2 * h, h), q)?;
            }
        }
    }
    Ok(d_w_hr)
}

/// Multiplies the gate gradients, from index `at` on, by `count` rows of `U`. Writes the product to direction `d` of
/// `into` `[D, B, out]`, or adds it there if `onto` is set.
fn back(
    p: &Params,
    (at, d, onto): (usize, usize, bool),
    d_gates: &Tensor,
    (u, first, count): (&Rhs, usize, usize),
    into: &Tensor,
) -> Result<()> {
    let (batch, out) = (p.batch as usize, p.out as usize);
    let by = MatMul {
        a_offset: at as u32,
        a_row: p.gates_row,
        c_offset: (d * batch * out) as u32,
        accumulate: onto as u32,
        ..MatMul::new(batch, out, count)
    };
    product(&u.rows_from(first, by), d_gates, &u.tensor, None, into)
}
