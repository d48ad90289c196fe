//! The cells of the *steps* plan and their backward kernels: `rnn_cell`, `gru_cell`, `lstm_cell`. Inputs that a step
//! must not read are NaN, and outputs that it must not write must stay NaN.

use wgru::kernel::Kernel;
use wgru::kernels::{CellStep, GruCell, GruCellBackward, LstmCell, LstmCellBackward, RnnCell, RnnCellBackward};
use wgru::{Activation, Cell, Device};

use crate::common::{assert_close, fill, mix, relative_error};
use crate::reference::recurrent::activate;
use crate::reference::{differences, dot, narrow, wide};
use crate::{buffer, indices, on_every_backend, poison, read};

/// One activation of sums of a few values; the differences in f64 are accurate to 1e-9.
const CELL: f64 = 2e-6;
/// Expected value of an element that is not checked.
const ANY: f64 = f64::INFINITY;
/// Expected value of an element that must not be written.
const UNTOUCHED: f64 = f64::NAN;

on_every_backend![
    rnn_cell_matches_f64_equations,
    gru_cell_matches_f64_equations,
    lstm_cell_matches_f64_equations,
    cells_match_with_every_activation,
    cells_propagate_nan,
    infinite_sums_are_clipped_only_where_there_is_a_clip,
    cell_comparison_rejects_other_flags,
];

/// By number, as in the kernels.
const ACTIVATIONS: [Activation; 11] = [
    Activation::Sigmoid,
    Activation::Tanh,
    Activation::Relu,
    Activation::Affine { alpha: 0.7, beta: -0.2 },
    Activation::LeakyRelu { alpha: 0.1 },
    Activation::ThresholdedRelu { alpha: 0.2 },
    Activation::ScaledTanh { alpha: 1.3, beta: 0.8 },
    Activation::HardSigmoid { alpha: 0.4, beta: 0.5 },
    Activation::Elu { alpha: 0.9 },
    Activation::Softsign,
    Activation::Softplus,
];

fn parameters(f: Activation) -> [f32; 2] {
    match f {
        Activation::Affine { alpha, beta }
        | Activation::ScaledTanh { alpha, beta }
        | Activation::HardSigmoid { alpha, beta } => [alpha, beta],
        Activation::LeakyRelu { alpha } | Activation::ThresholdedRelu { alpha } | Activation::Elu { alpha } => {
            [alpha, 0.0]
        }
        _ => [0.0; 2],
    }
}

#[derive(Clone, Copy, Debug)]
struct Case {
    /// The kernel: `Rnn`, `Gru` or `Lstm`.
    cell: Cell,
    p: CellStep,
}

/// Steps, batch, hidden, directions, reverse, step.
const SHAPES: [[u32; 6]; 5] =
    [[1, 1, 1, 1, 0, 0], [3, 2, 3, 1, 1, 1], [3, 5, 17, 2, 0, 2], [2, 3, 67, 2, 0, 0], [4, 2, 130, 1, 0, 3]];

/// Computes one unit of the cell: from the inputs `[x_g.., a_g.., h or c, p_i, p_f, p_o]` to the values in `saved`,
/// without slopes.
fn unit(case: &Case, v: &[f64]) -> Vec<f64> {
    let gates = case.cell.gates();
    let (x, a, old, peep) = (&v[..gates], &v[gates..2 * gates], v[2 * gates], &v[2 * gates + 1..]);
    let bound = case.bound();
    let gate = |g: usize, v: f64| activate(case.activation(g), v.max(-bound).min(bound));
    match case.cell {
        Cell::Rnn => vec![gate(0, x[0] + a[0])],
        Cell::Gru => {
            let (r, z) = (gate(0, x[0] + a[0]), gate(1, x[1] + a[1]));
            let (c, inner) = if case.p.half == 0 { (a[2], r * a[2]) } else { (r * old, a[2]) };
            let n = gate(2, x[2] + inner);
            vec![r, z, n, c, (1.0 - z) * n + z * old]
        }
        _ => {
            let i = gate(0, x[0] + a[0] + peep[0] * old);
            let f = if case.p.coupled == 1 { 1.0 - i } else { gate(1, x[1] + a[1] + peep[1] * old) };
            let g = gate(2, x[2] + a[2]);
            let c = f * old + i * g;
            let o = gate(3, x[3] + a[3] + peep[2] * c);
            let s = activate(case.activation(4), c);
            vec![i, f, g, o, s, o * s, c]
        }
    }
}

