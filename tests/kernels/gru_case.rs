//! Data of a GRU run and the reference's results. The index arithmetic is intentionally written independently of the
//! crate.

use wgru::kernels::{
    Fused, RecurrentSequence, RecurrentSequenceBackward, RecurrentStep, RecurrentStepBackward, WeightDtype,
};
use wgru::{Cell, Device, Tensor};

use crate::by_kind;

use crate::common::{assert_close, fill, mix};
use crate::reference::gru::{Recurrent, Step, pack, times};
use crate::reference::{narrow, wide};
use crate::{buffer, indices, poison, read};

/// Expected value of an element that is not checked.
const ANY: f64 = f64::NAN;

#[derive(Clone, Debug)]
pub struct Case {
    pub p: Fused,
    pub lengths: Vec<u32>,
}

/// Steps, batch, hidden, directions, reverse.
const SHAPES: [[u32; 5]; 9] = [
    [1, 1, 1, 1, 0],
    [3, 2, 3, 1, 0],
    [4, 3, 3, 1, 1],
    [5, 5, 17, 2, 0],
    [3, 4, 16, 2, 0],
    [4, 5, 67, 1, 1],
    [3, 9, 67, 2, 0],
    [2, 3, 130, 2, 0],
    [2, 2, 256, 1, 0],
];

/// Every shader of a fused kernel.
pub const SHADERS: [u32; 2] = [Fused::PLAIN, Fused::SPLIT];

/// All shapes with both forms of the reset gate and every shader. The lengths in a batch vary, and include a full-length sequence.
pub fn cases() -> Vec<Case> {
    let case = |[steps, batch, hidden, directions, reverse]: [u32; 5], cell: Cell, shader: u32| {
        let length = |row: u32| if row == batch / 2 { steps } else { 1 + mix(row + 7 * batch) % steps };
        let p = Fused {
            steps,
            batch,
            hidden,
            directions,
            reverse,
            count: steps,
            cell: cell as u32,
            save: 1,
            shader,
            ..Fused::default()
        };
        Case { p, lengths: (0..batch).map(length).collect() }
    };
    let forms = [Cell::Gru, Cell::GruResetBefore].into_iter().flat_map(|cell| SHADERS.map(|shader| (cell, shader)));
    let all = forms.flat_map(|(cell, shader)| SHAPES.map(|shape| case(shape, cell, shader)));
    all.collect()
}

/// Inputs of a run, and the gradients of its outputs.
pub struct Data {
    pub x: Vec<f32>,
    pub u: Vec<Vec<f32>>,
    pub bias: Vec<Vec<f32>>,
    pub h0: Vec<f32>,
    pub dy: Vec<f32>,
    pub dh_n: Vec<f32>,
}

/// Expected results.
pub struct Want {
    pub state: Vec<f64>,
    pub y: Vec<f64>,
    pub saved: Vec<f64>,
    pub d_gates: Vec<f64>,
    pub dh0: Vec<f64>,
}

impl Case {
    pub fn size(&self) -> [usize; 4] {
        [self.p.steps, self.p.batch, self.p.hidden, self.p.directions].map(|n| n as usize)
    }

    pub fn is_reverse(&self, d: usize) -> bool {
        d == 1 || self.p.reverse == 1
    }

    /// Index of a row in `[D, T, B, gates·H]`.
    pub fn at_gates(&self, d: usize, t: usize, row: usize, gates: usize) -> usize {
        let [steps, batch, h, _] = self.size();
        (d * steps * batch + t * batch + row) * gates * h
    }

    /// Index of a row in `[D, T + 1, B, H]`.
    pub fn at_state(&self, d: usize, slot: usize, row: usize) -> usize {
        let [steps, batch, h, _] = self.size();
        (d * (steps + 1) * batch + slot * batch + row) * h
    }

    /// Index of a direction's row in `[T, B, D·H]`.
    pub fn at_y(&self, d: usize, t: usize, row: usize) -> usize {
        let [_, batch, h, directions] = self.size();
        (t * batch + row) * directions * h + d * h
    }

    /// Every direction and row.
    pub fn sequences(&self) -> Vec<(usize, usize)> {
        let [_, batch, _, directions] = self.size();
        (0..directions).flat_map(|d| (0..batch).map(move |row| (d, row))).collect()
    }

    pub fn is_valid(&self, t: usize, row: usize) -> bool {
        t < self.lengths[row] as usize
    }

    /// One word per step: 1 if it is valid.
    pub fn marks(&self) -> Vec<u32> {
        let [steps, batch, ..] = self.size();
        (0..steps * batch).map(|i| self.is_valid(i / batch, i % batch) as u32).collect()
    }

