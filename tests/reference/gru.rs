//! The GRU from plain weights in PyTorch's layout, one sequence at a time, with only its valid steps.

use super::dot;

/// The recurrent part of one direction: `u` `[3H, H]` and `bias` `[3H]`, gates r, z, n.
#[derive(Clone)]
pub struct Recurrent {
    pub hidden: usize,
    pub u: Vec<f64>,
    pub bias: Vec<f64>,
    pub reset_before: bool,
}

/// The gates of one step and the state after it; `c` is `U_n·h + b_n` (reset after) or `r⊙h` (reset before).
#[derive(Clone)]
pub struct Step {
    pub r: Vec<f64>,
    pub z: Vec<f64>,
    pub n: Vec<f64>,
    pub c: Vec<f64>,
    pub h: Vec<f64>,
}

/// Gradients of one step with respect to the pre-activations.
#[derive(Clone)]
pub struct StepGradient {
    pub r: Vec<f64>,
    pub z: Vec<f64>,
    pub n: Vec<f64>,
}

fn sigmoid(v: f64) -> f64 {
    1.0 / (1.0 + (-v).exp())
}

fn each(hidden: usize, f: impl Fn(usize) -> f64) -> Vec<f64> {
    (0..hidden).map(f).collect()
}

impl Recurrent {
    fn row(&self, gate: usize, unit: usize) -> &[f64] {
        &self.u[(gate * self.hidden + unit) * self.hidden..][..self.hidden]
    }

    fn product(&self, gate: usize, v: &[f64]) -> Vec<f64> {
        each(self.hidden, |i| dot(self.row(gate, i), v) + self.bias[gate * self.hidden + i])
    }

    /// `U_gateᵀ·v`
    fn transposed(&self, gate: usize, v: &[f64]) -> Vec<f64> {
        each(self.hidden, |i| (0..self.hidden).map(|j| self.row(gate, j)[i] * v[j]).sum())
    }

    /// One step from `h`; `a` `[3H]` is the input term of the pre-activations.
    pub fn step(&self, a: &[f64], h: &[f64]) -> Step {
        let width = self.hidden;
        let (ur, uz) = (self.product(0, h), self.product(1, h));
        let r = each(width, |i| sigmoid(a[i] + ur[i]));
        let z = each(width, |i| sigmoid(a[width + i] + uz[i]));
        let (c, inner) = if self.reset_before {
            let c = each(width, |i| r[i] * h[i]);
            let inner = self.product(2, &c);
            (c, inner)
        } else {
            let c = self.product(2, h);
            let inner = each(width, |i| r[i] * c[i]);
            (c, inner)
        };
        let n = each(width, |i| (a[2 * width + i] + inner[i]).tanh());
        let h = each(width, |i| (1.0 - z[i]) * n[i] + z[i] * h[i]);
        Step { r, z, n, c, h }
    }

    /// All steps of a sequence, in processing order.
    pub fn run(&self, inputs: &[&[f64]], h0: &[f64]) -> Vec<Step> {
        let mut h = h0.to_vec();
        let mut steps: Vec<Step> = Vec::new();
        for a in inputs {
            steps.push(self.step(a, &h));
            h = steps[steps.len() - 1].h.clone();
        }
        steps
    }

    /// Backpropagation through the steps of [`run`](Self::run): returns the gradient of each step, and that of `h0`.
    pub fn backward(&self, steps: &[Step], h0: &[f64], dy: &[&[f64]], dh_n: &[f64]) -> (Vec<StepGradient>, Vec<f64>) {
        let width = self.hidden;
        let mut dh = dh_n.to_vec();
        let mut gradients = Vec::new();
        for (k, Step { r, z, n, c, .. }) in steps.iter().enumerate().rev() {
            let before = if k == 0 { h0 } else { &steps[k - 1].h };
            let through = each(width, |i| dh[i] + dy[k][i]);
            let at_n = each(width, |i| through[i] * (1.0 - z[i]) * (1.0 - n[i] * n[i]));
            let at_z = each(width, |i| through[i] * (before[i] - n[i]) * z[i] * (1.0 - z[i]));
            let (at_r, from_n) = if self.reset_before {
                let q = self.transposed(2, &at_n);
                (each(width, |i| q[i] * before[i] * r[i] * (1.0 - r[i])), each(width, |i| q[i] * r[i]))
            } else {
                let at_c = each(width, |i| at_n[i] * r[i]);
                (each(width, |i| at_n[i] * c[i] * r[i] * (1.0 - r[i])), self.transposed(2, &at_c))
            };
            let (from_r, from_z) = (self.transposed(0, &at_r), self.transposed(1, &at_z));
            dh = each(width, |i| through[i] * z[i] + from_n[i] + from_r[i] + from_z[i]);
            gradients.push(StepGradient { r: at_r, z: at_z, n: at_n });
        }
        gradients.reverse();
        (gradients, dh)
    }
}