/// Slopes of the gates at their pre-activations and, for an LSTM, of the cell state's activation.
fn slopes(case: &Case, v: &[f64], values: &[f64]) -> Vec<f64> {
    let gates = case.cell.gates();
    let bound = case.bound();
    let slope = |g: usize, at: f64, bound: f64| {
        differences(&[vec![at]], |v| activate(case.activation(g), v[0][0].max(-bound).min(bound)))[0][0]
    };
    let (x, a, old, peep) = (&v[..gates], &v[gates..2 * gates], v[2 * gates], &v[2 * gates + 1..]);
    let sum = |g: usize| slope(g, x[g] + a[g], bound);
    match case.cell {
        Cell::Rnn => vec![sum(0)],
        Cell::Gru => {
            let inner = if case.p.half == 0 { values[0] * a[2] } else { a[2] };
            vec![sum(0), sum(1), slope(2, x[2] + inner, bound)]
        }
        _ => vec![
            slope(0, x[0] + a[0] + peep[0] * old, bound),
            if case.p.coupled == 1 { ANY } else { slope(1, x[1] + a[1] + peep[1] * old, bound) },
            sum(2),
            slope(3, x[3] + a[3] + peep[2] * values[6], bound),
            slope(4, values[6], f64::INFINITY),
        ],
    }
}

struct Data {
    x: Vec<f32>,
    rec: Vec<f32>,
    state: Vec<f32>,
    peephole: Vec<f32>,
}

impl Case {
    fn bound(&self) -> f64 {
        if self.p.clip == 0.0 { f64::INFINITY } else { self.p.clip as f64 }
    }

    fn new(cell: Cell, [steps, batch, hidden, directions, reverse, step]: [u32; 6]) -> Self {
        let kinds = if cell == Cell::Rnn { [1, 0, 0, 0] } else { [0, 0, 1, 0] };
        let (saved, d_gates) = match cell {
            Cell::Rnn => (2, 1),
            Cell::Gru => (7, 4),
            _ => (11, 7),
        };
        let width = if cell == Cell::Lstm { 2 * hidden } else { hidden };
        let p = CellStep {
            kinds,
            alphas: [0.0; 4],
            betas: [0.0; 4],
            out_kind: 1,
            out_alpha: 0.0,
            out_beta: 0.0,
            clip: 0.0,
            steps,
            batch,
            hidden,
            directions,
            reverse,
            step,
            out: hidden,
            width,
            // The rows are longer than needed; the extra elements must stay untouched.
            saved_row: saved * hidden + 3,
            gates_row: d_gates * hidden + 2,
            save: 1,
            half: 0,
            coupled: 0,
            peephole: 0,
            d_out_row: width,
        };
        Self { cell, p }
    }

    /// With the activations from number `first` on, one per gate.
    fn with_activations(self, first: usize) -> Self {
        let mut p = self.p;
        for g in 0..5 {
            let number = (first + g) % ACTIVATIONS.len();
            let [alpha, beta] = parameters(ACTIVATIONS[number]);
            if g < 4 {
                (p.kinds[g], p.alphas[g], p.betas[g]) = (number as u32, alpha, beta);
            } else {
                (p.out_kind, p.out_alpha, p.out_beta) = (number as u32, alpha, beta);
            }
        }
        Self { p, ..self }
    }

    fn activation(&self, g: usize) -> Activation {
        ACTIVATIONS[if g == 4 { self.p.out_kind } else { self.p.kinds[g] } as usize]
    }