    pub fn data(&self) -> Data {
        let [steps, batch, h, directions] = self.size();
        let rows = directions * steps * batch;
        let weights = |stream: u32, n: usize, scale: f32| -> Vec<Vec<f32>> {
            (0..directions as u32).map(|d| fill(stream + d, n, scale)).collect()
        };
        Data {
            x: fill(1, rows * 3 * h, 1.5),
            u: weights(2, 3 * h * h, 1.5 / (h as f32).sqrt()),
            bias: weights(4, 3 * h, 0.5),
            h0: fill(6, directions * batch * h, 0.9),
            dy: fill(7, rows * h, 1.0),
            dh_n: fill(8, directions * batch * h, 1.0),
        }
    }

    /// The reference for one direction.
    pub fn recurrent(&self, data: &Data, d: usize) -> Recurrent {
        let (u, bias) = (wide(&data.u[d]), wide(&data.bias[d]));
        Recurrent { hidden: self.size()[2], u, bias, reset_before: self.p.is_reset_before() }
    }

    /// Packs the weights of all directions.
    pub fn packed(&self, data: &Data, transposed: bool) -> Vec<f32> {
        let h = self.size()[2];
        data.u.iter().zip(&data.bias).flat_map(|(u, bias)| pack(h, u, bias, transposed)).collect()
    }

    /// Returns `state` before the first step: the initial state of each direction, NaN elsewhere.
    pub fn start(&self, data: &Data) -> Vec<f32> {
        let [steps, batch, h, directions] = self.size();
        let mut state = vec![f32::NAN; directions * (steps + 1) * batch * h];
        for (d, row) in self.sequences() {
            let slot = if self.is_reverse(d) { steps } else { 0 };
            state[self.at_state(d, slot, row)..][..h].copy_from_slice(&data.h0[(d * batch + row) * h..][..h]);
        }
        state
    }

    pub fn want(&self, data: &Data) -> Want {
        let [steps, batch, h, directions] = self.size();
        let rows = directions * steps * batch;
        let mut want = Want {
            state: vec![0.0; rows * h + directions * batch * h],
            y: vec![0.0; rows * h],
            saved: vec![ANY; rows * 4 * h],
            d_gates: vec![0.0; rows * 4 * h],
            dh0: vec![0.0; directions * batch * h],
        };
        let (x, h0, dy, dh_n) = (wide(&data.x), wide(&data.h0), wide(&data.dy), wide(&data.dh_n));
        for (d, row) in self.sequences() {
            let (cell, carry) = (self.recurrent(data, d), (d * batch + row) * h);
            let order = times(self.lengths[row] as usize, self.is_reverse(d));
            let inputs: Vec<&[f64]> = order.iter().map(|&t| &x[self.at_gates(d, t, row, 3)..][..3 * h]).collect();
            let dys: Vec<&[f64]> = order.iter().map(|&t| &dy[self.at_y(d, t, row)..][..h]).collect();
            let first = &h0[carry..][..h];
            let done = cell.run(&inputs, first);
            let (gradients, dh0) = cell.backward(&done, first, &dys, &dh_n[carry..][..h]);
            want.dh0[carry..][..h].copy_from_slice(&dh0);
            for slot in 0..=steps {
                let state = state_in_slot(&done, first, slot, self.is_reverse(d));
                want.state[self.at_state(d, slot, row)..][..h].copy_from_slice(state);
            }
            for ((&t, step), g) in order.iter().zip(&done).zip(&gradients) {
                want.y[self.at_y(d, t, row)..][..h].copy_from_slice(&step.h);
                let at = self.at_gates(d, t, row, 4);
                want.saved[at..][..4 * h].copy_from_slice(&[&step.r[..], &step.z, &step.n, &step.c].concat());
                let through_r: Vec<f64> = g.n.iter().zip(&step.r).map(|(n, r)| n * r).collect();
                want.d_gates[at..][..4 * h].copy_from_slice(&[&g.r[..], &g.z, &g.n, &through_r].concat());
            }
        }
        want
    }

    /// Runs forward by chain or in one dispatch. Returns `state`, `y` and `saved`. Padded steps of `x` are NaN, since
    /// they must not matter.
    pub fn forward(&self, device: &Device, data: &Data, whole: bool) -> [Vec<f32>; 3] {
        self.forward_by::<f32>(device, data, &buffer(device, &self.packed(data, false)), whole)
    }