/// Times of the valid steps of a sequence, in the order in which a direction processes them.
pub fn times(length: usize, reverse: bool) -> Vec<usize> {
    if reverse { (0..length).rev().collect() } else { (0..length).collect() }
}

/// The packed recurrent matrix of one direction, `[⌈H/16⌉, depth, 3, 16]`, as documented.
pub fn pack(hidden: usize, u: &[f32], bias: &[f32], transposed: bool) -> Vec<f32> {
    let depth = if transposed { hidden } else { hidden + 1 };
    let mut packed = vec![0.0; hidden.div_ceil(16) * depth * 48];
    for gate in 0..3 {
        for unit in 0..hidden {
            let place = |k: usize| (unit / 16 * depth + k) * 48 + gate * 16 + unit % 16;
            for k in 0..hidden {
                let (row, col) = if transposed { (k, unit) } else { (unit, k) };
                packed[place(k)] = u[(gate * hidden + row) * hidden + col];
            }
            if !transposed {
                packed[place(hidden)] = bias[gate * hidden + unit];
            }
        }
    }
    packed
}

/// Extents and options of a GRU stack, for [`Network::run`].
#[derive(Clone, Copy, Debug)]
pub struct Network {
    pub input: usize,
    pub hidden: usize,
    pub layers: usize,
    pub bias: bool,
    pub bidirectional: bool,
    pub reverse: bool,
    pub reset_before: bool,
}

impl Network {
    fn directions(&self) -> usize {
        if self.bidirectional { 2 } else { 1 }
    }

    /// Output `[T, B, D·H]` and last states `[layers·D, B, H]` of `x` `[T, B, I]`, with the parameters in PyTorch's
    /// order: `w_ih`, `w_hh`, `b_ih`, `b_hh` of layer 0, of its reverse direction, of layer 1, ...
    pub fn run(&self, parameters: &[Vec<f64>], x: &[f64], h0: &[f64], lengths: &[usize]) -> (Vec<f64>, Vec<f64>) {
        let (h, batch, directions) = (self.hidden, lengths.len(), self.directions());
        let steps = x.len() / batch / self.input;
        let (mut y, mut width) = (x.to_vec(), self.input);
        let (mut h_n, mut parameters) = (h0.to_vec(), parameters.iter());
        for layer in 0..self.layers {
            let mut out = vec![0.0; steps * batch * directions * h];
            for d in 0..directions {
                let mut next = || parameters.next().expect("a parameter").clone();
                let (w_ih, u) = (next(), next());
                let (b_ih, bias) = if self.bias { (next(), next()) } else { (vec![0.0; 3 * h], vec![0.0; 3 * h]) };
                let cell = Recurrent { hidden: h, u, bias, reset_before: self.reset_before };
                for (row, &length) in lengths.iter().enumerate() {
                    let order = times(length, self.reverse || d == 1);
                    let input = |t: usize| &y[(t * batch + row) * width..][..width];
                    let project = |t: usize| each(3 * h, |i| dot(&w_ih[i * width..][..width], input(t)) + b_ih[i]);
                    let inputs: Vec<Vec<f64>> = order.iter().map(|&t| project(t)).collect();
                    let inputs: Vec<&[f64]> = inputs.iter().map(|a| &a[..]).collect();
                    let state = ((layer * directions + d) * batch + row) * h;
                    let done = cell.run(&inputs, &h0[state..][..h]);
                    for (&t, step) in order.iter().zip(&done) {
                        out[((t * batch + row) * directions + d) * h..][..h].copy_from_slice(&step.h);
                    }
                    h_n[state..][..h].copy_from_slice(&done[length - 1].h);
                }
            }
            (y, width) = (out, directions * h);
        }
        assert!(parameters.next().is_none(), "parameters left over");
        (y, h_n)
    }
}