    /// Steps, batch, hidden, directions.
    fn size(&self) -> [usize; 4] {
        [self.p.steps, self.p.batch, self.p.hidden, self.p.directions].map(|n| n as usize)
    }

    fn is_reverse(&self, d: usize) -> bool {
        d == 1 || self.p.reverse == 1
    }

    /// Time of the step-th step of direction `d`, and the slot of the state before it.
    fn time(&self, d: usize, step: usize) -> (usize, usize) {
        let steps = self.size()[0];
        if self.is_reverse(d) { (steps - 1 - step, steps - step) } else { (step, step) }
    }

    /// Direction, row, unit.
    fn units(&self) -> Vec<[usize; 3]> {
        let [_, batch, hidden, directions] = self.size();
        let rows = (0..directions).flat_map(|d| (0..batch).map(move |row| [d, row]));
        rows.flat_map(|[d, row]| (0..hidden).map(move |unit| [d, row, unit])).collect()
    }

    /// First element of a row of `[D, T, B, width]`.
    fn at(&self, d: usize, t: usize, row: usize, width: u32) -> usize {
        let [steps, batch, ..] = self.size();
        ((d * steps + t) * batch + row) * width as usize
    }

    /// First element of a row of `saved`, which may hold only one step.
    fn at_saved(&self, d: usize, t: usize, row: usize) -> usize {
        let [_, batch, ..] = self.size();
        match self.p.save {
            1 => self.at(d, t, row, self.p.saved_row),
            _ => (d * batch + row) * self.p.saved_row as usize,
        }
    }

    /// Index of a row's old state: the LSTM's cell state, or else the state.
    fn at_old(&self, d: usize, slot: usize, row: usize) -> usize {
        let [steps, batch, ..] = self.size();
        let out = if self.cell == Cell::Lstm { self.p.out as usize } else { 0 };
        ((d * (steps + 1) + slot) * batch + row) * self.p.width as usize + out
    }

    /// Returns data in which everything that step `step` may read is set, and the rest is NaN.
    fn data(&self, step: usize) -> Data {
        let [steps, batch, h, directions] = self.size();
        let gates = self.cell.gates();
        let all = |stream, n| (fill(stream, n, 1.2), vec![f32::NAN; n]);
        let (x_all, mut x) = all(1, directions * steps * batch * gates * h);
        let (state_all, mut state) = all(3, directions * (steps + 1) * batch * self.p.width as usize);
        for d in 0..directions {
            let (t, slot) = self.time(d, step);
            for row in 0..batch {
                let at = self.at(d, t, row, (gates * h) as u32);
                x[at..at + gates * h].copy_from_slice(&x_all[at..at + gates * h]);
                let at = self.at_old(d, slot, row);
                state[at..at + h].copy_from_slice(&state_all[at..at + h]);
            }
        }
        let peephole = if self.p.peephole == 1 { fill(4, directions * 3 * h, 0.8) } else { Vec::new() };
        Data { x, rec: fill(2, directions * batch * gates * h, 1.2), state, peephole }
    }

    /// The inputs of a unit at step `step`.
    fn inputs(&self, data: &Data, step: usize, [d, row, j]: [usize; 3]) -> Vec<f64> {
        let [_, batch, h, _] = self.size();
        let (gates, (t, slot)) = (self.cell.gates(), self.time(d, step));
        let x = (0..gates).map(|g| data.x[self.at(d, t, row, (gates * h) as u32) + g * h + j]);
        let a = (0..gates).map(|g| data.rec[((d * batch + row) * gates + g) * h + j]);
        let old = data.state[self.at_old(d, slot, row) + j];
        let peep = (0..3).map(|g| data.peephole.get((d * 3 + g) * h + j).copied().unwrap_or(0.0));
        x.chain(a).chain([old]).chain(peep).map(f64::from).collect()
    }