    /// [`forward`](Self::forward) with weights packed as `W`.
    pub fn forward_by<W: WeightDtype>(
        &self,
        device: &Device,
        data: &Data,
        packed: &Tensor,
        whole: bool,
    ) -> [Vec<f32>; 3] {
        let mut x = data.x.clone();
        for (d, row) in self.sequences() {
            for t in self.lengths[row] as usize..self.size()[0] {
                x[self.at_gates(d, t, row, 3)..][..3 * self.size()[2]].fill(f32::NAN);
            }
        }
        let reads = [&buffer(device, &x), packed, &indices(device, &self.marks())];
        let keeps = self.p.save == 1 || (self.p.is_reset_before() && !whole);
        let [steps, batch, h, directions] = self.size();
        let rows = directions * steps * batch;
        let state = buffer(device, &self.start(data));
        let (y, saved) = (poison(device, rows * h), poison(device, if keeps { rows * 4 * h } else { 0 }));
        if whole {
            by_kind!(self.p.cell, C => {
                device.run(&RecurrentSequence::<C, W>::from(self.p), reads, [&state, &y, &saved]).expect("run");
            });
        } else {
            (0..self.p.steps).for_each(|step| self.step::<W>(device, step, reads, [&state, &y, &saved]));
        }
        [&state, &y, &saved].map(read)
    }

    /// `x`, `packed`, `marks`.
    pub fn reads(&self, device: &Device, data: &Data) -> [Tensor; 3] {
        [buffer(device, &data.x), buffer(device, &self.packed(data, false)), indices(device, &self.marks())]
    }

    /// Runs one step of the chain.
    pub fn step<W: WeightDtype>(&self, device: &Device, step: u32, reads: [&Tensor; 3], writes: [&Tensor; 3]) {
        // The halves of a step pass their gates in `saved`.
        let save = self.p.save.max(self.p.halves() - 1);
        for half in 0..self.p.halves() {
            let p = Fused { step, half, save, ..self.p };
            by_kind!(p.cell, C => device.run(&RecurrentStep::<C, W>::from(p), reads, writes).expect("run"));
        }
    }

    /// Returns `packed`, `marks`, `state`, `saved` and `dy` after the reference's forward pass. Padded steps are NaN in
    /// `saved` and `dy`, since they must not affect any gradient.
    pub fn backward_reads(&self, device: &Device, data: &Data, want: &Want) -> [Tensor; 5] {
        let mut dy = data.dy.clone();
        let h = self.size()[2];
        for (d, row) in self.sequences() {
            for t in self.lengths[row] as usize..self.size()[0] {
                dy[self.at_y(d, t, row)..][..h].fill(f32::NAN);
            }
        }
        let packed = buffer(device, &self.packed(data, true));
        let [state, saved] = [&want.state, &want.saved].map(|v| buffer(device, &narrow(v)));
        [packed, indices(device, &self.marks()), state, saved, buffer(device, &dy)]
    }

    /// Runs backward by chain or in one dispatch. Returns `d_gates`, and `carry`, which holds `dh0`.
    pub fn backward(&self, device: &Device, data: &Data, reads: [&Tensor; 5], whole: bool) -> [Vec<f32>; 2] {
        let [steps, batch, h, directions] = self.size();
        let (d_gates, carry) =
            (poison(device, directions * steps * batch * 4 * h), buffer(device, &carry_of(&data.dh_n)));
        let writes = [&d_gates, &carry];
        if whole {
            by_kind!(self.p.cell, C => {
                device.run(&RecurrentSequenceBackward::<C>(self.p), reads, writes).expect("run");
            });
        } else {
            for step in 0..=self.p.steps {
                (0..self.p.halves().min(self.p.steps - step + 1)).for_each(|half| {
                    self.step_backward(device, Fused { step, half, ..self.p }, reads, writes);
                });
            }
        }
        let [d_gates, mut carry] = writes.map(read);
        assert!(carry.split_off(data.dh_n.len()).iter().all(|v| *v == 0.0), "nothing is reset");
        [d_gates, carry]
    }

    /// Runs one backward step, or half of it.
    pub fn step_backward(&self, device: &Device, p: Fused, reads: [&Tensor; 5], writes: [&Tensor; 2]) {
        by_kind!(p.cell, C => device.run(&RecurrentStepBackward::<C>(p), reads, writes).expect("run"));
    }
}

/// The carry before the first backward step: `dh_n`, and no gradients from resets.
pub fn carry_of(dh_n: &[f32]) -> Vec<f32> {
    [dh_n, &vec![0.0; dh_n.len()]].concat()
}

/// Returns the state in a slot between two steps. Padded steps repeat the last state, or the first one in reverse.
fn state_in_slot<'a>(done: &'a [Step], first: &'a [f64], slot: usize, reverse: bool) -> &'a [f64] {
    let processed = if reverse { done.len().saturating_sub(slot) } else { slot.min(done.len()) };
    if processed == 0 { first } else { &done[processed - 1].h }
}

/// [`assert_close`] restricted to the elements that are checked.
#[track_caller]
pub fn assert_known(what: &str, got: &[f32], want: &[f64], tolerance: f64) {
    assert_eq!(got.len(), want.len(), "{what}: length");
    let known = got.iter().zip(want).filter(|(_, w)| !w.is_nan());
    let (got, want): (Vec<f32>, Vec<f64>) = known.map(|(&g, &w)| (g, w)).unzip();
    assert_close(what, &got, &want, tolerance);
}