    /// Expected `fresh` and `saved` after a whole step (both halves).
    fn want(&self, data: &Data, step: usize) -> [Vec<f64>; 2] {
        let [steps, batch, h, directions] = self.size();
        let slots = if self.p.save == 1 { steps } else { 1 };
        let mut fresh = vec![UNTOUCHED; directions * batch * self.p.width as usize];
        let mut saved = vec![UNTOUCHED; directions * slots * batch * self.p.saved_row as usize];
        for [d, row, j] in self.units() {
            let inputs = self.inputs(data, step, [d, row, j]);
            let values = unit(self, &inputs);
            let slopes = slopes(self, &inputs, &values);
            let to = (d * batch + row) * self.p.width as usize;
            let kept = match self.cell {
                Cell::Rnn => {
                    fresh[to + j] = values[0];
                    [&values[..], &slopes].concat()
                }
                Cell::Gru => {
                    fresh[to + j] = values[4];
                    [&values[..4], &slopes].concat()
                }
                _ => {
                    fresh[to + self.p.out as usize + j] = values[6];
                    if self.p.out == self.p.hidden {
                        fresh[to + j] = values[5];
                    }
                    [&values[..5], &slopes, &values[5..6]].concat()
                }
            };
            // Unless everything is saved, only what other kernels of the step read.
            let written: &[usize] = match self.cell {
                _ if self.p.save == 1 => &(0..kept.len()).collect::<Vec<_>>(),
                Cell::Rnn => &[],
                Cell::Gru => &[0, 1, 3],
                _ => &[10],
            };
            let at = self.at_saved(d, self.time(d, step).0, row) + j;
            written.iter().for_each(|&part| saved[at + part * h] = kept[part]);
        }
        [fresh, saved]
    }

    /// Runs the kernel, for the reset-before GRU as two halves. Returns `fresh` and `saved`.
    fn forward(&self, device: &Device, data: &Data) -> [Vec<f32>; 2] {
        let [x, rec, state, peephole] = [&data.x, &data.rec, &data.state, &data.peephole].map(|v| buffer(device, v));
        let (p, [fresh, saved]) = (self.p, self.want_lens().map(|n| poison(device, n)));
        let writes = [&fresh, &saved];
        match self.cell {
            Cell::Rnn => device.run(&RnnCell(p), [&x, &rec], writes),
            Cell::Lstm => device.run(&LstmCell(p), [&x, &rec, &state, &peephole], writes),
            _ => {
                let reads = [&x, &rec, &state];
                let first = device.run(&GruCell(p), reads, writes);
                if p.half == 0 { first } else { device.run(&GruCell(CellStep { half: 2, ..p }), reads, writes) }
            }
        }
        .expect("run");
        writes.map(read)
    }

    fn want_lens(&self) -> [usize; 2] {
        let [steps, batch, _, directions] = self.size();
        let slots = if self.p.save == 1 { steps } else { 1 };
        let rows = directions * batch;
        [rows * self.p.width as usize, rows * slots * self.p.saved_row as usize]
    }

    #[track_caller]
    fn check_forward(&self, device: &Device) {
        let data = self.data(self.p.step as usize);
        let want = self.want(&data, self.p.step as usize);
        for ((got, want), name) in self.forward(device, &data).iter().zip(&want).zip(["fresh", "saved"]) {
            assert_written(&format!("{name} of {self:?}"), got, want);
        }
    }

    /// Checks `d_gates` and `carry` of the backward kernel for the step that is `p.step`-th from the end.
    #[track_caller]
    fn check_backward(&self, device: &Device) {
        let [steps, batch, h, directions] = self.size();
        let (p, step) = (self.p, steps - 1 - self.p.step as usize);
        let data = self.data(step);
        let [_, saved] = self.want(&data, step);
        // Elements of `saved` that forward does not determine must not be read by backward either.
        let saved: Vec<f32> = narrow(&saved).into_iter().map(|v| if v.is_infinite() { f32::NAN } else { v }).collect();
        let (width, out) = (p.width as usize, p.out as usize);
        let words: Vec<u32> = (0..(steps * batch) as u32).map(|i| 62 | !mix(i).is_multiple_of(4) as u32).collect();
        let (one, offset) = (directions * batch * width, if self.cell == Cell::Lstm { out } else { 0 });
        let projects = self.cell == Cell::Lstm && out != h;
        let d_fresh = fill(7, one, 1.0);
        // Without a projection, the gradient of m = o⊙s is d_fresh itself.
        let d_out_row = if projects { h } else { width };
        let d_out = if projects { fill(8, directions * batch * h, 1.0) } else { d_fresh.clone() };
        let start: Vec<f32> = fill(9, 2 * one, 1.0);
        let q_values = fill(10, directions * batch * h, 1.0);

        let mut want_gates = vec![UNTOUCHED; directions * steps * batch * p.gates_row as usize];
        let mut want_carry = wide(&start);
        for [d, row, j] in self.units() {
            let t = self.time(d, step).0;
            let at = self.at(d, t, row, p.gates_row) + j;
            let parts = match self.cell {
                Cell::Rnn => 1,
                Cell::Lstm if p.peephole == 1 => 7,
                _ => 4,
            };
            let of_row = d * batch + row;
            let g = if words[t * batch + row] & 1 == 0 {
                vec![0.0; parts + 1]
            } else {
                let inputs = self.inputs(&data, step, [d, row, j]);
                let gates = self.cell.gates();
                // The gradient of c, which the kernel replaces with the gradient of h through r.
                let qj = q_values[of_row * h + j] as f64;
                let dh = d_fresh[of_row * width + offset + j] as f64;
                let dm = d_out[of_row * d_out_row + j] as f64;
                // Differences of the step's results, weighted with their gradients.
                let all = differences(std::slice::from_ref(&inputs), |v| {
                    let values = unit(self, &v[0]);
                    match self.cell {
                        Cell::Rnn => dh * values[0],
                        // For halves: h̃ with c held constant, plus c weighted with q.
                        Cell::Gru if p.half == 1 => dh * values[4] + qj * values[3],
                        Cell::Gru => dh * values[4],
                        _ => dot(&[dh, dm], &[values[6], values[5]]),
                    }
                })
                .remove(0);
                let mut g: Vec<f64> = all[..gates].to_vec();
                match self.cell {
                    // With reset before, a_n has the gradient of x_n; the fourth part is not checked.
                    Cell::Gru => g.push(if p.half == 0 { all[2 * gates - 1] } else { ANY }),
                    Cell::Lstm if p.peephole == 1 => g.extend(&all[2 * gates + 1..2 * gates + 4]),
                    _ => {}
                }
                g.push(all[2 * gates]);
                g
            };
            (0..parts).for_each(|part| want_gates[at + part * h] = g[part]);
            if self.cell != Cell::Rnn {
                want_carry[of_row * width + offset + j] += g[parts];
            }
        }

        let tensors = [&saved, &data.state, &data.peephole, &d_fresh, &d_out].map(|v| buffer(device, v));
        let [saved, state, peephole, d_fresh, d_out] = tensors.each_ref();
        let (marks, q) = (&indices(device, &words), buffer(device, &q_values));
        let p = CellStep { d_out_row: d_out_row as u32, ..p };
        let (d_gates, carry) = (poison(device, want_gates.len()), buffer(device, &start));
        let writes = [&d_gates, &carry];
        match self.cell {
            Cell::Rnn => device.run(&RnnCellBackward(p), [marks, saved, d_fresh], [&d_gates]),
            Cell::Lstm => device.run(&LstmCellBackward(p), [marks, state, saved, peephole, d_fresh, d_out], writes),
            _ => {
                let reads = [marks, state, saved, d_fresh];
                let writes = [&d_gates, &carry, &q];
                let first = device.run(&GruCellBackward(p), reads, writes);
                match p.half {
                    0 => first,
                    _ => device.run(&GruCellBackward(CellStep { half: 2, ..p }), reads, writes),
                }
            }
        }
        .expect("run");
        let mut got_carry = read(&carry);
        if p.half == 1 {
            // `q` holds the part of the state's gradient that passes through the reset gate.
            for (i, (after, before)) in read(&q).iter().zip(&q_values).enumerate() {
                let valid = words[self.time(i / h / batch, step).0 * batch + i / h % batch] & 1 == 1;
                got_carry[i] += if valid { *after } else { after - before };
            }
        }
        assert_written(&format!("d_gates of {self:?}"), &read(&d_gates), &want_gates);
        assert_close(&format!("carry of {self:?}"), &got_carry, &want_carry, CELL);
    }

    #[track_caller]
    fn check(&self, device: &Device) {
        self.check_forward(device);
        self.check_backward(device);
        let once = Case { p: CellStep { save: 0, ..self.p }, ..*self };
        once.check_forward(device);
    }
}

/// Compares the expected values; elements expected to be NaN must be untouched.
#[track_caller]
fn assert_written(what: &str, got: &[f32], want: &[f64]) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let touched = got.iter().zip(want).find(|(g, w)| w.is_nan() && !g.is_nan());
    assert!(touched.is_none(), "{what}: wrote elements that must stay untouched: {touched:?}");
    let known = got.iter().zip(want).filter(|(_, w)| w.is_finite());
    let (got, want): (Vec<f32>, Vec<f64>) = known.map(|(&g, &w)| (g, w)).unzip();
    // In inference, a simple cell leaves `saved` untouched.
    if !want.is_empty() {
        assert_close(what, &got, &want, CELL);
    }
}

fn rnn_cell_matches_f64_equations(device: &Device) {
    for shape in SHAPES {
        let case = Case::new(Cell::Rnn, shape);
        case.check(device);
        Case { p: CellStep { clip: 0.5, ..case.p }, ..case }.check(device);
    }
}

fn infinite_sums_are_clipped_only_where_there_is_a_clip(device: &Device) {
    let inf = f32::INFINITY;
    for (clip, bound) in [(0.0, inf), (2.5, 2.5), (f32::MAX, f32::MAX)] {
        let case = Case::new(Cell::Rnn, [1, 1, 4, 1, 0, 0]);
        // LeakyReLU with α = 1 is the identity, so both signs are visible.
        let p = CellStep { kinds: [4, 0, 0, 0], alphas: [1.0; 4], clip, ..case.p };
        let (x, rec) = (buffer(device, &[inf, -inf, f32::NAN, 1.5]), buffer(device, &[0.0; 4]));
        let [fresh, saved] = crate::run(device, &RnnCell(p), [&x, &rec]);
        assert_eq!((fresh[0], fresh[1], fresh[3]), (bound, -bound, 1.5), "clip {clip}");
        assert!(fresh[2].is_nan(), "clip {clip}");
        let slope = (clip == 0.0) as u32 as f32;
        assert_eq!((saved[4], saved[5], saved[7]), (slope, slope, 1.0), "clip {clip}: slopes");
    }
}

fn gru_cell_matches_f64_equations(device: &Device) {
    for shape in SHAPES {
        for half in [0, 1] {
            let case = Case::new(Cell::Gru, shape);
            let p = CellStep { half, ..case.p };
            Case { p, ..case }.check(device);
            Case { p: CellStep { clip: 0.5, ..p }, ..case }.check(device);
        }
    }
}

fn lstm_cell_matches_f64_equations(device: &Device) {
    for shape in SHAPES {
        for flags in 0..16 {
            let [peephole, coupled, clips, projects] = [0, 1, 2, 3].map(|bit| flags >> bit & 1);
            let case = Case::new(Cell::Lstm, shape);
            // A projection is narrower than the cell state or, in one case, wider.
            let out = match (projects, shape[2]) {
                (0, hidden) => hidden,
                (_, 3) => 5,
                (_, hidden) => hidden.div_ceil(2) + (hidden == 1) as u32,
            };
            let clip = if clips == 1 { 0.5 } else { f32::MAX };
            let p = CellStep { peephole, coupled, clip, out, width: out + shape[2], ..case.p };
            Case { p, ..case }.check(device);
        }
    }
}

fn cells_match_with_every_activation(device: &Device) {
    for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
        for first in 0..ACTIVATIONS.len() {
            let case = Case::new(cell, [2, 3, 33, 1, 0, 1]).with_activations(first);
            case.check(device);
            Case { p: CellStep { clip: 0.9, peephole: (cell == Cell::Lstm) as u32, ..case.p }, ..case }.check(device);
        }
    }
}

/// A NaN in any gate's input, or in the state, makes that unit of the output NaN, and no other.
fn cells_propagate_nan(device: &Device) {
    for cell in [Cell::Rnn, Cell::Gru, Cell::Lstm] {
        for first in 0..ACTIVATIONS.len() {
            let case = Case::new(cell, [1, 2, 3, 1, 0, 0]).with_activations(first);
            let (h, gates, width) = (3, case.cell.gates(), case.p.width as usize);
            for place in 0..gates + (cell != Cell::Rnn) as usize {
                let mut data = case.data(0);
                match place {
                    _ if place < gates => data.x[(gates + place) * h + 1] = f32::NAN,
                    _ => data.state[case.at_old(0, 0, 1) + 1] = f32::NAN,
                }
                let [fresh, _] = case.forward(device, &data);
                let nans: Vec<bool> = (0..2 * h).map(|i| fresh[i / h * width + i % h].is_nan()).collect();
                assert_eq!(nans, [false, false, false, false, true, false], "input {place} of {case:?}");
            }
        }
    }
}

/// Negative control: results for different flags are rejected.
fn cell_comparison_rejects_other_flags(device: &Device) {
    let lstm = Case::new(Cell::Lstm, [2, 3, 17, 1, 0, 0]);
    let gru = Case::new(Cell::Gru, [2, 3, 17, 1, 0, 0]);
    let other = [
        (lstm, CellStep { coupled: 1, ..lstm.p }),
        (lstm, CellStep { clip: 0.5, ..lstm.p }),
        (lstm, CellStep { kinds: [7, 0, 1, 0], ..lstm.p }),
        (lstm, CellStep { out_kind: 9, ..lstm.p }),
        (gru, CellStep { half: 1, ..gru.p }),
        (gru, CellStep { kinds: [0, 0, 0, 0], ..gru.p }),
    ];
    for (case, p) in other {
        let data = case.data(0);
        let [got, _] = case.forward(device, &data);
        let [want, _] = Case { p, ..case }.want(&data, 0);
        assert!(relative_error(&got, &want) > 100.0 * CELL, "{case:?} passes as {p:?}");
    }
}

/// A kernel reports parameters for which it is undefined.
#[test]
fn cells_refuse_invalid_parameters() {
    let p = Case::new(Cell::Lstm, [2, 3, 4, 1, 0, 0]).p;
    assert!(LstmCell(p).check().is_ok());
    for (wrong, name) in [
        (CellStep { hidden: 0, ..p }, "hidden"),
        (CellStep { step: 2, ..p }, "step"),
        (CellStep { kinds: [11, 0, 0, 0], ..p }, "kinds"),
        (CellStep { out_kind: 11, ..p }, "out_kind"),
        (CellStep { saved_row: 43, ..p }, "saved_row"),
        (CellStep { clip: f32::NAN, ..p }, "clip"),
        (CellStep { clip: -1.0, ..p }, "clip"),
        (CellStep { width: 7, ..p }, "out + hidden"),
        (CellStep { directions: 2, reverse: 1, ..p }, "reverse"),
        (CellStep { steps: u32::MAX, ..p }, "steps"),
    ] {
        let text = LstmCell(wrong).check().expect_err(name).to_string();
        assert!(text.contains("lstm_cell") && text.contains(name), "{text}");
    }
}
